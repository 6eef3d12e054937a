"""Removes studies, and frees what no trial needs.

What is freed: executions that no trial reaches through inputs, files that neither a kept execution nor a trial refers to, and
datasets and kept models of no study and no kept execution. Kept all the same:

- what was made or written less than an hour ago (`YOUNG_SECONDS`), with all that it was made from;
- what no row refers to, and what is half written (`partial-*`), for a day (`ABANDONED_SECONDS`): its row may be still to come;
- while a study has unfinished trials, everything made of its model: the executions that they will be made from are not known yet.

Nothing is freed while a sweep works in the store (`use.py`). Rows go before files, and a folder gets another name before it is
emptied, so that whoever is killed leaves nothing damaged or missing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import sqlalchemy as sa

from workbench.errors import WorkbenchError, unknown
from workbench.store.needed import ExecutionNode, Needed, find_needed
from workbench.store.place import reason
from workbench.store.reader import Reader
from workbench.store.rows import is_name
from workbench.store.store import Store
from workbench.store.tables import CHECKED, EXECUTIONS, MEASUREMENTS, OP_PROFILES, PROFILES, STUDIES, TRIALS
from workbench.store.use import others

YOUNG_SECONDS = 3600.0
ABANDONED_SECONDS = 86_400.0
# What this module gave another name before deleting it, and did not come to the end.
LEFT = "partial-gc-"
CHUNK = 500
# Empty pages of SQLite's file are given back where they are at least so many bytes, and so large a share of it.
MUCH_BYTES, MUCH_SHARE = 1 << 20, 0.1
Part = Literal["artifacts", "data", "models"]


class Item(NamedTuple):
    """A file or folder that can be freed: its part of the store, its name below the store's folder, its bytes, and why."""

    part: Part
    name: str
    bytes: int
    why: str


@dataclass
class Garbage:
    """What can be freed, with the keys of `executions`; `kept` counts files that nothing needs either but that are too young, `open` unfinished trials by study."""

    items: list[Item] = field(default_factory=list)
    executions: dict[str, str] = field(default_factory=dict)
    kept: int = 0
    kept_bytes: int = 0
    open: dict[str, int] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """The bytes of all files that can be freed."""
        return sum(item.bytes for item in self.items)


class Found(NamedTuple):
    """Something that lies in a part of the store."""

    part: Part
    path: Path
    bytes: int
    changed: float


def find_garbage(store: Reader, now: float | None = None) -> Garbage:
    """Return what nothing needs; nothing is changed. `now` is the time in seconds since 1970."""
    now = time.time() if now is None else now
    lying = [item for part in ("artifacts", "data", "models") for item in lie(store, part)]
    touched = {f.path.name: f.changed for f in lying if f.part == "artifacts"}

    def young(node: ExecutionNode) -> bool:
        times = [touched[name] for name in node.files if name in touched]
        return max([*times, node.ended or 0.0]) > now - YOUNG_SECONDS

    needed = find_needed(store, young)
    freed = needed.freed()
    done = Garbage(executions={key: node.kind for key, node in freed.items()}, open=needed.open)
    known = {name for node in freed.values() for name in (*node.files, *node.sources)}
    kept_files, sources = needed.files(), needed.sources()
    for item in lying:
        why = _why(item, needed, kept_files, sources, known)
        if why is None:
            continue
        least = YOUNG_SECONDS if why == "nothing needs it" else ABANDONED_SECONDS
        if item.changed > now - least and not item.path.name.startswith(LEFT):
            done.kept += 1
            done.kept_bytes += item.bytes
        else:
            done.items.append(Item(item.part, _name(store, item.path), item.bytes, why))
    return done


def lie(store: Reader, part: Part) -> Iterator[Found]:
    """Yield what lies in a part of the store, with its bytes and when it was changed last."""
    folder = {"artifacts": store.artifacts.folder, "data": store.data, "models": store.models}[part]
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise WorkbenchError(f"{str(folder)!r} cannot be read: {reason(error)}") from error
    for name in names:
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            yield Found(part, folder / name, bytes_of(folder / name), (folder / name).lstat().st_mtime)


def bytes_of(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder; links count as themselves, what cannot be read as nothing."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    found = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):
                found += os.lstat(os.path.join(folder, name)).st_size
    return found


def free(store: Store, garbage: Garbage) -> list[str]:
    """Free what was found, by a process that has the store alone (`use.alone`); returns what could not be removed, in words.

    Raises WorkbenchError where other databases have their files in the same folder: what they need is not known.
    """
    if sharing := others(store.place):
        raise WorkbenchError(
            f"the files in {str(store.root)!r} belong to other databases too ({', '.join(sharing)}), which may need what this one does not; nothing was freed. "
            "Keep each database's files in a folder of its own, which WORKBENCH_ARTIFACTS names."
        )
    gone = [item.name for item in garbage.items]
    keys = list(garbage.executions)
    with store.database.writing() as db:
        for some in _chunks(keys):
            db.execute(sa.delete(EXECUTIONS).where(EXECUTIONS.c.key.in_(some)))
        known = db.execute(sa.select(CHECKED.c.name)).scalars().all()
        there = {*known} - {*gone}
        stale = [*({*known} & {*gone}), *(n for n in there if not os.path.lexists(store.root / n))]
        for some in _chunks(stale):
            db.execute(sa.delete(CHECKED).where(CHECKED.c.name.in_(some)))
    failed = []
    for name in gone:
        try:
            _remove(store.root / name)
        except OSError as error:
            failed.append(f"{name} cannot be removed: {reason(error)}")
    return failed


def remove_study(store: Store, study: str) -> dict[str, int]:
    """Remove all rows of a study in one transaction and return their number by table; its files stay.

    Raises WorkbenchError with the nearest names where there is no such study.
    """
    known = study_rows(store)
    if study not in known:
        raise unknown("study", study, known, f"The store is {store.location!r}; --store names another.")
    removed = {}
    with store.database.writing() as db:
        for table in (OP_PROFILES, MEASUREMENTS, PROFILES, TRIALS):
            removed[table.name] = db.execute(sa.delete(table).where(table.c.study == study)).rowcount
        removed[STUDIES.name] = db.execute(sa.delete(STUDIES).where(STUDIES.c.name == study)).rowcount
    return removed


def study_rows(store: Reader) -> dict[str, int]:
    """Return the number of trials of each study, of those too whose record is gone or cannot be read."""
    counts = {name: sum(states.values()) for name, states in store.counts().items()}
    return {**dict.fromkeys(sorted(store.study_names()), 0), **counts}


def compact(store: Store) -> tuple[int, str]:
    """Give the empty pages of SQLite's file back where they are many; returns the bytes, and why it was not done ("" else)."""
    file = store.place.file
    if file is None:
        return 0, ""
    before = database_bytes(file)
    with contextlib.closing(sqlite3.connect(file, timeout=1, isolation_level=None)) as db:
        try:
            page, empty = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "freelist_count"))
            if page * empty < max(MUCH_BYTES, MUCH_SHARE * before):
                return 0, ""
            db.execute("VACUUM")
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.OperationalError as error:
            return 0, f"{page * empty:,} empty bytes stay in {file.name}, which another process uses: {reason(error)}"
    return max(0, before - database_bytes(file)), ""


def _why(item: Found, needed: Needed, files: set[str], sources: set[str], known: set[str]) -> str | None:
    """Return why something is not needed, None where it is, or where no store has such a name."""
    name = item.path.name
    sha256, _, kind = name.partition(".")
    if name.startswith("partial-") or (item.part == "models" and ".partial." in name):
        return "half written"
    if not is_name(sha256):
        return None
    if item.part == "artifacts":
        if not kind or name in files or sha256 in needed.trials:
            return None
        return "nothing needs it" if name in known else "no row refers to it"
    if sha256 in sources:
        return None
    return "nothing needs it" if sha256 in known else "no row refers to it"


def _remove(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    if not path.name.startswith(LEFT):
        renamed = path.with_name(f"{LEFT}{path.name}")
        if renamed.exists():
            shutil.rmtree(renamed)
        path.rename(renamed)
        path = renamed
    shutil.rmtree(path)


def _name(store: Reader, path: Path) -> str:
    return path.relative_to(store.root).as_posix()


def _chunks(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), CHUNK):
        yield names[start : start + CHUNK]


def database_bytes(file: Path) -> int:
    """Return the bytes of SQLite's files of a database."""
    found = 0
    for end in ("", "-wal", "-journal"):
        with contextlib.suppress(OSError):
            found += os.stat(f"{file}{end}").st_size
    return found

"""Looks at all that is in a store: every row, every file by its hash."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa

from workbench.errors import WorkbenchError
from workbench.store.artifacts import FOLDERS
from workbench.store.intact import DAMAGED, LOG, find_flaw, set_aside
from workbench.store.kept import recorded_sha256
from workbench.store.reader import Reader
from workbench.store.rows import files_of, is_name, read_stage
from workbench.store.tables import EXECUTIONS
from workbench.values.source import DatasetInfo

TRIAL = "trial"
Users = dict[Path, list[str]]
# Returns the hash of the arrays in a folder, as a dataset with these inputs and class names has it.
DataHash = Callable[[Path, DatasetInfo], str]
State = Literal["damaged", "missing", "unreadable", "absent", "unknown", "unfinished"]
# Something that is there, what is wrong with it, and why.
Looked = tuple[Path, State | None, str]
# What a sweep has to mend; the others are in nobody's way.
GRAVE = ("damaged", "missing", "unreadable")


class StoreFault(NamedTuple):
    """One thing that is not as a whole store has it.

    `damaged`: its content is not what was put there; `missing`: a trial's file is gone; `unreadable`: a row of a wrong shape, or the
    database; `absent`: gone too, but a sweep that needs it makes it again; `unknown`: nothing refers to it; `unfinished`: left by
    a process that was killed, or in work.
    """

    state: State
    name: str
    why: str
    used_by: tuple[str, ...] = ()


@dataclass
class Checked:
    """What was looked at, and what was found; `set_aside` counts what was moved to `damaged/` just now, `kept_aside` what is there."""

    files: int = 0
    bytes: int = 0
    findings: list[StoreFault] = field(default_factory=list)
    set_aside: int = 0
    kept_aside: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing has to be mended."""
        return not any(f.state in GRAVE for f in self.findings)


def check_store(store: Reader, data_sha256: DataHash, aside: bool = False) -> Checked:
    """Read all of a store and return what is not as it should be; with `aside` what is damaged is moved to its folder `damaged`.

    Raises WorkbenchError where something cannot be moved.
    """
    done = Checked()
    users: Users = {}
    datasets: dict[str, DatasetInfo] = {}
    try:
        done.findings += _database(store)
        users, unreadable = _users(store)
        datasets = {s.dataset.sha256: s.dataset for s in store.studies() if is_name(s.dataset.sha256)}
        done.findings += [*unreadable, *(StoreFault("unreadable", "database", text) for text in store.left_out())]
    except WorkbenchError as error:
        # Its files can be looked at all the same.
        done.findings.append(StoreFault("unreadable", "database", str(error)))
    present = set()
    for path, state, why in (*_artifacts(store, users), *_data(store, datasets, data_sha256), *_models(store)):
        present.add(path)
        done.files += 1
        done.bytes += _bytes(path)
        if state is not None:
            done.findings.append(StoreFault(state, _name(store, path), why, tuple(users.get(path, ()))))
        if aside and state == "damaged":
            set_aside(path, store.root, why)
            done.set_aside += 1
    done.findings += _gone(store, users, present, datasets)
    done.kept_aside = len([n for n in _names(store.root / DAMAGED) if n != LOG])
    return done


def _database(store: Reader) -> Iterator[StoreFault]:
    if store.place.url.get_backend_name() != "sqlite":
        return
    said = store.database.ask(lambda db: list(db.exec_driver_sql("PRAGMA integrity_check").scalars().all()))
    yield from (StoreFault("damaged", "database", str(line)) for line in said or [] if line != "ok")


def _users(store: Reader) -> tuple[Users, list[StoreFault]]:
    """Return which trials and stages stand on which file, and the rows that cannot be read."""
    users: Users = defaultdict(list)
    for study in sorted({*store.study_names(), *store.counts()}):
        for trial in store.trials(study):
            if trial.artifact is not None:
                users[Path(trial.artifact.path)].append(f"{TRIAL} {trial.recipe} of {study}")
        store.op_profiles(study)
        store.profiles(study)
    query: Any = sa.select(EXECUTIONS.c.key, EXECUTIONS.c.kind, sa.cast(EXECUTIONS.c.result, sa.Text))
    unreadable = []
    for key, kind, text in store.database.rows(query)[0]:
        result = read_stage(text)
        if result is None:
            why = f"the result of stage {kind} {key[:12]} is of a wrong shape; a sweep that needs it makes it again"
            unreadable.append(StoreFault("unreadable", "database", why))
            continue
        for artifact in files_of(result):
            users[store.artifacts.path(artifact["sha256"], artifact["kind"])].append(f"stage {kind} {key[:12]}")
    return users, unreadable


def _artifacts(store: Reader, users: Users) -> Iterator[Looked]:
    for name in _names(store.artifacts.folder):
        path = store.artifacts.folder / name
        sha256, _, kind = name.partition(".")
        if name.startswith("partial-"):
            yield path, "unfinished", "left by a process that was killed, or in work; a later sweep removes it"
        elif not is_name(sha256) or not kind:
            yield path, "unknown", "no file of a store has such a name"
        elif flaw := find_flaw(path, sha256, kind in FOLDERS):
            yield path, "damaged", flaw
        elif path not in users:
            yield path, "unknown", "intact, but nothing in the database refers to it"
        else:
            yield path, None, ""


def _data(store: Reader, datasets: dict[str, DatasetInfo], data_sha256: DataHash) -> Iterator[Looked]:
    for name in _names(store.data):
        path, info = store.data / name, datasets.get(name)
        if name.startswith("partial-"):
            yield path, "unfinished", "left by a process that was killed, or in work; a later sweep removes it"
        elif info is None:
            yield path, "unknown", "no study that can be read refers to it"
        elif flaw := find_flaw(path, name, True, lambda folder, info=info: data_sha256(folder, info)):  # type: ignore[misc]
            yield path, "damaged", flaw
        else:
            yield path, None, ""


def _models(store: Reader) -> Iterator[Looked]:
    for name in _names(store.models):
        path = store.models / name
        if name.endswith(".sha256"):
            continue
        recorded = recorded_sha256(path)
        if ".partial." in name:
            yield path, "unfinished", "left by a process that was killed, or in work"
        elif not recorded:
            yield path, "unknown", "kept without its hash, by an earlier version; a sweep of the model keeps it anew"
        elif flaw := find_flaw(path, recorded, False):
            yield path, "damaged", flaw
        else:
            yield path, None, ""


def _gone(store: Reader, users: Users, present: set[Path], datasets: dict[str, DatasetInfo]) -> Iterator[StoreFault]:
    for path, used_by in users.items():
        if path in present or os.path.lexists(path):
            continue
        if any(user.startswith(TRIAL) for user in used_by):
            yield StoreFault(
                "missing",
                _name(store, path),
                "the file of a trial is not there; the same sweep again builds it",
                tuple(used_by),
            )
        else:
            why = "not there; a sweep that needs it makes it again"
            yield StoreFault("absent", _name(store, path), why, tuple(used_by))
    for sha256, info in datasets.items():
        if store.data / sha256 not in present:
            why = f"the arrays of dataset {info.name!r} are not there; a sweep that needs them writes them again"
            yield StoreFault("absent", _name(store, store.data / sha256), why)


def _name(store: Reader, path: Path) -> str:
    return path.relative_to(store.root).as_posix()


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise WorkbenchError(f"{str(folder)!r} cannot be read: {error}") from error


def _bytes(path: Path) -> int:
    try:
        files = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
        return sum(p.lstat().st_size for p in files)
    except OSError:
        return 0

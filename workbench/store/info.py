"""What is in a store: studies, bytes by kind, machines, and what can be freed."""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.store.cleaning import Garbage, bytes_of, database_bytes, find_garbage, lie, study_rows
from workbench.store.intact import DAMAGED, LOG
from workbench.store.migrate import kept_copy
from workbench.store.reader import Reader
from workbench.store.tagging import Written, read_written
from workbench.values.graph import Machine

Row = dict[str, Any]


@dataclass
class Info:
    """A store as it is: `layout` None where there is no store, `database` in bytes, None where that is a server's.

    `studies` are rows of names, trials by state, tags, note; `files` rows of part, kind, files, bytes.
    """

    layout: int | None
    database: int | None
    studies: list[Row]
    files: list[Row]
    machines: list[Machine]
    garbage: Garbage


def read_info(store: Reader) -> Info:
    """Return what is in a store; nothing is changed, and no file is read."""
    counts, written = store.counts(), read_written(store)
    known = {record.name: record for record in store.studies()}
    studies = []
    for name, trials in study_rows(store).items():
        states, record = counts.get(name, {}), known.get(name)
        tags, note = written.get(name, Written())
        studies.append(
            {
                "study": name,
                "trials": trials,
                "ok": states.get("ok", 0),
                "failed": states.get("failed", 0),
                "started": record.started if record else "",
                "tags": list(tags),
                "note": note,
            }
        )
    file = store.place.file
    return Info(
        store.database.layout,
        database_bytes(file) if file else None,
        sorted(studies, key=lambda s: str(s["started"])),
        _files(store),
        sorted(store.machines().values(), key=lambda m: m.id),
        find_garbage(store),
    )


def _files(store: Reader) -> list[Row]:
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])

    def add(part: str, kind: str, bytes_: int) -> None:
        sums[part, kind][0] += 1
        sums[part, kind][1] += bytes_

    for found in lie(store, "artifacts"):
        name = found.path.name
        add("artifacts", "half written" if name.startswith("partial-") else name.partition(".")[2], found.bytes)
    for found in lie(store, "data"):
        add("data", "half written" if found.path.name.startswith("partial-") else "dataset", found.bytes)
    for found in lie(store, "models"):
        if found.path.suffix != ".sha256":
            add("models", found.path.suffix[1:], found.bytes)
    for part, folder in (("logs", store.logs), (DAMAGED, store.root / DAMAGED)):
        for path in _inside(folder):
            add(part, "set aside" if part == DAMAGED else "log", bytes_of(path))
    if store.place.file is not None and (copy := kept_copy(store.place.file)).is_file():
        add("database", "copy of layout 1", bytes_of(copy))
    return [{"part": part, "kind": kind, "files": n, "bytes": size} for (part, kind), (n, size) in sorted(sums.items())]


def _inside(folder: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return [folder / name for name in os.listdir(folder) if not (folder.name == DAMAGED and name == LOG)]
    return []

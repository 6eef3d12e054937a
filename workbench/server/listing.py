"""The studies of all stores below the server's root, as rows of a list that is asked for every few seconds."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, NamedTuple, get_args

from workbench.dashboard.state import state_of
from workbench.errors import WorkbenchError
from workbench.server.places import Places
from workbench.store.figures import BestFigure, best_figures
from workbench.store.place import DATABASE
from workbench.store.reader import Reader
from workbench.store.tagging import Written, read_written
from workbench.store.underway import Underway, underway
from workbench.values.figure import Unit
from workbench.values.study import StudyRecord
from workbench.views import units

Row = dict[str, Any]
OVER = ("ok", "failed", "skipped")


class StoreStamp(NamedTuple):
    """How the files of a store's database look: another one where something was written."""

    parts: tuple[tuple[int, int], ...]


def stamp_of(root: Path) -> StoreStamp:
    """Return the stamp of a store's database and of its journal."""
    parts = []
    for name in (DATABASE, f"{DATABASE}-wal"):
        try:
            found = (root / name).stat()
            parts.append((found.st_mtime_ns, found.st_size))
        except OSError:
            parts.append((0, 0))
    return StoreStamp(tuple(parts))


class StudiesListing:
    """Rows of studies by store; a store that was not written to is not read again."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self._lock = threading.Lock()
        self._known: dict[str, tuple[StoreStamp, list[Row]]] = {}

    def stores(self) -> list[Row]:
        """Return a row for each store: its path from the root, its studies, and what is wrong with it where it cannot be read."""
        return [{"store": name, **told} for name, (_, told) in self._all().items()]

    def studies(self) -> Row:
        """Return the rows of all studies, latest first, and of the stores."""
        rows = [
            row for name, (found, _) in self._all().items() for row in with_progress(found, self.places.root / name)
        ]
        return {"studies": sorted(rows, key=lambda r: str(r["started"]), reverse=True), "stores": self.stores()}

    def _all(self) -> dict[str, tuple[list[Row], Row]]:
        found: dict[str, tuple[list[Row], Row]] = {}
        for name in self.places.stores():
            try:
                rows = self._rows(name)
                found[name] = rows, {"studies": len(rows), "error": None}
            except WorkbenchError as error:
                found[name] = [], {"studies": 0, "error": str(error)}
        return found

    def _rows(self, name: str) -> list[Row]:
        root = self.places.root / name
        stamp = stamp_of(root)
        with self._lock:
            known = self._known.get(name)
        if known and known[0] == stamp:
            return known[1]
        reader = Reader(root)
        try:
            rows = study_rows(reader, name)
        finally:
            reader.close()
        with self._lock:
            self._known[name] = stamp, rows
        return rows


def study_rows(reader: Reader, store: str) -> list[Row]:
    """Return what is listed of each study of a store: name, state, done of total, best figure, tags, note, when it began."""
    counts, written, best = reader.counts(), read_written(reader), best_figures(reader)
    return [
        _row(record, store, counts.get(record.name, {}), written.get(record.name, Written()), best.get(record.name))
        for record in reader.studies()
    ]


def _row(record: StudyRecord, store: str, counts: dict[str, int], written: Written, best: BestFigure | None) -> Row:
    return {
        "store": store,
        "study": record.name,
        "model": record.model.name,
        "dataset": record.dataset.name,
        "state": state_of(counts),
        "done": sum(counts.get(state, 0) for state in OVER),
        "total": sum(counts.values()),
        "counts": counts,
        "best": best_text(best) if best else "",
        "tags": list(written.tags),
        "note": written.note,
        "started": record.started,
        "progress": None,
    }


def best_text(best: BestFigure) -> str:
    """Return the best figure and the smallest file in words."""
    unit: Unit = best.unit if best.unit in get_args(Unit) else "number"  # type: ignore[assignment]
    figure = f"{best.title} {units.text(best.value, unit)}" if best.value is not None else ""
    size = f"smallest {units.size_text(best.smallest)}" if best.smallest is not None else ""
    return " · ".join(filter(None, (figure, size)))


def with_progress(rows: list[Row], root: Path) -> list[Row]:
    """Return rows with how far the sweep is that works on a study now."""
    running = {u.study: u for u in underway(root)}
    return [_running(row, running[row["study"]]) if row["study"] in running else row for row in rows]


def _running(row: Row, sweep: Underway) -> Row:
    told = sweep.model_dump(include={"phase", "label", "done", "total", "failed", "eta_s"})
    return {**row, "state": "running", "progress": told}

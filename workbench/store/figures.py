"""The best figures of studies, asked of the database itself: a study of ten thousand trials is not read for a line in a list."""

from __future__ import annotations

from typing import Any, NamedTuple

import sqlalchemy as sa

from workbench.store.reader import Reader
from workbench.store.tables import TRIALS


class BestFigure(NamedTuple):
    """The best primary figure of a study's trials that ran, and the smallest file in bytes; None where none has any."""

    title: str = ""
    unit: str = "number"
    value: float | None = None
    smallest: int | None = None


def best_figures(store: Reader) -> dict[str, BestFigure]:
    """Return the best figure of each study that has trials which ran; nothing for a store on a database server, whose JSON has other words."""
    if store.place.file is None:
        return {}
    text = sa.cast(TRIALS.c.trial, sa.Text)

    def part(path: str) -> sa.ColumnElement[Any]:
        # A row that was changed by hand does not hide the others.
        return sa.case((sa.func.json_valid(text) == 1, sa.func.json_extract(text, path)))

    value, better = part("$.quality.figures[0].value"), part("$.quality.figures[0].better")
    columns = (TRIALS.c.study, part("$.quality.figures[0].title"), part("$.quality.figures[0].unit"), better)
    query = (
        sa.select(*columns, sa.func.max(value), sa.func.min(value), sa.func.min(part("$.size.file")))
        .where(TRIALS.c.state == "ok")
        .group_by(*columns)
        .order_by(sa.func.count().desc())
    )
    found: dict[str, BestFigure] = {}
    for study, title, unit, direction, highest, lowest, smallest in store.database.rows(query)[0]:
        known = found.get(study)
        size = smallest if isinstance(smallest, int) else None
        if known is not None:
            sizes = [s for s in (known.smallest, size) if s is not None]
            found[study] = known._replace(smallest=min(sizes, default=None))
            continue
        best = lowest if direction == "low" else highest
        number = float(best) if isinstance(best, (int, float)) else None
        found[study] = BestFigure(str(title or ""), str(unit or "number"), number, size)
    return found

"""The table of trials a page at a time: sorted and filtered over all of them, written out for the page alone."""

from __future__ import annotations

import math
from typing import Any

from workbench.errors import unknown
from workbench.views.columns import Columns
from workbench.views.listing import Column, listing_columns, listing_lines
from workbench.views.table import rows_of

PAGE = 50
STATES = ("", "ok", "failed", "skipped", "running", "pending")
# Which metric a column shows where the names differ.
_METRICS = {"size_bytes": "size", "gzip_bytes": "compressed", "latency_ms": "latency", "memory_bytes": "memory", "peak_bytes": "peak"}  # fmt: skip


class TableState:
    """How the table is arranged; the order in which recipes were asked for, until a column is chosen."""

    def __init__(self) -> None:
        self.sort = ""
        self.descending = False
        self.filter = ""
        self.state = ""
        self.page = 0
        self._of: Columns | None = None

    def arrange(
        self,
        columns: Columns,
        sort: str | None = None,
        descending: bool | None = None,
        filter: str | None = None,
        state: str | None = None,
        page: int | None = None,
    ) -> None:
        """Change what is given; another order or choice begins on the first page.

        Raises WorkbenchError for an unknown column or state.
        """
        self._prepare(columns)
        if sort and sort not in self._keys:
            raise unknown("column", sort, self._keys)
        if state is not None and state not in STATES:
            raise unknown("state", state, STATES)
        if any(value is not None for value in (sort, descending, filter, state)):
            self.page = 0
        self.sort = self.sort if sort is None else sort
        self.descending = self.descending if descending is None else descending
        self.filter = self.filter if filter is None else filter
        self.state = self.state if state is None else state
        self.page = self.page if page is None else max(0, page)

    def to_json(self, columns: Columns) -> dict[str, Any]:
        """Return columns and the rows of the page."""
        self._prepare(columns)
        found = self._ordered(columns, self._matching(columns))
        pages = max(1, math.ceil(len(found) / PAGE))
        page = min(self.page, pages - 1)
        shown = [columns.trials[i] for i in found[page * PAGE : (page + 1) * PAGE]]
        lines = listing_lines(columns, shown, self._columns, rows_of(shown, columns))
        heads = [{"key": "recipe", "label": "Recipe", "numeric": False}]
        heads += [
            {
                "key": key_of(c),
                "label": c.header + (f" on {c.place.runtime}" if c.place else ""),
                "numeric": c.unit is not None,
            }
            for c in self._columns
        ]
        return {
            "columns": heads,
            "rows": [
                {
                    "id": line.id,
                    "state": line.state,
                    "baseline": line.baseline,
                    "warnings": line.warnings,
                    "cells": [
                        {"text": line.recipe, "detail": "", "reason": ""},
                        *({"text": c.text, "detail": c.detail, "reason": c.reason} for c in line.cells),
                    ],
                }
                for line in lines
            ],
            "sort": self.sort,
            "descending": self.descending,
            "filter": self.filter,
            "state": self.state,
            "states": [s for s in STATES if s],
            "page": page,
            "pages": pages,
            "matched": len(found),
            "total": len(columns.trials),
        }

    def _prepare(self, columns: Columns) -> None:
        """Find the columns that have a figure, once for the same trials."""
        if self._of is columns:
            return
        self._of = columns
        self._columns = [c for c in listing_columns(columns) if c.unit is None or self._any(columns, c)]
        self._keys = {"recipe": None, **{key_of(c): c for c in self._columns}}
        self._texts = [
            " ".join((t.recipe, t.id, t.state, "baseline" if t.baseline else "", *(w.kind for w in t.warnings))).lower()
            for t in columns.trials
        ]
        # A column may go with the figures that it had; the order then is the first one again.
        self.sort = self.sort if self.sort in self._keys else ""

    def _any(self, columns: Columns, column: Column) -> bool:
        told = column.place is not None and column.key.partition("@")[0].endswith("latency_ms")
        if told and column.place and any(m.state != "ok" for m in columns.outcomes(column.place).values()):
            return True
        return any(v is not None for v in figures_of(columns, column))

    def _matching(self, columns: Columns) -> list[int]:
        words = self.filter.lower().split()
        return [
            i
            for i, t in enumerate(columns.trials)
            if (not self.state or t.state == self.state) and all(w in self._texts[i] for w in words)
        ]

    def _ordered(self, columns: Columns, found: list[int]) -> list[int]:
        if not self.sort:
            return found[::-1] if self.descending else found
        column = self._keys[self.sort]
        if column is not None and column.unit is not None:
            figures = figures_of(columns, column)
            known = [(v, i) for i in found if (v := figures[i]) is not None and not math.isnan(v)]
            # What is not known stays at the end whichever way the rest is sorted; equals keep their order.
            numbers = [i for _, i in sorted(known, key=lambda pair: pair[0], reverse=self.descending)]
            placed = set(numbers)
            return [*numbers, *(i for i in found if i not in placed)]
        trials = columns.trials
        if self.sort in ("warnings", "notes"):
            counted = "warned" if self.sort == "warnings" else "noted"
            return sorted(found, key=lambda i: len(getattr(trials[i], counted)), reverse=self.descending)
        return sorted(found, key=lambda i: str(getattr(trials[i], self.sort)), reverse=self.descending)


def key_of(column: Column) -> str:
    """Return a name for a column that no other has: two places may share a runtime's name."""
    if column.place is None:
        return column.key
    return f"{column.key.partition('@')[0]}@{column.place.text.removesuffix(' (estimated)')}"


def figures_of(columns: Columns, column: Column) -> list[float | None]:
    """Return the figures of a column, one per trial, with which to sort."""
    if column.key == "unique_weights":
        return [t.census.unique_weights if t.census else None for t in columns.trials]
    figure, _, runtime = column.key.partition("@")
    prefix = "estimated_" if figure.startswith("estimated_") else ""
    figure = figure.removeprefix("estimated_")
    name = prefix + _METRICS.get(figure, figure) + (f"@{runtime}" if runtime else "")
    metric = columns.metrics.get(name)
    if metric is None:
        return [None] * len(columns.trials)
    values = columns.values(metric)
    if column.place is None:
        return values
    here = columns.outcomes(column.place)
    return [v if i in here else None for i, v in enumerate(values)]

"""The table of very many variants as data, from which the page shows, sorts and filters a page of rows at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.views.listing import Cell, Listing

# Rows that are shown at a time.
PAGE = 100


def table_data(table: Listing) -> dict[str, Any]:
    """Return the table column by column, as the page's script reads it.

    Of a column `texts` are what is shown, `details` its second lines, `reasons` why nothing ran, by row; `ranks` put the rows of a
    column of numbers in order (None: not known, last), which takes less room than the numbers themselves.
    """
    lines = table.lines
    return {
        "page": PAGE,
        "ids": [line.id for line in lines],
        "recipes": [line.recipe for line in lines],
        "states": [line.state for line in lines],
        "baselines": [i for i, line in enumerate(lines) if line.baseline],
        "warnings": {i: line.warnings for i, line in enumerate(lines) if line.warnings},
        "columns": [
            _column([line.cells[k] for line in lines], column.unit is not None)
            for k, column in enumerate(table.columns)
        ],
    }


def _column(cells: Sequence[Cell], number: bool) -> dict[str, Any]:
    return {
        "number": number,
        "texts": [c.text for c in cells],
        "details": [c.detail for c in cells] if any(c.detail for c in cells) else [],
        "reasons": {i: c.reason for i, c in enumerate(cells) if c.reason},
        "ranks": _ranks(cells) if number else [],
    }


def _ranks(cells: Sequence[Cell]) -> list[int | None]:
    values = [float(c.sort) if c.sort else None for c in cells]
    order = {v: rank for rank, v in enumerate(sorted({v for v in values if v is not None}))}
    return [None if v is None else order[v] for v in values]

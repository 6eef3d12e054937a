"""Tables and lines as HTML that reads well in a light and a dark notebook, and without a kernel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from workbench.commands.result import Block, Row, Table
from workbench.markup import macros
from workbench.views.units import cell

# Long listings stay readable; the rest is a call away.
SHOWN_ROWS = 60

LONG = 50


def parts() -> Any:
    """Return the macros of `results.html.j2`; what they return is HTML, and what they are given is escaped."""
    return macros("workbench.notebook", "results.html.j2")


def blocks_html(blocks: Iterable[Block]) -> str:
    """Return blocks as HTML."""
    return str(parts().page([table_html(b) if isinstance(b, Table) else parts().paragraph(b) for b in blocks]))


def blocks_text(blocks: Iterable[Block]) -> str:
    """Return blocks as plain text, for front ends without HTML."""
    return "\n".join(_plain(b) if isinstance(b, Table) else b for b in blocks)


def table_html(table: Table) -> Any:
    """Return a table, numbers to the right; of many rows the first ones, and how many there are more."""
    if not table.rows:
        return parts().paragraph(f"{table.title}: {table.empty}" if table.title else table.empty)
    head = {n: "n" if _numeric(table.rows, n) else "" for n in table.rows[0]}
    texts = [[(cell(row[n]), kind) for n, kind in head.items()] for row in table.rows[:SHOWN_ROWS]]
    rows = [[(text, "long" if len(text) > LONG else kind) for text, kind in row] for row in texts]
    return parts().table(table.title, head.items(), rows, max(0, len(table.rows) - SHOWN_ROWS))


def _numeric(rows: Sequence[Row], name: str) -> bool:
    values = [r[name] for r in rows if r[name] not in (None, "", "-")]
    return bool(values) and all(_is_number(v) for v in values)


def _is_number(value: Any) -> bool:
    # Figures with their unit (`128 kB`, `0.14 ±0.01 1.00x`) line up like plain numbers.
    return not isinstance(value, bool) and (
        isinstance(value, (int, float)) or (isinstance(value, str) and value[:1].isdigit())
    )


def _plain(table: Table) -> str:
    if not table.rows:
        return f"{table.title}: {table.empty}" if table.title else table.empty
    names = list(table.rows[0])
    lines = [names, *([cell(row[n]) for n in names] for row in table.rows[:SHOWN_ROWS])]
    widths = [max(len(line[i]) for line in lines) for i in range(len(names))]
    text = "\n".join("  ".join(part.ljust(w) for part, w in zip(line, widths, strict=True)).rstrip() for line in lines)
    return f"{table.title}\n{text}" if table.title else text

"""Tables and lines as HTML that reads well in a light and a dark notebook, and without a kernel."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

from workbench.commands.result import Block, Row, Table
from workbench.views.units import cell

# Long listings stay readable; the rest is a call away.
SHOWN_ROWS = 60

# The class stands three times to be heard before the front ends' own rules for tables.
STYLE = """<style>
.workbench-out{font-size:13px;line-height:1.45;max-width:100%;overflow-x:auto;color:var(--jp-ui-font-color1,inherit)}
.workbench-out table{border-collapse:collapse;margin:.3em 0 .8em}
.workbench-out caption{text-align:left;font-weight:600;padding:.2em 0}
.workbench-out.workbench-out.workbench-out table :is(th,td){text-align:left;max-width:none;padding:.2em .8em .2em 0;border-bottom:1px solid var(--jp-border-color2,#ccc);vertical-align:top;white-space:nowrap}
.workbench-out.workbench-out.workbench-out table :is(th,td).n{text-align:right;font-variant-numeric:tabular-nums}
.workbench-out.workbench-out.workbench-out table td.long{white-space:normal;min-width:20em}
.workbench-out p{margin:.2em 0;white-space:pre-wrap}
.workbench-out .quiet{color:var(--jp-ui-font-color2,#666)}
</style>"""
LONG = 50


def page(parts: Iterable[str]) -> str:
    """Return parts as one piece of HTML with its style."""
    return f'{STYLE}<div class="workbench-out">{"".join(parts)}</div>'


def blocks_html(blocks: Iterable[Block]) -> str:
    """Return blocks as HTML."""
    return page(table_html(b) if isinstance(b, Table) else paragraph(b) for b in blocks)


def blocks_text(blocks: Iterable[Block]) -> str:
    """Return blocks as plain text, for front ends without HTML."""
    return "\n".join(_plain(b) if isinstance(b, Table) else b for b in blocks)


def paragraph(text: str, kind: str = "") -> str:
    """Return a line of text."""
    return f'<p class="{kind}">{html.escape(text.strip())}</p>' if text.strip() else ""


def table_html(table: Table) -> str:
    """Return a table, numbers to the right; of many rows the first ones, and how many there are more."""
    caption = f"<caption>{html.escape(table.title)}</caption>" if table.title else ""
    if not table.rows:
        return paragraph(f"{table.title}: {table.empty}" if table.title else table.empty)
    names = list(table.rows[0])
    kind = {n: "n" if _numeric(table.rows, n) else "" for n in names}
    head = "".join(f'<th scope="col" class="{kind[n]}">{html.escape(n)}</th>' for n in names)
    body = "".join(
        "<tr>" + "".join(_cell(cell(row[n]), kind[n]) for n in names) + "</tr>" for row in table.rows[:SHOWN_ROWS]
    )
    left = len(table.rows) - SHOWN_ROWS
    more = paragraph(f"and {left} more rows", "quiet") if left > 0 else ""
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _cell(text: str, kind: str) -> str:
    return f'<td class="{"long" if len(text) > LONG else kind}">{html.escape(text)}</td>'


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

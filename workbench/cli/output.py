"""One way to print rows: a table for people, JSON and CSV for programs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from workbench.commands.result import Row
from workbench.names import printable
from workbench.views.units import cell


def print_table(rows: Sequence[Row], title: str = "", empty: str = "nothing to show") -> None:
    """Print rows as a table; numbers right, columns as wide as they need."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # Piped output keeps whole lines; a terminal wraps to its width.
    console = Console(width=None if sys.stdout.isatty() else 200, highlight=False)
    if not rows:
        console.print(f"{title}: {empty}" if title else empty, markup=False)
        return
    table = Table(
        title=Text(printable(title)) if title else None, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False
    )
    for name in rows[0]:
        numeric = all(_is_number(r[name]) for r in rows if r[name] not in (None, ""))
        table.add_column(Text(name), justify="right" if numeric else "left", overflow="fold", no_wrap=numeric)
    for row in rows:
        table.add_row(*[Text(printable(cell(v))) for v in row.values()])
    console.print(table)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)

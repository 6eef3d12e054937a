"""One way to print rows: a table for people, JSON and CSV for programs."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]


def print_json(data: Any) -> None:
    """Print data as indented JSON."""
    print(json.dumps(data, indent=2, ensure_ascii=False))


def print_csv(rows: Sequence[Row]) -> None:
    """Print rows as CSV with a header; nested values as JSON."""
    if not rows:
        return
    writer = csv.DictWriter(sys.stdout, list(rows[0]))
    writer.writeheader()
    for row in rows:
        writer.writerow({k: json.dumps(v) if isinstance(v, (list, dict)) else v for k, v in row.items()})


def print_table(rows: Sequence[Row], title: str = "", empty: str = "nothing to show") -> None:
    """Print rows as a table; numbers right, columns as wide as they need."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    # Piped output keeps whole lines; a terminal wraps to its width.
    console = Console(width=None if sys.stdout.isatty() else 200, highlight=False)
    if not rows:
        console.print(f"{title}: {empty}" if title else empty, markup=False)
        return
    table = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for name in rows[0]:
        numeric = all(_is_number(r[name]) for r in rows if r[name] not in (None, ""))
        table.add_column(name, justify="right" if numeric else "left", overflow="fold", no_wrap=numeric)
    from rich.text import Text

    for row in rows:
        table.add_row(*[Text(cell(v)) for v in row.values()])
    console.print(table)


def cell(value: Any) -> str:
    """Return a value as a short text."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(cell(v) for v in value)
    if isinstance(value, dict):
        return ", ".join(f"{k} {cell(v)}" for k, v in value.items())
    return str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)

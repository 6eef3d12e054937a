"""The page of one file on many runtimes: the chart and what stands behind it, opened offline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench.files import write_atomic
from workbench.markup import template
from workbench.report.section import resource
from workbench.values.trial import Measurement
from workbench.views.runtimes import measurement_rows

COLUMNS = ("runtime", "state", "median ms", "ratio", "memory", "operators taken", "against reference", "note")


def write_comparison(measurements: Sequence[Measurement], name: str, path: Path) -> Path:
    """Write the page; raises WorkbenchError where it cannot be written."""
    from workbench.views.comparison import comparison_bars, draw_comparison

    title = f"{name} on {len(measurements)} runtimes"
    chart = draw_comparison(comparison_bars(measurements), title).to_html(
        include_plotlyjs=True, include_mathjax=False, full_html=False, config={"displaylogo": False}
    )
    rows = [[_cell(row[c]) for c in COLUMNS] for row in measurement_rows(measurements)]
    page = template(resource("comparison.html.j2")).render(title=title, chart=chart, columns=COLUMNS, rows=rows)
    write_atomic(path, page.encode())
    return path


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)

"""What the report's chart needs: the one figure, and for each metric and pair of metrics what changes in it."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Any

from workbench.values.trial import Trial
from workbench.views.columns import Columns
from workbench.views.figure import axis, stair
from workbench.views.metric import Metric
from workbench.views.pareto import by_cost, front_over
from workbench.views.tradeoff import (
    TradeoffInfo,
    absent,
    default_axes,
    log_fits,
    log_possible,
    tradeoff_info,
    undrawn,
)


def chart_info(columns: Columns, x: str | None = None, y: str | None = None) -> TradeoffInfo | None:
    """Return the chart's points with these metrics on its axes, or None where no trial is `ok`.

    Raises WorkbenchError for an unknown metric.
    """
    if not columns.ok:
        return None
    across, up = default_axes(columns)
    return tradeoff_info(columns, x or across, y or up)


def chart_data(
    trials: Sequence[Trial] | Columns, x: str | None = None, y: str | None = None, info: TradeoffInfo | None = None
) -> dict[str, Any] | None:
    """Return the chart as JSON-shaped data, with these metrics on its axes at first, or None where no trial is `ok`; `info` is what `chart_info` gave for them.

    Raises WorkbenchError for an unknown metric.

    `figure` is Plotly's; `metrics` hold one figure per `ids`, their intervals and axis; `pairs[i][j]` the
    Pareto front of metric i across and metric j up, as indices of `ids`, and the note that goes with it. A crowd has no whiskers,
    so no intervals, and figures of seven digits, of which no eye sees the last.
    """
    from workbench.views.drawing import drawn_json

    columns = Columns.of(trials)
    info = info or chart_info(columns, x, y)
    if info is None:
        return None
    names = _names(columns)
    metrics = [columns.metrics[name] for name in names]
    figures = [columns.at(m, columns.ok) for m in metrics]
    across, up = default_axes(columns)
    figure = drawn_json(info)
    if info.crowded:
        _lighten(figure)
    ok = [columns.trials[i] for i in columns.ok]
    return {
        "figure": figure,
        "ids": [t.id for t in ok],
        "x": _place(names, info.x, x or across),
        "y": _place(names, info.y, y or up),
        "metrics": [
            {
                "name": m.name,
                "label": m.label,
                "values": [_short(v) if info.crowded else _finite(v) for v in vs],
                "intervals": [] if info.crowded else [columns.intervals(m)[i] for i in columns.ok],
                "axis": axis(m, False, vs),
                "log": log_fits(m, vs),
                "log_possible": log_possible([v for v in vs if v is not None]),
                "stair": stair(m),
            }
            for m, vs in zip(metrics, figures, strict=True)
        ],
        "pairs": _pairs(metrics, figures, [t.recipe for t in ok]),
    }


def _names(columns: Columns) -> list[str]:
    # Plain `latency` is the first runtime's under another name.
    return [name for name in columns.metrics if name != "latency"]


def _place(names: Sequence[str], metric: Metric, asked: str) -> int:
    """Return where a metric stands; plain `latency` is the first runtime's."""
    name = metric.name if metric.name in names else asked
    return (
        list(names).index(name) if name in names else next(i for i, n in enumerate(names) if n.startswith("latency@"))
    )


def _pairs(
    metrics: Sequence[Metric], figures: Sequence[Sequence[float | None]], recipes: Sequence[str]
) -> list[list[dict[str, Any]]]:
    # What a metric brings to all of its pairs is made once: of many variants that is nearly all the work.
    missing = [absent(vs) for vs in figures]
    table = []
    for x, xs, x_absent in zip(metrics, figures, missing, strict=True):
        groups = by_cost(xs, x.better)
        table.append(
            [
                {
                    "front": front_over(groups, xs, ys, y.better),
                    "note": html.escape(undrawn(x_absent, y_absent, recipes)),
                }
                for y, ys, y_absent in zip(metrics, figures, missing, strict=True)
            ]
        )
    return table


def _lighten(figure: dict[str, Any]) -> None:
    """Leave out of a figure the coordinates of its points, which the page takes from the metrics."""
    for trace in figure["data"]:
        if trace["meta"]["role"] == "points":
            del trace["x"], trace["y"]


def _short(value: float | None) -> float | None:
    return None if _finite(value) is None else float(f"{value:.7g}")


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None

"""What the report's chart needs: the one figure, and for each metric and pair of metrics what changes in it."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Sequence
from typing import Any

from workbench.values.trial import Trial
from workbench.views.columns import Columns
from workbench.views.figure import axis, stair
from workbench.views.metric import Metric
from workbench.views.metrics import metrics_for
from workbench.views.tradeoff import (
    default_axes,
    front_of,
    log_fits,
    log_possible,
    tradeoff_info,
    values,
)


def chart_data(trials: Sequence[Trial], x: str | None = None, y: str | None = None) -> dict[str, Any] | None:
    """Return the chart as JSON-shaped data, with these metrics on its axes at first, or None where no trial is `ok`.

    Raises WorkbenchError for an unknown metric.

    `figure` is Plotly's; `metrics` hold one figure per `ids`, their intervals and axis; `pairs[i][j]` the
    Pareto front of metric i across and metric j up, as indices of `ids`, and the note that goes with it.
    """
    from workbench.views.drawing import draw

    ok = [t for t in trials if t.state == "ok"]
    if not ok:
        return None
    # Plain `latency` is the first runtime's under another name.
    metrics = [m for m in metrics_for(trials).values() if m.name != "latency"]
    figures = [values(m, ok, trials) for m in metrics]
    names = [m.name for m in metrics]
    across, up = default_axes(Columns(trials))
    info = tradeoff_info(trials, x or across, y or up)
    figure = json.loads(draw(info).to_json())
    return {
        "figure": figure,
        "ids": [t.id for t in ok],
        "x": _place(names, info.x, x or across),
        "y": _place(names, info.y, y or up),
        "metrics": [
            {
                "name": m.name,
                "label": m.label,
                "values": [_finite(v) for v in vs],
                "intervals": [m.interval(t) for t in ok],
                "axis": axis(m, False, vs),
                "log": log_fits(m, vs),
                "log_possible": log_possible([v for v in vs if v is not None]),
                "stair": stair(m),
            }
            for m, vs in zip(metrics, figures, strict=True)
        ],
        "pairs": _pairs(metrics, figures, [t.recipe for t in ok]),
    }


def _place(names: Sequence[str], metric: Metric, asked: str) -> int:
    """Return where a metric stands; plain `latency` is the first runtime's."""
    name = metric.name if metric.name in names else asked
    return (
        list(names).index(name) if name in names else next(i for i, n in enumerate(names) if n.startswith("latency@"))
    )


def _pairs(
    metrics: Sequence[Metric], figures: Sequence[Sequence[float | None]], recipes: Sequence[str]
) -> list[list[dict[str, Any]]]:
    table = []
    for x, xs in zip(metrics, figures, strict=True):
        fronts = [front_of(x, y, xs, ys, recipes) for y, ys in zip(metrics, figures, strict=True)]
        table.append([{"front": f.indices, "note": html.escape(f.note)} for f in fronts])
    return table


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None

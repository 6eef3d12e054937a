"""Which variants no other one beats, and which one to ship."""

from __future__ import annotations

import math
from collections.abc import Sequence

from workbench.errors import unknown
from workbench.values.figure import Better
from workbench.values.settings import Constraints
from workbench.values.trial import Trial
from workbench.views.columns import Columns
from workbench.views.metric import Metric

# 0.9911 - 0.9811 is 0.010000000000000009, yet it is a drop of one point.
_ROUNDING = 1e-9


def pareto_front(points: Sequence[tuple[float | None, float | None]], better: tuple[Better, Better]) -> list[int]:
    """Return the indices of the points that no other point beats, in O(n log n).

    A point beats another when it is no worse in both coordinates and better in one, so equal points stay
    together. A point with a None or NaN is never on the front. Ordered by the first coordinate, rising,
    then by index.
    """
    signs = [1.0 if b == "low" else -1.0 for b in better]
    costs = [
        (signs[0] * x, signs[1] * y, i)
        for i, (x, y) in enumerate(points)
        if not (x is None or y is None or math.isnan(x) or math.isnan(y))
    ]
    front: list[int] = []
    lowest = math.inf
    cost_at_lowest: float | None = None
    for x, y, i in sorted(costs):
        # With nothing before it, even a point of infinite cost is unbeaten.
        if y < lowest or cost_at_lowest is None or (y == lowest and x == cost_at_lowest):
            front.append(i)
            lowest, cost_at_lowest = y, x
    return sorted(front, key=lambda i: (points[i][0], i))


def best(trials: Sequence[Trial] | Columns, constraints: Constraints, runtime: str | None = None) -> Trial | None:
    """Return the smallest `ok` trial that keeps the constraints, or None where none does.

    Equal sizes: the higher accuracy wins, then the lower latency. `latency_ms` is held against `runtime`
    (its text form, estimates included when it has nothing else), or the first measured one. A figure
    that is constrained but missing does not keep its constraint.

    Raises WorkbenchError for a runtime on which nothing was measured.
    """
    columns = trials if isinstance(trials, Columns) else Columns(trials)
    latency = latency_of(columns, runtime)
    times: Sequence[float | None] = columns.values(latency) if latency else [None] * len(columns.trials)

    def order(i: int) -> tuple[float, float, float]:
        trial, time = columns.trials[i], times[i]
        assert trial.size is not None
        accuracy = trial.quality.accuracy if trial.quality else None
        return trial.size.file, -(accuracy or 0.0), math.inf if time is None else time

    found = min(fitting(columns, constraints, runtime), key=order, default=None)
    return None if found is None else columns.trials[found]


def fitting(columns: Columns, constraints: Constraints, runtime: str | None = None) -> list[int]:
    """Return the positions of the `ok` trials that keep the constraints, as `best` holds them."""
    asked = (
        (constraints.size, columns.metrics.get("size")),
        (constraints.accuracy_drop, columns.metrics.get("accuracy_drop")),
        (constraints.latency_ms, latency_of(columns, runtime)),
    )
    fit = [i for i in columns.ok if columns.trials[i].size is not None]
    for limit, metric in asked:
        if limit is not None:
            values = columns.values(metric) if metric else [None] * len(columns.trials)
            most = limit + _ROUNDING
            fit = [i for i in fit if (v := values[i]) is not None and v <= most]
    return fit


def latency_of(columns: Columns, runtime: str | None = None) -> Metric | None:
    """Return the latency that a limit of time is held against, or None where nothing was measured.

    Raises WorkbenchError for a runtime on which nothing was measured.
    """
    if runtime is None:
        return columns.metrics.get("latency")
    measured, estimated = columns.runtimes(), columns.runtimes("estimated")
    if runtime not in measured and runtime not in estimated:
        raise unknown("measured runtime", runtime, [*measured, *estimated])
    return columns.metrics.get(f"{'' if runtime in measured else 'estimated_'}latency@{runtime}")

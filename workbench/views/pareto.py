"""Which variants no other one beats, and which one to ship."""

from __future__ import annotations

import math
from collections.abc import Sequence

from workbench.errors import unknown
from workbench.values.settings import Constraints
from workbench.values.trial import Trial
from workbench.views.metrics import Better, baseline_of, metrics_for, runtimes_of

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


def best(trials: Sequence[Trial], constraints: Constraints, runtime: str | None = None) -> Trial | None:
    """Return the smallest `ok` trial that keeps the constraints, or None where none does.

    Equal sizes: the higher accuracy wins, then the lower latency. `latency_ms` is held against `runtime`
    (its text form, estimates included when it has nothing else), or the first measured one. A figure
    that is constrained but missing does not keep its constraint.

    Raises WorkbenchError for a runtime on which nothing was measured.
    """
    metrics = metrics_for(trials)
    measured = runtimes_of(trials)
    if runtime is None:
        latency = metrics.get("latency")
    else:
        estimated = runtimes_of(trials, "estimated")
        if runtime not in measured and runtime not in estimated:
            raise unknown("measured runtime", runtime, [*measured, *estimated])
        latency = metrics.get(f"{'' if runtime in measured else 'estimated_'}latency@{runtime}")
    baseline = baseline_of(trials)

    def keeps(value: float | None, limit: float | None) -> bool:
        return limit is None or (value is not None and value <= limit + _ROUNDING)

    def order(trial: Trial) -> tuple[float, float, float]:
        assert trial.size is not None
        accuracy = trial.quality.accuracy if trial.quality else None
        time = latency.value(trial, baseline) if latency else None
        return trial.size.file, -(accuracy or 0.0), math.inf if time is None else time

    drop = metrics.get("accuracy_drop")
    fit = [
        t
        for t in trials
        if t.state == "ok"
        and t.size is not None
        and keeps(t.size.file, constraints.size)
        and keeps(drop.value(t, baseline) if drop else None, constraints.accuracy_drop)
        and keeps(latency.value(t, baseline) if latency else None, constraints.latency_ms)
    ]
    return min(fit, key=order, default=None)

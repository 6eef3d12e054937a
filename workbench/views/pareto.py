"""Which variants no other one beats, and which one to ship."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from workbench.errors import unknown
from workbench.values.figure import Better
from workbench.values.limits import Limits, read_limits
from workbench.values.trial import Trial
from workbench.views.columns import Columns
from workbench.views.holding import Holder, fitting
from workbench.views.metric import Metric


def pareto_front(points: Sequence[tuple[float | None, float | None]], better: tuple[Better, Better]) -> list[int]:
    """Return the indices of the points that no other point beats, in O(n log n).

    A point beats another when it is no worse in both coordinates and better in one, so equal points stay
    together. A point with a None or NaN is never on the front. Ordered by the first coordinate, rising,
    then by index.
    """
    xs, ys = ([point[side] for point in points] for side in (0, 1))
    return front_over(by_cost(xs, better[0]), xs, ys, better[1])


def by_cost(figures: Sequence[float | None], better: Better) -> list[list[int]]:
    """Return the indices of those that are known, by rising cost, equal ones in a group; made once for many fronts over them."""
    sign = 1.0 if better == "low" else -1.0
    known = sorted((sign * v, i) for i, v in enumerate(figures) if v is not None and not math.isnan(v))
    return [[i for _, i in group] for _, group in itertools.groupby(known, key=lambda pair: pair[0])]


def front_over(
    groups: Sequence[Sequence[int]], xs: Sequence[float | None], ys: Sequence[float | None], better: Better
) -> list[int]:
    """Return the front as `pareto_front` does, of first coordinates in groups by rising cost and second ones, of which `better` is so."""
    sign = 1.0 if better == "low" else -1.0
    front: list[int] = []
    lowest: float | None = None
    for group in groups:
        if len(group) == 1:
            # Nearly all are, and there are many: nothing is made for one.
            y = ys[group[0]]
            if y is not None and not math.isnan(y) and (lowest is None or sign * y < lowest):
                front.append(group[0])
                lowest = sign * y
            continue
        costs = [(sign * y, i) for i in group if (y := ys[i]) is not None and not math.isnan(y)]
        least = min(costs)[0] if costs else None
        # With nothing before it, even a point of infinite cost is unbeaten.
        if least is not None and (lowest is None or least < lowest):
            front += [i for cost, i in costs if cost == least]
            lowest = least
    return sorted(front, key=lambda i: (xs[i], i))


def best(trials: Sequence[Trial] | Columns, limits: Limits, runtime: str | None = None) -> Trial | None:
    """Return the smallest `ok` trial that keeps the limits, or None where none does.

    Equal sizes: the better primary figure wins, then the lower latency. Limits of a runtime are held against `runtime`
    (its text form, estimates included when it has nothing else), else the limits' own, else the first measured one. A figure
    that is limited but missing does not keep its limit.

    Raises WorkbenchError for a runtime on which nothing was measured.
    """
    columns = Columns.of(trials)
    found = smallest(columns, fitting(columns, limits, runtime), latency_of(columns, runtime))
    return None if found is None else columns.trials[found]


def limits_asked(columns: Columns, given: Mapping[str, Any]) -> Limits:
    """Return limits given by keyword (None: not given), as `best` takes them, their names checked against a study's figures.

    Raises WorkbenchError for what is not known.
    """
    limits = read_limits({k: v for k, v in given.items() if v is not None}, "best")
    latency_of(columns, limits.runtime)
    Holder(columns, limits).refuse_unknown()
    return limits


def smallest(columns: Columns, fit: Sequence[int], latency: Metric | None) -> int | None:
    """Return the position of the smallest of some trials, of equal ones the best by its primary figure, then the fastest."""
    times: Sequence[float | None] = columns.values(latency) if latency else [None] * len(columns.trials)
    losses = losses_of(columns)

    def order(i: int) -> tuple[float, float, float]:
        trial, time, loss = columns.trials[i], times[i], losses[i]
        assert trial.size is not None
        return trial.size.file, math.inf if loss is None else loss, math.inf if time is None else time

    return min(fit, key=order, default=None)


def losses_of(columns: Columns) -> list[float | None]:
    """Return the primary figure of each trial, or its agreement where there are no labels, turned so that less is better."""
    metric = columns.metrics.get(columns.primary or "agreement")
    if metric is None:
        return [None] * len(columns.trials)
    sign = -1.0 if metric.better == "high" else 1.0
    return [None if v is None else sign * v for v in columns.values(metric)]


def latency_of(columns: Columns, runtime: str | None = None) -> Metric | None:
    """Return the latency that a limit of time is held against, or None where nothing was measured.

    Raises WorkbenchError for a runtime on which nothing was measured.
    """
    if runtime is None:
        return columns.metrics.get("latency")
    measured, estimated = columns.runtimes(), columns.runtimes("estimated")
    runtime = columns.place_named(runtime)
    if runtime not in measured and runtime not in estimated:
        raise unknown("measured runtime", runtime, [*measured, *estimated])
    return columns.metrics.get(f"{'' if runtime in measured else 'estimated_'}latency@{runtime}")

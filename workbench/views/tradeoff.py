"""The trade-off chart: what it shows (`tradeoff_info`) apart from how it is drawn (`tradeoff_figure`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from workbench.values.trial import Trial
from workbench.views import units
from workbench.views.metrics import Interval, Metric, baseline_of, find_metric, metrics_for
from workbench.views.pareto import pareto_front

if TYPE_CHECKING:
    import plotly.graph_objects as go


class Point(NamedTuple):
    """One trial on the chart; `x` or `y` is None where it has no such figure, `figures` are lines for people."""

    id: str
    recipe: str
    scheme: str
    techniques: str
    x: float | None
    y: float | None
    x_interval: Interval | None
    y_interval: Interval | None
    is_baseline: bool
    on_front: bool
    warnings: int
    figures: tuple[str, ...]


class TradeoffInfo(NamedTuple):
    """All that the chart shows. `front` holds indices of `points`, by rising x; `note` says what is not drawn."""

    x: Metric
    y: Metric
    x_log: bool
    y_log: bool
    points: tuple[Point, ...]
    front: tuple[int, ...]
    note: str


class Front(NamedTuple):
    """The Pareto front of one pair of axes: indices by rising x, and what cannot be drawn."""

    indices: tuple[int, ...]
    note: str


def tradeoff_info(trials: Sequence[Trial], x: str = "size", y: str = "accuracy") -> TradeoffInfo:
    """Return the points, front and axes of the chart of two metrics; trials that are not `ok` are left out.

    Raises WorkbenchError for an unknown metric, with the nearest and the allowed names.
    """
    x_metric, y_metric = find_metric(x, trials), find_metric(y, trials)
    ok = [t for t in trials if t.state == "ok"]
    xs, ys = values(x_metric, ok, trials), values(y_metric, ok, trials)
    front = front_of(x_metric, y_metric, xs, ys, [t.recipe for t in ok])
    on_front = set(front.indices)
    described = [
        m for m in metrics_for(trials).values() if m.name.partition("@")[0] in _HOVERED and m.name != "latency"
    ]
    baseline = baseline_of(trials)
    points = tuple(
        Point(
            id=t.id,
            recipe=t.recipe,
            scheme=scheme_of(t),
            techniques=techniques_of(t),
            x=xs[i],
            y=ys[i],
            x_interval=x_metric.interval(t),
            y_interval=y_metric.interval(t),
            is_baseline=t.baseline,
            on_front=i in on_front,
            warnings=len(t.warnings),
            figures=_figures(t, described, baseline),
        )
        for i, t in enumerate(ok)
    )
    return TradeoffInfo(
        x_metric, y_metric, log_fits(x_metric, xs), log_fits(y_metric, ys), points, front.indices, front.note
    )


def front_trials(trials: Sequence[Trial], x: str = "size", y: str = "accuracy") -> list[Trial]:
    """Return the trials that no other one beats in both metrics, by rising `x`."""
    info = tradeoff_info(trials, x, y)
    by_id = {t.id: t for t in trials}
    return [by_id[info.points[i].id] for i in info.front]


def tradeoff_figure(info: TradeoffInfo) -> go.Figure:
    """Return the chart as a Plotly figure (plotly is imported here, not before)."""
    from workbench.views.drawing import draw

    return draw(info)


def values(metric: Metric, of: Sequence[Trial], trials: Sequence[Trial]) -> list[float | None]:
    """Return one figure per trial in `of`, against the baseline among all `trials`."""
    baseline = baseline_of(trials)
    return [metric.value(t, baseline) for t in of]


def front_of(
    x: Metric, y: Metric, xs: Sequence[float | None], ys: Sequence[float | None], recipes: Sequence[str]
) -> Front:
    """Return the Pareto front of two metrics' figures; infinite ones count for it though no axis reaches them."""
    pairs = list(zip(xs, ys, strict=True))
    indices = pareto_front(pairs, (x.better, y.better))
    missing = [r for r, (a, b) in zip(recipes, pairs, strict=True) if a is None or b is None]
    endless = [
        r for r, (a, b) in zip(recipes, pairs, strict=True) if a is not None and b is not None and not _finite(a, b)
    ]
    reasons = ((missing, "no figure for these axes"), (endless, "infinite value"))
    notes = [f"Not drawn: {_named(names, len(pairs))} ({why})" for names, why in reasons if names]
    return Front(tuple(indices), ". ".join(notes))


def log_fits(metric: Metric, figures: Sequence[float | None]) -> bool:
    """Whether a logarithmic axis serves these figures: the metric asks for it and they span a factor of 10."""
    drawn = [v for v in figures if v is not None and math.isfinite(v)]
    return metric.log_default and log_possible(drawn) and max(drawn) >= 10 * min(drawn)


def log_possible(figures: Sequence[float | None]) -> bool:
    """Whether every figure can stand on a logarithmic axis, which has no place for zero and below."""
    drawn = [v for v in figures if v is not None and math.isfinite(v)]
    return bool(drawn) and min(drawn) > 0


def scheme_of(trial: Trial) -> str:
    """Return the scheme of the trial's last step."""
    last = trial.steps[-1]
    return str(last.params.get("scheme", last.technique))


def techniques_of(trial: Trial) -> str:
    """Return the techniques before the scheme: `none`, `prune`, `prune+cluster`, ..."""
    return "+".join(s.technique for s in trial.steps[:-1]) or "none"


_HOVERED = {"size", "compressed", "accuracy", "mae", "rmse", "agreement", "sparsity", "latency", "estimated_latency"}


def _figures(trial: Trial, metrics: Sequence[Metric], baseline: Trial | None) -> tuple[str, ...]:
    lines = []
    for metric in metrics:
        value = metric.value(trial, baseline)
        if value is None:
            continue
        interval = metric.interval(trial)
        span = f" ({units.digits(interval[0])} to {units.digits(interval[1])})" if interval else ""
        lines.append(f"{metric.marked_title}: {units.text(value, metric.unit)}{span}")
    return tuple(lines)


def _finite(a: float, b: float) -> bool:
    return math.isfinite(a) and math.isfinite(b)


def _named(recipes: Sequence[str], of: int) -> str:
    return recipes[0] if len(recipes) == 1 else f"{len(recipes)} of {of} variants"

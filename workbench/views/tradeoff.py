"""The trade-off chart: what it shows, apart from how it is described (`figure.py`) and drawn (`drawing.py`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

from workbench.values.figure import Unit
from workbench.values.trial import Trial
from workbench.views import units
from workbench.views.columns import Columns
from workbench.views.metric import Interval, Kind, Metric, baseline_of
from workbench.views.pareto import pareto_front

Colour = Literal["scheme", "techniques"]
Symbol = Literal["techniques", "scheme", "runtime"]
# More points than this are drawn by the graphics card, with a short hover and without whiskers.
CROWD = 1000


class Point(NamedTuple):
    """One trial on the chart; `x` or `y` is None where it has no such figure, `figures` are lines for people.

    `runtime` names the one whose figure it is where a trial has a point for each, and is empty otherwise.
    """

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
    runtime: str = ""


class TradeoffInfo(NamedTuple):
    """All that the chart shows. `front` holds indices of `points`, by rising x; `note` says what is not drawn."""

    x: Metric
    y: Metric
    x_log: bool
    y_log: bool
    points: tuple[Point, ...]
    front: tuple[int, ...]
    note: str
    colour: Colour = "scheme"
    symbol: Symbol = "techniques"

    @property
    def crowded(self) -> bool:
        """Whether there are too many points for long hovers and whiskers."""
        return len(self.points) > CROWD


class Front(NamedTuple):
    """The Pareto front of one pair of axes: indices by rising x, and what cannot be drawn."""

    indices: tuple[int, ...]
    note: str


def tradeoff_info(
    trials: Sequence[Trial] | Columns,
    x: str = "size",
    y: str = "accuracy",
    x_log: bool | None = None,
    y_log: bool | None = None,
    colour: Colour = "scheme",
    symbol: Symbol = "techniques",
) -> TradeoffInfo:
    """Return the points, front and axes of the chart of two metrics; trials that are not `ok` are left out.

    A logarithmic axis is taken where it serves, or as asked for where it is possible. With `symbol` "runtime"
    a trial has a point for each runtime that `shared_runtimes` gives, where there are any.

    Raises WorkbenchError for an unknown metric, with the nearest and the allowed names.
    """
    columns = trials if isinstance(trials, Columns) else Columns(trials)
    x_metric, y_metric = columns.metric(x), columns.metric(y)
    spread = shared_runtimes(columns, x_metric, y_metric) if symbol == "runtime" else []
    if symbol == "runtime" and not spread:
        symbol = "techniques"
    series = [
        _Series("", x_metric, y_metric),
        *(_Series(text, _on(columns, x_metric, runtime), _on(columns, y_metric, runtime)) for runtime, text in spread),
    ][1 if spread else 0 :]
    shown = [(s, _having(columns, s) if s.runtime else columns.ok) for s in series]
    xs = [v for s, places in shown for v in columns.at(s.x, places)]
    ys = [v for s, places in shown for v in columns.at(s.y, places)]
    recipes = [columns.trials[i].recipe for _, places in shown for i in places]
    front = front_of(x_metric, y_metric, xs, ys, recipes)
    x_axis, y_axis = (across(columns, m) if spread else m for m in (x_metric, y_metric))
    points = tuple(_points(columns, shown, set(front.indices), (x_axis, y_axis), len(xs) > CROWD))
    x_fits, y_fits = log_fits(x_metric, xs), log_fits(y_metric, ys)
    return TradeoffInfo(
        x_axis,
        y_axis,
        x_fits if x_log is None else x_log and log_possible(xs),
        y_fits if y_log is None else y_log and log_possible(ys),
        points,
        front.indices,
        front.note,
        colour,
        symbol,
    )


def front_trials(trials: Sequence[Trial], x: str = "size", y: str | None = None) -> list[Trial]:
    """Return the trials that no other one beats in both metrics, by rising `x`; `y` is the primary figure unless another is named."""
    columns = Columns(trials)
    info = tradeoff_info(columns, x, y or columns.primary or "agreement")
    by_id = {t.id: t for t in trials}
    return [by_id[info.points[i].id] for i in info.front]


def default_axes(columns: Columns) -> tuple[str, str]:
    """Return the axes to begin with: size against the best measure of quality there is, the task's primary figure where it has one."""
    names = [name for name in columns.metrics if name != "latency"]
    quality = (columns.primary or "accuracy", "accuracy", "rmse", "agreement", "sqnr_db", "compressed")
    return "size" if "size" in names else names[0], next((n for n in quality if n in names), names[-1])


def shared_runtimes(columns: Columns, x: Metric, y: Metric) -> list[tuple[str, str]]:
    """Return runtimes (and how a legend names them) that have the figures of these axes, where two or more do.

    Figures of one family go together, and none of estimates with measured ones. Empty where no axis is of a runtime.
    """
    families = [m.family for m in (x, y) if m.family]
    if not families or len({family.startswith("estimated_") for family in families}) > 1:
        return []
    having = [[m.runtime for m in columns.metrics.values() if m.family == f and m.name != "latency"] for f in families]
    shared = [runtime for runtime in having[0] if all(runtime in names for names in having)]
    kind: Kind = "estimated" if families[0].startswith("estimated_") else "measured"
    return [(r, _legend(columns, r, kind)) for r in shared] if len(shared) > 1 else []


def across(columns: Columns, metric: Metric) -> Metric:
    """Return the metric of a family whatever the runtime, its title without the runtime, noting what some of it is."""
    if not metric.family:
        return metric
    alike = [m for m in columns.metrics.values() if m.family == metric.family and m.name != "latency"]
    told = list(dict.fromkeys(m.note.removeprefix("partly ") for m in alike if m.note))
    partly = "partly " if told and not all(m.note and not m.note.startswith("partly") for m in alike) else ""
    title = metric.title.removesuffix(f" on {metric.runtime}")
    return replace(metric, name=metric.family, title=title, note=partly + ", ".join(told))


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


class _Series(NamedTuple):
    """The points of one runtime ("" where a trial has one point), with the metrics that give their figures."""

    runtime: str
    x: Metric
    y: Metric


def _on(columns: Columns, metric: Metric, runtime: str) -> Metric:
    """Return the same figure of another runtime; one that is of no runtime stays."""
    return columns.metrics[f"{metric.family}@{runtime}"] if metric.family else metric


def _having(columns: Columns, series: _Series) -> list[int]:
    """Return the trials that were run there; the others miss no figure, as they do where a trial has one point alone."""
    figures = [columns.values(m) for m in (series.x, series.y) if m.family]
    return [i for i in columns.ok if any(values[i] is not None for values in figures)]


def _points(
    columns: Columns,
    shown: Sequence[tuple[_Series, Sequence[int]]],
    on_front: set[int],
    axes: tuple[Metric, Metric],
    crowded: bool,
) -> Iterator[Point]:
    """Return the points of each series; what is the same for all of them is looked up once."""
    n = 0
    for series, places in shown:
        xs, ys = columns.values(series.x), columns.values(series.y)
        x_intervals, y_intervals = columns.intervals(series.x), columns.intervals(series.y)
        lines = _lines(columns, axes, series, crowded)
        for i in places:
            trial = columns.trials[i]
            yield Point(
                id=trial.id,
                recipe=trial.recipe,
                scheme=scheme_of(trial),
                techniques=techniques_of(trial),
                x=xs[i],
                y=ys[i],
                x_interval=x_intervals[i],
                y_interval=y_intervals[i],
                is_baseline=trial.baseline,
                on_front=n in on_front,
                warnings=len(trial.warned),
                figures=lines(i),
                runtime=series.runtime,
            )
            n += 1


def _legend(columns: Columns, runtime: str, kind: Kind) -> str:
    """Return a runtime with what must be known before its time is read."""
    family = "estimated_latency" if kind == "estimated" else "latency"
    metric = columns.metrics.get(f"{family}@{runtime}")
    notes = ", ".join(n for n in ("estimated" if kind == "estimated" else "", metric.note if metric else "") if n)
    return f"{runtime} ({notes})" if notes else runtime


def _lines(
    columns: Columns, axes: tuple[Metric, Metric], series: _Series, crowded: bool
) -> Callable[[int], tuple[str, ...]]:
    """Return what writes a point's figures: all that are of interest, or in a crowd those of the axes."""
    wanted = {*_HOVERED, columns.primary}
    hovered = [m for m in columns.metrics.values() if m.name.partition("@")[0] in wanted and m.name != "latency"]
    named = list(zip(axes, (series.x, series.y), strict=True)) if crowded else [(m, m) for m in hovered]
    # A metric puts its title together, so that is done once.
    shown = [(f"{title.marked_title}: ", m.unit, columns.values(m), columns.intervals(m)) for title, m in named]
    first = (f"on {series.runtime}",) if series.runtime else ()

    def lines(i: int) -> tuple[str, ...]:
        told = (
            title + _figure(v, unit, spans[i]) for title, unit, values, spans in shown if (v := values[i]) is not None
        )
        return (*first, *told)

    return lines


def _figure(value: float, unit: Unit, interval: Interval | None) -> str:
    span = f" ({units.digits(interval[0])} to {units.digits(interval[1])})" if interval else ""
    return f"{units.text(value, unit)}{span}"


def _finite(a: float, b: float) -> bool:
    return math.isfinite(a) and math.isfinite(b)


def _named(recipes: Sequence[str], of: int) -> str:
    return recipes[0] if len(recipes) == 1 else f"{len(recipes)} of {of} variants"

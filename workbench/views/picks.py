"""Picks: the smallest, the fastest, the most accurate and the balanced variant that keep limits, and what each costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from workbench.values.base import Value
from workbench.values.figure import Better
from workbench.values.limits import Limits
from workbench.values.trial import Trial
from workbench.values.warning import Warning_
from workbench.views import units
from workbench.views.bounds import limits_text
from workbench.views.columns import Columns
from workbench.views.holding import Holder
from workbench.views.metric import Interval, Metric
from workbench.views.pareto import latency_of, losses_of, pareto_front, smallest

PickName = Literal["smallest", "fastest", "most accurate", "balanced"]
# Where nearness to the line is rounding, there is no knee.
_FLAT = 1e-9


class Pick(Value):
    """One variant that is recommended: what it is best at, why it is this one, and what it costs against the baseline."""

    name: PickName
    trial: Trial
    why: str
    cost: str

    @property
    def warnings(self) -> tuple[Warning_, ...]:
        """The warnings of the variant, which hold for whoever takes it."""
        return self.trial.warned

    def row(self) -> dict[str, Any]:
        """Return plain JSON-shaped data, the trial by its id and recipe."""
        return {
            "pick": self.name,
            "id": self.trial.id,
            "recipe": self.trial.recipe,
            "cost": self.cost,
            "why": self.why,
            "warnings": [{"kind": w.kind, "seen": w.told} for w in self.warnings],
        }


def picks(columns: Columns, limits: Limits, runtime: str | None = None) -> list[Pick]:
    """Return the picks among the variants that keep the limits, the smallest first; empty where none does.

    There is no fastest where nothing was measured, no most accurate where nothing tells quality, and no balanced one where
    the front of size and quality has no knee (see `knee`).
    """
    return picks_of(Holder(columns, limits, runtime))


def picks_of(holder: Holder, fit: Sequence[int] | None = None) -> list[Pick]:
    """Return the picks of a holder; `fit` are the positions of the variants that keep its limits, where they are known."""
    columns = holder.columns
    known = {*columns.runtimes(), *columns.runtimes("estimated")}
    # Time may be picked by where no limit is about it.
    latency = latency_of(columns, holder.runtime if holder.runtime in known else None)
    fit = holder.fitting() if fit is None else fit
    least = smallest(columns, fit, latency)
    if least is None:
        return []
    times: Sequence[float | None] = columns.values(latency) if latency else [None] * len(columns.trials)
    losses = losses_of(columns)
    sizes = [math.inf if t.size is None else float(t.size.file) for t in columns.trials]
    timed = [(time, sizes[i], i) for i in fit if (time := times[i]) is not None]
    told = [(loss, sizes[i], i) for i in fit if (loss := losses[i]) is not None]
    found: dict[PickName, int] = {"smallest": least}
    if timed:
        found["fastest"] = min(timed)[2]
    if told:
        found["most accurate"] = min(told)[2]
        middle = knee([(size, loss) for loss, size, _ in told], ("low", "low"))
        if middle is not None:
            found["balanced"] = told[middle][2]
    words = limits_text(holder.limits)
    of = f"of {len(fit):,} that keep {words}" if words else f"of all {len(fit):,} that run"
    return [
        Pick(
            name=name,
            trial=columns.trials[i],
            why=_why(name, of, columns, latency),
            cost=cost_text(columns, columns.trials[i], latency),
        )
        for name, i in found.items()
    ]


def knee(points: Sequence[tuple[float, float]], better: tuple[Better, Better]) -> int | None:
    """Return the index of the front's knee: the point that lies farthest beyond the line between the front's ends.

    Both coordinates are scaled to 0..1 between the ends, as in Kneedle (Satopaa, Albrecht, Irwin and Raghavan, "Finding a
    'Kneedle' in a Haystack", ICDCS Workshops 2011): with x the share of the way in cost and y that in gain, the distance from the line
    y = x is (y - x) / sqrt(2), and the knee is where it is largest. A front of one point is its own knee; None where no
    point lies beyond the line.
    """
    front = pareto_front(points, better)
    if len({points[i] for i in front}) <= 1:
        return front[0] if front else None
    (x0, y0), (x1, y1) = points[front[0]], points[front[-1]]
    sign = 1.0 if better[0] == "low" else -1.0

    def beyond(i: int) -> float:
        x, y = points[i]
        return sign * ((y - y0) / (y1 - y0) - (x - x0) / (x1 - x0)) / math.sqrt(2)

    found = max(front, key=lambda i: (beyond(i), -i))
    return found if beyond(found) > _FLAT else None


def cost_text(columns: Columns, trial: Trial, latency: Metric | None = None) -> str:
    """Return what a variant has for what against the float baseline: bytes, time, quality, each with its 95 % interval where one is known."""
    baseline = columns.baseline
    if baseline is None:
        return "no baseline to compare with"
    if trial.baseline:
        return "the baseline itself"
    parts = []
    if trial.size and baseline.size:
        parts.append(f"{units.text(trial.size.file / baseline.size.file, 'ratio')} the bytes")
    return ", ".join([*parts, *_speed(columns, trial, latency), *_quality(columns, trial)])


def warned(trial: Trial) -> str:
    """Return the kinds of a trial's warnings as text, nothing where it has none."""
    return ", ".join(dict.fromkeys(w.kind for w in trial.warned))


def _why(name: PickName, of: str, columns: Columns, latency: Metric | None) -> str:
    metric = columns.metrics.get(columns.primary or "agreement")
    title = _small(metric.title) if metric else "quality"
    if name == "fastest":
        return f"fastest on {latency.runtime if latency else ''}, {of}"
    if name == "most accurate":
        return f"best {title}, {of}"
    if name == "balanced":
        return f"knee of the front of file size and {title} (farthest beyond the line between its ends), {of}"
    return f"smallest file, {of}"


def _speed(columns: Columns, trial: Trial, latency: Metric | None) -> list[str]:
    if latency is None:
        return []
    metric = columns.metrics.get(f"{latency.family.replace('latency', 'ratio')}@{latency.runtime}")
    value = metric.value(trial, columns.baseline) if metric else None
    if metric is None or not value:
        return []
    span = None if metric.estimated else metric.interval(trial)
    notes = ", ".join(n for n in ("estimated" if latency.estimated else "", latency.note) if n)
    where = f"on {latency.runtime}{f' ({notes})' if notes else ''}"
    low, high = span or (value, value)
    if low > 1:
        return [f"{units.text(value, 'ratio')} SLOWER {where}"]
    if high < 1:
        return [f"{units.text(1 / value, 'ratio')} faster {where}"]
    told = f" (95 % {units.text(low, 'ratio')} to {units.text(high, 'ratio')})" if span else ""
    return [f"{units.text(value, 'ratio')} the time {where}{told}, no difference shown"]


def _quality(columns: Columns, trial: Trial) -> list[str]:
    key = columns.primary
    drop = columns.drop(key) if key else None
    if drop is None or key is None:
        agreement = trial.quality.agreement if trial.quality else None
        return [] if agreement is None else [f"agrees with the baseline in {units.text(agreement, 'share')}"]
    figure = columns.metric(key)
    loss, span = drop.value(trial, columns.baseline), drop.interval(trial)
    return [] if loss is None else [loss_text(figure, loss, span)]


def loss_text(figure: Metric, loss: float, span: Interval | None) -> str:
    """Return a loss (above zero where the figure is worse) in words: `0.40 points less accuracy (95 % 0.00 to 0.90)`.

    Where the interval holds zero the loss or the gain may be chance, and the words say so.
    """
    share = figure.unit == "share"
    many, unit = (100.0, " points") if share else (1.0, "")
    sign = -1.0 if loss < 0 else 1.0
    write = _number if share else lambda v: units.digits(v, 3)
    word = "less" if (loss >= 0) == (figure.better == "high") else "more"
    title = _small(figure.title)
    if loss == 0 and (span is None or span == (0, 0)):
        return f"the same {title}"
    if loss == 0 and span:
        return f"the same {title} on these samples (95 % {write(many * span[0])} to {write(many * span[1])})"
    told = ""
    if span:
        low, high = sorted((sign * span[0], sign * span[1]))
        told = f" (95 % {write(many * low)} to {write(many * high)}{', may be chance' if low <= 0 <= high else ''})"
    return f"{write(many * abs(loss))}{unit} {word} {title}{told}"


def _number(value: float) -> str:
    return f"{value:.2f}".replace("-0.00", "0.00").replace("-", "−")


def _small(title: str) -> str:
    """Return a title as it stands within a sentence; one that begins with an abbreviation stays."""
    return title[0].lower() + title[1:] if title[1:2].islower() else title

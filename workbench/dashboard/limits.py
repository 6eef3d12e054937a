"""Limits on size, loss and time: where their sliders stop, what they leave, and which variant is the best of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from workbench.errors import WorkbenchError, unknown
from workbench.values.base import build
from workbench.values.figure import Unit
from workbench.values.settings import Constraints
from workbench.values.trial import Trial
from workbench.views import units
from workbench.views.columns import Columns
from workbench.views.metric import Metric
from workbench.views.pareto import best, fitting, latency_of

MOST_STOPS = 101
NO_LIMIT = "no limit"


class Slider(NamedTuple):
    """One limit: its name, what it says, and its stops by rising figure, of which the last one is no limit."""

    name: str
    label: str
    stops: tuple[float, ...]
    texts: tuple[str, ...]


class Limits:
    """What a variant has to keep; begins with the constraints that the grid asked for."""

    def __init__(self, asked: Any = None) -> None:
        self.runtime: str | None = None
        try:
            self.kept = build(Constraints, asked if isinstance(asked, dict) else {}, "constraints")
        except WorkbenchError:
            # A stored grid of another version must not keep the study from being shown.
            self.kept = Constraints()

    def change(self, limits: Mapping[str, float | None], runtime: str | None, columns: Columns) -> None:
        """Set the limits named (None: no limit) and the runtime whose time is limited (None: as it was).

        Raises WorkbenchError for an unknown name, runtime or figure.
        """
        for name in limits:
            if name not in Constraints.model_fields:
                raise unknown("limit", name, Constraints.model_fields)
        if runtime is not None:
            latency_of(columns, runtime)
        given = {k: math.floor(v) if k == "size" and v is not None else v for k, v in limits.items()}
        self.kept = build(Constraints, {**self.kept.model_dump(), **given}, "limits")
        self.runtime = runtime if runtime is not None else self.runtime

    def to_json(self, columns: Columns, x: Metric, y: Metric) -> dict[str, Any]:
        """Return sliders, what is out, the best that is in, and what to shade of a chart with these axes."""
        runtime = self._runtime(columns)
        fit = fitting(columns, self._held(columns), runtime)
        inside = set(fit)
        found = best(columns, self._held(columns), runtime)
        kept = self.kept.model_dump()
        limits = []
        for slider in self._sliders(columns):
            limit = kept[slider.name]
            last = len(slider.stops) - 1
            limits.append(
                {
                    "name": slider.name,
                    "label": slider.label,
                    "stops": list(slider.stops),
                    "texts": list(slider.texts),
                    "value": last if limit is None else slider.stops.index(limit),
                }
            )
        return {
            "limits": limits,
            "runtime": runtime,
            "runtimes": [
                *columns.runtimes(),
                *(r for r in columns.runtimes("estimated") if r not in columns.runtimes()),
            ],
            "out": [columns.trials[i].id for i in columns.ok if i not in inside],
            "fit": len(fit),
            "of": len(columns.ok),
            "best": {"id": found.id, "recipe": found.recipe, "text": self._described(found, columns)}
            if found
            else None,
            "words": self._words(found, len(fit), columns),
            "shade": self._shade(columns, x, y),
        }

    def _runtime(self, columns: Columns) -> str | None:
        """Return the runtime whose time is limited: the one chosen, else the first measured, else the first estimated."""
        known = [*columns.runtimes(), *columns.runtimes("estimated")]
        return self.runtime if self.runtime in known else next(iter(known), None)

    def _metrics(self, columns: Columns) -> dict[str, Metric]:
        """Return what each limit is held against, where trials have that figure."""
        found = {
            "size": columns.metrics.get("size"),
            "accuracy_drop": columns.metrics.get("accuracy_drop"),
            "latency_ms": latency_of(columns, self._runtime(columns)),
        }
        return {n: m for n, m in found.items() if m and columns.known(m)}

    def _held(self, columns: Columns) -> Constraints:
        """Return the limits that can be held against something; what has no slider cannot shut everything out."""
        known = self._metrics(columns)
        return Constraints(**{k: v for k, v in self.kept.model_dump().items() if k in known})

    def _sliders(self, columns: Columns) -> list[Slider]:
        sliders = []
        for name, metric in self._metrics(columns).items():
            limit = self.kept.model_dump()[name]
            stops = stops_for(columns.known(metric), metric.unit, limit)
            texts = [limit_text(s, metric.unit) for s in stops[:-1]]
            label = {"size": "File size", "accuracy_drop": "Accuracy drop"}.get(name, metric.marked_title)
            unit = {"size": "bytes", "accuracy_drop": "points"}.get(name, "")
            sliders.append(Slider(name, f"{label} ({unit})" if unit else metric.label, stops, (*texts, NO_LIMIT)))
        return sliders

    def _described(self, trial: Trial, columns: Columns) -> str:
        """Return a variant's figures that limits are about, in one line."""
        parts = [units.size_text(trial.size.file)] if trial.size else []
        metrics, baseline = columns.metrics, columns.baseline
        for name in ("accuracy", "rmse", "agreement"):
            value = metrics[name].value(trial, baseline) if name in metrics else None
            if value is not None:
                parts.append(
                    f"{metrics[name].title.lower()} {units.text(value, metrics[name].unit)}{_lost(trial, columns)}"
                )
                break
        latency = latency_of(columns, self._runtime(columns))
        time = latency.value(trial, baseline) if latency else None
        if latency and time is not None:
            notes = ", ".join(n for n in ("estimated" if latency.estimated else "", latency.note) if n)
            parts.append(f"{units.text(time, 'ms')} on {latency.runtime}{f' ({notes})' if notes else ''}")
        return ", ".join(parts)

    def _words(self, found: Trial | None, fit: int, columns: Columns) -> str:
        if not columns.ok:
            return "No variant has run yet."
        if found is None:
            return "No variant fits; loosen a limit."
        limited = any(v is not None for v in self._held(columns).model_dump().values())
        of = f"of {fit:,} that fit" if limited else f"of all {fit:,}"
        return f"Smallest {of}: {found.recipe}, {self._described(found, columns)}."

    def _shade(self, columns: Columns, x: Metric, y: Metric) -> list[dict[str, Any]]:
        kept, latency = self._held(columns), latency_of(columns, self._runtime(columns))
        limits: list[tuple[str, float | None, str]] = [
            ("size", kept.size, "above"),
            ("accuracy_drop", kept.accuracy_drop, "above"),
            (f"{latency.family}@{latency.runtime}" if latency else "", kept.latency_ms, "above"),
        ]
        before = columns.baseline.quality.accuracy if columns.baseline and columns.baseline.quality else None
        if before is not None and kept.accuracy_drop is not None:
            limits.append(("accuracy", before - kept.accuracy_drop, "below"))
        return [
            {"axis": axis, "beyond": limit, "side": side}
            for axis, metric in (("x", x), ("y", y))
            for name, limit, side in limits
            if limit is not None and metric.name == name
        ]


def stops_for(figures: Sequence[float], unit: Unit, limit: float | None = None) -> tuple[float, ...]:
    """Return where a slider stops: at the figures, rounded up to what their texts say, and at the limit that is set.

    The last one lets everything through. More figures than stops are thinned evenly by rank.
    """
    rounded = _rounded(tuple(figures), unit)
    most = MOST_STOPS - (2 if limit is not None else 1)
    if len(rounded) > most:
        step = (len(rounded) - 1) / (most - 1)
        rounded = tuple(rounded[round(i * step)] for i in range(most))
    stops = sorted({*rounded, *([] if limit is None else [float(limit)])})
    # No limit lies beyond every figure and every limit.
    return (*stops, _up(stops[-1] * 1.1, unit) or 1.0)


@lru_cache(maxsize=16)
def _rounded(figures: tuple[float, ...], unit: Unit) -> tuple[float, ...]:
    """Return the figures as stops of a slider; kept, since a slider that moves asks again with the same ones."""
    # A loss of nothing can always be asked for.
    return tuple(sorted({*([0.0] if unit == "points" else []), *(_up(max(v, 0.0), unit) for v in figures)}))


def limit_text(value: float, unit: Unit) -> str:
    """Return a limit with its unit."""
    return f"{units.text(value, unit)} points" if unit == "points" else units.text(value, unit)


def _up(value: float, unit: Unit) -> float:
    """Round up to three digits (losses: to a hundredth of a point), so that what the text says is what is asked."""
    if value <= 0:
        return 0.0
    power = -4 if unit == "points" else math.floor(math.log10(value)) - 2
    if unit == "bytes":
        power = max(power, 0)
    return float(round(math.ceil(value / 10**power - 1e-9) * 10**power, max(0, -power)))


def _lost(trial: Trial, columns: Columns) -> str:
    drop = columns.metrics.get("accuracy_drop")
    value = drop.value(trial, columns.baseline) if drop and not trial.baseline else None
    if value is None:
        return ""
    if abs(value) < 0.00005:
        return " (no loss)"
    return f" ({100 * abs(value):.2f} points {'lost' if value > 0 else 'gained'})"

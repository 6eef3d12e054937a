"""Limits on size, loss and time: where their sliders stop, what they leave, and which variant is the best of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from workbench.errors import WorkbenchError, unknown
from workbench.values.figure import Unit
from workbench.values.limits import Kind, Limits, read_limits
from workbench.values.trial import Trial
from workbench.views import units
from workbench.views.bounds import limits_text
from workbench.views.columns import Columns
from workbench.views.holding import Held, Holder
from workbench.views.metric import Metric
from workbench.views.pareto import latency_of
from workbench.views.picks import Pick, picks_of, warned
from workbench.views.quality import figure_names
from workbench.views.units import UNIT_TEXT

# What a bound is about: its kind, and the figure or the runtime ("" is the one chosen).
About = tuple[Kind, str]
_PLAIN: tuple[Kind, ...] = ("size", "compressed", "latency_ms", "memory", "coverage")
MOST_STOPS = 101
NO_LIMIT = "no limit"


class Slider(NamedTuple):
    """One limit: its name, what it says, and its stops by rising figure, of which the last one is no limit."""

    name: str
    label: str
    stops: tuple[float, ...]
    texts: tuple[str, ...]


class Sliders:
    """What a variant has to keep; begins with the limits that the grid asked for."""

    def __init__(self, asked: Any = None) -> None:
        try:
            self.kept = read_limits(asked if isinstance(asked, dict) else {}, "constraints")
        except WorkbenchError:
            # A stored grid of another version must not keep the study from being shown.
            self.kept = Limits()
        self.runtime = self.kept.runtime

    def change(self, limits: Mapping[str, float | None], runtime: str | None, columns: Columns) -> None:
        """Set the limits named (None: no limit) and the runtime whose time is limited (None: as it was).

        A name is that of a slider: `size`, `compressed`, `latency_ms`, `memory`, `coverage`, a figure's loss such as `accuracy_drop`, or a
        figure. Raises WorkbenchError for an unknown name, runtime or figure.
        """
        if runtime is not None:
            latency_of(columns, runtime)
        kept = self._kept(columns)
        for name, value in limits.items():
            if value is None:
                kept.pop(_about(name, kept, columns), None)
            else:
                whole = name in ("size", "compressed")
                kept[_about(name, kept, columns)] = math.floor(value) if whole else value
        self.kept = read_limits({**_spelled(kept), "strict": self.kept.strict}, "limits")
        self.runtime = runtime if runtime is not None else self.runtime

    def to_json(self, columns: Columns, x: Metric, y: Metric) -> dict[str, Any]:
        """Return sliders, what is out, the best that is in, and what to shade of a chart with these axes."""
        holder, left_out = self._holder(columns)
        fit = holder.fitting()
        inside = set(fit)
        picked = picks_of(holder, fit)
        found = picked[0].trial if picked else None
        limits = []
        for slider, bound in self._sliders(columns):
            limits.append(
                {
                    "name": slider.name,
                    "label": slider.label,
                    "stops": list(slider.stops),
                    "texts": list(slider.texts),
                    "value": len(slider.stops) - 1 if bound is None else slider.stops.index(bound),
                }
            )
        return {
            "limits": limits,
            "strict": self.kept.strict,
            "runtime": holder.runtime,
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
            "words": self._words(picked, len(fit), holder, columns) + _not_held(left_out, columns),
            "picks": [{**p.row(), "text": self._described(p.trial, columns)} for p in picked],
            "shade": _shade(holder, x, y),
        }

    def _runtime(self, columns: Columns) -> str | None:
        """Return the runtime whose time is limited: the one chosen, else the first measured, else the first estimated."""
        known = [*columns.runtimes(), *columns.runtimes("estimated")]
        return self.runtime if self.runtime in known else next(iter(known), None)

    def _kept(self, columns: Columns) -> dict[About, float]:
        """Return the bounds that are set, the primary figure's under its name."""
        primary = columns.primary or ""
        return {(b.kind, b.of or primary if b.kind == "drop" else b.of): b.value for b in self.kept.bounds}

    def _holder(self, columns: Columns) -> tuple[Holder, list[Held]]:
        """Return the limits that can be held against something, and the others: what has no figure cannot shut everything out."""
        limits = self.kept.model_copy(update={"runtime": None})
        holder = Holder(columns, limits, self._runtime(columns))
        left_out = [h for h in holder.held if not (h.metric and columns.known(h.metric))]
        holder.held = [h for h in holder.held if h not in left_out]
        return holder, left_out

    def _sliders(self, columns: Columns) -> list[tuple[Slider, float | None]]:
        """Return size, loss and time, and whatever else is limited, each with its bound (None: it has none)."""
        kept, primary = self._kept(columns), columns.primary
        usual: list[About] = [("size", ""), *([("drop", primary)] if primary else []), ("latency_ms", "")]  # type: ignore[list-item]
        wanted = {**dict.fromkeys(usual), **kept}
        # Any bound does to find what a slider is held against.
        asked = read_limits(_spelled({about: 1.0 if v is None else v for about, v in wanted.items()}), "limits")
        found = []
        for held in Holder(columns, asked, self._runtime(columns)).held:
            metric, about = held.metric, (held.bound.kind, held.bound.of)
            if metric is None or not columns.known(metric):
                continue
            limit = wanted[about]
            stops = stops_for(columns.known(metric), metric.unit, limit, held.least)
            texts = [limit_text(s, metric.unit) for s in stops[:-1]]
            found.append((Slider(_name(*about), _label(held), stops, (*texts, NO_LIMIT)), limit))
        return found

    def _described(self, trial: Trial, columns: Columns) -> str:
        """Return a variant's figures that limits are about, in one line."""
        parts = [units.size_text(trial.size.file)] if trial.size else []
        metrics, baseline = columns.metrics, columns.baseline
        for name in (columns.primary, "agreement"):
            value = metrics[name].value(trial, baseline) if name and name in metrics else None
            if name and value is not None:
                parts.append(f"{metrics[name].title.lower()} {units.text(value, metrics[name].unit)}")
                break
        latency = latency_of(columns, self._runtime(columns))
        time = latency.value(trial, baseline) if latency else None
        if latency and time is not None:
            notes = ", ".join(n for n in ("estimated" if latency.estimated else "", latency.note) if n)
            parts.append(f"{units.text(time, 'ms')} on {latency.runtime}{f' ({notes})' if notes else ''}")
        return ", ".join(parts)

    def _words(self, picked: Sequence[Pick], fit: int, holder: Holder, columns: Columns) -> str:
        if not columns.ok:
            return "No variant has run yet."
        if not picked:
            return "No variant fits; loosen a limit."
        of = f"of {fit:,} that fit" if holder.held else f"of all {fit:,}"
        strictly = " by the ends of their 95 % intervals" if holder.held and self.kept.strict else ""
        least = picked[0]
        words = f"Smallest {of}{strictly}: {least.trial.recipe}, {self._described(least.trial, columns)}: {least.cost}."
        return f"{words} Warnings: {warned(least.trial)}." if warned(least.trial) else words


def _about(name: str, kept: Mapping[About, float], columns: Columns) -> About:
    """Return what a slider's name is about; raises WorkbenchError for an unknown one."""
    known: dict[str, About] = {kind: (kind, "") for kind in _PLAIN}
    known |= {f"{key}_drop": ("drop", key) for key in ("accuracy", *figure_names(columns.trials))}
    known |= {_name(*about): about for about in kept}
    if name not in known:
        raise unknown("limit", name, known)
    return known[name]


def _name(kind: Kind, of: str) -> str:
    if kind == "drop":
        return f"{of}_drop"
    return of if kind == "figures" else f"{kind}@{of}" if of else kind


def _spelled(bounds: Mapping[About, float]) -> dict[str, Any]:
    """Return bounds as `read_limits` takes them."""
    data: dict[str, Any] = {}
    for (kind, of), value in bounds.items():
        if kind == "drop" and of == "accuracy":
            data["accuracy_drop"] = value
        elif kind in ("size", "compressed"):
            data[kind] = int(value)
        else:
            data.setdefault(kind, {})[of] = value
    return data


def _not_held(left_out: Sequence[Held], columns: Columns) -> str:
    """Return the sentence about limits that no variant has a figure for; nothing while no variant has run."""
    if not left_out or not columns.ok:
        return ""
    limits = read_limits(_spelled({(h.bound.kind, h.bound.of): h.bound.value for h in left_out}), "limits")
    return f" Not held, since no variant has such a figure: {limits_text(limits)}."


def _label(held: Held) -> str:
    metric = held.metric
    assert metric is not None
    if held.bound.kind in ("size", "compressed"):
        return f"{metric.title} (bytes)"
    if held.bound.kind == "drop":
        unit = UNIT_TEXT[metric.unit].removeprefix("% ")
        return metric.title.removesuffix(" from baseline") + (f" ({unit})" if unit else "")
    return metric.label


def _shade(holder: Holder, x: Metric, y: Metric) -> list[dict[str, Any]]:
    """Return what of a chart with these axes lies beyond a limit."""
    limits: list[tuple[str, float, str]] = []
    baseline = holder.columns.baseline
    for held in holder.held:
        assert held.metric is not None
        metric, bound = held.metric, held.bound.value
        name = f"{metric.family}@{metric.runtime}" if metric.family else metric.name
        limits.append((name, bound, "below" if held.least else "above"))
        figure = holder.columns.metrics.get(metric.name.removesuffix("_drop")) if held.bound.kind == "drop" else None
        before = figure.value(baseline, baseline) if figure and baseline else None
        if figure and before is not None:
            high = figure.better == "high"
            limits.append((figure.name, before - bound if high else before + bound, "below" if high else "above"))
    return [
        {"axis": axis, "beyond": limit, "side": side}
        for axis, metric in (("x", x), ("y", y))
        for name, limit, side in limits
        if metric.name == name
    ]


def stops_for(
    figures: Sequence[float], unit: Unit, limit: float | None = None, least: bool = False
) -> tuple[float, ...]:
    """Return where a slider stops: at the figures, rounded up to what their texts say, and at the limit that is set.

    The last one lets everything through. More figures than stops are thinned evenly by rank. With `least` they fall, since the
    limit is the least that is allowed.
    """
    if least:
        many = sorted(set(figures))
        every = max(1, math.ceil(len(many) / (MOST_STOPS - 2)))
        falling = sorted({*many[::every], *([] if limit is None else [float(limit)])}, reverse=True)
        return (*falling, falling[-1] - max(0.1 * abs(falling[-1]), 1e-3))
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

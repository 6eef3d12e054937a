"""Figures of many trials by metric, each worked out once: what a live view asks for again and again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

from workbench.recipes.grammar import measured_text
from workbench.values.difference import MARK
from workbench.values.trial import Measurement, Trial
from workbench.views.metric import Interval, Kind, Metric, Place, baseline_of
from workbench.views.metrics import known_metric, metrics_for, places_of
from workbench.views.quality import drop_of, primary_of
from workbench.views.runtimes import place_text

_ByRuntime = dict[tuple[str, Kind], dict[int, Measurement]]


class _Runs(NamedTuple):
    """By runtime and kind, then by the trial's position: the last measurement, and the last good one."""

    tried: _ByRuntime
    good: _ByRuntime


class Columns:
    """Trials with their metrics as columns, in the order of the trials; nothing is worked out before it is asked for."""

    def __init__(self, trials: Sequence[Trial]) -> None:
        self.trials = list(trials)
        # A metric across runtimes has the name of another one, so its runtime belongs to the key.
        self._values: dict[tuple[str, str], list[float | None]] = {}
        self._drops: dict[str, Metric | None] = {}
        self._known: dict[tuple[str, str], tuple[float, ...]] = {}
        self._intervals: dict[tuple[str, str], list[Interval | None]] = {}
        self._outcomes: dict[Place, dict[int, Measurement]] = {}

    @classmethod
    def of(cls, trials: Sequence[Trial] | Columns) -> Columns:
        """Return trials as columns; those that are columns already keep what was worked out."""
        return trials if isinstance(trials, Columns) else cls(trials)

    def position(self, trial: Trial) -> int:
        """Return where one of these very trials stands among them."""
        return self._positions[id(trial)]

    @cached_property
    def _positions(self) -> dict[int, int]:
        return {id(t): i for i, t in enumerate(self.trials)}

    @cached_property
    def baseline(self) -> Trial | None:
        """The float baseline, or None."""
        return baseline_of(self.trials)

    @cached_property
    def primary(self) -> str | None:
        """The figure that is charted and limited first, None without labels."""
        return primary_of(self.trials)

    @cached_property
    def metrics(self) -> dict[str, Metric]:
        """The metrics of which at least one trial has a figure, by name."""
        return metrics_for(self.trials)

    @cached_property
    def places(self) -> list[Place]:
        """Where trials were run or tried, measured before estimated."""
        return places_of(self.trials)

    def runtimes(self, kind: Kind = "measured") -> list[str]:
        """Return the runtimes that gave a time, in order of appearance."""
        family = "latency" if kind == "measured" else "estimated_latency"
        return [m.runtime for m in self.metrics.values() if m.family == family and m.name != "latency"]

    def place_named(self, runtime: str) -> str:
        """Return the runtime that a text means: without a machine that of the study's last sweep, which comes first."""
        known = [*self.runtimes(), *self.runtimes("estimated")]
        return runtime if runtime in known else next((k for k in known if k.startswith(f"{runtime}{MARK}")), runtime)

    @cached_property
    def ok(self) -> list[int]:
        """The places of the trials that are `ok`."""
        return [i for i, t in enumerate(self.trials) if t.state == "ok"]

    def metric(self, name: str) -> Metric:
        """Return a metric; raises WorkbenchError with the nearest and the allowed names."""
        return known_metric(name, self.metrics)

    def drop(self, key: str) -> Metric | None:
        """Return what is lost of a task's figure against the baseline; None where no trial has it."""
        if key not in self._drops:
            self._drops[key] = drop_of(self.trials, key)
        return self._drops[key]

    def values(self, metric: Metric) -> list[float | None]:
        """Return one figure per trial, None where it has none."""
        if _key(metric) not in self._values:
            pick = metric.of_run
            if pick:
                runs = self.runs(metric.runtime, metric.kind)
                values = [pick(runs[i]) if i in runs else None for i in range(len(self.trials))]
            else:
                values = [metric.value(t, self.baseline) for t in self.trials]
            self._values[_key(metric)] = values
        return self._values[_key(metric)]

    def at(self, metric: Metric, places: Sequence[int]) -> list[float | None]:
        """Return the figures of some trials, by their positions."""
        values = self.values(metric)
        return [values[i] for i in places]

    def known(self, metric: Metric) -> tuple[float, ...]:
        """Return the finite figures of the trials that are `ok`."""
        key = _key(metric)
        if key not in self._known:
            self._known[key] = tuple(v for v in self.at(metric, self.ok) if v is not None and math.isfinite(v))
        return self._known[key]

    def intervals(self, metric: Metric) -> list[Interval | None]:
        """Return one 95 % interval per trial, None where it has none."""
        if _key(metric) not in self._intervals:
            if metric.of_run:
                runs = self.runs(metric.runtime, metric.kind)
                found = [metric.run_interval(runs[i]) if i in runs else None for i in range(len(self.trials))]
            else:
                found = [metric.interval(t) for t in self.trials]
            self._intervals[_key(metric)] = found
        return self._intervals[_key(metric)]

    def runs(self, runtime: str, kind: Kind = "measured") -> dict[int, Measurement]:
        """Return the last good measurement on a runtime by the trial's position."""
        return self._runs.good.get((runtime, kind), {})

    def outcomes(self, place: Place) -> dict[int, Measurement]:
        """Return by the trial's position the last good measurement at a place, else the last one that did not run there."""
        if place not in self._outcomes:
            tried, good = (runs.get((place.runtime, place.kind), {}) for runs in (self._runs.tried, self._runs.good))
            texts: dict[tuple[str, bool], str] = {}
            found = {}
            for i, last in tried.items():
                m = good.get(i, last)
                if m.state == "ok":
                    # Of one runtime and kind, a place is told apart by the clock and the device alone.
                    told = (m.clock, m.software)
                    if told not in texts:
                        texts[told] = place_text(m)
                    if texts[told] != place.text:
                        continue
                found[i] = m
            self._outcomes[place] = found
        return self._outcomes[place]

    @cached_property
    def _runs(self) -> _Runs:
        texts: dict[tuple[str, str], str] = {}
        tried: _ByRuntime = {}
        good: _ByRuntime = {}
        for i, trial in enumerate(self.trials):
            for m in trial.measurements:
                options = (m.runtime, f"{m.options!r}{m.place}")
                if options not in texts:
                    texts[options] = measured_text(m)
                tried.setdefault((texts[options], m.kind), {})[i] = m
                if m.state == "ok":
                    good.setdefault((texts[options], m.kind), {})[i] = m
        return _Runs(tried, good)


def _key(metric: Metric) -> tuple[str, str]:
    return metric.name, metric.runtime

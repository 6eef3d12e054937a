"""Trials held against limits, limit by limit: what `best`, gates, sliders, findings and searches all ask."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import ClassVar, Literal, NamedTuple

from workbench.errors import WorkbenchError, unknown
from workbench.recipes.grammar import measured_text, named_runtime
from workbench.values.base import Value
from workbench.values.limits import Bound, Limits
from workbench.values.trial import PROCESSES_OF_AN_INTERVAL, Measurement, Trial
from workbench.views import quality
from workbench.views.bounds import bound_text
from workbench.views.columns import Columns
from workbench.views.metric import Interval, Metric
from workbench.views.metrics import coverage, measurement_of
from workbench.views.runtimes import coverage_text, place_text
from workbench.views.units import digits, size_text, text

State = Literal["pass", "fail", "missing"]
# 0.9911 - 0.9811 is 0.010000000000000009, yet it is a drop of one point.
ROUNDING = 1e-9
# What is read off a file or a device and has no spread.
_EXACT = ("size", "compressed", "memory", "coverage")


class LimitCheck(Value):
    """One limit: `limit` and `value` as texts for people, `bound` and `found` as numbers (None: no such figure).

    Of a strict limit `found` is the end of the 95 % interval, which is what counts.
    """

    name: str
    limit: str
    value: str
    state: State
    text: str
    bound: float | None = None
    found: float | None = None


class Held(NamedTuple):
    """A bound with the metric that it is held against; None where the study has no such figure, and `missing` says why.

    It is `mistaken` where no study with these tasks could have it.
    """

    bound: Bound
    metric: Metric | None
    missing: str = ""
    mistaken: bool = False

    @property
    def least(self) -> bool:
        """Whether the bound is the least that is allowed, not the most."""
        return self.bound.kind == "coverage" or (self.metric is not None and self.metric.better == "high")

    def text(self, value: float) -> str:
        """Return a figure as it stands beside the bound."""
        return bound_text(self.bound, value, self.metric.unit if self.metric else None)

    def beyond(self, value: float | None) -> float | None:
        """Return by how much a figure lies beyond the bound, at most zero where it is kept; None without a figure."""
        if value is None or math.isnan(value):
            return None
        over = self.bound.value - value if self.least else value - self.bound.value
        return min(over, 0.0) if over <= ROUNDING else over


class Holder:
    """Limits as they are held against the trials of one study.

    What the study has no figure for is missing, so that stored limits of another study or plug-in are no hindrance;
    `refuse_unknown` tells whoever has just typed them.
    """

    def __init__(self, columns: Columns, limits: Limits, runtime: str | None = None) -> None:
        self.columns = columns
        self.limits = limits
        asked = runtime or limits.runtime
        self.runtime = self._named(asked) if asked else next(iter(columns.runtimes()), None)
        self.primary = columns.primary
        self.held = [self._held(b) for b in limits.bounds]

    def refuse_unknown(self) -> None:
        """Raise WorkbenchError for a figure that the study's tasks do not give, a loss above 1 of one that is a share, and a runtime that there is not."""
        self.limits.check_runtimes(named_runtime)
        for held in self.held:
            if held.mistaken:
                raise WorkbenchError(held.missing)

    def fitting(self) -> list[int]:
        """Return the positions of the `ok` trials with a file that keep every limit."""
        trials = self.columns.trials
        fit = [i for i in self.columns.ok if trials[i].size is not None]
        for held in self.held:
            if held.metric is None:
                return []
            values, intervals = self.columns.values(held.metric), self.columns.intervals(held.metric)
            fit = [
                i for i in fit if (over := held.beyond(self._counted(held, trials[i], values[i], intervals[i]))) is not None and over <= 0
            ]  # fmt: skip
        return fit

    def beyond(self, trial: Trial) -> dict[str, float | None]:
        """Return by how much a trial lies beyond each limit, at most zero where it is kept; None without a figure."""
        return {held.bound.name: held.beyond(self._found(held, trial)) for held in self.held}

    def checks(self, trial: Trial) -> list[LimitCheck]:
        """Return what a trial is, limit by limit."""
        return [self._check(held, trial) for held in self.held]

    def unknown(self, words: str) -> list[LimitCheck]:
        """Return the limits where there is no trial to hold against them."""
        return [_check(held, None, f"not known: {words}", None) for held in self.held]

    def _named(self, runtime: str) -> str:
        """Return a runtime's text as figures have it, its options spelled out; one that there is not (any more) stays as it is."""
        if runtime in self.columns.runtimes() or runtime in self.columns.runtimes("estimated"):
            return runtime
        try:
            return self.columns.place_named(named_runtime(runtime))
        except WorkbenchError:
            return runtime

    def _held(self, bound: Bound) -> Held:
        columns = self.columns
        if bound.kind == "size" or bound.kind == "compressed":
            return Held(bound, columns.metrics.get(bound.kind))
        if bound.kind == "drop":
            return self._drop(bound)
        if bound.kind == "figures":
            metric = columns.metrics.get(bound.of)
            if metric is None and any(t.quality for t in columns.trials):
                return Held(bound, None, str(unknown("figure", bound.of, columns.metrics)), True)
            return Held(bound, metric, "" if metric else f"not known: {bound.of} was not evaluated")
        runtime = self._named(bound.of) if bound.of else self.runtime
        if runtime is None:
            return Held(bound, None, "not measured: the study has measured nothing")
        prefix = "" if runtime in columns.runtimes() else "estimated_"
        if runtime not in columns.runtimes() and runtime not in columns.runtimes("estimated"):
            return Held(bound, None)
        if bound.kind == "coverage":
            return Held(bound, coverage(runtime, "estimated" if prefix else "measured"))
        if bound.kind == "latency_ms":
            return Held(bound, columns.metrics.get(f"{prefix}latency@{runtime}"))
        names = (f"{prefix}memory@{runtime}", f"{prefix}peak@{runtime}")
        return Held(bound, next((columns.metrics[n] for n in names if n in columns.metrics), None))

    def _drop(self, bound: Bound) -> Held:
        key = bound.of or self.primary
        metric = self.columns.drop(key) if key else None
        if metric is None:
            known = quality.figure_names(self.columns.trials)
            # `accuracy` is what limits were about before tasks had figures of their own.
            if bound.of not in ("", "accuracy") and known:
                hint = "A drop is of a figure that the study's tasks give."
                return Held(bound, None, str(unknown("figure", bound.of, known, hint)), True)
            return Held(
                bound,
                None,
                f"not known: {bound.of or 'accuracy'} was not evaluated (the data has no class labels, or the trial did not run)",
            )
        if metric.unit == "points" and bound.value > 1:
            words = f"{bound.name} = {bound.value:g}: {key} is a share, and so is its drop: 0.01 is 1 point. Allowed: 0 to 1."
            return Held(bound, None, words, True)
        return Held(bound, metric)

    def _found(self, held: Held, trial: Trial) -> float | None:
        metric = held.metric
        if metric is None:
            return None
        return self._counted(held, trial, metric.value(trial, self.columns.baseline), metric.interval(trial))

    def _counted(self, held: Held, trial: Trial, value: float | None, interval: Interval | None) -> float | None:
        """Return the number that is held against a bound: the value, or where limits are strict the worse end of its interval."""
        if not self.limits.strict or value is None or held.bound.kind in _EXACT:
            return value
        if held.bound.kind == "drop" and trial.baseline:
            # It is itself; there is nothing to be uncertain of.
            return value
        if held.metric is None or interval is None or not self._is_interval(held.metric, trial):
            return None
        return interval[0] if held.least else interval[1]

    def _is_interval(self, metric: Metric, trial: Trial) -> bool:
        if not metric.runtime:
            return True
        m = measurement_of(trial, metric.runtime, metric.kind)
        latency = m.latency_ms if m else None
        few = latency is None or (latency.processes is not None and latency.processes < PROCESSES_OF_AN_INTERVAL)
        # An estimate is one number, whatever stands in its interval's place.
        return not metric.estimated and not few

    def _check(self, held: Held, trial: Trial) -> LimitCheck:
        value, found = (
            (held.metric.value(trial, self.columns.baseline) if held.metric else None),
            self._found(held, trial),
        )
        words = self._words[held.bound.kind](self, held, trial)
        if value is not None and self.limits.strict and held.bound.kind not in _EXACT:
            if found is None:
                words += "; not known for certain: there is no 95 % interval to hold within the limit"
            elif found != value:
                words += (
                    f"; the {'lower' if held.least else 'upper'} end of the 95 % interval counts: {held.text(found)}"
                )
        return _check(held, found, words, value)

    def _size(self, held: Held, trial: Trial) -> str:
        if trial.size is None:
            return "not known: there is no file"
        if held.bound.kind == "size":
            return f"the file has {size_text(trial.size.file)}"
        return f"compressed (gzip) the file has {size_text(trial.size.gzip)}"

    def _drop_words(self, held: Held, trial: Trial) -> str:
        if held.metric is None:
            return held.missing
        key = held.metric.name.removesuffix("_drop")
        metric = self.columns.metrics.get(key)
        baseline = self.columns.baseline
        if metric is None or (after := metric.value(trial, baseline)) is None:
            return f"not known: {key} was not evaluated (the data has no class labels, or the trial did not run)"
        before = metric.value(baseline, baseline) if baseline else None
        if before is None:
            return f"not known: the float baseline has no {key} to compare with"
        span = held.metric.interval(trial)
        many = 100 if held.metric.unit == "points" else 1
        lost = f" (95 % of what is lost: {digits(many * span[0])} to {digits(many * span[1])})" if span else ""
        return f"{key} {text(after, metric.unit)} after {text(before, metric.unit)} of the float baseline{lost}"

    def _figure(self, held: Held, trial: Trial) -> str:
        value = held.metric.value(trial, self.columns.baseline) if held.metric else None
        if held.metric is None or value is None:
            return held.missing or f"not known: {held.bound.of} was not evaluated"
        return f"{held.bound.of} {text(value, held.metric.unit)}"

    def _latency(self, held: Held, trial: Trial) -> str:
        measured = self._measurement(held, trial)
        if not isinstance(measured, Measurement):
            return measured
        if measured.latency_ms is None:
            return f"not measured: {place_text(measured)} gave no time"
        latency = measured.latency_ms
        spread = f" ({latency.low:.3g} to {latency.high:.3g})" if latency.samples else ""
        return f"median {text(latency.median, 'ms')}{spread} on {place_text(measured)}"

    def _coverage(self, held: Held, trial: Trial) -> str:
        measured = self._measurement(held, trial)
        if not isinstance(measured, Measurement):
            return measured
        taken = coverage_text(measured)
        if taken is None or not measured.ops_total:
            return f"not known: {place_text(measured)} does not tell which operators it took"
        return f"operators that {place_text(measured)} took: {taken}"

    def _memory(self, held: Held, trial: Trial) -> str:
        measured = self._measurement(held, trial)
        if not isinstance(measured, Measurement):
            return measured
        value = held.metric.value(trial, self.columns.baseline) if held.metric else None
        if held.metric is None or value is None:
            return f"not known: {place_text(measured)} does not tell its memory"
        return f"{held.metric.title.removesuffix(f' on {held.metric.runtime}').lower()} {size_text(value)} on {place_text(measured)}"

    def _measurement(self, held: Held, trial: Trial) -> Measurement | str:
        """Return the trial's good measurement that a limit is about, or why there is none."""
        runtime = self._named(held.bound.of) if held.bound.of else self.runtime
        if runtime is None:
            return held.missing
        found = measurement_of(trial, runtime, held.metric.kind) if held.metric else None
        if found is not None:
            return found
        for m in reversed(trial.measurements):
            if measured_text(m) == runtime:
                return f"not measured: {m.state} on {runtime}" + (f": {m.error}" if m.error else "")
        others = ", ".join([*self.columns.runtimes(), *self.columns.runtimes("estimated")]) or "none"
        return f"not measured on {runtime}; measured are: {others}"

    _words: ClassVar[Mapping[str, Callable[[Holder, Held, Trial], str]]] = {
        "size": _size,
        "compressed": _size,
        "drop": _drop_words,
        "latency_ms": _latency,
        "memory": _memory,
        "coverage": _coverage,
        "figures": _figure,
    }


def fitting(columns: Columns, limits: Limits, runtime: str | None = None) -> list[int]:
    """Return the positions of the `ok` trials that keep the limits."""
    return Holder(columns, limits, runtime).fitting()


def _check(held: Held, found: float | None, words: str, value: float | None) -> LimitCheck:
    over = held.beyond(found)
    state: State = "missing" if over is None else "pass" if over <= 0 else "fail"
    limit = held.text(held.bound.value)
    if state == "fail":
        words += f", {'less' if held.least else 'more'} than {limit}"
    shown = "–" if value is None else held.text(value)
    return LimitCheck(
        name=held.bound.name, limit=limit, value=shown, state=state, text=words, bound=held.bound.value, found=found
    )

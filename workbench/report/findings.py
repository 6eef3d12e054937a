"""What a study shows, in sentences computed from its trials."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from workbench.values.base import build
from workbench.values.settings import Constraints
from workbench.values.study import StudyRecord
from workbench.values.trial import Trial
from workbench.views import units
from workbench.views.metric import Metric, baseline_of
from workbench.views.metrics import metrics_for, runtimes_of
from workbench.views.pareto import best

WITHIN = 0.01
PACKING_NOTE = (
    "Pruning and clustering pay in the compressed bytes: a .tflite file stores every weight in full, "
    "so zeros and repeated values only shrink the file once it is compressed, as an app package or a download is."
)


class Finding(NamedTuple):
    """One sentence: what it is about, and what was found."""

    title: str
    text: str


def findings(record: StudyRecord, trials: Sequence[Trial]) -> list[Finding]:
    """Return the findings, the most important first; each one holds for the trials as they are."""
    ok = [t for t in trials if t.state == "ok" and t.size is not None]
    if not ok:
        return []
    found = [
        _baseline(trials),
        _smallest(trials),
        _fastest(trials),
        _compressed(trials, ok),
        _kept(record, trials),
        _slower(trials, ok),
    ]
    return [f for f in found if f is not None]


def describe(trial: Trial, trials: Sequence[Trial]) -> str:
    """Return a variant in one line: recipe, size, and its ratios to the baseline."""
    baseline = baseline_of(trials)
    metrics = metrics_for(trials)
    parts = [trial.recipe]
    if trial.size:
        parts.append(units.size_text(trial.size.file))
        if baseline and baseline.size and trial is not baseline:
            parts.append(f"{units.text(trial.size.file / baseline.size.file, 'ratio')} the size")
    for runtime in runtimes_of(trials)[:1]:
        ratio = metrics[f"ratio@{runtime}"].value(trial, baseline) if f"ratio@{runtime}" in metrics else None
        if ratio is not None and trial is not baseline:
            parts.append(f"{units.text(ratio, 'ratio')} the latency on {_where(trials)}")
    return ", ".join([*parts, *_quality_words(trial, trials)])


def _quality_words(trial: Trial, trials: Sequence[Trial]) -> list[str]:
    """Return the best known measure of quality in words, or nothing."""
    baseline, metrics = baseline_of(trials), metrics_for(trials)
    for name in ("accuracy", "rmse", "agreement"):
        value = metrics[name].value(trial, baseline) if name in metrics else None
        if value is not None:
            return [
                f"{metrics[name].title.lower()} {units.text(value, metrics[name].unit)}{_points(trial, metrics, baseline, name)}"
            ]
    return []


def _points(trial: Trial, metrics: dict[str, Metric], baseline: Trial | None, name: str) -> str:
    drop = (
        metrics["accuracy_drop"].value(trial, baseline) if name == "accuracy" and "accuracy_drop" in metrics else None
    )
    if drop is None or trial is baseline:
        return ""
    if abs(drop) < 0.00005:
        return " (no loss)"
    return f" ({100 * abs(drop):.2f} points {'lost' if drop > 0 else 'gained'})"


def _baseline(trials: Sequence[Trial]) -> Finding | None:
    baseline = baseline_of(trials)
    if baseline is None or baseline.state != "ok":
        return Finding("No baseline", "the float32 baseline did not run, so nothing can be compared with it")
    parts = [describe(baseline, trials)]
    latency = metrics_for(trials).get("latency")
    value = latency.value(baseline, baseline) if latency else None
    if latency and value is not None:
        parts.append(f"{units.text(value, 'ms')} on {_where(trials)}")
    return Finding("Baseline", ", ".join(parts))


def smallest_of(trials: Sequence[Trial], keeps: Callable[[Trial], bool] | None) -> Trial | None:
    """Return the smallest good trial of those that keep what is asked (None: all do), or None."""
    fit = [t for t in trials if t.state == "ok" and t.size is not None and (keeps is None or keeps(t))]
    return min(fit, key=lambda t: (_size(t), -(_quality(t, "accuracy") or 0.0)), default=None)


def fastest_of(trials: Sequence[Trial], keeps: Callable[[Trial], bool] | None) -> tuple[float, Trial] | None:
    """Return the fastest good trial on the first runtime, with its ms, of those that keep what is asked, or None."""
    latency = metrics_for(trials).get("latency")
    fit = [t for t in trials if t.state == "ok" and t.size is not None and (keeps is None or keeps(t))]
    timed = [(value, t) for t in fit if latency and (value := latency.value(t, None)) is not None]
    return min(timed, key=lambda pair: (pair[0], _size(pair[1])), default=None)


def _smallest(trials: Sequence[Trial]) -> Finding | None:
    keeps, words = tolerance(trials)
    if keeps is None:
        return None
    smallest = smallest_of(trials, keeps)
    if smallest is None:
        return Finding(f"Smallest {words}", "none")
    if smallest.baseline:
        return Finding(f"Smallest {words}", "the baseline itself; no variant is smaller")
    return Finding(f"Smallest {words}", describe(smallest, trials))


def _fastest(trials: Sequence[Trial]) -> Finding | None:
    keeps, words = tolerance(trials)
    found = fastest_of(trials, keeps) if keeps else None
    if found is None:
        return None
    time, fastest = found
    title = f"Fastest {words} on {_where(trials)}"
    if fastest.baseline:
        return Finding(title, "the baseline itself; no variant is faster")
    return Finding(title, f"{describe(fastest, trials)}, {units.text(time, 'ms')}")


def _compressed(trials: Sequence[Trial], ok: Sequence[Trial]) -> Finding | None:
    keeps, words = tolerance(trials)
    baseline = baseline_of(trials)
    fit = [t for t in ok if t.size and (keeps is None or keeps(t))]
    if not fit or baseline is None or baseline.size is None:
        return None
    least = min(fit, key=lambda t: t.size.gzip if t.size else 0)
    if least.baseline or least.size is None:
        return None
    ratio = units.text(least.size.gzip / baseline.size.gzip, "ratio")
    words_of = "".join(f", {w}" for w in _quality_words(least, trials))
    title = f"Smallest when compressed, {words}" if words else "Smallest when compressed"
    return Finding(
        title, f"{least.recipe}, {units.size_text(least.size.gzip)} gzip, {ratio} the compressed baseline{words_of}"
    )


def asked_constraints(record: StudyRecord) -> Constraints | None:
    """Return the constraints that the grid asks for, or None where it asks for none."""
    asked = record.grid.get("constraints")
    if not isinstance(asked, dict) or not asked:
        return None
    constraints = build(Constraints, asked, "constraints")
    return constraints if limits_text(constraints) else None


def _kept(record: StudyRecord, trials: Sequence[Trial]) -> Finding | None:
    constraints = asked_constraints(record)
    if constraints is None:
        return None
    words = limits_text(constraints)
    found = best(trials, constraints)
    return Finding(
        f"Smallest that keeps the constraints asked for ({words})",
        "none does" if found is None else describe(found, trials),
    )


def _slower(trials: Sequence[Trial], ok: Sequence[Trial]) -> Finding | None:
    for runtime in runtimes_of(trials)[:1]:
        ratio = metrics_for(trials).get(f"ratio@{runtime}")
        if ratio is None:
            return None
        low = [i[0] for t in ok if not t.baseline and (i := ratio.interval(t)) is not None]
        slower = sum(v > 1 for v in low)
        if slower:
            return Finding(
                "Slower than the baseline",
                f"{slower} of {len(low)} measured variants on {_where(trials)}: their whole 95 % interval lies above 1x",
            )
    return None


def _where(trials: Sequence[Trial]) -> str:
    """Return the first runtime, as the findings name it: with what its times are where no device took them."""
    latency = metrics_for(trials).get("latency")
    return runtimes_of(trials)[0] + (f" ({latency.note})" if latency and latency.note else "")


def tolerance(trials: Sequence[Trial]) -> tuple[Callable[[Trial], bool] | None, str]:
    """Return what counts as good enough for this task, and its words; None where nothing tells quality."""
    metrics, baseline = metrics_for(trials), baseline_of(trials)
    if baseline is None or baseline.quality is None:
        return None, ""

    def at_most(metric: Metric, limit: float) -> Callable[[Trial], bool]:
        return lambda t: (v := metric.value(t, baseline)) is not None and v <= limit + 1e-9

    if "accuracy_drop" in metrics:
        return at_most(metrics["accuracy_drop"], WITHIN), "within 1 point of accuracy"
    if "rmse" in metrics and baseline.quality.rmse is not None:
        return at_most(metrics["rmse"], 1.05 * baseline.quality.rmse), "within 5 % of the baseline's error"
    if "agreement" in metrics:
        agreement = metrics["agreement"]
        return (
            lambda t: (v := agreement.value(t, baseline)) is not None and v >= 1 - WITHIN - 1e-9,
            "with 99 % agreement",
        )
    return None, ""


def limits_text(constraints: Constraints) -> str:
    """Return constraints in words, or nothing."""
    parts: list[str] = []
    if constraints.accuracy_drop is not None:
        points = 100 * constraints.accuracy_drop
        parts.append(f"accuracy drop at most {points:g} point{'' if points == 1 else 's'}")
    if constraints.size is not None:
        parts.append(f"at most {units.size_text(constraints.size)}")
    if constraints.latency_ms is not None:
        parts.append(f"at most {constraints.latency_ms:g} ms")
    return ", ".join(parts)


def _size(trial: Trial) -> int:
    return trial.size.file if trial.size else 0


def _quality(trial: Trial, name: str) -> float | None:
    value: float | None = getattr(trial.quality, name, None)
    return value

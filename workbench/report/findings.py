"""What a study shows, in sentences computed from its trials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from workbench.errors import WorkbenchError
from workbench.values.limits import Limits, read_limits
from workbench.values.study import StudyRecord
from workbench.values.trial import Trial
from workbench.views import units
from workbench.views.bounds import limits_text
from workbench.views.columns import Columns
from workbench.views.holding import fitting
from workbench.views.metric import Metric
from workbench.views.pareto import best
from workbench.views.picks import cost_text, picks, warned

WITHIN = 0.01
PACKING_NOTE = (
    "Pruning and clustering pay in the compressed bytes: a .tflite file stores every weight in full, "
    "so zeros and repeated values only shrink the file once it is compressed, as an app package or a download is."
)


class Finding(NamedTuple):
    """One sentence: what it is about, and what was found."""

    title: str
    text: str


def findings(record: StudyRecord, trials: Sequence[Trial] | Columns) -> list[Finding]:
    """Return the findings, the most important first; each one holds for the trials as they are."""
    columns = Columns.of(trials)
    if all(columns.trials[i].size is None for i in columns.ok):
        return []
    found = [
        _baseline(columns),
        _smallest(columns),
        _fastest(columns),
        *_others(columns),
        _compressed(columns),
        _kept(record, columns),
        _slower(columns),
    ]
    return [f for f in found if f is not None]


def trial_sentence(trial: Trial, columns: Columns) -> str:
    """Return a variant in one line: recipe, size, quality, and what it costs against the baseline."""
    parts = [trial.recipe, *([units.size_text(trial.size.file)] if trial.size else []), *_quality_words(trial, columns)]
    words = ", ".join(parts)
    if trial.baseline or columns.baseline is None:
        return words
    told = f"; warned of: {kinds}" if (kinds := warned(trial)) else ""
    return f"{words}: {cost_text(columns, trial, columns.metrics.get('latency'))}{told}"


def _quality_words(trial: Trial, columns: Columns) -> list[str]:
    """Return the best known measure of quality in words, or nothing."""
    for metric in (columns.metrics.get(name) for name in (columns.primary, "agreement") if name):
        value = metric.value(trial, columns.baseline) if metric else None
        if metric and value is not None:
            return [f"{metric.title[0].lower()}{metric.title[1:]} {units.text(value, metric.unit)}"]
    return []


def _baseline(columns: Columns) -> Finding | None:
    baseline = columns.baseline
    if baseline is None or baseline.state != "ok":
        return Finding("No baseline", "the float32 baseline did not run, so nothing can be compared with it")
    parts = [trial_sentence(baseline, columns)]
    latency = columns.metrics.get("latency")
    value = latency.value(baseline, baseline) if latency else None
    if latency and value is not None:
        parts.append(f"{units.text(value, 'ms')} on {_where(latency)}")
    return Finding("Baseline", ", ".join(parts))


def good_enough(columns: Columns) -> list[int]:
    """Return the positions of the good trials with a file that lose next to nothing, as `tolerance` has it; all of them where nothing tells quality."""
    return fitting(columns, tolerance(columns)[0] or Limits())


def smallest_of(columns: Columns) -> Trial | None:
    """Return the smallest trial that is good enough, or None."""
    return best(columns, tolerance(columns)[0] or Limits())


def fastest_of(columns: Columns) -> tuple[float, Trial] | None:
    """Return the fastest trial that is good enough, on the first runtime, with its ms, or None."""
    latency = columns.metrics.get("latency")
    if latency is None:
        return None
    fit, trials = good_enough(columns), columns.trials
    timed = [(ms, trials[i]) for i, ms in zip(fit, columns.at(latency, fit), strict=True) if ms is not None]
    return min(timed, key=lambda pair: (pair[0], _size(pair[1])), default=None)


def _smallest(columns: Columns) -> Finding | None:
    limits, words = tolerance(columns)
    if limits is None:
        return None
    smallest = smallest_of(columns)
    if smallest is None:
        return Finding(f"Smallest {words}", "none")
    if smallest.baseline:
        return Finding(f"Smallest {words}", "the baseline itself; no variant is smaller")
    return Finding(f"Smallest {words}", trial_sentence(smallest, columns))


def _fastest(columns: Columns) -> Finding | None:
    limits, words = tolerance(columns)
    found, latency = fastest_of(columns) if limits else None, columns.metrics.get("latency")
    if found is None or latency is None:
        return None
    time, fastest = found
    title = f"Fastest {words} on {_where(latency)}"
    if fastest.baseline:
        return Finding(title, "the baseline itself; no variant is faster")
    return Finding(title, f"{trial_sentence(fastest, columns)}, {units.text(time, 'ms')}")


def _others(columns: Columns) -> list[Finding]:
    """Return the most accurate and the balanced pick of those that are good enough, where they are others than the smallest."""
    limits, words = tolerance(columns)
    picked = picks(columns, limits) if limits else []
    found = [p for p in picked if p.name in ("most accurate", "balanced") and p.trial.id != picked[0].trial.id]
    return [Finding(f"{p.name.capitalize()} {words}", trial_sentence(p.trial, columns)) for p in found]


def _compressed(columns: Columns) -> Finding | None:
    words, fit = tolerance(columns)[1], [columns.trials[i] for i in good_enough(columns)]
    baseline = columns.baseline
    if not fit or baseline is None or baseline.size is None:
        return None
    least = min(fit, key=lambda t: t.size.gzip if t.size else 0)
    if least.baseline or least.size is None:
        return None
    ratio = units.text(least.size.gzip / baseline.size.gzip, "ratio")
    words_of = "".join(f", {w}" for w in _quality_words(least, columns))
    title = f"Smallest when compressed, {words}" if words else "Smallest when compressed"
    return Finding(
        title, f"{least.recipe}, {units.size_text(least.size.gzip)} gzip, {ratio} the compressed baseline{words_of}"
    )


def asked_limits(record: StudyRecord) -> Limits | None:
    """Return the limits that the grid asks for (`constraints`), or None where it asks for none, or for some of another version."""
    asked = record.grid.get("constraints")
    if not isinstance(asked, dict) or not asked:
        return None
    try:
        return read_limits(asked, "constraints") or None
    except WorkbenchError:
        return None


def _kept(record: StudyRecord, columns: Columns) -> Finding | None:
    limits = asked_limits(record)
    if limits is None:
        return None
    words = limits_text(limits)
    found = best(columns, limits)
    return Finding(
        f"Smallest that keeps the constraints asked for ({words})",
        "none does" if found is None else trial_sentence(found, columns),
    )


def _slower(columns: Columns) -> Finding | None:
    latency = columns.metrics.get("latency")
    ratio = columns.metrics.get(f"ratio@{latency.runtime}") if latency else None
    if latency is None or ratio is None:
        return None
    intervals, trials = columns.intervals(ratio), columns.trials
    compared = (i for i in columns.ok if trials[i].size is not None and not trials[i].baseline)
    low = [span[0] for i in compared if (span := intervals[i]) is not None]
    slower = sum(v > 1 for v in low)
    if not slower:
        return None
    return Finding(
        "Slower than the baseline",
        f"{slower} of {len(low)} measured variants on {_where(latency)}: their whole 95 % interval lies above 1x",
    )


def _where(latency: Metric) -> str:
    """Return the runtime of a latency, as the findings name it: with what its times are where no device took them."""
    return latency.runtime + (f" ({latency.note})" if latency.note else "")


def tolerance(columns: Columns) -> tuple[Limits | None, str]:
    """Return what counts as good enough for this task, and its words; None where nothing tells quality."""
    baseline = columns.baseline
    if baseline is None or baseline.quality is None:
        return None, ""
    metric = columns.metrics.get(columns.primary or "")
    before = metric.value(baseline, baseline) if metric else None
    if metric and before is not None and metric.unit == "share":
        return Limits(drop={"": WITHIN}), f"within 1 point of {metric.title[0].lower()}{metric.title[1:]}"
    if metric and before is not None:
        least = before - 0.05 * abs(before) if metric.better == "high" else before + 0.05 * abs(before)
        words = "error" if metric.better == "low" else metric.title[0].lower() + metric.title[1:]
        return Limits(figures={metric.name: least}), f"within 5 % of the baseline's {words}"
    if baseline.quality.agreement is not None:
        return Limits(figures={"agreement": 1 - WITHIN}), "with 99 % agreement"
    return None, ""


def _size(trial: Trial) -> int:
    return trial.size.file if trial.size else 0

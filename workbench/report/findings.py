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
from workbench.views.metric import baseline_of
from workbench.views.metrics import metrics_for, runtimes_of
from workbench.views.pareto import best
from workbench.views.picks import cost_text, picks, warned
from workbench.views.quality import primary_of

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
        *_others(trials),
        _compressed(trials),
        _kept(record, trials),
        _slower(trials, ok),
    ]
    return [f for f in found if f is not None]


def describe(trial: Trial, trials: Sequence[Trial]) -> str:
    """Return a variant in one line: recipe, size, quality, and what it costs against the baseline."""
    columns = Columns(trials)
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


def good_enough(trials: Sequence[Trial]) -> list[Trial]:
    """Return the good trials with a file that lose next to nothing, as `tolerance` has it; all of them where nothing tells quality."""
    columns = Columns(trials)
    return [columns.trials[i] for i in fitting(columns, tolerance(trials)[0] or Limits())]


def smallest_of(trials: Sequence[Trial]) -> Trial | None:
    """Return the smallest trial that is good enough, or None."""
    columns = Columns(trials)
    return best(columns, tolerance(trials)[0] or Limits())


def fastest_of(trials: Sequence[Trial]) -> tuple[float, Trial] | None:
    """Return the fastest trial that is good enough, on the first runtime, with its ms, or None."""
    latency = metrics_for(trials).get("latency")
    timed = [(value, t) for t in good_enough(trials) if latency and (value := latency.value(t, None)) is not None]
    return min(timed, key=lambda pair: (pair[0], _size(pair[1])), default=None)


def _smallest(trials: Sequence[Trial]) -> Finding | None:
    limits, words = tolerance(trials)
    if limits is None:
        return None
    smallest = smallest_of(trials)
    if smallest is None:
        return Finding(f"Smallest {words}", "none")
    if smallest.baseline:
        return Finding(f"Smallest {words}", "the baseline itself; no variant is smaller")
    return Finding(f"Smallest {words}", describe(smallest, trials))


def _fastest(trials: Sequence[Trial]) -> Finding | None:
    limits, words = tolerance(trials)
    found = fastest_of(trials) if limits else None
    if found is None:
        return None
    time, fastest = found
    title = f"Fastest {words} on {_where(trials)}"
    if fastest.baseline:
        return Finding(title, "the baseline itself; no variant is faster")
    return Finding(title, f"{describe(fastest, trials)}, {units.text(time, 'ms')}")


def _others(trials: Sequence[Trial]) -> list[Finding]:
    """Return the most accurate and the balanced pick of those that are good enough, where they are others than the smallest."""
    limits, words = tolerance(trials)
    picked = picks(Columns(trials), limits) if limits else []
    found = [p for p in picked if p.name in ("most accurate", "balanced") and p.trial.id != picked[0].trial.id]
    return [Finding(f"{p.name.capitalize()} {words}", describe(p.trial, trials)) for p in found]


def _compressed(trials: Sequence[Trial]) -> Finding | None:
    words, fit = tolerance(trials)[1], good_enough(trials)
    baseline = baseline_of(trials)
    if not fit or baseline is None or baseline.size is None:
        return None
    least = min(fit, key=lambda t: t.size.gzip if t.size else 0)
    if least.baseline or least.size is None:
        return None
    ratio = units.text(least.size.gzip / baseline.size.gzip, "ratio")
    words_of = "".join(f", {w}" for w in _quality_words(least, Columns(trials)))
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


def _kept(record: StudyRecord, trials: Sequence[Trial]) -> Finding | None:
    limits = asked_limits(record)
    if limits is None:
        return None
    words = limits_text(limits)
    found = best(trials, limits)
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


def tolerance(trials: Sequence[Trial]) -> tuple[Limits | None, str]:
    """Return what counts as good enough for this task, and its words; None where nothing tells quality."""
    metrics, baseline = metrics_for(trials), baseline_of(trials)
    if baseline is None or baseline.quality is None:
        return None, ""
    metric = metrics.get(primary_of(trials) or "")
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

"""Trials as flat rows: one column set for the command line, CSV, DataFrame and report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.values.trial import Measurement, Trial
from workbench.views.columns import Columns
from workbench.views.metric import Place
from workbench.views.metrics import places_of
from workbench.views.runtimes import memory_bytes, memory_part
from workbench.views.tradeoff import scheme_of, techniques_of

_FIRST = ("id", "recipe", "state", "baseline", "scheme", "techniques", "size_bytes", "gzip_bytes")
_QUALITY = ("accuracy", "accuracy_drop", "top5", "mae", "rmse", "agreement", "sqnr_db")
_WEIGHTS = ("sparsity", "unique_weights")
PER_RUNTIME = (
    "state",
    "clock",
    "software",
    "latency_ms",
    "latency_low_ms",
    "latency_high_ms",
    "ratio",
    "ratio_low",
    "ratio_high",
    "memory_bytes",
    "peak_bytes",
    "ops_total",
    "ops_delegated",
)
_LAST = ("warnings", "notes", "error")


def columns(trials: Sequence[Trial]) -> list[str]:
    """Return the names of the columns that `rows` gives, also where there is no trial.

    A figure of a runtime is named `FIGURE@RUNTIME`, or `estimated_FIGURE@RUNTIME`; `clock` and `software` tell
    what its time is, `state` how it went.
    """
    return _columns(_places(places_of(trials)), _more(trials))


def rows(trials: Sequence[Trial] | Columns) -> list[dict[str, Any]]:
    """Return one flat row per trial, in the order given; what is not known is None.

    Sizes are in bytes, latencies in ms, shares are fractions. `warnings` holds the kinds, parted by `; `, `notes` those of notes;
    `error` the reason of a failed trial and of each runtime that could not run it.
    """
    columns = Columns.of(trials)
    return rows_of(columns.trials, columns)


def rows_of(some: Sequence[Trial], study: Columns) -> list[dict[str, Any]]:
    """Return the rows of some of a study's trials, which are the very ones that it holds, with the columns of them all."""
    baseline = study.baseline
    drop = study.metric("accuracy_drop")
    places, more = _places(study.places), _more(study.trials)
    blank = dict.fromkeys(_columns(places, more))
    outcomes = [
        (study.outcomes(place), {name: f"{prefix}{name}@{place.runtime}" for name in PER_RUNTIME})
        for prefix, place in places
    ]
    result = []
    for trial in some:
        row: dict[str, Any] = dict(blank)
        row.update(
            id=trial.id,
            recipe=trial.recipe,
            state=trial.state,
            baseline=trial.baseline,
            scheme=scheme_of(trial),
            techniques=techniques_of(trial),
            accuracy_drop=drop.value(trial, baseline),
            warnings="; ".join(w.kind for w in trial.warned),
            notes="; ".join(w.kind for w in trial.noted),
            error=_errors(trial),
        )
        if trial.size:
            row.update(size_bytes=trial.size.file, gzip_bytes=trial.size.gzip)
        if trial.quality:
            row.update({name: getattr(trial.quality, name) for name in _QUALITY if name != "accuracy_drop"})
            row.update({f.key: f.value for f in trial.quality.figures})
        if trial.census:
            row.update(sparsity=trial.census.sparsity, unique_weights=trial.census.unique_weights)
        position = study.position(trial)
        for found, keys in outcomes:
            if position in found:
                row.update({keys[figure]: value for figure, value in _figures(found[position]).items()})
        result.append(row)
    return result


def _places(places: Sequence[Place]) -> list[tuple[str, Place]]:
    return [("estimated_" if p.kind == "estimated" else "", p) for p in places]


def _more(trials: Sequence[Trial]) -> list[str]:
    """Return the figures of tasks that have no column of their own, in order of appearance."""
    sets = dict.fromkeys(tuple(f.key for f in t.quality.figures) for t in trials if t.quality)
    return [key for key in dict.fromkeys(k for keys in sets for k in keys) if key not in _QUALITY]


def _columns(places: Sequence[tuple[str, Place]], more: Sequence[str]) -> list[str]:
    per_runtime = (f"{prefix}{figure}@{place.runtime}" for prefix, place in places for figure in PER_RUNTIME)
    return list(dict.fromkeys([*_FIRST, *_QUALITY, *more, *_WEIGHTS, *per_runtime, *_LAST]))


def _figures(m: Measurement) -> dict[str, Any]:
    latency, ratio, ran = m.latency_ms, m.ratio, m.state == "ok"
    return {
        "state": m.state,
        "clock": m.clock if ran else None,
        "software": m.software if ran else None,
        "latency_ms": latency and latency.median,
        "latency_low_ms": latency and latency.low,
        "latency_high_ms": latency and latency.high,
        "ratio": ratio and ratio.median,
        "ratio_low": ratio and ratio.low,
        "ratio_high": ratio and ratio.high,
        "memory_bytes": memory_bytes(m) if memory_part(m) else None,
        "peak_bytes": m.peak_bytes,
        "ops_total": m.ops_total,
        "ops_delegated": m.ops_delegated,
    }


def _errors(trial: Trial) -> str | None:
    found = [trial.error] if trial.error else []
    found += [f"{m.runtime}: {m.error}" for m in trial.measurements if m.state == "failed" and m.error]
    return "; ".join(found) or None

"""Trials as a table for people."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.cli.output import Row, print_table
from workbench.recipes.grammar import runtime_text
from workbench.values.trial import Measurement, Trial
from workbench.views.units import size_text


def print_trials(study: str, trials: Sequence[Trial]) -> None:
    """Print trials with size, quality and latency; latency as median with half-width, and ratio to the baseline."""
    places = list(dict.fromkeys((runtime_text(m.runtime, m.options), m.kind) for t in trials for m in t.measurements))
    task = next((t.quality.task for t in trials if t.quality), "none")
    print_table([_row(t, places, task) for t in trials], f"Study {study}", "no trials yet")


def _row(trial: Trial, places: Sequence[tuple[str, str]], task: str) -> Row:
    size, quality, census = trial.size, trial.quality, trial.census
    row: Row = {
        "id": trial.id,
        "recipe": trial.recipe + (" (baseline)" if trial.baseline else ""),
        "state": trial.state,
    }
    row["file"] = size_text(size.file) if size else "-"
    row["gzip"] = size_text(size.gzip) if size else "-"
    if task == "regression":
        row["RMSE"] = quality.rmse if quality else None
    elif task == "classification":
        row["accuracy"] = _percent(quality.accuracy if quality else None)
    row["agree"] = _percent(quality.agreement if quality else None)
    row["zeros"] = _percent(census.sparsity if census else None)
    for place, kind in places:
        name = f"{place} ms" + (" (estimated)" if kind == "estimated" else "")
        row[name] = next(
            (_latency(m) for m in trial.measurements if (runtime_text(m.runtime, m.options), m.kind) == (place, kind)),
            "-",
        )
    row["warnings"] = ", ".join(dict.fromkeys(w.kind for w in trial.warnings))
    return row


def _latency(measurement: Measurement) -> str:
    if measurement.latency_ms is None:
        return measurement.state
    latency = measurement.latency_ms
    ratio = f" {measurement.ratio.median:.2f}x" if measurement.ratio else ""
    return f"{latency.median:.3g} ±{(latency.high - latency.low) / 2:.1g}{ratio}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.2%}"

"""Trials as a table for people."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.commands.result import Row, Table
from workbench.values.trial import Measurement, Trial
from workbench.views.metric import Place
from workbench.views.metrics import outcome_of, places_of
from workbench.views.units import size_text


def trials_table(study: str, trials: Sequence[Trial]) -> Table:
    """Return trials with size, quality and latency; latency as median with half-width, and ratio to the baseline."""
    task = next((t.quality.task for t in trials if t.quality), "none")
    places = places_of(trials)
    first = next((t.quality.primary.key for t in trials if t.quality and t.quality.primary), None)
    rows = [trial_row(t, places, task, first) for t in trials]
    if any(t.noted for t in trials):
        # How many: their words, which hardly matter, are on the card and in the report.
        rows = [{**row, "notes": len(t.noted) or ""} for row, t in zip(rows, trials, strict=True)]
    return Table(rows, f"Study {study}", "no trials yet")


def trial_row(trial: Trial, places: Sequence[Place], task: str, first: str | None = None) -> Row:
    """Return a trial as cells for people; times of each place stand apart, under a header that says what they are.

    `first` names the figure that is shown of tasks other than classification and regression.
    """
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
    elif first is not None:
        figure = quality.figure(first) if quality else None
        row[first] = figure and (_percent(figure.value) if figure.unit == "share" else figure.value)
    row["agree"] = _percent(quality.agreement if quality else None)
    row["zeros"] = _percent(census.sparsity if census else None)
    for place in places:
        found = outcome_of(trial, place)
        row[f"{place.runtime} ms" + (f" ({place.note})" if place.note else "")] = _latency(found) if found else "-"
    row["warnings"] = _warnings(trial)
    return row


def first_line(text: str, most: int = 60) -> str:
    """Return the beginning of a text of any length, for a cell of a table."""
    line = text.strip().partition("\n")[0]
    return line if line == text.strip() and len(line) <= most else f"{line[:most].rstrip()}..."


def _warnings(trial: Trial) -> str:
    """Return the kinds of warnings; of more than two the first and how many others there are."""
    kinds = list(dict.fromkeys(w.kind for w in trial.warned))
    return ", ".join(kinds) if len(kinds) <= 2 else f"{kinds[0]} +{len(kinds) - 1}"


def _latency(measurement: Measurement) -> str:
    if measurement.latency_ms is None:
        return measurement.state
    latency = measurement.latency_ms
    ratio = f" {measurement.ratio.median:.2f}x" if measurement.ratio else ""
    spread = f" ±{(latency.high - latency.low) / 2:.1g}" if latency.samples else ""
    return f"{latency.median:.3g}{spread}{ratio}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.2%}"

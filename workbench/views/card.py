"""What there is to say of one trial, and of several side by side: pure data, for whoever shows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from workbench.names import command, notebook, shell
from workbench.values.study import StudyRecord
from workbench.values.trial import Measurement, Trial
from workbench.views import units
from workbench.views.columns import Columns
from workbench.views.deltas import Verdict, delta_text, verdict
from workbench.views.metric import Interval, Metric
from workbench.views.runtimes import coverage_text, place_text
from workbench.views.units import digits

MOST_COMPARED = 8
UNIQUE_WEIGHTS = Metric(
    "unique_weights",
    "Unique weights in a kernel",
    "number",
    "low",
    lambda trial, baseline: None if trial.census is None else trial.census.unique_weights,
)


class CardFigure(NamedTuple):
    """One figure of a trial as text, with the baseline's, the difference, and which is better."""

    label: str
    text: str
    baseline: str
    delta: str
    interval: str
    better: Verdict


class CardRuntime(NamedTuple):
    """How a trial did on one runtime; texts are empty where there is nothing to tell."""

    runtime: str
    state: str
    latency: str
    ratio: str
    taken: str
    left: str
    note: str


class Card(NamedTuple):
    """All that is known of a trial. `error` is why it failed; `path` and `sha256` tell of its file, where it has one."""

    id: str
    recipe: str
    state: str
    baseline: bool
    error: str | None
    warnings: tuple[dict[str, str], ...]
    figures: tuple[CardFigure, ...]
    runtimes: tuple[CardRuntime, ...]
    settings: tuple[tuple[str, str], ...]
    weights: tuple[tuple[str, str], ...]
    operators: tuple[tuple[str, int], ...]
    path: str | None
    sha256: str | None
    code: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON-shaped data."""
        return {
            **self._asdict(),
            "warnings": list(self.warnings),
            "figures": [f._asdict() for f in self.figures],
            "runtimes": [r._asdict() for r in self.runtimes],
            "settings": [{"name": name, "text": text} for name, text in self.settings],
            "weights": [{"type": kind, "text": text} for kind, text in self.weights],
            "operators": [{"name": name, "count": count} for name, count in self.operators],
        }


def settings_of(trial: Trial) -> tuple[tuple[str, str], ...]:
    """Return what beside its recipe a trial's file hangs on, as names and texts."""
    found = trial.settings
    if found is None:
        return (("settings", "not recorded by layout 1 of the store"),)
    rows = []
    if found.train:
        told = {k: v for k, v in found.train.to_json().items() if v is not None}
        rows.append(("training", ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in told.items())))
    if found.calibration:
        rows.append(("calibration", f"{found.calibration.samples} samples, seed {found.seed}"))
    if found.threads:
        rows.append(("threads", str(found.threads)))
    rows.append(("made with", ", ".join(f"{tool} {v}" for tool, v in found.tools.items()) or "no tool of ours"))
    return tuple(rows)


class ComparedCell(NamedTuple):
    """A figure in a comparison, with its difference from the first trial's."""

    text: str
    delta: str
    better: Verdict


class ComparedRow(NamedTuple):
    """One figure of all trials compared."""

    label: str
    cells: tuple[ComparedCell, ...]


class Comparison(NamedTuple):
    """Trials side by side, the one that the others are held against first; `note` says what is."""

    ids: tuple[str, ...]
    recipes: tuple[str, ...]
    rows: tuple[ComparedRow, ...]
    note: str

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON-shaped data."""
        rows = [{"label": r.label, "cells": [c._asdict() for c in r.cells]} for r in self.rows]
        return {"ids": list(self.ids), "recipes": list(self.recipes), "rows": rows, "note": self.note}


def trial_card(trial: Trial, trials: Sequence[Trial] | Columns, record: StudyRecord, store: str = "") -> Card:
    """Return the card of a trial among all of its study; figures that it has not are left out."""
    columns = Columns.of(trials)
    baseline = columns.baseline
    figures = []
    for metric in card_metrics(columns):
        value = metric.value(trial, baseline)
        if value is None:
            continue
        reference = metric.value(baseline, baseline) if baseline and not trial.baseline else None
        interval = metric.interval(trial)
        figures.append(
            CardFigure(
                metric.marked_title,
                figure_text(value, metric),
                figure_text(reference, metric) if reference is not None else "",
                _delta(metric, trial, baseline, columns) if baseline and reference is not None else "",
                interval_text(interval, metric),
                _beside(metric, trial, baseline, columns) if baseline and reference is not None else "",
            )
        )
    census, artifact = trial.census, trial.artifact
    return Card(
        trial.id,
        trial.recipe,
        trial.state,
        trial.baseline,
        trial.error,
        tuple(
            {"kind": str(w.kind), "seen": w.told, "advice": w.advice, "level": str(w.level)}
            for w in (*trial.warned, *trial.noted)
        ),
        tuple(figures),
        tuple(_runtime(m) for m in _newest(trial)),
        settings_of(trial),
        tuple((kind, units.size_text(n)) for kind, n in _most(census.weights)) if census else (),
        tuple(_most(census.operators)) if census else (),
        artifact.path if artifact else None,
        artifact.sha256 if artifact else None,
        code_of(trial, record.name, store) if artifact else {},
    )


def compare(chosen: Sequence[Trial], trials: Sequence[Trial] | Columns) -> Comparison:
    """Return trials side by side: the baseline first where it is among them, and eight at most."""
    columns = Columns.of(trials)
    ordered = sorted(chosen, key=lambda t: not t.baseline)
    shown = ordered[:MOST_COMPARED]
    first = shown[0]
    rows = []
    for metric in card_metrics(columns):
        if all(metric.value(t, columns.baseline) is None for t in shown):
            continue
        reference = metric.value(first, columns.baseline)
        cells = []
        for t in shown:
            value = metric.value(t, columns.baseline)
            held = reference if t is not first else None
            cells.append(
                ComparedCell(
                    figure_text(value, metric),
                    _delta(metric, t, first, columns) if held is not None else "",
                    _beside(metric, t, first, columns) if held is not None else "",
                )
            )
        rows.append(ComparedRow(metric.marked_title, tuple(cells)))
    note = f"Differences are from {first.recipe}{' (baseline)' if first.baseline else ''}."
    if len(ordered) > len(shown):
        note = f"The first {len(shown)} of {len(ordered)} selected are compared. {note}"
    return Comparison(tuple(t.id for t in shown), tuple(t.recipe for t in shown), tuple(rows), note)


def card_metrics(columns: Columns) -> list[Metric]:
    """Return the figures of a card in its order: size and quality, what explains them, then each runtime's."""
    # Plain `latency` is the first runtime's under another name; a ratio is what a latency differs by.
    found = [m for m in columns.metrics.values() if m.name != "latency" and not m.family.endswith("ratio")]
    at = next((i for i, m in enumerate(found) if m.family), len(found))
    has_weights = any(t.census is not None for t in columns.trials)
    return [*found[:at], *([UNIQUE_WEIGHTS] if has_weights else []), *found[at:]]


def figure_text(value: float | None, metric: Metric) -> str:
    """Return a figure with its unit, that of points too, which a table has in its head."""
    text = units.text(value, metric.unit)
    return f"{text} points" if metric.unit == "points" and value is not None else text


def interval_text(interval: Interval | None, metric: Metric) -> str:
    """Return a 95 % interval as text; an estimate has none, whatever stands in its place."""
    return f"{digits(interval[0])} to {digits(interval[1])}" if interval and not metric.estimated else ""


def code_of(trial: Trial, study: str, store: str = "") -> dict[str, str]:
    """Return how to export the trial from a shell, from a notebook and from Python, each as it runs anywhere.

    Of a store on a server the URL here has no password; `WORKBENCH_STORE` names such a store.
    """
    named = [] if "://" in store or not store else ["--store", store]
    words = command("export", [study, trial.recipe], ["--out", "exported", *named])
    opened = ", ".join(repr(part) for part in (study, *named[1:]))
    return {
        "magic": f"%wb {notebook(words)}",
        "cli": f"workbench {shell(words)}",
        "python": f"import workbench; workbench.open_study({opened}).export({trial.recipe!r}, 'exported')",
    }


def _delta(metric: Metric, trial: Trial, reference: Trial, columns: Columns) -> str:
    """Return the difference in words; from the baseline a time's is the ratio that was paired round by round."""
    if metric.name == "accuracy_drop" and reference.baseline:
        # It is a difference from the baseline already.
        return ""
    ratio = _paired(metric, reference, columns)
    value = ratio.value(trial, columns.baseline) if ratio else None
    if value is not None:
        return units.text(value, "ratio")
    return delta_text(metric.value(trial, columns.baseline), metric.value(reference, columns.baseline), metric.unit)


def _beside(metric: Metric, trial: Trial, reference: Trial, columns: Columns) -> Verdict:
    baseline = columns.baseline
    interval, other = metric.interval(trial), metric.interval(reference)
    ratio = _paired(metric, reference, columns)
    paired = ratio.interval(trial) if ratio else None
    if paired:
        # Paired round by round, the ratio tells more than two intervals side by side.
        interval, other = paired, (1.0, 1.0)
    return verdict(metric, metric.value(trial, baseline), metric.value(reference, baseline), interval, other)


def _paired(metric: Metric, reference: Trial, columns: Columns) -> Metric | None:
    """Return the ratio that goes with a latency where it is to the very trial that is the reference."""
    if not (reference.baseline and metric.family.endswith("latency")):
        return None
    return columns.metrics.get(f"{metric.family.replace('latency', 'ratio')}@{metric.runtime}")


def _newest(trial: Trial) -> list[Measurement]:
    """Return the last good measurement of each runtime and kind, else the last one."""
    found: dict[tuple[str, str], Measurement] = {}
    for m in trial.measurements:
        key = (f"{m.runtime}{m.options!r}{m.machine}", m.kind)
        if m.state == "ok" or key not in found or found[key].state != "ok":
            found[key] = m
    return sorted(found.values(), key=lambda m: m.kind == "estimated")


def _runtime(m: Measurement) -> CardRuntime:
    latency, ratio = m.latency_ms, m.ratio
    measured = m.kind == "measured"
    return CardRuntime(
        place_text(m),
        m.state,
        _spanned(units.text(latency.median, "ms"), latency.low, latency.high, measured) if latency else "",
        _spanned(units.text(ratio.median, "ratio"), ratio.low, ratio.high, measured) if ratio else "",
        (coverage_text(m) or "").partition("; left: ")[0],
        ", ".join(m.left),
        m.error or m.device or "",
    )


def _spanned(text: str, low: float, high: float, measured: bool) -> str:
    return f"{text} ({digits(low)} to {digits(high)})" if measured else text


def _most(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: -item[1])

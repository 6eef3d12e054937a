"""The report's table and lists, as text ready for the page; the figures come from the one table of trials."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from workbench.recipes.grammar import runtime_text
from workbench.values.trial import Trial
from workbench.views import units
from workbench.views.metrics import Kind, measurement_of, runtimes_of
from workbench.views.table import rows
from workbench.views.units import Unit


class Column(NamedTuple):
    """A column of the table: key in the row, header, unit (None for text), and the runtime it is about."""

    key: str
    header: str
    unit: Unit | None
    runtime: str = ""


class Cell(NamedTuple):
    """A cell: what is shown, a smaller second line, and the value to sort by ("" where there is none)."""

    text: str
    detail: str
    sort: str


class Line(NamedTuple):
    """A row of the table with its trial's id, state and number of warnings."""

    id: str
    recipe: str
    state: str
    baseline: bool
    warnings: int
    cells: tuple[Cell, ...]


class Listing(NamedTuple):
    """The table: columns beside the recipe's, and lines."""

    columns: tuple[Column, ...]
    lines: tuple[Line, ...]


# What a variant is chosen by comes first: size, quality and latency, then what explains them.
_FIRST = (
    Column("state", "State", None),
    Column("size_bytes", "Size", "bytes"),
    Column("gzip_bytes", "Compressed", "bytes"),
    Column("accuracy", "Accuracy", "share"),
    Column("accuracy_drop", "Drop, points", "points"),
    Column("mae", "MAE", "number"),
    Column("rmse", "RMSE", "number"),
)
_LATENCY = (Column("latency_ms", "Latency", "ms"), Column("ratio", "Latency ratio", "ratio"))
_THEN = (
    Column("agreement", "Agreement", "share"),
    Column("top5", "Top-5", "share"),
    Column("sqnr_db", "SQNR", "db"),
    Column("sparsity", "Sparsity", "share"),
    Column("unique_weights", "Unique weights", "number"),
)
_MEMORY = (Column("peak_bytes", "Peak memory", "bytes"),)
_WARNINGS = Column("warnings", "Warnings", None)


def listing(trials: Sequence[Trial]) -> Listing:
    """Return the table of all trials; columns of which no trial has a figure are left out."""
    data = rows(trials)
    columns = [*_FIRST, *_on_runtimes(_LATENCY, trials), *_THEN, *_on_runtimes(_MEMORY, trials)]
    columns = [c for c in columns if c.key == "state" or any(row[c.key] is not None for row in data)] + [_WARNINGS]
    lines = [
        Line(t.id, t.recipe, t.state, t.baseline, len(t.warnings), tuple(_cell(row, c) for c in columns))
        for t, row in zip(trials, data, strict=True)
    ]
    return Listing(tuple(columns), tuple(lines))


def _on_runtimes(columns: Sequence[Column], trials: Sequence[Trial]) -> list[Column]:
    measured = [c._replace(key=f"{c.key}@{r}", runtime=r) for r in runtimes_of(trials) for c in columns]
    estimated = [
        c._replace(key=f"estimated_{c.key}@{r}", header=f"{c.header} (estimated)", runtime=r)
        for r in runtimes_of(trials, "estimated")
        for c in columns
    ]
    return measured + estimated


def _cell(row: dict[str, Any], column: Column) -> Cell:
    value = row[column.key]
    if column.unit is None:
        return Cell(str(value or ""), "", str(value or ""))
    if value is None:
        return Cell("–", "", "")
    detail = ""
    figure, _, runtime = column.key.partition("@")
    if figure.endswith("latency_ms"):
        stem = figure.removesuffix("_ms")
        low, high = row[f"{stem}_low_ms@{runtime}"], row[f"{stem}_high_ms@{runtime}"]
        detail = f"{units.digits(low)} to {units.digits(high)}"
    number = float(value)
    text = f"{int(value):,}" if column.key == "unique_weights" else units.text(number, column.unit)
    return Cell(text, detail, "Infinity" if math.isinf(number) else repr(number))


class RuntimeUse(NamedTuple):
    """How one runtime did over all trials: counts, and how many operators it took."""

    name: str
    kind: Kind
    trials: int
    taken: str


def runtimes(trials: Sequence[Trial]) -> list[RuntimeUse]:
    """Return what each runtime really did, measured ones first."""
    kinds: tuple[Kind, ...] = ("measured", "estimated")
    return [_use(runtime, kind, trials) for kind in kinds for runtime in runtimes_of(trials, kind)]


def _use(runtime: str, kind: Kind, trials: Sequence[Trial]) -> RuntimeUse:
    found = [m for t in trials if (m := measurement_of(t, runtime, kind))]
    told = [(m.ops_delegated, m.ops_total) for m in found if m.ops_delegated is not None and m.ops_total]
    if not told:
        return RuntimeUse(runtime, kind, len(found), "not told")
    whole = sum(taken == total for taken, total in told)
    taken, total = (sum(column) for column in zip(*told, strict=True))
    return RuntimeUse(
        runtime, kind, len(found), f"{taken:,} of {total:,} over all variants; every one in {whole} of {len(told)}"
    )


class Failure(NamedTuple):
    """Something that did not work: which recipe, what of it, why."""

    recipe: str
    what: str
    reason: str


def failures(trials: Sequence[Trial]) -> list[Failure]:
    """Return failed and skipped trials, and runtimes that could not run a good one, with their reasons."""
    found = [
        Failure(t.recipe, f"variant {t.state}", t.error or "no reason recorded")
        for t in trials
        if t.state in ("failed", "skipped")
    ]
    for trial in trials:
        for m in trial.measurements:
            if m.state != "ok":
                found.append(
                    Failure(
                        trial.recipe,
                        f"on {runtime_text(m.runtime, m.options)}",
                        m.error or f"{m.state}, no reason recorded",
                    )
                )
    return found


class Notice(NamedTuple):
    """All warnings of one kind: the advice, and what was seen on which recipe."""

    kind: str
    advice: str
    seen: tuple[tuple[str, str], ...]


def warnings(trials: Sequence[Trial]) -> list[Notice]:
    """Return the warnings by kind, in order of appearance."""
    kinds: dict[str, tuple[str, list[tuple[str, str]]]] = {}
    for trial in trials:
        for w in trial.warnings:
            kinds.setdefault(w.kind, (w.advice, []))[1].append((trial.recipe, w.seen))
    return [Notice(kind, advice, tuple(seen)) for kind, (advice, seen) in kinds.items()]

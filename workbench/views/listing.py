"""The table of trials, what failed and what each runtime did, as text ready for a page; the figures come from the one table of trials."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from workbench.values.figure import Unit
from workbench.values.trial import Agreement, Measurement, Quality, Trial
from workbench.values.warning import Level
from workbench.views import units
from workbench.views.columns import Columns
from workbench.views.metric import Kind, Place
from workbench.views.quality import figure_names
from workbench.views.runtimes import agreement_text
from workbench.views.table import rows


class Column(NamedTuple):
    """A column of the table: key in the row, header, unit (None for text), and the place it is about."""

    key: str
    header: str
    unit: Unit | None
    place: Place | None = None


class Cell(NamedTuple):
    """A cell: what is shown, a smaller second line, the value to sort by ("" where there is none), and why nothing ran."""

    text: str
    detail: str
    sort: str
    reason: str = ""


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
_MEMORY = (Column("memory_bytes", "Memory", "bytes"), Column("peak_bytes", "Peak memory", "bytes"))
_WARNINGS = Column("warnings", "Warnings", None)
_NOTES = Column("notes", "Notes", None)


def listing(trials: Sequence[Trial] | Columns, data: Sequence[dict[str, Any]] | None = None) -> Listing:
    """Return the table of all trials, of which `data` are the rows where they are known; columns of which no trial has a figure are left out."""
    study = Columns.of(trials)
    columns = listing_columns(study)
    table = listing_lines(study, study.trials, columns, rows(study) if data is None else data)
    kept = [
        i
        for i, column in enumerate(columns)
        if column.unit is None or any(line.cells[i].sort or line.cells[i].reason for line in table)
    ]
    lines = [line._replace(cells=tuple(line.cells[i] for i in kept)) for line in table]
    return Listing(tuple(columns[i] for i in kept), tuple(lines))


def listing_columns(columns: Columns) -> list[Column]:
    """Return all columns that the table of these trials can have."""
    noted = [_NOTES] if any(w.level == "note" for t in columns.trials for w in t.warnings) else []
    own = _own(columns)
    first = [c for c in own if c.key == columns.primary]
    then = [*_THEN, *(c for c in own if c.key != columns.primary)]
    places = [_at_places(kind, columns) for kind in (_LATENCY, _MEMORY)]
    return [*_FIRST[:3], *first, *_FIRST[3:], *places[0], *then, *places[1], _WARNINGS, *noted]


def _own(columns: Columns) -> list[Column]:
    """Return a column for each figure of the study's tasks that has none by itself."""
    known = {c.key for c in (*_FIRST, *_THEN)}
    found = (columns.metrics.get(name) for name in figure_names(columns.trials) if name not in known)
    return [Column(m.name, m.title, m.unit) for m in found if m]


def listing_lines(
    study: Columns, some: Sequence[Trial], columns: Sequence[Column], data: Sequence[dict[str, Any]]
) -> list[Line]:
    """Return the lines of some of a study's trials, of which `data` holds the rows."""
    writers = [_writer(study, c) for c in columns]
    return [
        Line(t.id, t.recipe, t.state, t.baseline, len(t.warned), tuple(write(i, row) for write in writers))
        for t, i, row in zip(some, map(study.position, some), data, strict=True)
    ]


def _at_places(columns: Sequence[Column], study: Columns) -> list[Column]:
    metrics = study.metrics
    found = []
    for place in study.places:
        prefix = "estimated_" if place.kind == "estimated" else ""
        for c in columns:
            header = c.header
            memory = metrics.get(f"{prefix}memory@{place.runtime}")
            if c.key == "memory_bytes" and memory:
                header = memory.title.removesuffix(f" on {place.runtime}")
            # What memory is needed does not hang on whose clock it was.
            note = place.note if c in _LATENCY else prefix.rstrip("_")
            header = f"{header} ({note})" if note else header
            found.append(c._replace(key=f"{prefix}{c.key}@{place.runtime}", header=header, place=place))
    return found


_NO_CELL = Cell("–", "", "")


def _writer(study: Columns, column: Column) -> Callable[[int, dict[str, Any]], Cell]:
    """Return what writes the cells of a column, from a trial's position and its row."""
    key, unit, place = column.key, column.unit, column.place
    if unit is None:
        return lambda i, row: Cell(str(row[key] or ""), "", str(row[key] or ""))
    figure, _, runtime = key.partition("@")
    is_latency = figure.endswith("latency_ms")
    outcomes = study.outcomes(place) if place else {}
    interval = (
        (f"latency_low_ms@{runtime}", f"latency_high_ms@{runtime}")
        if is_latency and place and place.kind == "measured"
        else None
    )

    def write(i: int, row: dict[str, Any]) -> Cell:
        value = row[key]
        if place:
            found = outcomes.get(i)
            if found is None:
                return _NO_CELL
            if is_latency and found.state != "ok":
                return Cell(found.state, "", "", found.error or "no reason recorded")
        if value is None:
            return _NO_CELL
        number = float(value)
        detail = " to ".join(units.digits(row[end]) for end in interval) if interval else ""
        return Cell(units.text(number, unit), detail, "Infinity" if math.isinf(number) else repr(number))

    return write


class Failure(NamedTuple):
    """Something that did not work for one reason: what of which recipes, at which place (None: the variant itself)."""

    recipes: tuple[str, ...]
    what: str
    state: str
    reason: str
    place: Place | None = None


def failures(trials: Sequence[Trial] | Columns) -> list[Failure]:
    """Return failed and skipped trials, and runtimes that could not run a good one; recipes of one reason together."""
    columns = Columns.of(trials)
    found = [
        Failure((t.recipe,), f"variant {t.state}", t.state, t.error or "no reason recorded")
        for t in columns.trials
        if t.state in ("failed", "skipped")
    ]
    for place in columns.places:
        for i, m in sorted(columns.outcomes(place).items()):
            if m.state != "ok":
                reason, recipe = m.error or "no reason recorded", columns.trials[i].recipe
                found.append(Failure((recipe,), f"on {place.runtime}", m.state, reason, place))
    groups: dict[tuple[Any, ...], list[Failure]] = {}
    for failure in found:
        groups.setdefault((*failure[1:3], _NUMBER.sub("#", failure.reason), failure.place), []).append(failure)
    return [
        alike[0]._replace(recipes=tuple(r for f in alike for r in f.recipes), reason=_merged([f.reason for f in alike]))
        for alike in groups.values()
    ]


# A number that stands alone: not that of `int8`, `CONV_2D` or `2.21.0`.
_NUMBER = re.compile(r"(?<![\w.])\d+(?![\w]|\.\d)")


def _merged(reasons: Sequence[str]) -> str:
    """Return reasons that differ in their numbers alone as one, each number with all its values."""
    columns = iter(zip(*(map(int, _NUMBER.findall(reason)) for reason in reasons), strict=True))
    return _NUMBER.sub(lambda match: _either(sorted(set(next(columns)))), reasons[0])


def _either(numbers: Sequence[int]) -> str:
    if len(numbers) > 4:
        return f"{numbers[0]} to {numbers[-1]}"
    *others, last = map(str, numbers)
    return f"{', '.join(others)} or {last}" if others else last


class RuntimeUse(NamedTuple):
    """What one runtime is and how it did over all trials; texts are empty where there is nothing to tell.

    `figures` says what its figures are, `trials` counts the good ones, `taken` and `left` tell of operators,
    `reference` the worst agreement with the reference kernels, `quality` what was found on the runtime itself.
    """

    name: str
    kind: Kind
    figures: str
    devices: tuple[str, ...]
    trials: int
    skipped: int
    failed: int
    taken: str
    left: tuple[str, ...]
    reference: str
    quality: str
    problems: tuple[Failure, ...]


_MEASURES: tuple[tuple[str, Unit, str], ...] = (
    ("accuracy", "share", ""),
    ("rmse", "number", "RMSE "),
    ("agreement", "share", "agreement "),
)


def runtimes(trials: Sequence[Trial] | Columns) -> list[RuntimeUse]:
    """Return what each runtime really did, measured ones first."""
    columns = Columns.of(trials)
    problems = failures(columns)
    return [_use(place, columns, [f for f in problems if f.place == place]) for place in columns.places]


def _use(place: Place, columns: Columns, problems: Sequence[Failure]) -> RuntimeUse:
    good = [(columns.trials[i], m) for i, m in sorted(columns.outcomes(place).items()) if m.state == "ok"]
    missed = {state: sum(len(f.recipes) for f in problems if f.state == state) for state in ("skipped", "failed")}
    return RuntimeUse(
        place.runtime,
        place.kind,
        place.note if place.kind == "estimated" else ", ".join(filter(None, ("measured", place.note))),
        tuple(dict.fromkeys(m.device for _, m in good if m.device)),
        len(good),
        missed["skipped"],
        missed["failed"],
        _taken([m for _, m in good]) if good else "",
        tuple(dict.fromkeys(name for _, m in good for name in m.left)),
        _worst(good),
        _quality(good),
        tuple(problems),
    )


def _taken(good: Sequence[Measurement]) -> str:
    told = [(m.ops_delegated, m.ops_total) for m in good if m.ops_delegated is not None and m.ops_total]
    if not told:
        return "not told"
    whole = sum(taken == total for taken, total in told)
    least, most = min(told, key=lambda pair: pair[0] / pair[1]), max(told, key=lambda pair: pair[0] / pair[1])
    taken, total = (sum(column) for column in zip(*told, strict=True))
    if not taken:
        return f"none of {total:,}"
    text = f"{taken:,} of {total:,} over all variants; every one in {whole} of {len(told)}"
    spread = least[0] * most[1] != most[0] * least[1]
    return f"{text}; from {least[0]} of {least[1]} to {most[0]} of {most[1]}" if spread else text


def _worst(good: Sequence[tuple[Trial, Measurement]]) -> str:
    """Return the worst agreement with the reference kernels; equal outputs have no noise at all."""
    compared = [(t, m, m.reference) for t, m in good if m.reference]
    if not compared:
        return ""

    def order(found: tuple[Trial, Measurement, Agreement]) -> tuple[float, float]:
        noise, same = found[2].sqnr_db, found[2].agreement
        return math.inf if noise is None else noise, 1.0 if same is None else same

    trial, measurement, found = min(compared, key=order)
    if found.sqnr_db is None:
        return f"equal in every variant compared ({found.samples:,} samples)"
    return f"at worst {agreement_text(measurement)} ({trial.recipe}, {found.samples:,} samples)"


def _quality(good: Sequence[tuple[Trial, Measurement]]) -> str:
    """Return the range of the best known measure of quality on the runtime, and how far it is from the variants' own."""
    judged = next((m.quality.primary for _, m in good if m.quality and m.quality.primary), None)
    own_figure = [] if judged is None or judged.key == "accuracy" else [(judged.key, judged.unit, f"{judged.title} ")]
    for name, unit, title in (*own_figure, *_MEASURES):
        found = [(value, t, m.quality) for t, m in good if (value := _figure_of(m.quality, name)) is not None]
        if not found:
            continue
        low, high = (units.text(pick(value for value, _, _ in found), unit) for pick in (min, max))
        samples = max(quality.samples for _, _, quality in found if quality)
        text = f"{title}{low if low == high else f'{low} to {high}'} on {samples:,} samples"
        own = [(value, t, _figure_of(t.quality, name)) for value, t, _ in found]
        apart, farthest = max(
            ((abs(value - other), t) for value, t, other in own if other is not None),
            key=lambda pair: pair[0],
            default=(None, None),
        )
        if apart is None or farthest is None:
            return text
        if apart == 0:
            return f"{text}; the same as each variant's own"
        return f"{text}; at most {_apart(apart, unit)} from the variant's own ({farthest.recipe})"
    return ""


def _figure_of(quality: Quality | None, name: str) -> float | None:
    figure = quality.figure(name) if quality else None
    value: float | None = figure.value if figure else getattr(quality, name, None)
    return value


def _apart(difference: float, unit: Unit) -> str:
    return f"{units.text(difference, 'points')} points" if unit == "share" else units.text(difference, unit)


class Notice(NamedTuple):
    """All warnings of one kind and level: the advice, and what was seen on which recipe."""

    kind: str
    advice: str
    seen: tuple[tuple[str, str], ...]
    level: Level = "warning"


def warnings(trials: Sequence[Trial]) -> list[Notice]:
    """Return the warnings by kind, in order of appearance, notes after all that is more than one."""
    kinds: dict[tuple[str, Level], tuple[str, list[tuple[str, str]]]] = {}
    for trial in trials:
        for w in trial.warnings:
            kinds.setdefault((w.kind, w.level), (w.advice, []))[1].append((trial.recipe, w.told))
    found = [Notice(kind, advice, tuple(seen), level) for (kind, level), (advice, seen) in kinds.items()]
    return sorted(found, key=lambda notice: notice.level == "note")


def facts(data: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return nested settings as pairs of a name with its parts and a text."""
    lines = []
    for key, value in data.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            lines += facts(value, f"{name} / ")
        else:
            lines.append((name, ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)))
    return lines

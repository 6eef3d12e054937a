"""Verbs that read the store: `studies show pareto best`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import click

from workbench.commands import flags
from workbench.commands.host import FrontEnd, pass_host
from workbench.commands.result import CLOSED, Block, Result, Row, Table, json_text, value_text
from workbench.commands.tables import first_line, trials_table
from workbench.engine.failures import log_of
from workbench.store.reader import Reader
from workbench.store.tagging import Written, read_written
from workbench.study import Study
from workbench.values.trial import Trial
from workbench.views.columns import Columns
from workbench.views.pareto import limits_asked
from workbench.views.picks import Pick, picks, warned
from workbench.views.table import rows, rows_of
from workbench.views.tradeoff import front_trials


@dataclass
class Studies(Result):
    """The studies of a store as rows."""

    place: str = field(kw_only=True)
    empty: str = "none yet; `workbench demo` makes one"

    def blocks(self) -> Iterable[Block]:
        """Return one table; tags and notes have columns where there are any."""
        unused = {name for name in ("tags", "note") if not any(row[name] for row in self.value)}
        shown = [{k: v for k, v in row.items() if k not in unused} for row in self.value]
        for row in shown:
            if "tags" in row:
                row["tags"] = ", ".join(row["tags"])
            if "note" in row:
                row["note"] = first_line(row["note"])
        return [Table(shown, f"Studies in {self.place}", self.empty)]

    def data(self) -> list[Row]:
        """Return the rows."""
        return list(self.value)

    rows = data


@dataclass
class Trials(Result):
    """Trials of a study: all of it, or some of `columns`, from which they were chosen."""

    study: Study = field(kw_only=True)
    columns: Columns | None = None

    def blocks(self) -> Iterable[Block]:
        """Return one table."""
        return [trials_table(self.study.name, self._chosen())]

    def data(self) -> Any:
        """Return the trials, within what is known of the study where they are all of it."""
        trials = [t.to_json() for t in self._chosen()]
        return trials if self.columns is not None else {**self._about(), "trials": trials}

    def texts(self) -> Iterator[str]:
        """Return the data as indented JSON, piece by piece: of all trials at once it takes several times their own room."""
        if self.columns is not None:
            yield from super().texts()
            return
        about = json_text(self._about())
        yield f'{about.removesuffix(CLOSED)},\n  "trials": ['
        between = "\n    "
        for trial in self._chosen():
            yield between + value_text(trial).replace("\n", "\n    ")
            between = ",\n    "
        yield "]\n}" if between == "\n    " else "\n  ]\n}"

    def _about(self) -> dict[str, Any]:
        """Return what is known of the study beside its trials."""
        record = self.study.record
        return {
            "study": record.name,
            "model": record.model.to_json(),
            "dataset": record.dataset.to_json(),
            "environment": record.environment,
            "signature": record.signature.to_json(),
            "tasks": {output: spec.to_json() for output, spec in record.tasks.items()},
            "grid": record.grid,
            "command": record.command,
            "started": record.started,
        }

    def rows(self) -> list[Row]:
        """Return flat rows; they have the columns of the whole study."""
        if self.columns is None:
            return rows(self._chosen())
        chosen = {t.id for t in self._chosen()}
        return rows_of([t for t in self.columns.trials if t.id in chosen], self.columns)

    def said(self) -> tuple[str, ...]:
        """Return the notes, and what cannot be read of the study."""
        return (*self.notes, *self.study.notes())

    def _chosen(self) -> Sequence[Trial]:
        if isinstance(self.value, Study):
            return self.value.trials
        return [self.value] if isinstance(self.value, Trial) else self.value or []


class NoTrial(Trials):
    """No trial is what was asked for; the note says so."""

    def blocks(self) -> Iterable[Block]:
        """Return nothing."""
        return ()


@click.command()
@click.option("--tag", help="only those with this tag")
@flags.store_option
@flags.format_option
def studies(tag: str | None, store: str | None, form: str) -> Studies:
    """List the studies in the store."""
    opened = Reader(store)
    counts, written = opened.counts(), read_written(opened)
    found = []
    for record in opened.studies():
        states = counts.get(record.name, {})
        tags, note = written.get(record.name, Written())
        if tag is not None and tag not in tags:
            continue
        found.append(
            {
                "study": record.name,
                "model": record.model.name,
                "dataset": record.dataset.name,
                "trials": sum(states.values()),
                "ok": states.get("ok", 0),
                "failed": states.get("failed", 0),
                "started": record.started,
                "tags": list(tags),
                "note": note,
            }
        )
    notes = (
        opened.notes() if opened.exists else (f"there is no store at {opened.location!r} yet; --store names another",)
    )
    listed = Studies(found, form, notes, place=opened.location)
    if tag is not None and not found:
        has = sorted({t for w in written.values() for t in w.tags})
        listed.empty = f"none has the tag {tag!r}; tags that there are: {', '.join(has) or 'none'}"
    return listed


@dataclass
class OneTrial(Trials):
    """One trial with its warnings, why it failed, and the log that was kept of that."""

    def blocks(self) -> Iterable[Block]:
        """Return its row, then what is to be read of it."""
        yield from super().blocks()
        trial = self._chosen()[0]
        yield from (f"{w.level} {w.kind}: {w.told}\n  {w.advice}" for w in trial.warnings)
        if trial.error:
            yield f"{trial.state}: {trial.error}"
            if log := log_of(trial.error, self.study.store.root):
                yield log


@click.command()
@click.argument("study")
@click.option(
    "--trial", metavar="ID", help="one trial, by id or recipe: its warnings, why it failed, the whole log of that"
)
@flags.store_option
@flags.format_option
@pass_host
def show(host: FrontEnd, study: str, trial: str | None, store: str | None, form: str) -> Trials:
    """Show the trials of STUDY."""
    opened = host.study(study, store)
    if trial is None:
        return Trials(opened, form, study=opened)
    return OneTrial(opened.trial(trial), form, study=opened, columns=opened.columns())


@click.command()
@click.argument("study")
@click.option(
    "--x", default="size", show_default=True, help="metric of the first axis, e.g. size, compressed, latency@xnnpack"
)
@click.option(
    "--y",
    help="metric of the second axis, e.g. accuracy, accuracy_drop, agreement  [default: the task's primary figure]",
)
@flags.store_option
@flags.format_option
@pass_host
def pareto(host: FrontEnd, study: str, x: str, y: str | None, store: str | None, form: str) -> Trials:
    """Show the trials of STUDY that no other beats in both metrics."""
    opened = host.study(study, store)
    columns = opened.columns()
    return Trials(front_trials(columns, x, y), form, study=opened, columns=columns)


@dataclass
class Best(Trials):
    """The smallest trial that keeps the limits, and with it the other picks."""

    picks: Sequence[Pick] = ()

    def blocks(self) -> Iterable[Block]:
        """Return the smallest as a table of one row, then all picks with what they cost."""
        yield from super().blocks()
        yield Table(
            [
                {"pick": p.name, "recipe": p.trial.recipe, "against the baseline": p.cost, "warnings": warned(p.trial)}
                for p in self.picks
            ],
            "Picks",
        )
        yield from (f"{p.name}: {p.why}" for p in self.picks)

    def data(self) -> Any:
        """Return the smallest trial in a list of one, its `picks` within it."""
        return [{**t, "picks": [p.row() for p in self.picks]} for t in super().data()]


@click.command()
@click.argument("study")
@flags.limit_options
@flags.store_option
@flags.format_option
@pass_host
def best(host: FrontEnd, study: str, store: str | None, form: str, **values: Any) -> Trials:
    """Name the smallest trial of STUDY that keeps the limits; exit 1 when none does.

    With it come the fastest, the most accurate and the balanced one (the knee of the front of size and quality), and what each costs.
    """
    opened = host.study(study, store)
    columns = opened.columns()
    found = picks(columns, limits_asked(columns, flags.limits_given(values)))
    if found:
        return Best(found[0].trial, form, study=opened, columns=columns, picks=found)
    note = "no trial keeps these constraints; loosen one, or sweep more recipes"
    return NoTrial(None, form, (note,), 1, study=opened, columns=columns)

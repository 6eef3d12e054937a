"""The verb that tells where a trial comes from: `lineage`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from workbench.commands import flags
from workbench.commands.host import FrontEnd, pass_host
from workbench.commands.result import Block, Result, Row, Table
from workbench.errors import WorkbenchError
from workbench.lineage.draw import svg
from workbench.lineage.graph import Lineage


@dataclass
class LineageResult(Result):
    """A lineage as a table, as JSON, or drawn."""

    value: Lineage

    def blocks(self) -> Iterable[Block]:
        """Return one row for each source, execution, file and measurement."""
        # When and where is in the other forms; a terminal is narrow.
        hidden = ("machine", "started", "id")
        rows = [
            {**{k: v for k, v in row.items() if k not in hidden}, "id": row["id"][:12]} for row in self.value.rows()
        ]
        return [Table(rows, f"Lineage of {self.value.recipe} ({self.value.trial}) in {self.value.study}")]

    def data(self) -> Any:
        """Return nodes and edges."""
        return self.value.to_json()

    def rows(self) -> list[Row]:
        """Return flat rows."""
        return self.value.rows()

    def said(self) -> tuple[str, ...]:
        """Return what was not recorded."""
        return (*self.notes, *self.value.notes)

    def _repr_html_(self) -> str:
        return svg(self.value)


@click.command()
@click.argument("study")
@click.argument("trial")
@click.option("--out", type=click.Path(dir_okay=False), help="write the drawing into this .svg file")
@flags.store_option
@flags.format_option
@pass_host
def lineage(host: FrontEnd, study: str, trial: str, out: str | None, store: str | None, form: str) -> LineageResult:
    """Tell where TRIAL of STUDY comes from: every execution and file from model and data to its file and figures."""
    found = host.study(study, store).lineage(trial)
    notes: tuple[str, ...] = ()
    if out is not None:
        path = Path(out)
        if path.suffix != ".svg":
            raise WorkbenchError(f"--out {out!r}: the drawing is an .svg file. Give a name that ends in .svg.")
        try:
            path.write_text(svg(found), encoding="utf-8")
        except OSError as error:
            raise WorkbenchError(f"--out {out!r} cannot be written: {error}") from error
        notes = (f"drawn in {out}",)
    return LineageResult(found, form, notes)

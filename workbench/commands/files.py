"""Verbs that read and write single files: `inspect export report notebook`."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from workbench.commands import flags
from workbench.commands.host import FrontEnd, pass_host
from workbench.commands.result import Block, Result, Row, Said, Table
from workbench.flatbuffer.custom import told
from workbench.names import file_stem
from workbench.targets.export import files_of
from workbench.values.limits import read_limits
from workbench.values.trial import Census, Size
from workbench.views.units import size_text


@dataclass
class Inspection(Result):
    """The census of one file, with its sizes."""

    value: Census
    file: str = field(kw_only=True)
    size: Size = field(kw_only=True)

    def blocks(self) -> Iterable[Block]:
        """Return sizes, inputs and outputs, weights, operators, tensors."""
        census = self.value
        yield f"{self.file}: {size_text(self.size.file)}, gzip {size_text(self.size.gzip)}"
        yield f"inputs {', '.join(census.inputs)}; outputs {', '.join(census.outputs)}"
        weights = ", ".join(f"{k} {size_text(v)}" for k, v in census.weights.items()) or "none"
        yield f"weights {weights}; zeros in kernels {census.sparsity:.1%}; most distinct values in a kernel {census.unique_weights}"
        if census.custom:
            yield f"custom operators {told(census.custom)}: only a runtime that has kernels for them runs this file"
        yield Table([{"operator": k, "count": v} for k, v in census.operators.items()], "Operators")
        shown = [{k: v for k, v in t.items() if k != "kernel"} for t in self.rows()]
        for row in shown:
            row["shape"] = "x".join(str(d) for d in row["shape"])
            row["sparsity"] = f"{row['sparsity']:.1%}"
        yield Table(shown, "Weight tensors", "none")

    def data(self) -> dict[str, Any]:
        """Return file, size and census."""
        return {"file": self.file, "size": self.size.to_json(), "census": self.value.to_json()}

    def rows(self) -> list[Row]:
        """Return one row per weight tensor."""
        return [t.to_json() for t in self.value.tensors]


@click.command()
@click.argument("file")
@flags.format_option
def inspect(file: str, form: str) -> Inspection:
    """Show operators, weight tensors, types, sparsity, unique weights and sizes of FILE (.tflite)."""
    from workbench import api
    from workbench.flatbuffer.census import read_sizes

    return Inspection(api.inspect(file), form, file=file, size=read_sizes(Path(file)))


@click.command()
@click.argument("study")
@click.argument("trial")
@click.option("--out", required=True, metavar="DIR", help="folder to write")
@flags.target_option
@flags.store_option
@pass_host
def export(host: FrontEnd, study: str, trial: str, out: str, target: str, store: str | None) -> Said:
    """Write TRIAL (id or recipe) of STUDY: model.tflite, labels, card.json and what runs it on a target."""
    opened = host.study(study, store)
    folder = opened.export(trial, out, target)
    lines = (f"wrote {', '.join(files_of(folder))} into {folder}",)
    return Said(folder, notes=opened.notes(), lines=lines)


@click.command()
@click.argument("study")
@click.option("--out", default=None, metavar="FILE.html", help="file to write  [default: STUDY.html]")
@click.option("--pdf", is_flag=True, help="print it as PDF too, beside the page; needs Chromium")
@click.option("--code", is_flag=True, help="show the code of the notebook's cells in the page")
@flags.limit_options
@flags.store_option
@pass_host
def report(
    host: FrontEnd, study: str, out: str | None, pdf: bool, code: bool, store: str | None, **values: Any
) -> Said:
    """Write STUDY as one self-contained HTML file that opens offline, and keep its executed notebook beside it.

    With limits of a gate the report tells whether a variant keeps them.
    """
    opened = host.study(study, store)
    # Read here, so that a mistake is told before the notebook runs.
    limits = read_limits(flags.limits_given(values), "gate").given()
    # Read here too, while the notebook runs: the page is made by another process, which tells nobody what it left out.
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(lambda: len(opened.trials))
        path = opened.report(out or f"{file_stem(opened.name)}.html", pdf, code, limits)
        reading.result()
    kept = [p for p in (path.with_suffix(".ipynb"), path.with_suffix(".pdf") if pdf else None) if p]
    return Said(path, notes=opened.notes(), lines=(f"wrote {path}", f"beside it {', '.join(p.name for p in kept)}"))


@dataclass
class Notebooks(Result):
    """The notebooks that come along, by name."""

    def blocks(self) -> Iterable[Block]:
        """Return one table, and how to get one."""
        yield Table(self.value, "Notebooks")
        yield "workbench notebook NAME copies one out, to be run as it is or with papermill's -p."

    def data(self) -> list[Row]:
        """Return names and what they are."""
        return list(self.value)

    def rows(self) -> list[Row]:
        """Return names and what they are."""
        return list(self.value)


@click.command()
@click.argument("name", required=False)
@click.option("--out", default=".", show_default=True, metavar="DIR", help="folder to copy it to")
@flags.format_option
def notebook(name: str | None, out: str, form: str) -> Result:
    """Copy the notebook NAME out to be changed and run; without NAME list those there are."""
    from workbench.report import templates

    if name is None:
        return Notebooks([{"notebook": n, "about": templates.about(n)} for n in templates.names()], form)
    path = templates.copy(name, Path(out))
    return Said(path, lines=(f"wrote {path}",))

"""Commands that read and write single files: `inspect export report`."""

from __future__ import annotations

from pathlib import Path

import click

from workbench import api
from workbench.cli import flags
from workbench.cli.output import print_csv, print_json, print_table
from workbench.views.units import size_text


@click.command()
@click.argument("file")
@flags.format_option
def inspect(file: str, form: str) -> None:
    """Show operators, weight tensors, types, sparsity, unique weights and sizes of FILE (.tflite)."""
    from workbench.flatbuffer.census import read_sizes

    census = api.inspect(file)
    size = read_sizes(Path(file))
    tensors = [t.to_json() for t in census.tensors]
    if form == "json":
        print_json({"file": file, "size": size.to_json(), "census": census.to_json()})
        return
    if form == "csv":
        print_csv(tensors)
        return
    print(f"{file}: {size_text(size.file)}, gzip {size_text(size.gzip)}")
    print(f"inputs {', '.join(census.inputs)}; outputs {', '.join(census.outputs)}")
    print(
        f"weights {', '.join(f'{k} {size_text(v)}' for k, v in census.weights.items()) or 'none'}; zeros in kernels {census.sparsity:.1%}; most distinct values in a kernel {census.unique_weights}"
    )
    print_table([{"operator": k, "count": v} for k, v in census.operators.items()], "Operators")
    shown = [{k: v for k, v in t.items() if k != "kernel"} for t in tensors]
    for row in shown:
        row["shape"] = "x".join(str(d) for d in row["shape"])
        row["sparsity"] = f"{row['sparsity']:.1%}"
    print_table(shown, "Weight tensors", "none")


@click.command()
@click.argument("study")
@click.argument("trial")
@click.option("--out", required=True, metavar="DIR", help="folder to write")
@flags.store_option
def export(study: str, trial: str, out: str, store: str | None) -> None:
    """Write TRIAL (id or recipe) of STUDY: model.tflite, labels, card.json and a runnable predict.py."""
    folder = api.open_study(study, store).export(trial, out)
    print(f"wrote {', '.join(sorted(p.name for p in folder.iterdir()))} into {folder}")


@click.command()
@click.argument("study")
@click.option("--out", default=None, metavar="FILE.html", help="file to write  [default: STUDY.html]")
@flags.store_option
def report(study: str, out: str | None, store: str | None) -> None:
    """Write STUDY as one self-contained HTML file that opens offline."""
    opened = api.open_study(study, store)
    print(f"wrote {opened.report(out or f'{opened.name}.html')}")

"""Commands about single files and the installation: `inspect bench export report doctor`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from workbench import api, registry
from workbench.cli import flags
from workbench.cli.output import print_csv, print_json, print_table
from workbench.recipes import grammar
from workbench.values.trial import RuntimeSpec
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
@click.argument("file")
@click.option("--runtime", default="xnnpack", show_default=True, metavar="A,B,...", help="where to run")
@flags.runtime_options
@click.option("--budget", type=float, help="seconds of timing on each runtime  [default: 5]")
@flags.format_option
def bench(file: str, runtime: str, budget: float | None, form: str, **values: Any) -> None:
    """Measure FILE (.tflite) on each runtime in a process of its own; exit 1 when one cannot run it."""
    given = flags.collect(values, ["runtime"]).get("runtime", {})
    chosen = []
    for part in grammar.split_list(runtime):
        spec = grammar.parse_runtime(part)
        known = registry.runtimes.get(spec.name).params.model_fields
        chosen.append(
            RuntimeSpec(name=spec.name, options={**spec.options, **{k: v for k, v in given.items() if k in known}})
        )
    found = api.bench(file, chosen, budget)
    if form == "json":
        print_json([m.to_json() for m in found])
    else:
        rows = []
        for m in found:
            latency = m.latency_ms
            rows.append(
                {
                    "runtime": grammar.runtime_text(m.runtime, m.options),
                    "median ms": latency.median if latency else None,
                    "low ms": latency.low if latency else None,
                    "high ms": latency.high if latency else None,
                    "p90 ms": latency.p90 if latency else None,
                    "samples": latency.samples if latency else None,
                    "init ms": m.init_ms,
                    "first ms": m.first_ms,
                    "peak": m.peak_bytes if form == "csv" else size_text(m.peak_bytes or 0),
                    "operators taken": None if m.ops_total is None else f"{m.ops_delegated}/{m.ops_total}",
                    "error": m.error or "",
                }
            )
        (print_csv if form == "csv" else print_table)(rows)
    if any(m.state == "failed" for m in found):
        sys.exit(1)


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


@click.command()
@flags.format_option
def doctor(form: str) -> None:
    """List techniques and runtimes, and what is missing and how to get it."""
    from workbench.measure.environment import environment

    found = []
    for what, names in (("technique", registry.techniques), ("runtime", registry.runtimes)):
        broken = names.broken()
        for name, thing in names.all().items():
            missing = thing.available()
            found.append(
                {"kind": what, "name": name, "state": "missing" if missing else "ok", "about": missing or thing.help}
            )
        found += [{"kind": what, "name": n, "state": "broken", "about": r} for n, r in broken.items()]
    facts = environment()
    if form == "json":
        print_json({"environment": facts, "parts": found})
    elif form == "csv":
        print_csv(found)
    else:
        versions = facts.pop("versions")
        print_table([{"fact": k, "value": v} for k, v in {**facts, **versions}.items()], "This machine")
        print_table(found, "Techniques and runtimes")

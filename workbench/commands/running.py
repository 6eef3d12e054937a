"""Verbs that run one file, and say what can run here: `bench compare doctor`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from workbench import api, registry
from workbench.commands import flags
from workbench.commands.host import FrontEnd, pass_host
from workbench.commands.result import Block, Result, Row, Table
from workbench.errors import WorkbenchError
from workbench.files import write_atomic
from workbench.recipes import grammar
from workbench.values.trial import Measurement, RuntimeSpec
from workbench.views.runtimes import measurement_rows, node_data, place_text, profile_rows

SHOWN_OPERATORS = 25


@dataclass
class Measurements(Result):
    """One file measured on some runtimes."""

    value: list[Measurement]
    file: str = ""

    def blocks(self) -> Iterable[Block]:
        """Return one table of all, then memory by part and time by operator where they were told."""
        rows = measurement_rows(self.value)
        empty = [name for name in rows[0] if all(row[name] in (None, "") for row in rows)]
        yield Table([{k: v for k, v in row.items() if k not in empty} for row in rows])
        for m in self.value:
            if m.latency_ms and m.latency_ms.cut_short:
                yield f"{place_text(m)}: {m.latency_ms.cut_short}. Give it more with --budget."
        for m in self.value:
            if m.memory:
                yield Table([{"part": k, "bytes": v} for k, v in m.memory.items()], f"Memory on {place_text(m)}")
            if m.profile:
                count = len(m.profile.operators)
                title = f"Operators on {place_text(m)}: {min(count, SHOWN_OPERATORS)} of {count}, {m.profile.total_ms:.3g} ms in all"
                yield Table(profile_rows(m.profile, SHOWN_OPERATORS), title)
                yield f"Source: {m.profile.source}.\n"

    def data(self) -> list[dict[str, Any]]:
        """Return the measurements."""
        return [m.to_json() for m in self.value]

    def rows(self) -> list[Row]:
        """Return one row per runtime, numbers as numbers."""
        return measurement_rows(self.value, plain=True)


@dataclass
class Parts(Result):
    """Parts of all kinds with their state, and what is known of this machine."""

    facts: dict[str, Any] | None = None

    def blocks(self) -> Iterable[Block]:
        """Return a table of the machine and one of the parts."""
        facts = dict(self.facts or {})
        versions = facts.pop("versions")
        yield Table([{"fact": k, "value": v} for k, v in {**facts, **versions}.items()], "This machine")
        yield Table(self.value, "Parts by kind")

    def data(self) -> dict[str, Any]:
        """Return machine and parts."""
        return {"environment": self.facts, "parts": self.value}

    def rows(self) -> list[Row]:
        """Return the parts."""
        return list(self.value)


wait_option = click.option(
    "--wait", type=float, help="longest wait, in seconds, for one other measurement here to end  [default: 1800]"
)


@click.command()
@click.argument("file")
@click.option("--runtime", default="xnnpack", show_default=True, metavar="A,B,...", help="where to run")
@flags.runtime_options
@click.option(
    "--data", metavar="DATA", help="a dataset whose size a file is timed at that leaves height, width or length open"
)
@click.option("--budget", type=float, help="seconds of timing on each runtime  [default: 5]")
@click.option("--profile", is_flag=True, help="time each operator too, where the runtime tells")
@click.option(
    "--node-data", metavar="FILE.json", help="write the operators' times for Model Explorer; implies --profile"
)
@wait_option
@flags.format_option
@pass_host
def bench(
    host: FrontEnd,
    file: str,
    runtime: str,
    data: str | None,
    budget: float | None,
    profile: bool,
    node_data: str | None,
    wait: float | None,
    form: str,
    **values: Any,
) -> Measurements:
    """Measure FILE (.tflite) on each runtime in a process of its own; exit 1 when one cannot run it."""
    chosen, profiled = _chosen(runtime, values), profile or node_data is not None
    found = api.bench(file, chosen, budget, profile=profiled, wait=wait, listener=host.hear, data=data)
    notes = _write_node_data(found, Path(node_data)) if node_data else []
    return Measurements(found, form, tuple(notes), _code(found), file=file)


@click.command()
@click.argument("file")
@click.option(
    "--runtimes",
    required=True,
    metavar="A,B,...",
    help="where to run; ratios are to the first, e.g. xnnpack,builtin,micro",
)
@click.option(
    "--data", metavar="DATA", help="compare outputs on samples of this dataset's test split  [default: seeded]"
)
@click.option("--budget", type=float, help="seconds of timing in all  [default: 5 for each runtime]")
@click.option("--profile", is_flag=True, help="time each operator too, where the runtime tells")
@click.option("--out", metavar="FILE.html", help="write the chart as a page that opens offline")
@wait_option
@flags.format_option
@pass_host
def compare(
    host: FrontEnd,
    file: str,
    runtimes: str,
    data: str | None,
    budget: float | None,
    profile: bool,
    out: str | None,
    wait: float | None,
    form: str,
) -> Measurements:
    """Measure FILE (.tflite) on many runtimes side by side: latency, operators taken, outputs; exit 1 when one fails."""
    found = api.compare(file, grammar.split_list(runtimes), data, budget, profile, wait, host.hear)
    if out:
        from workbench.report.comparison import write_comparison

        write_comparison(found, Path(file).name, Path(out))
    return Measurements(found, form, (f"wrote {out}",) if out else (), _code(found), file=file)


@click.command()
@flags.format_option
def doctor(form: str) -> Parts:
    """List all parts by kind (sources, datasets, tasks, techniques, runtimes, ...), and what is missing and how to get it."""
    from workbench.measure.environment import environment

    found = []
    for what, names in registry.kinds().items():
        broken = names.broken()
        for name, thing in names.all().items():
            try:
                missing = thing.available()
            except Exception as error:  # a stranger's code may raise anything
                broken[name] = f"asking what is missing failed: {type(error).__name__}: {error}"
                continue
            found.append(
                {"kind": what, "name": name, "state": "missing" if missing else "ok", "about": missing or thing.help}
            )
        found += [{"kind": what, "name": n, "state": "broken", "about": r} for n, r in broken.items()]
    return Parts(found, form, facts=environment())


def _code(found: list[Measurement]) -> int:
    return int(any(m.state == "failed" for m in found))


def _chosen(runtime: str, values: dict[str, Any]) -> list[RuntimeSpec]:
    """Return the runtimes named, each with those of the flags that it knows."""
    given = flags.collect(values, ["runtime"]).get("runtime", {})
    chosen = []
    for part in grammar.split_list(runtime):
        spec = grammar.parse_runtime(part)
        known = registry.runtimes.get(spec.name).params.model_fields
        chosen.append(
            RuntimeSpec(name=spec.name, options={**spec.options, **{k: v for k, v in given.items() if k in known}})
        )
    return chosen


def _write_node_data(found: list[Measurement], path: Path) -> list[str]:
    profiles = [m for m in found if m.profile and any(o.index is not None for o in m.profile.operators)]
    if not profiles:
        raise WorkbenchError(
            "none of these runtimes tells the time of the file's own operators, which node data needs. Use xnnpack or builtin."
        )
    notes = []
    for m in profiles:
        assert m.profile is not None
        target = path if len(profiles) == 1 else path.with_stem(f"{path.stem}-{m.runtime}")
        write_atomic(target, json.dumps(node_data(m.profile, "main"), indent=1).encode())
        notes.append(f"wrote {target}")
    return notes

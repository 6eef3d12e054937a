"""Verbs around many runs and their verdicts: `batch gate`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from workbench import api
from workbench.commands import flags
from workbench.commands.host import FrontEnd, pass_host
from workbench.commands.result import Block, Result, Row, Table
from workbench.errors import WorkbenchError
from workbench.files import write_atomic
from workbench.values.limits import read_limits
from workbench.views.columns import Columns
from workbench.views.gate import GateVerdict, junit_xml, suite_of, verdict
from workbench.views.holding import Holder
from workbench.views.units import size_text, text

if TYPE_CHECKING:
    from workbench.batches.outcome import BatchRun
    from workbench.batches.run import Batch, BatchProgress


@dataclass
class GateResult(Result):
    """A verdict on one study, limit by limit."""

    value: GateVerdict
    study: str = field(kw_only=True)

    def blocks(self) -> Iterable[Block]:
        """Return the checks and the verdict in one line."""
        yield Table(
            [
                {"check": c.name, "limit": c.limit, "found": c.value, "state": c.state, "why": c.text}
                for c in self.value.checks
            ],
            f"Gate of {self.study}: {self.value.trial.recipe if self.value.trial else 'no variant'}",
        )
        yield verdict_line(self.value)
        if self.value.why:
            yield f"chosen:  {self.value.why}; --trial pins one"

    def data(self) -> dict[str, Any]:
        """Return study, trial, verdict and checks."""
        trial = self.value.trial
        return {
            "study": self.study,
            "trial": trial.id if trial else None,
            "recipe": trial.recipe if trial else None,
            "passed": self.value.passed,
            "why": self.value.why,
            "checks": self.rows(),
        }

    def rows(self) -> list[Row]:
        """Return one row per check."""
        return [c.to_json() for c in self.value.checks]


def verdict_line(found: GateVerdict) -> str:
    """Return a verdict in one line."""
    recipe = found.trial.recipe if found.trial else "no variant"
    if found.passed:
        return f"passed: {recipe} keeps all limits"
    states = [c.state for c in found.checks]
    words = [
        f"{n} {w}" for n, w in ((states.count("fail"), "not kept"), (states.count("missing"), "not measured")) if n
    ]
    return f"not passed: of {len(states)} limits {' and '.join(words)} by {recipe}"


@click.command()
@click.argument("study")
@click.option(
    "--trial",
    metavar="RECIPE",
    help="the variant to judge, by recipe or id; name it in CI  [default: the smallest that keeps all limits]",
)
@flags.limit_options
@click.option("--junit", metavar="FILE.xml", help="write the verdict as JUnit XML too")
@flags.store_option
@flags.format_option
@pass_host
def gate(
    host: FrontEnd, study: str, trial: str | None, junit: str | None, store: str | None, form: str, **values: Any
) -> GateResult:
    """Say whether a variant of STUDY keeps all limits; exit 0 when it does, 1 when it does not or a figure is missing.

    In CI name the variant that you ship with --trial: without it the smallest that keeps all limits is judged, so that the gate
    passes as long as any variant does, and may judge another one in every run. --strict asks that the 95 % intervals keep the limits too.
    """
    limits = read_limits(flags.limits_given(values), "gate")
    opened = host.study(study, store)
    trials = opened.trials
    Holder(Columns(trials), limits).refuse_unknown()
    found = verdict(trials, limits, opened.trial(trial) if trial else None)
    if junit:
        write_atomic(Path(junit), junit_xml([suite_of(opened.name, found)]))
    notes = (*((f"wrote {junit}",) if junit else ()), *opened.notes())
    return GateResult(found, form, notes, int(not found.passed), study=opened.name)


@dataclass
class Batched(Result):
    """A batch that has ended, run by run."""

    value: Batch

    def blocks(self) -> Iterable[Block]:
        """Return the runs, the reasons of the failed ones, and where the pages are."""
        yield Table([_run_row(r) for r in self.value.runs], f"Batch in {self.value.folder}")
        states = [r.state for r in self.value.runs]
        reused = sum(r.reused for r in self.value.runs)
        gates = [r.passed for r in self.value.runs if r.passed is not None]
        words = [f"{len(states)} runs", f"{states.count('ok')} ok ({reused} done before)"]
        words += [f"{states.count(s)} {s}" for s in ("failed", "cancelled") if s in states]
        words += [f"gate passed by {gates.count(True)} of {len(gates)}"] if gates else []
        yield ", ".join(words)
        yield from (f"  {r.state} {r.id}: {r.error}" for r in self.value.runs if r.error and r.state != "cancelled")
        yield f"Index: {self.value.index}   (opens offline in any browser)"

    def data(self) -> dict[str, Any]:
        """Return the folder, the index and the runs with their results."""
        runs = [{**r.to_json(), "passed": r.passed} for r in self.value.runs]
        return {"folder": str(self.value.folder), "index": str(self.value.index), "runs": runs}

    def rows(self) -> list[Row]:
        """Return one row per variant of each run."""
        return self.value.rows


def _run_row(run: BatchRun) -> Row:
    results = run.results or {}
    best: Row = next((r for r in results.get("rows", ()) if r.get("id") == results.get("best")), {})
    verdicts = {None: "", True: "passed", False: "not passed"}
    return {
        "run": run.id,
        "state": f"{run.state}, done before" if run.reused else run.state,
        "gate": verdicts[run.passed],
        "best": best.get("recipe", ""),
        "size": "" if best.get("size_bytes") is None else size_text(best["size_bytes"]),
        "accuracy": text(best.get("accuracy"), "share") if best else "",
        "page": run.page or "",
    }


@click.command()
@click.argument("source", metavar="FILE")
@click.option("--out", metavar="DIR", help="folder for reports, index and store  [default: FILE without its ending]")
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="notebooks at once where nothing is measured  [default: number of cores, at most 4]",
)
@flags.cluster_options("a dask scheduler whose workers run the notebooks and see the same folders")
@flags.format_option
@pass_host
def batch(
    host: FrontEnd,
    source: str,
    out: str | None,
    jobs: int | None,
    cluster_address: str | None,
    form: str,
    **values: Any,
) -> Batched:
    """Run a notebook for every model, dataset, grid and seed that FILE (YAML) names, and write an index of the reports.

    Runs that are done and unchanged are left as they are. Exit 1 when a run failed or a gate was not passed.
    """
    folder = Path(out) if out else Path(source).with_suffix("")
    if folder.is_file():
        raise WorkbenchError(f"{str(folder)!r} is a file. Name a folder with --out.")

    def listener(step: BatchProgress) -> None:
        host.tell(f"[{step.done}/{step.total}] {step.run} {step.text}")

    found = api.batch(host.named(source), folder, jobs, cluster_address, listener, flags.cluster_security(values))
    return Batched(found, form, code=int(bool(found.failed) or any(r.passed is False for r in found.runs)))

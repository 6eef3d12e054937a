"""Commands that read the store: `studies show pareto best`."""

from __future__ import annotations

import sys

import click

from workbench import api
from workbench.cli import flags
from workbench.cli.output import print_csv, print_json, print_table
from workbench.cli.tables import print_trials
from workbench.store.store import Store
from workbench.study import Study
from workbench.values.trial import Trial
from workbench.views.table import rows


@click.command()
@flags.store_option
@flags.format_option
def studies(store: str | None, form: str) -> None:
    """List the studies in the store."""
    opened = Store(store)
    counts = opened.counts()
    found = []
    for record in opened.studies():
        states = counts.get(record.name, {})
        found.append(
            {
                "study": record.name,
                "model": record.model.name,
                "dataset": record.dataset.name,
                "trials": sum(states.values()),
                "ok": states.get("ok", 0),
                "failed": states.get("failed", 0),
                "started": record.started,
            }
        )
    if form == "json":
        print_json(found)
    elif form == "csv":
        print_csv(found)
    else:
        print_table(found, f"Studies in {opened.location}", "none yet; `workbench demo` makes one")


@click.command()
@click.argument("study")
@flags.store_option
@flags.format_option
def show(study: str, store: str | None, form: str) -> None:
    """Show the trials of STUDY."""
    opened = api.open_study(study, store)
    _print(opened, opened.trials, form, whole=True)


@click.command()
@click.argument("study")
@click.option(
    "--x", default="size", show_default=True, help="metric of the first axis, e.g. size, compressed, latency@xnnpack"
)
@click.option(
    "--y",
    default="accuracy",
    show_default=True,
    help="metric of the second axis, e.g. accuracy, accuracy_drop, agreement",
)
@flags.store_option
@flags.format_option
def pareto(study: str, x: str, y: str, store: str | None, form: str) -> None:
    """Show the trials of STUDY that no other beats in both metrics."""
    opened = api.open_study(study, store)
    _print(opened, opened.pareto(x, y), form)


@click.command()
@click.argument("study")
@click.option("--max-size", help="largest file, e.g. 100KB")
@click.option("--max-drop", type=float, help="largest loss of accuracy against the float baseline (0.01 = 1 point)")
@click.option("--max-latency-ms", type=float, help="largest median latency in milliseconds")
@click.option("--runtime", help="runtime of --max-latency-ms  [default: the first measured]")
@flags.store_option
@flags.format_option
def best(
    study: str,
    max_size: str | None,
    max_drop: float | None,
    max_latency_ms: float | None,
    runtime: str | None,
    store: str | None,
    form: str,
) -> None:
    """Name the smallest trial of STUDY that keeps the constraints; exit 1 when none does."""
    opened = api.open_study(study, store)
    found = opened.best(max_size, max_drop, max_latency_ms, runtime)
    if found or form != "table":
        _print(opened, [found] if found else [], form)
    if not found:
        print("workbench: no trial keeps these constraints; loosen one, or sweep more recipes", file=sys.stderr)
        sys.exit(1)


def _print(study: Study, trials: list[Trial], form: str, whole: bool = False) -> None:
    if form == "csv":
        chosen = {t.id for t in trials}
        print_csv([r for r in rows(study.trials) if r["id"] in chosen])
    elif form == "table":
        print_trials(study.name, trials)
    elif whole:
        record = study.record
        print_json(
            {
                "study": record.name,
                "model": record.model.to_json(),
                "dataset": record.dataset.to_json(),
                "environment": record.environment,
                "signature": record.signature.to_json(),
                "grid": record.grid,
                "command": record.command,
                "started": record.started,
                "trials": [t.to_json() for t in trials],
            }
        )
    else:
        print_json([t.to_json() for t in trials])

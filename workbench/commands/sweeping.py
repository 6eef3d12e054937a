"""Verbs that run a grid: `sweep demo`."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import click

from workbench.commands import flags
from workbench.commands.host import FrontEnd, pass_host
from workbench.commands.result import Block, Result, Table
from workbench.commands.tables import trials_table
from workbench.data.load import bundled
from workbench.engine.options import SweepOptions
from workbench.errors import WorkbenchError
from workbench.names import shell
from workbench.recipes.grammar import split_list
from workbench.recipes.grid import Grid, load_grid, parse_grid, read_grid, read_settings
from workbench.study import Study
from workbench.values.profile import Profile


@dataclass
class Swept(Result):
    """A study that was swept, or is being swept in the background."""

    value: Study
    seconds: float = 0.0
    profile: Profile | None = None
    more: tuple[str, ...] = ()

    def blocks(self) -> Iterable[Block]:
        """Return the trials, their counts, the reasons of the failed ones, and where the time went."""
        trials = self.value.trials
        failed = [t for t in trials if t.state == "failed"]
        warned = sum(bool(t.warned) for t in trials)
        yield trials_table(self.value.name, trials)
        yield f"{len(trials)} trials, {sum(t.state == 'ok' for t in trials)} ok, {len(failed)} failed, {warned} with warnings; {self.seconds:.1f} s. Study {self.value.name!r} in {self.value.store.location}"
        yield from (f"  failed {t.recipe}: {t.error}" for t in failed)
        yield from (f"  data: {note}" for note in self.value.record.dataset.notes)
        if self.profile:
            yield Table(self.profile.rows(), "Stages")
            yield _times(self.profile)
        yield from self.more


@click.command()
@click.argument("model")
@click.option(
    "--data",
    required=True,
    metavar="DATA",
    help="digits, fashion, a .npz file, a .csv file (FILE.csv?label=class), or a folder of class subfolders of images, or of images with COCO's annotations.json (FOLDER?size=96x96&scale=-1..1)",
)
@click.option(
    "--grid", "grid_file", metavar="FILE", help="YAML file with the lists to try; instead of the technique flags"
)
@flags.technique_options
@click.option(
    "--runtime",
    metavar="A,B,...",
    help="where to measure, e.g. xnnpack,xnnpack[threads=2],reference  [default: xnnpack]",
)
@click.option("--study", metavar="NAME", help="name of the study  [default: from model and data]")
@flags.store_option
@click.option("--jobs", type=click.IntRange(min=1), help="worker processes  [default: number of cores]")
@flags.cluster_options("a dask scheduler to use instead of local workers")
@flags.settings_options
@click.option(
    "--allow-code",
    is_flag=True,
    help="let the model file run code (Lambda layers, classes of its own, operators on files), and a --task of your own",
)
@click.option(
    "--signature",
    metavar="NAME",
    help="which of several signatures of the model  [default: the one that the data fits]",
)
@click.option("--retry-failed", is_flag=True, help="try failed trials again")
@click.option(
    "--task",
    metavar="NAME | OUTPUT=NAME,...",
    help="what labels mean: classification, multi-label, segmentation, regression, detection, none, or your own path.py:function  [default: as labels and outputs look]",
)
@click.option(
    "--profile", is_flag=True, help="print how often each kind of stage ran, how long, and what it waited for"
)
@pass_host
def sweep(host: FrontEnd, model: str, data: str, grid_file: str | None, profile: bool, **values: Any) -> Swept:
    """Try every recipe of a grid on MODEL (.keras, .h5, SavedModel folder, float .tflite).

    Finished work of an earlier call is found in the store and not done again.
    """
    options, grid = sweep_options(host, values), make_grid(host, grid_file, values)
    if options.cluster_address and options.jobs:
        raise WorkbenchError("--jobs and --cluster-address exclude each other: a cluster has its own number of workers")
    begin = time.monotonic()
    found = host.sweep(host.named(model), host.named(data), grid, options)
    return swept(found, time.monotonic() - begin, profile)


@click.command()
@click.option(
    "--out", default="workbench-demo", show_default=True, metavar="DIR", help="folder for the store and the report"
)
@click.option("--runtime", metavar="A,B,...", help="where to measure  [default: xnnpack,builtin]")
@click.option("--jobs", type=click.IntRange(min=1), help="worker processes  [default: number of cores]")
@pass_host
def demo(host: FrontEnd, out: str, **values: Any) -> Swept:
    """Sweep a bundled model on bundled pictures of clothes, and write a report.

    The model is a small network of depthwise separable convolutions for Fashion-MNIST (fashion_cnn, fashion); the sweep tries 36 recipes.
    """
    folder = Path(out)
    begin = time.monotonic()
    options = sweep_options(host, {**values, "study": "demo", "store": folder / "store"})
    study = host.sweep(bundled("fashion_cnn.h5"), "fashion", bundled("demo_grid.yaml"), options)
    report = study.report(folder / "report.html")
    store = shell([str(folder / "store")])
    more = (
        f"\nReport:  {report}   (opens offline in any browser)",
        f"Files:   {folder / 'store' / 'artifacts'}",
        f"Next:    workbench best demo --max-drop 0.01 --store {store}",
        f"         workbench export demo int8 --out int8-bundle --store {store}",
    )
    return swept(study, time.monotonic() - begin, more=more)


def swept(study: Study, seconds: float, profile: bool = False, more: tuple[str, ...] = ()) -> Swept:
    """Return a study as a result; one that has ended has the exit status 1 when a trial failed."""
    ended = not study.running
    code = int(ended and any(t.state == "failed" for t in study.trials))
    return Swept(
        study, code=code, seconds=seconds, profile=study.profiles[-1] if ended and profile else None, more=more
    )


def sweep_options(host: FrontEnd, values: dict[str, Any]) -> SweepOptions:
    """Return what a verb's flags say of how its sweep is run; what it has no flag for is as it is by default."""
    runtime, task = values.get("runtime"), values.get("task")
    same = {f.name: values[f.name] for f in fields(SweepOptions) if f.name in values and f.name != "task"}
    return SweepOptions(
        runtimes=split_list(runtime) if runtime else None,
        task=host.task(task) if task else None,
        cluster_security=flags.cluster_security(values),
        **same,
    )


def make_grid(host: FrontEnd, file: str | None, values: dict[str, Any]) -> Grid:
    """Return the grid of a file, of the text below the line, or of technique flags; flags of settings override its own."""
    axes = {k.removeprefix("axis_"): v for k, v in values.items() if k.startswith("axis_") and v}
    given = [
        *(["--grid"] if file else []),
        *(f"--{name}" for name in axes),
        *(["the cell's text"] if host.body else []),
    ]
    if len(given) > 1 and (file or host.body):
        raise WorkbenchError(f"{given[0]} and {given[1]} exclude each other. Put all lists into one place.")
    if host.body:
        grid = read_grid(host.body, "the cell's text")
    elif file:
        named = host.named(file)
        grid = load_grid(file) if isinstance(named, (str, Path)) else parse_grid(named)
    else:
        grid = parse_grid({k: [False, True] if v is True else split_list(v) for k, v in axes.items()} or None)
    for group, settings in flags.collect(values, flags.SETTINGS).items():
        current = getattr(grid, group)
        grid = grid.model_copy(update={group: read_settings(group, {**current.to_json(), **settings})})
    return grid


def _times(profile: Profile) -> str:
    used = (
        "no stage ran"
        if profile.utilisation is None
        else f"utilisation of {profile.workers} workers {profile.utilisation:.0%} while stages ran"
    )
    return f"prepare {profile.prepare_s:.1f} s, build {profile.build_s:.1f} s ({profile.busy_s:.1f} s of work, {used}), measure {profile.measure_s:.1f} s"

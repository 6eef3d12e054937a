"""`workbench sweep` and `workbench demo`."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import Any

import click

from workbench import api
from workbench.cli import flags
from workbench.cli.output import print_table
from workbench.cli.progress import Progress
from workbench.cli.tables import print_trials
from workbench.data.load import bundled
from workbench.errors import WorkbenchError
from workbench.recipes.grammar import split_list
from workbench.recipes.grid import Grid, load_grid, parse_grid
from workbench.study import Study
from workbench.values.base import build
from workbench.values.profile import Profile


@click.command()
@click.argument("model")
@click.option(
    "--data",
    required=True,
    metavar="DATA",
    help="digits, a .npz file, or a folder of class subfolders of images (FOLDER?size=96x96&scale=-1..1)",
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
@click.option("--cluster-address", metavar="TCP", help="a dask scheduler to use instead of local workers")
@flags.settings_options
@click.option("--allow-code", is_flag=True, help="load Lambda layers, which are Python code, from the model file")
@click.option("--retry-failed", is_flag=True, help="try failed trials again")
@click.option(
    "--profile", is_flag=True, help="print how often each kind of stage ran, how long, and what it waited for"
)
def sweep(
    model: str,
    data: str,
    grid_file: str | None,
    runtime: str | None,
    study: str | None,
    store: str | None,
    jobs: int | None,
    cluster_address: str | None,
    allow_code: bool,
    retry_failed: bool,
    profile: bool,
    **values: Any,
) -> None:
    """Try every recipe of a grid on MODEL (.keras, .h5, SavedModel folder, float .tflite).

    Finished work of an earlier call is found in the store and not done again.
    """
    command = shlex.join(["workbench", *sys.argv[1:]])
    grid = make_grid(grid_file, values)
    if cluster_address and jobs:
        raise WorkbenchError("--jobs and --cluster-address exclude each other: a cluster has its own number of workers")
    begin = time.monotonic()
    with Progress() as progress:
        done = api.sweep(
            model,
            data,
            grid,
            split_list(runtime) if runtime else None,
            study,
            store,
            jobs=jobs,
            cluster_address=cluster_address,
            allow_code=allow_code,
            retry_failed=retry_failed,
            listener=progress,
            command=command,
        )
    code = summarize(done, time.monotonic() - begin)
    if profile:
        print_profile(done.profiles[-1])
    sys.exit(code)


@click.command()
@click.option(
    "--out", default="workbench-demo", show_default=True, metavar="DIR", help="folder for the store and the report"
)
@click.option("--runtime", metavar="A,B,...", help="where to measure  [default: xnnpack,builtin]")
@click.option("--jobs", type=click.IntRange(min=1), help="worker processes  [default: number of cores]")
def demo(out: str, runtime: str | None, jobs: int | None) -> None:
    """Sweep the bundled model on the bundled digits, and write a report.

    The model is a small residual network for the UCI handwritten digits; a sweep of 36 recipes takes two to three minutes on 2 cores.
    """
    folder = Path(out)
    begin = time.monotonic()
    with Progress() as progress:
        command = shlex.join(["workbench", "demo", "--out", out, *(["--runtime", runtime] if runtime else [])])
        study = api.sweep(
            bundled("digits_cnn.h5"),
            "digits",
            bundled("demo_grid.yaml"),
            split_list(runtime) if runtime else None,
            "demo",
            folder / "store",
            jobs=jobs,
            listener=progress,
            command=command,
        )
    report = study.report(folder / "report.html")
    code = summarize(study, time.monotonic() - begin)
    store = shlex.quote(str(folder / "store"))
    print(f"\nReport:  {report}   (opens offline in any browser)")
    print(f"Files:   {folder / 'store' / 'artifacts'}")
    print(f"Next:    workbench best demo --max-drop 0.01 --store {store}")
    print(f"         workbench export demo int8 --out int8-bundle --store {store}")
    sys.exit(code)


def print_profile(profile: Profile) -> None:
    """Print where the time of a run went."""
    print_table(profile.rows(), "Stages")
    used = (
        "no stage ran"
        if profile.utilisation is None
        else f"utilisation of {profile.workers} workers {profile.utilisation:.0%} while stages ran"
    )
    print(
        f"prepare {profile.prepare_s:.1f} s, build {profile.build_s:.1f} s ({profile.busy_s:.1f} s of work, {used}), measure {profile.measure_s:.1f} s"
    )


def make_grid(file: str | None, values: dict[str, Any]) -> Grid:
    """Return the grid of a file or of technique flags; flags of settings override the file's."""
    axes = {k.removeprefix("axis_"): v for k, v in values.items() if k.startswith("axis_") and v}
    if file and axes:
        raise WorkbenchError(
            f"--grid and --{next(iter(axes))} exclude each other. Put the lists into the file, or leave --grid away."
        )
    grid = (
        load_grid(file)
        if file
        else parse_grid({k: [False, True] if v is True else split_list(v) for k, v in axes.items()} or None)
    )
    for group, given in flags.collect(values, flags.SETTINGS).items():
        current = getattr(grid, group)
        grid = grid.model_copy(update={group: build(type(current), {**current.to_json(), **given}, group)})
    return grid


def summarize(study: Study, seconds: float) -> int:
    """Print the trials of a finished sweep and return the exit status: 1 when one failed."""
    trials = study.trials
    print_trials(study.name, trials)
    failed = [t for t in trials if t.state == "failed"]
    warned = sum(bool(t.warnings) for t in trials)
    print(
        f"{len(trials)} trials, {sum(t.state == 'ok' for t in trials)} ok, {len(failed)} failed, {warned} with warnings; {seconds:.1f} s. Study {study.name!r} in {study.store.location}"
    )
    for trial in failed:
        print(f"  failed {trial.recipe}: {trial.error}")
    return 1 if failed else 0

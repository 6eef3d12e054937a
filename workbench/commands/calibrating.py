"""How many calibration samples are enough, and how much the draw matters: `calibration-sweep`."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import click

from workbench.commands import flags
from workbench.commands.host import FrontEnd, pass_host
from workbench.commands.result import Block, Result, Row, Table
from workbench.commands.sweeping import sweep_options
from workbench.engine.engine import Engine
from workbench.errors import WorkbenchError, shown
from workbench.recipes.grammar import split_list
from workbench.recipes.grid import parse_grid
from workbench.study import Study
from workbench.values.settings import MOST_COUNT, MOST_SEED
from workbench.values.trial import Trial

# Both engines have this one way of setting a range from samples (litert-quantizer 0.11, TensorFlow 2.21).
RANGES = "min-max"
ONE_WAY = (
    "Ranges: the smallest and largest value seen (min-max); the quantizers here have no other method for activations."
)


@dataclass
class CalibrationResult(Result):
    """The trials of a study that differ in their calibration, against quality."""

    value: Study

    def blocks(self) -> Iterable[Block]:
        """Return one row per trial, then size by size what the draw makes of it."""
        rows = self.rows()
        yield Table([{k: _text(k, v) for k, v in row.items()} for row in rows], f"Study {self.value.name}")
        yield Table(_by_size(rows), "By size, over seeds")
        yield f"{ONE_WAY} Figures are of the test split: what is chosen by them flatters itself a little there."

    def data(self) -> list[Row]:
        """Return the rows."""
        return self.rows()

    def rows(self) -> list[Row]:
        """Return recipe, size, seed, range method and quality of each trial, numbers as numbers, baseline first."""
        trials = self.value.trials
        baseline = next((t for t in trials if t.baseline), None)
        chosen = [t for t in trials if t.settings and t.settings.calibration]
        chosen.sort(key=lambda t: (t.recipe.removesuffix(t.differs), *_settings(t)))
        primary = baseline.quality.primary if baseline and baseline.quality else None
        key = primary.key if primary else None
        return [_row(t, key) for t in [*([baseline] if baseline else []), *chosen]]


@click.command("calibration-sweep")
@click.argument("model")
@click.option("--data", required=True, metavar="DATA", help="as for `sweep`, with a train or calibration split")
@click.option("--sizes", default="20,50,100,200,500", show_default=True, metavar="N,...", help="numbers of samples")
@click.option("--seeds", default="0,1,2", show_default=True, metavar="N,...", help="seeds of the draw")
@click.option(
    "--recipes",
    default="int8",
    show_default=True,
    metavar="A,B,...",
    help="what is calibrated, e.g. int8,int16x8,int8[engine=converter]",
)
@click.option("--study", metavar="NAME", help="name of the study  [default: from model and data]")
@flags.store_option
@click.option("--jobs", type=click.IntRange(min=1), help="worker processes  [default: number of cores]")
@click.option("--allow-code", is_flag=True, help="let the model file run code, and a --task of your own")
@click.option("--task", metavar="NAME | OUTPUT=NAME,...", help="what labels mean, as for `sweep`")
@flags.format_option
@pass_host
def calibration_sweep(
    host: FrontEnd, model: str, data: str, sizes: str, seeds: str, recipes: str, form: str, **values: Any
) -> CalibrationResult:
    """Calibrate MODEL with several numbers of samples, drawn by several seeds, and hold them against quality.

    Each is a trial of one study: `show`, `report` and the dashboard have them all. Nothing is timed.
    """
    counts = sorted(set(_numbers(sizes, "--sizes", 1, MOST_COUNT)))
    draws = list(dict.fromkeys(_numbers(seeds, "--seeds", 0, MOST_SEED)))
    named = split_list(recipes)
    options, source, given = sweep_options(host, values), host.named(model), host.named(data)
    notes: list[str] = []
    study: Study | None = None
    with Engine(options.jobs) as engine:
        for count in counts:
            if study is not None and count > (there := _samples(study)):
                notes.append(f"there are {there:,} samples to draw from: sizes above mean all of them, tried once")
                if counts[counts.index(count) - 1] >= there:
                    break
                count, draws = there, draws[:1]
            for seed in draws:
                grid = parse_grid(
                    {
                        "recipes": named,
                        "calibration": {"samples": count},
                        "train": {"seed": seed},
                        "measure": {"skip": True},
                    }
                )
                running = host.sweep(source, given, grid, options, engine)
                running.wait()
                study = running
                _check(study, named)
            if notes:
                break
    assert study is not None  # there is a size and a seed
    failed = [t for t in study.trials if t.state == "failed"]
    notes += [f"failed {t.recipe}: {t.error}" for t in failed]
    return CalibrationResult(study, form, tuple(notes), int(bool(failed)))


def _numbers(text: str, flag: str, least: int, most: int) -> list[int]:
    """Return the whole numbers of a list; raises WorkbenchError for another word, or none."""
    found = []
    for word in split_list(text):
        if not word.isdecimal() or not least <= int(word[:20]) <= most:
            raise WorkbenchError(
                f"{flag} {shown(word)} is not understood. Allowed: whole numbers from {least} to {most}."
            )
        found.append(int(word))
    if not found:
        raise WorkbenchError(f"{flag} is empty. Give numbers, e.g. {flag} {least},{least + 1}.")
    return found


def _check(study: Study, named: list[str]) -> None:
    """Raise WorkbenchError where nothing of what was asked for is calibrated."""
    if not any(t.settings and t.settings.calibration for t in study.trials):
        raise WorkbenchError(
            f"no recipe of {', '.join(map(shown, named))} is calibrated, so that its samples change nothing. Give one that is: int8, int8-float-io, int16x8, without qat before it."
        )


def _samples(study: Study) -> int:
    """Return how many samples there are to draw from."""
    splits = study.record.dataset.splits
    return splits[study.record.dataset.calibration_from]


def _settings(trial: Trial) -> tuple[int, int]:
    settings = trial.settings
    assert settings is not None
    assert settings.calibration is not None
    return settings.calibration.samples, settings.seed or 0


def _row(trial: Trial, key: str | None) -> Row:
    quality, size, seed = trial.quality, None, None
    if not trial.baseline:
        size, seed = _settings(trial)
    figure = quality.figure(key) if quality and key else None
    row: Row = {
        "recipe": trial.recipe.removesuffix(trial.differs),
        "samples": size,
        "seed": seed,
        "ranges": None if trial.baseline else RANGES,
    }
    if key:
        loss = figure.loss if figure else None
        row |= {key: figure and figure.value, "low": figure and figure.low, "high": figure and figure.high}
        row["worse_by"] = loss and loss.value
    row |= {"agreement": quality and quality.agreement, "sqnr_db": quality and quality.sqnr_db}
    return {**row, "state": trial.state, "warnings": "; ".join(w.kind for w in trial.warned)}


def _by_size(rows: list[Row]) -> list[Row]:
    """Return mean and spread over seeds by recipe and size, of the primary figure, or of SQNR where nothing is labelled."""
    groups: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        if row["samples"] is not None and row["state"] == "ok":
            groups.setdefault((row["recipe"], row["samples"]), []).append(row)
    found = []
    for (recipe, size), members in groups.items():
        line: Row = {"recipe": recipe, "samples": size, "draws": len(members)}
        for key in [k for k in members[0] if k in _SPREAD or k not in _FIXED]:
            values = [float(m[key]) for m in members if m[key] is not None]
            if values:
                line[key] = f"{statistics.fmean(values):.4g} ({min(values):.4g} to {max(values):.4g})"
        found.append(line)
    return found


_SPREAD = ("sqnr_db",)
_FIXED = ("recipe", "samples", "seed", "ranges", "low", "high", "worse_by", "agreement", "sqnr_db", "state", "warnings")


def _text(name: str, value: Any) -> Any:
    """Return a cell for people."""
    return (
        f"{value:.4g}"
        if isinstance(value, float)
        else "-"
        if value is None and name not in ("seed", "samples")
        else value
    )

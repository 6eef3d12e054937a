"""Verbs that try one technique on the current model: a verb for each, made from its `Params`; `convert`, `delegate`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import click

from workbench import registry
from workbench.commands import flags
from workbench.commands.host import FrontEnd
from workbench.commands.result import Block, Result, Row
from workbench.commands.sweeping import sweep_options
from workbench.commands.tables import trials_table
from workbench.handle import RunningSweep
from workbench.recipes import grammar
from workbench.recipes.grid import parse_grid
from workbench.techniques.base import KerasTechnique
from workbench.values.params import ParamSpec, param_specs
from workbench.values.recipe import SCHEMES
from workbench.values.settings import Calibration, Train
from workbench.values.trial import Trial
from workbench.views.table import rows

BASELINE = "float32"


@dataclass
class Tried(Result):
    """Some recipes tried on the current model: the trial, or a list of them, once the sweep has ended."""

    study: RunningSweep = field(kw_only=True)
    recipes: tuple[str, ...] = field(kw_only=True)

    def finish(self) -> None:
        """Take the trials from the study, which has ended."""
        trials = self.trials
        self.value = trials[0] if len(trials) == 1 else trials

    @property
    def trials(self) -> list[Trial]:
        """The trials of these recipes as they are now."""
        found = {t.recipe: t for t in self.study.trials}
        return [found[r] for r in self.recipes if r in found]

    def blocks(self) -> Iterable[Block]:
        """Return the trials below their baseline."""
        wanted = set(self.recipes)
        return [trials_table(self.study.name, [t for t in self.study.trials if t.baseline or t.recipe in wanted])]

    def data(self) -> Any:
        """Return the trials."""
        return [t.to_json() for t in self.trials]

    def rows(self) -> Sequence[Row]:
        """Return one flat row per trial."""
        return [r for r in rows(self.study.trials) if r["recipe"] in self.recipes]


def technique(name: str) -> click.Command:
    """Return the verb of a technique, its options made from the technique's `Params`."""
    found = registry.techniques.get(name)
    specs = param_specs(found.params)
    trained = isinstance(found, KerasTechnique)

    def run(host: FrontEnd, /, **values: Any) -> Tried:
        options = {k.removeprefix("own__"): v for k, v in values.items() if k.startswith("own__") and v is not None}
        chosen = grammar.split_list(values["primary"]) if values.get("primary") else [None]
        steps = [grammar.step_text(grammar.step_of(name, value, options)) for value in chosen]
        around = (values.get("after"), values.get("then"))
        recipes = ["+".join(part for part in (around[0], step, around[1]) if part) for step in steps]
        return attempt(host, recipes, values)

    command: Any = click.pass_obj(run)
    for spec in reversed(specs):
        if not spec.primary:
            command = flags.param_option(spec, f"own__{spec.name}", "")(command)
    if trained:
        command = _settings(command, "train", Train)
        command = click.option(
            "--then",
            # A model that simulates 8 bits is made to be written in them.
            default="int8" if isinstance(found, KerasTechnique) and found.quantization_aware else BASELINE,
            show_default=True,
            metavar="RECIPE",
            help="what follows, ending in a scheme, e.g. int8",
        )(command)
    else:
        command = _settings(command, "calibration", Calibration)
    command = click.option("--after", metavar="RECIPE", help="steps before this one, e.g. prune:0.5")(command)
    command = _about(command)
    primary = next((s for s in specs if s.primary), None)
    if primary is not None:
        command = click.argument("primary", required=False, metavar=f"[{primary.name.upper()}]")(command)
    made = click.command(name, help=_help(found.help, primary))(command)
    made.spec = primary  # type: ignore[attr-defined]  # what the form makes of the argument
    return made


def convert(_name: str) -> click.Command:
    """Return the verb that converts the model as it is."""

    def run(host: FrontEnd, /, **values: Any) -> Tried:
        return attempt(host, [BASELINE], values)

    return click.command("convert", help="Convert the current model to a float .tflite and run it.")(
        _about(click.pass_obj(run))
    )


def delegate(_name: str) -> click.Command:
    """Return the verb that runs one variant on many runtimes."""

    def run(host: FrontEnd, /, runtimes: str, recipe: str, **values: Any) -> Tried:
        return attempt(host, [recipe], {**values, "runtime": runtimes})

    command = click.option(
        "--recipe",
        default="int8",
        show_default=True,
        metavar="RECIPE",
        help=f"the variant to run, e.g. {', '.join(SCHEMES[:5])}",
    )(_about(click.pass_obj(run), runtime=False))
    command = click.argument("runtimes", metavar="A,B,...")(command)
    return click.command(
        "delegate",
        help="Run one variant of the current model on many runtimes: operators taken, latency, outputs against the reference kernels.",
    )(command)


def attempt(host: FrontEnd, recipes: Sequence[str], values: dict[str, Any]) -> Tried:
    """Start a sweep of some recipes and the baseline; raises WorkbenchError for a recipe that cannot be."""
    names = [grammar.recipe_text(grammar.parse_recipe(r)) for r in recipes]
    settings = flags.collect(values, flags.SETTINGS)
    grid = parse_grid({"recipes": [BASELINE, *names], **settings})
    study = host.sweep(host.named(values["model"]), host.named(values["data"]), grid, sweep_options(host, values))
    return Tried(None, study=study, recipes=tuple(dict.fromkeys(names)))


def _about(command: Any, runtime: bool = True) -> Any:
    """Add what every try is about."""
    command = flags.store_option(command)
    command = click.option("--study", metavar="NAME", help="name of the study  [default: from model and data]")(command)
    if runtime:
        command = click.option("--runtime", metavar="A,B,...", help="where to measure  [default: xnnpack]")(command)
    command = click.option("--data", required=True, metavar="DATA", help="a dataset's name, path or variable")(command)
    return click.option("--model", required=True, metavar="MODEL", help="a model's path or variable")(command)


def _settings(command: Callable[..., Any], group: str, cls: Any) -> Any:
    prefix = flags.SETTINGS[group][1]
    for spec in reversed(param_specs(cls)):
        command = flags.param_option(spec, f"{group}__{spec.name}", prefix)(command)
    return command


def _help(text: str, primary: ParamSpec | None) -> str:
    value = (
        f"\n\nThe value is the {primary.help} [default: {primary.default}]; several, parted by commas, are tried side by side."
        if primary
        else ""
    )
    return f"{text[0].upper()}{text[1:]}, on the current model.{value}"

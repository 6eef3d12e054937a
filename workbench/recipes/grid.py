"""Grids: the lists a sweep expands into recipes, checked whole before anything runs."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

from workbench import registry
from workbench.errors import WorkbenchError, shown, unknown
from workbench.recipes import grammar
from workbench.recipes.document import check_plain, load_document, read_document
from workbench.values.base import Value, build
from workbench.values.limits import Limits, read_limits
from workbench.values.params import Params
from workbench.values.recipe import SCHEMES, Recipe, Step
from workbench.values.settings import Calibration, Measure, Search, StageLimits, Train
from workbench.values.source import SourceKind
from workbench.values.trial import RuntimeSpec

# The dashboard and the store were measured with so many.
MOST_RECIPES = 10_000
_SETTINGS: dict[str, type[Params]] = {
    "train": Train,
    "calibration": Calibration,
    "measure": Measure,
    "search": Search,
    "limits": StageLimits,
    "constraints": Limits,
}


class Grid(Value):
    """Axes (technique name to a list of steps, None for "without"), explicit recipes, runtimes and settings."""

    axes: dict[str, tuple[Step | None, ...]] = {}
    recipes: tuple[Recipe, ...] = ()
    runtimes: tuple[RuntimeSpec, ...] = ()
    train: Train = Train()
    calibration: Calibration = Calibration()
    measure: Measure = Measure()
    search: Search = Search()
    limits: StageLimits = StageLimits()
    constraints: Limits = Limits()


class Expansion(Value):
    """The distinct recipes of a grid for one kind of source, and the combinations left out with the reason."""

    recipes: tuple[Recipe, ...]
    dropped: dict[str, str] = {}


def parse_grid(data: dict[str, Any] | Grid | None) -> Grid:
    """Return the grid that a dict (as read from YAML) describes.

    Keys are technique names, `recipes`, `runtimes` and the settings `train calibration measure search limits
    constraints`. Raises WorkbenchError for an unknown key or value, with the nearest allowed.
    """
    if isinstance(data, Grid):
        return data
    data = {"quantize": ["float32"]} if data is None else data
    if not isinstance(data, dict):
        raise WorkbenchError(
            f"a grid is a mapping such as {{quantize: [float32, int8]}}, not {type(data).__name__}: {shown(data)}"
        )
    check_plain(data, "the grid")
    names = registry.techniques.names()
    allowed = [*names, "recipes", "runtimes", *_SETTINGS]
    axes: dict[str, tuple[Step | None, ...]] = {}
    fields: dict[str, Any] = {}
    for key, value in data.items():
        if key in _SETTINGS:
            if not isinstance(value, dict):
                raise WorkbenchError(f"grid key {key!r} is a mapping of settings, not {shown(value)}")
            fields[key] = read_settings(key, value)
        elif key == "recipes":
            fields[key] = tuple(grammar.parse_recipe(str(v)) for v in _as_list(value))
        elif key == "runtimes":
            fields[key] = parse_runtimes(value)
        elif key in names:
            axes[key] = tuple(dict.fromkeys(_axis_value(key, v) for v in _as_list(value)))
        else:
            raise unknown("grid key", str(key), allowed)
    return Grid(axes=axes, **fields)


def read_settings(key: str, value: dict[str, Any]) -> Params:
    """Return the settings that stand under a key of a grid; raises WorkbenchError for names and values that are not allowed."""
    if key == "constraints":
        limits = read_limits(value, key)
        limits.check_runtimes(grammar.parse_runtime)
        return limits
    if key == "search" and "strategy" in value:
        value = {**value, "strategy": grammar.proposer_text(*grammar.parse_proposer(value["strategy"]))}
    return build(_SETTINGS[key], value, key)


def grid_dict(grid: Grid) -> dict[str, Any]:
    """Return a grid as a user would write it: lists of values, settings that are not at their default; `parse_grid` gives it back."""
    found: dict[str, Any] = {}
    for name, steps in grid.axes.items():
        found[name] = [_axis_text(name, step) for step in steps]
    if grid.recipes:
        found["recipes"] = [grammar.recipe_text(r) for r in grid.recipes]
    if grid.runtimes:
        found["runtimes"] = [grammar.runtime_text(r.name, r.options) for r in grid.runtimes]
    for name, cls in _SETTINGS.items():
        given, defaults = getattr(grid, name).to_json(), cls().to_json()
        changed = {k: v for k, v in given.items() if v != defaults.get(k)}
        if changed:
            found[name] = changed
    return found


def load_grid(path: str | Path) -> Grid:
    """Return the grid of a YAML file; raises WorkbenchError when it cannot be read."""
    return _from_document(load_document(path, "grid file"), f"grid file {shown(str(path))}")


def read_grid(text: str, where: str) -> Grid:
    """Return the grid of a YAML text; `where` names it in the error when it is not valid."""
    return _from_document(read_document(text, where), where)


def _from_document(data: Any, where: str) -> Grid:
    try:
        return parse_grid({} if data is None else data)
    except WorkbenchError as error:
        raise WorkbenchError(f"{where}: {error}") from None


def parse_runtimes(value: Any) -> tuple[RuntimeSpec, ...]:
    """Return runtimes from names, `name[key=value]` texts or `{name: ..., key: value}` mappings; duplicates removed."""
    found = []
    for item in _as_list(value):
        if isinstance(item, RuntimeSpec):
            found.append(grammar.make_runtime(item.name, dict(item.options)))
        elif isinstance(item, dict):
            options = dict(item)
            if "name" not in options:
                raise WorkbenchError(f"runtime {shown(item)} has no name. Write {{name: xnnpack, threads: 2}}.")
            found.append(grammar.make_runtime(str(options.pop("name")), options))
        else:
            found.append(grammar.parse_runtime(str(item)))
    unique = {(r.name, str(sorted(r.options.items()))): r for r in found}
    return tuple(unique.values())


def expand(grid: Grid, source: SourceKind) -> Expansion:
    """Return the distinct recipes of the grid that fit the source.

    An axis value that no combination can use raises WorkbenchError; a combination of allowed values
    that does not go together (such as QAT with float16) is left out with its reason.
    """
    axes = {name: values for name, values in grid.axes.items() if values}
    ends = [n for n in axes if registry.techniques.get(n).level == "flatbuffer"]
    if not ends and (axes or not grid.recipes):
        axes["quantize"] = (grammar.make_step("quantize", {"scheme": "float32"}),)
        ends = ["quantize"]
    recipes: dict[str, Recipe] = {}
    dropped: dict[str, str] = {}
    used: set[Step] = set()
    middle = sorted((n for n in axes if n not in ends), key=lambda n: registry.techniques.get(n).order)
    _check_count(grid, axes, middle, ends)
    for end in ends:
        for combination in itertools.product(*(axes[n] for n in middle), axes[end]):
            steps = tuple(s for s in combination if s is not None)
            if not steps:
                continue
            recipe = Recipe(steps=steps)
            reason = grammar.check_recipe(recipe, source)
            if reason:
                dropped[grammar.recipe_text(recipe)] = reason
            else:
                recipes[recipe.id] = recipe
                used.update(steps)
    for values in axes.values():
        for step in values:
            if step is not None and step not in used:
                raise WorkbenchError(_why_unused(step, dropped))
    for recipe in grid.recipes:
        reason = grammar.check_recipe(recipe, source)
        if reason:
            raise WorkbenchError(reason)
        recipes[recipe.id] = recipe
    return Expansion(recipes=tuple(recipes.values()), dropped=dropped)


def _check_count(grid: Grid, axes: dict[str, tuple[Step | None, ...]], middle: list[str], ends: list[str]) -> None:
    """Raise WorkbenchError where the lists stand for more recipes than can be made, before any is."""
    combined = math.prod(len(axes[n]) for n in middle) * sum(len(axes[n]) for n in ends)
    if combined + len(grid.recipes) > MOST_RECIPES:
        lists = " x ".join(f"{n} {len(axes[n]):,}" for n in (*middle, *ends))
        more = f", and {len(grid.recipes):,} single ones" if grid.recipes else ""
        raise WorkbenchError(
            f"the grid stands for {combined + len(grid.recipes):,} recipes ({lists}{more}). Allowed: at most {MOST_RECIPES:,}. Take values out of its lists."
        )


def _why_unused(step: Step, dropped: dict[str, str]) -> str:
    text = grammar.step_text(step)
    reasons = [reason for recipe, reason in dropped.items() if text in recipe.split("+")]
    return f"`{text}` fits no recipe of this grid: {reasons[0] if reasons else 'no scheme follows it'}"


def _axis_value(name: str, value: Any) -> Step | None:
    if value is None or value is False or (isinstance(value, str) and value.lower() in ("none", "false", "no", "off")):
        return None
    if value is True or (isinstance(value, str) and value.lower() in ("true", "yes", "on")):
        return grammar.step_of(name)
    if isinstance(value, dict):
        return grammar.make_step(name, value)
    text = str(value)
    if name == "quantize":
        head = text.partition("[")[0].strip()
        if head not in SCHEMES:
            raise unknown("scheme", head, SCHEMES)
        return grammar.parse_step(text)
    return grammar.parse_step(f"{name}{text}" if text.startswith("[") else f"{name}:{text}")


def _axis_text(name: str, step: Step | None) -> Any:
    if registry.techniques.get(name).params.primary is None and (step is None or not step.params):
        return step is not None
    if step is None:
        return "none"
    # A scheme's own text has no technique before it; the others are written without it under their key.
    text = grammar.step_text(step)
    return text.removeprefix(name).removeprefix(":")


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]

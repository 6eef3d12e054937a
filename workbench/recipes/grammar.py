"""The text form of recipes: `prune:0.5+cluster:16[init=linear]+int8`.

    recipe  := step ("+" step)*
    step    := NAME [":" PRIMARY] ["[" KEY "=" VALUE ("," KEY "=" VALUE)* "]"]

A scheme's name stands for the `quantize` step with that scheme. Brackets keep commas of options
apart from commas of lists (`--prune "0.5[schedule=constant,begin=0.1],0.8"`).
"""

from __future__ import annotations

import re
from typing import Any

from workbench import registry
from workbench.errors import WorkbenchError, shown, unknown
from workbench.techniques.base import KerasTechnique, Technique
from workbench.values.base import build
from workbench.values.difference import MARK
from workbench.values.params import Params
from workbench.values.recipe import SCHEMES, Recipe, Step
from workbench.values.source import SourceKind
from workbench.values.trial import Measurement, RuntimeSpec

MOST_STEPS = 32

_STEP = re.compile(r"(?P<name>[A-Za-z][\w.-]*)(?::(?P<primary>[^\[\]+]*))?(?:\[(?P<options>[^\[\]]*)\])?")

# A runtime's value may be a path, in which a plus sign is a letter like any other.
_RUNTIME = re.compile(r"(?P<name>[A-Za-z][\w.-]*)(?::(?P<primary>[^\[\]]*))?(?:\[(?P<options>[^\[\]]*)\])?")


def split_list(text: str, separator: str = ",") -> list[str]:
    """Split at separators outside brackets; parts are stripped, empty ones dropped."""
    parts, depth, part = [], 0, ""
    for char in text:
        depth += (char == "[") - (char == "]")
        if char == separator and depth == 0:
            parts.append(part)
            part = ""
        else:
            part += char
    return [p.strip() for p in [*parts, part] if p.strip()]


def parse_recipe(text: str) -> Recipe:
    """Return the recipe that a text names, every step checked against its technique's `Params`.

    Raises WorkbenchError that names what is wrong and what is allowed.
    """
    parts = split_list(text, "+")
    if not parts:
        raise WorkbenchError(f"recipe {shown(text)} has no step. Example: prune:0.5+int8.")
    if len(parts) > MOST_STEPS:
        raise WorkbenchError(f"recipe {shown(text)} has {len(parts):,} steps. Allowed: at most {MOST_STEPS}.")
    return Recipe(steps=tuple(parse_step(p) for p in parts))


def parse_step(text: str) -> Step:
    """Return the step that a text names."""
    name, primary, options = parse_call(text, "step")
    if name in SCHEMES:
        if primary is not None:
            raise WorkbenchError(
                f"scheme {name!r} takes no value, but {shown(text)} gives {shown(primary)}. Write {name}[key=value] for options."
            )
        return step_of("quantize", name, options)
    if name not in registry.techniques.names():
        raise unknown("technique or scheme", name, [*registry.techniques.names(), *SCHEMES])
    return step_of(name, primary, options)


def step_of(name: str, primary: Any = None, options: dict[str, Any] | None = None) -> Step:
    """Return a step from a technique's name, its primary value (None for the default) and further options."""
    params = dict(options or {})
    technique = registry.techniques.get(name)
    if primary is not None:
        key = technique.params.primary
        if key is None:
            raise WorkbenchError(
                f"technique {name!r} takes no value, but got {shown(primary)}. Write {name} or {name}[key=value]."
            )
        if key in params:
            raise WorkbenchError(f"technique {name!r} gets {key!r} twice: {shown(primary)} and {shown(params[key])}.")
        params[key] = primary
    return make_step(name, params)


def make_step(name: str, params: dict[str, Any]) -> Step:
    """Return the canonical step: parameters checked, the primary one and those not at their default kept."""
    technique = registry.techniques.get(name)
    full = checked(technique.params, params, f"technique {name!r}")
    defaults = {k: f.get_default(call_default_factory=True) for k, f in technique.params.model_fields.items()}
    data = full.to_json()
    kept = {k: v for k, v in data.items() if k == technique.params.primary or getattr(full, k) != defaults[k]}
    return Step(technique=name, params=kept)


def checked(cls: type[Params], params: dict[str, Any], where: str) -> Params:
    """Return typed parameters; raises WorkbenchError with the nearest name or the allowed range."""
    return build(cls, params, where, f"parameter of {where}")


def resolve(step: Step) -> tuple[Technique[Any], Params]:
    """Return a step's technique and its full, typed parameters."""
    technique = registry.techniques.get(step.technique)
    return technique, checked(technique.params, dict(step.params), f"technique {step.technique!r}")


def step_text(step: Step) -> str:
    """Return the text form of a step."""
    technique = registry.techniques.get(step.technique)
    primary = technique.params.primary
    options = {k: v for k, v in step.params.items() if k != primary}
    value = step.params.get(primary) if primary else None
    if step.technique == "quantize":
        head = str(value)
    else:
        head = step.technique if value is None else f"{step.technique}:{_value_text(value)}"
    return head + _options_text(options)


def recipe_text(recipe: Recipe) -> str:
    """Return the text form of a recipe; `parse_recipe` gives the recipe back."""
    return "+".join(step_text(s) for s in recipe.steps)


def check_recipe(recipe: Recipe, source: SourceKind) -> str | None:
    """Return why a recipe cannot be made from that kind of source, or None."""
    for i, step in enumerate(recipe.steps):
        technique, params = resolve(step)
        last = i == len(recipe.steps) - 1
        if last != (technique.level == "flatbuffer"):
            if last:
                return f"recipe {recipe_text(recipe)!r} ends in `{step.technique}`; a recipe ends in a scheme, e.g. +int8. Allowed: {', '.join(SCHEMES)}"
            return f"`{step_text(step)}` makes the file and so must be the last step of {recipe_text(recipe)!r}"
        if i and not last and _aware(recipe.steps[i - 1]):
            return (
                f"only a scheme can follow `{step_text(recipe.steps[i - 1])}`, not `{step_text(step)}`; put it before"
            )
        reason = technique.check(params, recipe.steps[:i], source)
        if reason:
            return reason
    return None


def _aware(step: Step) -> bool:
    technique = registry.techniques.get(step.technique)
    return isinstance(technique, KerasTechnique) and technique.quantization_aware


def parse_runtime(text: str) -> RuntimeSpec:
    """Return a runtime from `name`, `name[threads=2]` or `delegate:PATH?key=value[threads=2]`, its options checked."""
    name, primary, options = parse_call(text, "runtime", _RUNTIME)
    if primary is not None:
        key = registry.runtimes.get(name).params.primary
        if key is None or key in options:
            raise WorkbenchError(f"runtime {text!r}: options go into brackets, e.g. {name}[threads=2].")
        options[key] = primary
    return make_runtime(name, options)


def make_runtime(name: str, options: dict[str, Any]) -> RuntimeSpec:
    """Return a runtime with all its options typed and explicit."""
    params = checked(registry.runtimes.get(name).params, options, f"runtime {name!r}")
    return RuntimeSpec(name=name, options=params.to_json())


def measured_text(measurement: Measurement) -> str:
    """Return the text form of a measurement's runtime, with its machine where a study has several: `xnnpack @ Cortex-A72, 4 cores`."""
    text = runtime_text(measurement.runtime, measurement.options)
    return f"{text}{MARK}{measurement.place}" if measurement.place else text


def named_runtime(text: str) -> str:
    """Return the text form of a runtime that a user named, its machine with it where one is: `xnnpack @ Cortex-A72, 4 cores`.

    Raises WorkbenchError for an unknown runtime or option.
    """
    name, mark, place = text.partition(MARK)
    spec = parse_runtime(name)
    return f"{runtime_text(spec.name, spec.options)}{mark}{place}"


def parse_proposer(value: Any) -> tuple[str, Params]:
    """Return name and typed options of a proposer from `tpe`, `tpe[startup=5]` or `{name: tpe, startup: 5}`.

    Raises WorkbenchError for a name that there is not, with the nearest, and for options that it does not have.
    """
    if value is None:
        raise WorkbenchError(
            f"search: strategy is empty. Name one of {', '.join(sorted(registry.proposers.all()))}, or leave the line away for `grid`."
        )
    if isinstance(value, dict):
        options = dict(value)
        if "name" not in options:
            raise WorkbenchError(f"search: strategy {shown(value)} has no name. Write {{name: tpe, startup: 5}}.")
        name = str(options.pop("name"))
    else:
        name, primary, options = parse_call(str(value), "proposer", _RUNTIME)
        if primary is not None:
            raise WorkbenchError(f"proposer {shown(value)}: options go into brackets, e.g. tpe[startup=5].")
    return name, checked(registry.proposers.get(name).params, options, f"proposer {name!r}")


def proposer_text(name: str, params: Params) -> str:
    """Return the text form of a proposer: options at their default left out; `parse_proposer` gives it back."""
    defaults = {k: f.get_default(call_default_factory=True) for k, f in type(params).model_fields.items()}
    return name + _options_text({k: v for k, v in params.to_json().items() if getattr(params, k) != defaults[k]})


def runtime_text(name: str, options: dict[str, Any]) -> str:
    """Return the short text of a runtime: options at their default left out."""
    try:
        params = registry.runtimes.get(name).params
    except Exception:  # a stored study may name a plug-in that is gone or broken; its figures are still shown
        params = Params
    return call_text(name, options, params)


def call_text(name: str, options: dict[str, Any], params: type[Params]) -> str:
    """Return `name:value[key=value,...]` of options of those parameters: those at their default left out."""
    fields, primary = params.model_fields, params.primary
    kept = {
        k: v for k, v in options.items() if k not in fields or v != fields[k].get_default(call_default_factory=True)
    }
    value = kept.pop(primary, None) if primary else None
    return name + (f":{value}" if value is not None else "") + _options_text(kept)


def parse_call(text: str, what: str, pattern: re.Pattern[str] = _STEP) -> tuple[str, str | None, dict[str, str]]:
    """Return name, primary value and options of `name:value[key=value,...]`; raises WorkbenchError for another form."""
    match = pattern.fullmatch(text.strip())
    if not match:
        raise WorkbenchError(
            f"{what} {shown(text)} is not understood. Write name, name:value or name[key=value,key=value]."
        )
    options: dict[str, str] = {}
    for part in split_list(match["options"] or ""):
        key, sign, value = part.partition("=")
        key = key.strip()
        if not sign:
            raise WorkbenchError(f"option {shown(part)} of {shown(text)} has no value. Write key=value.")
        if key in options:
            raise WorkbenchError(
                f"option {shown(key)} of {shown(text)} is given twice: {shown(options[key])} and {shown(value.strip())}."
            )
        options[key] = value.strip()
    return match["name"], match["primary"], options


def _options_text(options: dict[str, Any]) -> str:
    if not options:
        return ""
    return "[" + ",".join(f"{k}={_value_text(options[k])}" for k in sorted(options)) + "]"


def _value_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)

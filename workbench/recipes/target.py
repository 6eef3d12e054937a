"""Targets as users write them: `python`, `c[align=32]`."""

from __future__ import annotations

from workbench import registry
from workbench.errors import WorkbenchError
from workbench.recipes.grammar import call_text, checked, parse_call
from workbench.values.target import TargetSpec


def parse_target(text: str) -> TargetSpec:
    """Return a target from `name`, `name[key=value]` or, where it has a primary option, `name:value`, its options typed and explicit.

    Raises WorkbenchError for an unknown target or option.
    """
    name, primary, options = parse_call(text, "target")
    params = registry.targets.get(name).params
    if primary is not None:
        if params.primary is None or params.primary in options:
            raise WorkbenchError(f"target {text!r}: {_options_of(name, list(params.model_fields))}")
        options[params.primary] = primary
    return TargetSpec(name=name, options=checked(params, dict(options), f"target {name!r}").to_json())


def _options_of(name: str, options: list[str]) -> str:
    if not options:
        return f"{name} takes no options. Write {name}."
    return f"options go into brackets, e.g. {name}[{options[0]}=VALUE]. Options: {', '.join(options)}."


def target_text(spec: TargetSpec) -> str:
    """Return the short text of a target: options at their default left out."""
    return call_text(spec.name, spec.options, registry.targets.get(spec.name).params)

"""`Params`: the one description of a technique, a runtime or a group of settings.

Grid check, command-line flags, completions, forms and the reference table are all made from
`param_specs(...)`; nothing else says what a parameter is.
"""

from __future__ import annotations

import types
from typing import Any, ClassVar, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import ConfigDict
from pydantic.fields import FieldInfo

from workbench.values.base import Value


class Params(Value):
    """Typed, frozen parameters; `primary` names the one that the short text form sets."""

    # Of what is measured NaN says that there is none; what somebody asks for is a number.
    model_config = ConfigDict(allow_inf_nan=False)

    primary: ClassVar[str | None] = None


class NoParams(Params):
    """For a part without parameters."""


class ParamSpec(Value):
    """What a flag, a form field or a table row needs to know of one parameter; `registry` is where the names that it takes are found."""

    name: str
    kind: Literal["int", "float", "bool", "str", "choice"]
    default: Any
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    optional: bool = False
    primary: bool = False
    registry: str = ""
    help: str


def param_specs(params: type[Params]) -> tuple[ParamSpec, ...]:
    """Return the description of every parameter, in declaration order."""
    return tuple(_spec(params, name, field) for name, field in params.model_fields.items())


def _spec(params: type[Params], name: str, field: FieldInfo) -> ParamSpec:
    annotation: Any = field.annotation
    optional = False
    if get_origin(annotation) in (Union, types.UnionType):
        inner = [a for a in get_args(annotation) if a is not type(None)]
        optional = len(inner) < len(get_args(annotation))
        # A parameter that takes a number or a word ("0.5" or "2:4") is typed in as text.
        annotation = inner[0] if len(inner) == 1 else str
    choices: tuple[str, ...] = ()
    if get_origin(annotation) is Literal:
        choices = tuple(str(a) for a in get_args(annotation))
        kind = "choice"
    else:
        kind = {int: "int", float: "float", bool: "bool"}.get(annotation, "str")
    low = high = None
    for meta in field.metadata:
        if isinstance(meta, annotated_types.Ge):
            low = float(meta.ge)  # type: ignore[arg-type]  # the bound is a number in our Params
        elif isinstance(meta, annotated_types.Gt):
            low = float(meta.gt)  # type: ignore[arg-type]  # as above
        elif isinstance(meta, annotated_types.Le):
            high = float(meta.le)  # type: ignore[arg-type]  # as above
        elif isinstance(meta, annotated_types.Lt):
            high = float(meta.lt)  # type: ignore[arg-type]  # as above
    return ParamSpec(
        name=name,
        kind=kind,
        default=field.get_default(call_default_factory=True),
        choices=choices,
        low=low,
        high=high,
        optional=optional,
        primary=name == params.primary,
        registry=str(field.json_schema_extra.get("registry", "")) if isinstance(field.json_schema_extra, dict) else "",
        help=field.description or "",
    )

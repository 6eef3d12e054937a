"""A verb's parameters as fields of a form: the description that its flags are made of, read once more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple, get_args

import click

from workbench.commands.flags import SETTINGS, SpecOption
from workbench.names import command
from workbench.values.params import ParamSpec

Group = Literal["what", "how", "options", "settings", "where"]
GROUPS: tuple[Group, ...] = get_args(Group)
# What a field is about by the name of its parameter, where its description does not say it.
_WHAT = ("model", "data", "file", "source", "name", "study", "trial", "primary", "runtimes", "recipe")
_WHERE = (
    *("store", "jobs", "cluster_address", "cluster_ca", "cluster_cert", "cluster_key"),
    *("allow_code", "retry_failed", "profile", "form", "node_data", "out"),
)


class Field(NamedTuple):
    """One field: the parameter it fills, the flag that sets it (None: by place), its description, the part it stands in."""

    parameter: click.Parameter
    flag: str | None
    spec: ParamSpec
    required: bool
    group: Group

    @property
    def name(self) -> str:
        """The parameter's name, unique in its verb."""
        return str(self.parameter.name)


def fields(command: click.Command) -> list[Field]:
    """Return a verb's fields, those that say what is worked on first."""
    found = [_field(command, p) for p in command.params]
    return sorted(found, key=lambda f: GROUPS.index(f.group))


def words_of(verb: str, given: Iterable[tuple[Field, str | bool]]) -> list[str]:
    """Return the words of the line that sets these fields; an empty text leaves the default."""
    before: list[str] = []
    after: list[str] = []
    for field, value in given:
        if value == "":
            continue
        if field.flag is None:
            before.append(str(value))
        elif isinstance(value, bool):
            after.append(field.flag if value else field.parameter.secondary_opts[0])
        else:
            after += [field.flag, str(value)]
    return command(verb, before, after)


def _field(command: click.Command, parameter: click.Parameter) -> Field:
    name = str(parameter.name)
    flag = max(parameter.opts, key=len) if isinstance(parameter, click.Option) else None
    if isinstance(parameter, SpecOption):
        spec = parameter.spec
    elif name == "primary":
        spec = command.spec  # type: ignore[attr-defined]  # a technique's verb has it
    else:
        spec = _spec(parameter)
    return Field(parameter, flag, spec, parameter.required, _group(name))


def _spec(parameter: click.Parameter) -> ParamSpec:
    kind: Any = "str"
    choices: tuple[str, ...] = ()
    low = high = None
    if isinstance(parameter.type, click.Choice):
        kind, choices = "choice", tuple(str(c) for c in parameter.type.choices)
    elif getattr(parameter, "is_flag", False):
        kind = "bool"
    elif isinstance(parameter.type, (click.types.IntParamType, click.types.FloatParamType)):
        kind = "int" if isinstance(parameter.type, click.types.IntParamType) else "float"
        low, high = getattr(parameter.type, "min", None), getattr(parameter.type, "max", None)
    default = parameter.default if isinstance(parameter.default, (str, int, float, bool)) else None
    return ParamSpec(
        name=_label(parameter),
        kind=kind,
        default=default,
        choices=choices,
        low=low,
        high=high,
        optional=default is None,
        help=getattr(parameter, "help", None) or _HELP.get(str(parameter.name), ""),
    )


def _label(parameter: click.Parameter) -> str:
    if isinstance(parameter, click.Option):
        return max(parameter.opts, key=len).lstrip("-")
    return str(parameter.name)


def _group(name: str) -> Group:
    group = name.partition("__")[0]
    if group in SETTINGS:
        return "settings"
    if group == "runtime" and name != group:
        return "options"
    if name in _WHAT:
        return "what"
    return "where" if name in _WHERE else "how"


_HELP: Mapping[str, str] = {
    "model": "a .keras, .h5 or float .tflite file, a SavedModel folder, or a variable with a model of tf_keras or Keras 3",
    "data": "digits, fashion, a .npz or .csv file, a folder of class subfolders of images, or a variable with arrays",
    "file": "a .tflite file",
    "source": "a YAML file with the matrix of a batch, or a variable with one",
    "name": "name of a notebook that comes along",
    "study": "name of a study in the store",
    "trial": "a recipe, or a trial's id",
    "runtimes": "where to run, parted by commas",
}

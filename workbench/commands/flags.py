"""Flags made from `Params`; no parameter is described a second time here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from workbench import registry
from workbench.errors import WorkbenchError
from workbench.values.limits import OPTIONS, Limits, parse_bounds
from workbench.values.params import Params, ParamSpec, param_specs
from workbench.values.settings import Calibration, Measure, Search, StageLimits, Train

F = TypeVar("F", bound=Callable[..., Any])


class SpecOption(click.Option):
    """An option made from a parameter; `spec` keeps the whole of its description for forms."""

    def __init__(self, *args: Any, spec: ParamSpec, **options: Any) -> None:
        super().__init__(*args, **options)
        self.spec = spec


_TYPES: dict[str, Any] = {"int": int, "float": float, "str": str}

# Groups of settings with the prefix of their flags; Train's have none, its seed is --seed.
SETTINGS: dict[str, tuple[type[Params], str]] = {
    "train": (Train, ""),
    "calibration": (Calibration, "calibration-"),
    "measure": (Measure, "measure-"),
    "search": (Search, "search-"),
    "limits": (StageLimits, "limits-"),
}


def store_option(function: F) -> F:
    """Add `--store`."""
    return click.option("--store", metavar="DIR_OR_URL", help="folder or SQLAlchemy URL of the store")(function)


def format_option(function: F) -> F:
    """Add `--format`."""
    return click.option(
        "--format",
        "form",
        type=click.Choice(["table", "json", "csv"]),
        default="table",
        show_default=True,
        help="how to print",
    )(function)


def cluster_options(help: str) -> Callable[[F], F]:
    """Return what adds `--cluster-address`, with its help, and the certificates for it."""
    flags = (
        ("address", "TCP", help),
        ("ca", "FILE", "certificate that signed the scheduler's, for a tls:// address"),
        ("cert", "FILE", "certificate of this side, which the scheduler takes"),
        ("key", "FILE", "private key of --cluster-cert  [default: in the same file]"),
    )

    def add(function: F) -> F:
        for name, metavar, text in reversed(flags):
            function = click.option(f"--cluster-{name}", metavar=metavar, help=text)(function)
        return function

    return add


def cluster_security(values: dict[str, Any]) -> dict[str, str] | None:
    """Return the files of `cluster_options` among a command's values; None where none is given."""
    given = {name: values.get(f"cluster_{name}") for name in ("ca", "cert", "key")}
    return {name: path for name, path in given.items() if path is not None} or None


def technique_options(function: F) -> F:
    """Add a flag per technique: a list for those with a primary parameter, a switch for the others."""
    for name, technique in reversed(registry.techniques.all().items()):
        if technique.params.primary is None:
            function = click.option(
                f"--{name}", f"axis_{name}", is_flag=True, help=f"with and without: {technique.help}"
            )(function)
        else:
            primary = next(s for s in param_specs(technique.params) if s.primary)
            example = ",".join(primary.choices[:3]) if primary.choices else f"none,{primary.default}"
            text = f"{technique.help}; list of {primary.name} values, e.g. {example}"
            function = click.option(f"--{name}", f"axis_{name}", metavar="A,B,...", help=text)(function)
    return function


def settings_options(function: F) -> F:
    """Add a flag per setting of a sweep."""
    for group, (cls, prefix) in reversed(SETTINGS.items()):
        for spec in reversed(param_specs(cls)):
            function = param_option(spec, f"{group}__{spec.name}", prefix)(function)
    return function


class BoundsType(click.ParamType[Any]):
    """`0.01`, or bounds by name: `mean_iou=0.01,accuracy=0.02`."""

    name = "bounds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the bounds by name; what is none is said as click says it."""
        if not isinstance(value, str):
            return value
        try:
            return parse_bounds(value)
        except WorkbenchError as error:
            self.fail(str(error), param, ctx)


def limit_options(function: F) -> F:
    """Add a flag per limit, as `Limits` describes it."""
    for spec in reversed(param_specs(Limits)):
        named = spec.model_copy(update={"name": OPTIONS[spec.name]})
        if isinstance(spec.default, dict):
            # Nothing is the default; an empty mapping is no word of the command line.
            named = named.model_copy(update={"default": None, "optional": True})
            function = param_option(named, named.name, "", BoundsType())(function)
        else:
            # A size may have a unit.
            shown = named.model_copy(update={"kind": "str"}) if spec.name in ("size", "compressed") else named
            function = param_option(shown, named.name, "")(function)
    return function


def limits_given(values: dict[str, Any]) -> dict[str, Any]:
    """Return what was given of `limit_options`, spelled as options are."""
    return {name: values[name] for name in OPTIONS.values() if values.get(name) is not None}


def runtime_options(function: F) -> F:
    """Add a flag per option that any runtime has."""
    seen: dict[str, ParamSpec] = {}
    for runtime in registry.runtimes.all().values():
        for spec in param_specs(runtime.params):
            seen.setdefault(spec.name, spec)
    for spec in reversed(seen.values()):
        function = param_option(spec, f"runtime__{spec.name}", "")(function)
    return function


class TargetOption(click.Option):
    """`--target`; targets are asked for what they say of themselves when help is wanted, and not before."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the help with every target's own, and its options with their defaults."""
        found = super().get_help_record(ctx)
        said = []
        for name, target in registry.targets.all().items():
            options = ",".join(f"{spec.name}={spec.default}" for spec in param_specs(target.params))
            said.append(f"{name}{f'[{options}]' if options else ''}: {target.help}")
        return found and (found[0], f"{found[1]}; {'; '.join(said)}")


def target_option(function: F) -> F:
    """Add `--target`."""
    return click.option(
        "--target",
        cls=TargetOption,
        default="python",
        show_default=True,
        metavar="NAME[KEY=VALUE]",
        help="where it is to run, such as c",
    )(function)


def param_option(spec: ParamSpec, target: str, prefix: str, kind: BoundsType | None = None) -> Callable[[F], F]:
    """Return the click option of one parameter; unset ones arrive as None, so that defaults stay in `Params`."""
    name = f"--{prefix}{spec.name.replace('_', '-')}"
    default = "" if spec.default is None else f"  [default: {spec.default}]"
    shape: dict[str, Any] = {"is_flag": True}
    if spec.kind == "bool" and spec.default is True:
        name += f"/--no-{name.removeprefix('--')}"
    elif spec.kind != "bool":
        shape = {"type": kind or (click.Choice(spec.choices) if spec.kind == "choice" else _TYPES[spec.kind])}
    text = spec.help
    if spec.registry:
        text += f"; one of {', '.join(getattr(registry, spec.registry).names())}, options in brackets"
    return click.option(name, target, cls=SpecOption, spec=spec, default=None, help=text + default, **shape)


def collect(values: dict[str, Any], groups: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return what was given for each group, by parameter name."""
    found: dict[str, dict[str, Any]] = {}
    for group in groups:
        given = {
            k.removeprefix(f"{group}__"): v for k, v in values.items() if k.startswith(f"{group}__") and v is not None
        }
        if given:
            found[group] = given
    return found

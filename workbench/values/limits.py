"""Limits: bounds on a variant's figures, the one value behind `best`, gates, sliders, findings and searches."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, ValidationError, field_validator, model_serializer, model_validator

from workbench.errors import WorkbenchError, shown, unknown
from workbench.values.base import explain
from workbench.values.params import Params
from workbench.values.settings import parse_size

Kind = Literal["size", "compressed", "drop", "latency_ms", "memory", "coverage", "figures"]
# A bound by the name of the figure or the runtime that it is about; "" is the primary figure, or `runtime`.
_Least0 = Annotated[float, Field(ge=0)]
_Above0 = Annotated[float, Field(gt=0)]
_Share = Annotated[float, Field(gt=0, le=1)]

# How each limit is called as an option, in a gate and among its checks.
OPTIONS: dict[str, str] = {
    "size": "max_size",
    "compressed": "max_compressed",
    "drop": "max_drop",
    "latency_ms": "max_latency_ms",
    "runtime": "runtime",
    "memory": "max_memory",
    "coverage": "min_delegated",
    "figures": "figures",
    "strict": "strict",
}
_FIELDS = {option: field for field, option in OPTIONS.items()} | {"min_coverage": "coverage"}
PRIMARY = "primary"
ON_RUNTIME: tuple[Kind, ...] = ("latency_ms", "memory", "coverage")


class Bound(NamedTuple):
    """One limit: what is limited, of which figure or on which runtime ("" is the usual one), and by how much."""

    kind: Kind
    of: str
    value: float

    @property
    def name(self) -> str:
        """The limit as checks name it: `max_size`, `max_drop[iou]`, `max_latency_ms@reference`."""
        option = OPTIONS[self.kind]
        if not self.of:
            return option
        if self.kind == "figures":
            return self.of
        return f"{option}[{self.of}]" if self.kind == "drop" else f"{option}@{self.of}"


class Limits(Params):
    """What a variant has to keep; a figure that is limited but missing does not keep its limit.

    `drop` is the largest loss against the float baseline in the worse direction of a task's figure, in its unit, by the
    figure's name: "" is the primary figure. `latency_ms`, `memory` and `coverage` are by runtime: "" is `runtime`, or the first measured. `figures` bounds figures
    themselves, from the side that is worse. `strict` holds the end of the 95 % interval, not the value, within the limit.
    Validation takes the older spellings too: `accuracy_drop`, and those of options (`max_size`, `max_drop`, ...).
    """

    size: int | None = Field(None, gt=0, description="largest file in bytes, or 100KB, 1MiB")
    compressed: int | None = Field(None, gt=0, description="largest file when compressed (gzip), in bytes, or 100KB")
    drop: dict[str, _Least0] = Field(
        {},
        description="largest loss against the float baseline (0.01 = 1 point) of the primary figure, or by name: mean_iou=0.01,accuracy=0.02",
    )
    latency_ms: dict[str, _Above0] = Field(
        {}, description="largest median latency in milliseconds, or by runtime: xnnpack=1,reference=20"
    )
    runtime: str | None = Field(
        None, description="runtime of the latency, the memory and the operators taken; default is the first measured"
    )
    memory: dict[str, _Above0] = Field(
        {}, description="most memory on the runtime (its arena or SRAM, else the process's peak), e.g. 64KB"
    )
    coverage: dict[str, _Share] = Field(
        {}, description="smallest share of operators that the runtime has to take (0.9 = 90 %)"
    )
    figures: dict[str, float] = Field(
        {}, description="bounds on figures themselves, from the worse side: agreement=0.99,mean_iou=0.8"
    )
    strict: bool = Field(
        False, description="hold the end of each 95 % interval within its limit, not the value in the middle"
    )

    @model_validator(mode="before")
    @classmethod
    def _spellings(cls, data: Any) -> Any:
        return _translated(data) if isinstance(data, Mapping) else data

    @field_validator("size", "compressed", mode="before")
    @classmethod
    def _bytes(cls, value: Any) -> Any:
        return parse_size(value) if isinstance(value, str) else value

    @model_serializer(mode="plain")
    def _spelled(self) -> dict[str, Any]:
        """Return the limits as a user writes them: one bound as a number, `accuracy_drop` for a drop of accuracy alone."""
        found: dict[str, Any] = {}
        for field in type(self).model_fields:
            value = getattr(self, field)
            if field == "drop" and set(value) == {"accuracy"}:
                found |= {"accuracy_drop": value["accuracy"]}
            elif isinstance(value, dict):
                found[field] = _short(field, value)
            else:
                found[field] = value
        return found

    def given(self) -> dict[str, Any]:
        """Return what is set, spelled as options are: `{"max_size": 100000, "max_drop": 0.01}`; `read_limits` gives the limits back."""
        found = {}
        for field, option in OPTIONS.items():
            value = getattr(self, field)
            if value not in (None, {}, False):
                found[option] = _short(field, value) if isinstance(value, dict) else value
        return found

    @property
    def bounds(self) -> tuple[Bound, ...]:
        """The limits that are set, each for itself."""
        found = []
        kinds: tuple[Kind, ...] = ("size", "compressed", "drop", "latency_ms", "memory", "coverage", "figures")
        for kind in kinds:
            value = getattr(self, kind)
            if isinstance(value, dict):
                found += [Bound(kind, of, float(bound)) for of, bound in value.items()]
            elif value is not None:
                found.append(Bound(kind, "", float(value)))
        return tuple(found)

    def check_runtimes(self, check: Callable[[str], object]) -> None:
        """Have every runtime named checked by what knows them, which raises WorkbenchError."""
        for runtime in (self.runtime, *(b.of for b in self.bounds if b.kind in ON_RUNTIME)):
            if runtime:
                check(runtime)

    def __bool__(self) -> bool:
        """Whether anything is limited."""
        return bool(self.bounds)


# Every name under which a limit may be given.
SPELLINGS = frozenset({"accuracy_drop", *_FIELDS, *Limits.model_fields})


def read_limits(data: Mapping[str, Any], where: str, keys: str | None = None) -> Limits:
    """Return the limits that a user wrote, in any of their spellings; what is None is no limit.

    Raises WorkbenchError naming the key, the value received and what is allowed.
    """
    options = [k for k in data if k in _FIELDS and k not in Limits.model_fields]
    allowed = [*OPTIONS.values()] if options or where in ("gate", "best") else ["accuracy_drop", *Limits.model_fields]
    for key, value in data.items():
        if key not in SPELLINGS:
            raise unknown(keys or f"{where} setting", str(key), allowed)
        inner = value.values() if isinstance(value, Mapping) else (value,)
        if key != "strict" and any(isinstance(v, bool) for v in inner):
            value = next(v for v in inner if isinstance(v, bool))
            raise WorkbenchError(f"{where}: {key} = {str(value).lower()}: a number is meant, not true or false")
    try:
        limits = Limits.model_validate(dict(data))
    except ValidationError as error:
        raise WorkbenchError(f"{where}: {explain(error, lambda loc: _key_of(loc, data))}") from None
    if limits.drop.get("accuracy", 0.0) > 1:
        key = _key_of(("drop", "accuracy"), data)
        raise WorkbenchError(
            f"{where}: {key} = {limits.drop['accuracy']:g}: input should be less than or equal to 1 (0.01 = 1 point)"
        )
    return limits


def parse_bounds(text: str) -> dict[str, float]:
    """Return bounds by name from `0.01`, `mean_iou=0.01` or `mean_iou=0.01,accuracy=0.02`; sizes may have a unit.

    Raises WorkbenchError for anything else.
    """
    found: dict[str, float] = {}
    # A runtime's own options stand in brackets.
    for part in re.split(r",(?![^\[]*\])", text):
        name, equals, number = part.rpartition("=")
        name = name.strip()
        if equals and not name:
            raise WorkbenchError(f"{shown(text)} names no figure before `=`. Write 0.01, or mean_iou=0.01.")
        if _key(name) in found:
            raise WorkbenchError(f"{shown(text)} bounds {name or 'the same'!r} twice. Give one bound for each name.")
        found[_key(name)] = _number(number, text)
    return found


def _number(number: str, text: str) -> float:
    try:
        return float(number)
    except ValueError:
        pass
    try:
        return float(parse_size(number))
    except WorkbenchError:
        raise WorkbenchError(
            f"{shown(text)} is not a valid float, nor bounds by name. Write 0.01, or mean_iou=0.01,accuracy=0.02."
        ) from None


def _translated(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of Limits from any spelling; raises ValueError where two spellings of one limit are given."""
    found: dict[str, Any] = {}
    for key, value in data.items():
        field = "drop" if key == "accuracy_drop" else _FIELDS.get(key, key)
        if value is None:
            continue
        if field in ("drop", "latency_ms", "memory", "coverage", "figures"):
            value = {"accuracy": value} if key == "accuracy_drop" else _by_name(value)
            both = {**found.get(field, {}), **value} if isinstance(value, dict) else value
            if isinstance(value, dict) and len(both) < len(found.get(field, {})) + len(value):
                raise ValueError(f"{key} is given twice, in two spellings")
            value = both
        elif field in found:
            raise ValueError(f"{key} is given twice, in two spellings")
        found[field] = value
    return found


def _by_name(value: Any) -> Any:
    if isinstance(value, str):
        return parse_bounds(value)
    if isinstance(value, Mapping):
        return {_key(str(k)): _number(v, v) if isinstance(v, str) else v for k, v in value.items() if v is not None}
    return {"": value}


def _key(name: str) -> str:
    return "" if name == PRIMARY else name


def _short(field: str, bounds: Mapping[str, float]) -> Any:
    if set(bounds) == {""}:
        return bounds[""]
    return {(PRIMARY if field == "drop" and not k else k): v for k, v in bounds.items()} or None


def _key_of(loc: tuple[Any, ...], data: Mapping[str, Any]) -> str:
    """Return what a user calls the place of a mistake."""
    field, *rest = loc or ("",)
    written = [k for k in data if k == field or _FIELDS.get(k) == field]
    if field == "drop" and rest == ["accuracy"] and "accuracy_drop" in data:
        return "accuracy_drop"
    name = written[0] if written else str(field)
    return ".".join([name, *(str(r) for r in rest if r)])

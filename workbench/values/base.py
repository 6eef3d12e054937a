"""The base of all values: frozen, JSON round trip, unknown keys refused."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workbench.errors import WorkbenchError, nearest, shown, unknown

V = TypeVar("V", bound="Value")
# A whole number as a file of any size has it; one of a thousand digits cannot be shown or counted with.
Count = Annotated[int, Field(ge=-(2**63), lt=2**63)]


class Value(BaseModel):
    """A frozen value that round-trips through JSON and refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=True, ser_json_inf_nan="constants")

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON-shaped data."""
        return self.model_dump(mode="json")


def canonical_json(data: Any) -> str:
    """Return the one text that equal data has: sorted keys, no spaces."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(data: Any) -> str:
    """Return the SHA-256 (hex) of the canonical JSON of `data`."""
    return hashlib.sha256(canonical_json(data).encode()).hexdigest()


def build(cls: type[V], data: dict[str, Any], where: str, keys: str | None = None) -> V:
    """Make a value from user data; `where` and `keys` name the whole and one of its keys in messages.

    Raises WorkbenchError naming the key, the value received and what is allowed.
    """
    for key, value in data.items():
        if key not in cls.model_fields:
            raise unknown(keys or f"{where} setting", str(key), cls.model_fields)
        if isinstance(value, bool) and _is_number(cls.model_fields[key].annotation):
            raise WorkbenchError(f"{where}: {key} = {str(value).lower()}: a number is meant, not true or false")
    try:
        return cls.model_validate(data)
    except ValidationError as error:
        raise WorkbenchError(f"{where}: {explain(error)}") from None


def _is_number(annotation: Any) -> bool:
    kinds = (annotation, *get_args(annotation))
    return bool not in kinds and (int in kinds or float in kinds)


def explain(error: ValidationError, called: Callable[[tuple[Any, ...]], str] | None = None) -> str:
    """Return one line for what pydantic found wrong, with the values received; `called` names places as a user does."""
    parts = []
    for item in error.errors():
        path = called(item["loc"]) if called else ".".join(str(p) for p in item["loc"])
        message = item["msg"].removeprefix("Value error, ")
        name = f"{path} = {shown(item['input'])}" if path else shown(item["input"])
        near = ""
        if item["type"] == "literal_error":
            near = nearest(str(item["input"]), re.findall(r"'([^']*)'", item["ctx"]["expected"]))
        parts.append(f"{name}: {message[0].lower()}{message[1:]}{'.' if near else ''}{near}")
    return "; ".join(parts)

"""From the texts in the database to values; what is not of the right shape is an error in words."""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

from pydantic import ValidationError

from workbench.errors import WorkbenchError
from workbench.values.base import Value
from workbench.values.graph import Artifact

V = TypeVar("V", bound=Value)
MOST_LETTERS = 200
_SHA256 = re.compile(r"[0-9a-f]{64}")
# How JSON writes what Python makes of a byte of a file's name that is no UTF-8; pydantic's own reader does not take it.
_STAND_IN = "\\udc"


class Unreadable(WorkbenchError):
    """A row of the store that is not of the shape that this version writes; the text says what is wrong with it."""


def read_value(cls: type[V], text: Any) -> V:
    """Return the value that a JSON text holds; raises Unreadable."""
    try:
        if isinstance(text, str) and _STAND_IN in text:
            return cls.model_validate(json.loads(text))
        return cls.model_validate_json(text)
    except ValidationError as error:
        raise Unreadable(_told(error)) from None
    # Not text at all, or one with bytes that are no UTF-8.
    except (TypeError, ValueError, RecursionError) as error:
        raise Unreadable(_short(str(error))) from None


def read_stage(text: Any) -> dict[str, Any] | None:
    """Return a stage's result, None where the text is none: an object with `artifact` (or null), `data` and `notes` where they are there."""
    try:
        found = json.loads(text)
        # One that cannot be written again, as surrogates cannot, would fail later.
        text.encode()
    except (AttributeError, TypeError, ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or "artifact" not in found or not isinstance(found.get("data", {}), dict):
        return None
    notes = found.get("notes", [])
    if not isinstance(notes, list) or not all(isinstance(n, str) for n in notes):
        return None
    return found if all(is_artifact(a) for a in files_of(found)) else None


def files_of(result: dict[str, Any]) -> list[Any]:
    """Return the artifacts that a stage's result stands on: its own, and the file that an evaluation is about."""
    return [a for a in (result.get("artifact"), result.get("data", {}).get("file")) if a is not None]


def is_artifact(data: Any) -> bool:
    """Whether data is an artifact whose name cannot lead out of the store."""
    try:
        return stays_inside(Artifact.model_validate(data))
    except ValidationError:
        return False


def stays_inside(artifact: Artifact) -> bool:
    """Whether an artifact's name cannot lead out of the store."""
    return is_name(artifact.sha256) and bool(artifact.kind) and not set(artifact.kind) & {"/", "\\", "\0"}


def is_name(text: str) -> bool:
    """Whether a text is a SHA-256 in hexadecimal, which names what is in the store."""
    return _SHA256.fullmatch(text) is not None


def _told(error: ValidationError) -> str:
    """Return what pydantic found wrong, without the values, which can be of any length."""
    first, *more = error.errors(include_url=False, include_context=False, include_input=False)
    path = ".".join(str(p) for p in first["loc"])
    others = f" (and {len(more)} more)" if more else ""
    return _short(f"{path}: {first['msg']}" if path else first["msg"]) + others


def _short(text: str) -> str:
    line = "".join(c if c.isprintable() else "?" for c in text)
    return line if len(line) <= MOST_LETTERS else f"{line[:MOST_LETTERS]}..."

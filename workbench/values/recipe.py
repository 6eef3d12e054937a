"""Steps and recipes: what is done to a model, in order, ending in one scheme."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from pydantic import ConfigDict, model_validator

from workbench.values.base import Value, canonical_json, digest

SCHEMES = (
    "float32",
    "float16",
    "dynamic",
    "weight-only-int8",
    "int8",
    "int8-float-io",
    "int16x8",
    "int4-dynamic",
    "int4-weight-only",
    "int4-block32",
)


class Step(Value):
    """One technique with the parameters that matter: the primary one and those not at their default."""

    technique: str
    params: dict[str, Any] = {}

    def __hash__(self) -> int:
        return hash(canonical_json(self.to_json()))


class Recipe(Value):
    """An ordered chain of steps; equal chains have equal canonical JSON and so equal ids."""

    model_config = ConfigDict(frozen=True, extra="forbid", ignored_types=(cached_property,))

    steps: tuple[Step, ...]

    @model_validator(mode="after")
    def _not_empty(self) -> Recipe:
        if not self.steps:
            raise ValueError("a recipe has at least one step")
        return self

    @property
    def canonical(self) -> str:
        """The canonical JSON text."""
        return canonical_json(self.to_json())

    @cached_property
    def id(self) -> str:
        """The first 12 hex digits of the SHA-256 of the canonical JSON."""
        return digest(self.to_json())[:12]

    @property
    def prefix(self) -> tuple[Step, ...]:
        """The steps before the last one."""
        return self.steps[:-1]

    def __hash__(self) -> int:
        return hash(self.id)

"""A target as it is asked for."""

from __future__ import annotations

from typing import Any

from workbench.values.base import Value


class TargetSpec(Value):
    """Where an export is to run: a target by name with its options."""

    name: str
    options: dict[str, Any] = {}

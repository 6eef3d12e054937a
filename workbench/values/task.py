"""A task as it is chosen for an output."""

from __future__ import annotations

from typing import Any

from workbench.values.base import Value


class TaskSpec(Value):
    """What the labels of one output mean: a task by name with its options; `why` says what it was told from.

    `reads` names the outputs that it judges where that is not the labelled one alone.
    """

    name: str
    options: dict[str, Any] = {}
    why: str = ""
    reads: tuple[str, ...] = ()

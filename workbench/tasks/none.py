"""Outputs without labels, or whose labels are not to be looked at: only their agreement with the float baseline is known."""

from __future__ import annotations

from workbench.tasks.base import Array, NoParams, Task
from workbench.tasks.scores import Score


class Nothing(Task[NoParams]):
    """No figure but the agreement with the float baseline, which every output has."""

    name = "none"
    help = "no labels, or none to look at: agreement with the float baseline only"
    primary = "agreement"

    def scores(self, params: NoParams, outputs: Array, y: Array) -> list[Score]:
        """Return nothing."""
        return []

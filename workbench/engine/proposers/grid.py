"""The whole grid."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.engine.proposers.base import NoParams, Proposals, Proposer, Space
from workbench.values.recipe import Recipe


class _All(Proposals):
    def __init__(self, space: Space) -> None:
        self._left = list(space.recipes[: space.trials])

    def ask(self, n: int) -> Sequence[Recipe]:
        # All at once, so that the stages that many share are known, and the longest chains of all come first.
        asked, self._left = self._left, []
        return asked


class GridProposer(Proposer[NoParams]):
    """Proposes every recipe of the grid, in its order."""

    name = "grid"
    help = "try every recipe of the grid"
    within_grid = True

    def start(self, space: Space, params: NoParams) -> Proposals:
        """Return what proposes all recipes at once."""
        return _All(space)

    def usual(self, recipes: int) -> int:
        """Return all."""
        return recipes

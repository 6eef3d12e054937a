"""What a proposer is: a name, typed `Params`, and `start`, which returns what is asked for recipes and told results in one sweep.

A third party subclasses `Proposer`, whose one instance serves all sweeps, and `Proposals`, one for each sweep, which keeps what was told; and
declares an entry point `workbench.proposers`. Nothing else is imported for it but values.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from workbench.values.limits import Limits
from workbench.values.params import NoParams as NoParams
from workbench.values.params import Params
from workbench.values.recipe import Recipe, Step
from workbench.values.source import SourceKind
from workbench.values.trial import Trial

P = TypeVar("P", bound=Params)


@dataclass(frozen=True)
class Space:
    """What there is to choose from in one sweep.

    `source` is the model's kind, `axes` the grid's lists as they were written (None: without that technique), `recipes` all that they
    stand for, without `baseline`, which is built and told in any case. `trials` is the most that will be tried beside it, `limits` what
    a good one keeps, `seed` that of every draw. `unfit` says why a recipe cannot be made of this model and data, or None.
    """

    source: SourceKind
    axes: Mapping[str, tuple[Step | None, ...]]
    recipes: tuple[Recipe, ...]
    baseline: Recipe
    trials: int
    limits: Limits
    seed: int
    unfit: Callable[[Recipe], str | None]


class Proposals(ABC):
    """The recipes of one sweep, a few at a time; what is asked and told, and in which order, hangs on results alone, never on time."""

    @abstractmethod
    def ask(self, n: int) -> Sequence[Recipe]:
        """Return recipes to try next: `n` keep the workers busy, more may be returned, or fewer.

        They need not be of the grid, but have to fit (`Space.unfit`), and each is proposed once. None at all means that results have to
        come first, while trials are out; else that the search has ended.
        """

    def tell(self, trial: Trial) -> None:  # noqa: B027  # one that goes by no results needs none
        """Take a trial that has ended, `ok` or `failed`: the float baseline first, then each in the order in which it was asked for.

        Nothing is measured yet: it has sizes and quality, and no latency.
        """


class Proposer(ABC, Generic[P]):
    """A way to choose recipes. It keeps nothing of a sweep, since two may run at once.

    `within_grid`: it proposes none but the grid's own, so that no more are waited for.
    """

    name: ClassVar[str]
    help: ClassVar[str]
    params: ClassVar[type[Params]] = NoParams
    within_grid: ClassVar[bool] = False

    @abstractmethod
    def start(self, space: Space, params: P) -> Proposals:
        """Return what proposes the recipes of one sweep."""

    def usual(self, recipes: int) -> int:
        """Return how many are tried where nobody says, of a grid with so many recipes beside the baseline: a quarter of them."""
        return math.ceil(recipes / 4)

    def available(self) -> str | None:
        """Return what is missing here and how to get it, or None."""
        return None

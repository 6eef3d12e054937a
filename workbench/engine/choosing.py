"""Asking a proposer for recipes and telling it results, always in the same order, and holding it to its word.

What is asked and told hangs on nothing but results: a proposer is asked whenever fewer recipes are out than `ahead`, and results are told
one by one in the order in which they were asked for, also where a later one ends first. So the same seed gives the same recipes, and a sweep that was
interrupted comes by the same way to where it was. With more out than there are workers, one that takes long keeps none of them waiting.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from workbench import registry
from workbench.engine.proposers.base import Proposals, Space
from workbench.errors import Cancelled, WorkbenchError, shown
from workbench.recipes import grammar
from workbench.recipes.grid import MOST_RECIPES
from workbench.values.recipe import Recipe
from workbench.values.settings import Search
from workbench.values.trial import Trial

T = TypeVar("T")
# Recipes out per worker: what is told lags behind by so many.
AHEAD = 2


def most_trials(settings: Search, recipes: int) -> int:
    """Return how many recipes are tried at most beside the baseline, of a grid with so many beside it."""
    name, _ = grammar.parse_proposer(settings.strategy)
    proposer = registry.proposers.get(name)
    asked = proposer.usual(recipes) if settings.trials is None else settings.trials
    return min(asked, recipes if proposer.within_grid else MOST_RECIPES)


class Chooser:
    """One search while it runs. A proposer that breaks its promises ends it; `error` then says how, and what is out is still built."""

    def __init__(
        self,
        settings: Search,
        space: Space,
        ahead: int,
        seconds: float,
        cancel: threading.Event,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, params = grammar.parse_proposer(settings.strategy)
        self.space, self.ahead, self.seconds = space, ahead, seconds
        self.cancel, self.clock = cancel, clock
        self.until = None if settings.timeout is None else clock() + settings.timeout
        self.error: WorkbenchError | None = None
        self.asked: dict[str, Recipe] = {space.baseline.id: space.baseline}
        self.out = deque([space.baseline])
        # Whether it has nothing to propose before it is told more.
        self.waits = False
        self.proposals: Proposals | None = self._call(lambda: self._started(params))

    @property
    def left(self) -> int:
        """How many recipes may still be asked for."""
        if self.proposals is None or self._late() or (self.waits and not self.out):
            return 0
        return max(0, self.space.trials + 1 - len(self.asked))

    def recipes(self, result: Callable[[Recipe], Trial | None]) -> list[Recipe]:
        """Return recipes to build beside those that are out; none where results have to come first, or where the search has ended.

        `result` returns what became of a recipe that is out, None while it has not ended.
        """
        while self.proposals is not None:
            room = min(self.ahead - len(self.out), self.left)
            if room > 0 and not self.waits:
                found = self._ask(self.proposals, room)
                if found:
                    return found
                self.waits = True
            elif self.out and (trial := result(self.out[0])) is not None:
                self.out.popleft()
                self._tell(self.proposals, trial)
            else:
                break
        return []

    def _late(self) -> bool:
        return self.until is not None and self.clock() >= self.until

    def _started(self, params: Any) -> Proposals:
        found = registry.proposers.get(self.name).start(self.space, params)
        if not isinstance(found, Proposals):
            raise _Broken(f"started with {shown(found)}, which is none of workbench.engine.proposers.base.Proposals")
        return found

    def _ask(self, proposals: Proposals, n: int) -> list[Recipe]:
        answer = self._call(lambda: self._checked(proposals.ask(n)))
        found = answer or []
        self.asked.update({r.id: r for r in found})
        self.out.extend(found)
        return found

    def _tell(self, proposals: Proposals, trial: Trial) -> None:
        # What an earlier sweep has measured is not there the first time either.
        bare = trial.model_copy(update={"measurements": ()})
        self._call(lambda: proposals.tell(bare))
        self.waits = False

    def _checked(self, answer: Any) -> list[Recipe]:
        """Return the recipes of an answer in their canonical form; raises for what is none, is proposed again or does not fit."""
        if isinstance(answer, (str, bytes)) or not isinstance(answer, Sequence):
            raise _Broken(f"answered {shown(answer)}. Allowed: a list of recipes, an empty one to wait or to end.")
        found: dict[str, Recipe] = {}
        for one in answer[: self.left]:
            if not isinstance(one, Recipe):
                raise _Broken(
                    f"proposed {shown(one)}, which is no Recipe. `workbench.recipes.grammar.parse_recipe` makes one."
                )
            try:
                recipe = Recipe(steps=tuple(grammar.make_step(s.technique, dict(s.params)) for s in one.steps))
                reason = self.space.unfit(recipe)
            except WorkbenchError as error:
                raise _Broken(f"proposed {shown(one.canonical)}: {error}") from None
            if reason:
                raise _Broken(f"proposed {grammar.recipe_text(recipe)!r}, which does not fit: {reason}")
            if recipe.id in self.asked or recipe.id in found:
                raise _Broken(f"proposed {grammar.recipe_text(recipe)!r} a second time")
            found[recipe.id] = recipe
        return list(found.values())

    def _call(self, work: Callable[[], T]) -> T | None:
        """Return what a proposer answers; where it fails, the search has ended.

        It works in a thread, so that one that never answers keeps neither the sweep nor who cancels it. Raises Cancelled.
        """
        done: list[T] = []
        failed: list[BaseException] = []

        def run() -> None:
            try:
                done.append(work())
            except BaseException as error:  # a stranger's code may raise anything
                failed.append(error)

        thread = threading.Thread(target=run, name=f"workbench-proposer-{self.name}", daemon=True)
        thread.start()
        deadline = time.monotonic() + self.seconds
        while thread.is_alive() and time.monotonic() < deadline:
            if self.cancel.is_set():
                raise Cancelled
            thread.join(0.05)
        if done:
            return done[0]
        said = _said(failed[0]) if failed else f"did not answer within {self.seconds:g} s (--limits-stage-seconds)"
        self.proposals = None
        self.error = WorkbenchError(
            f"proposer {self.name!r} {said}. No more recipes were tried; those that were are kept. Tell whoever wrote it, or choose another --search-strategy."
        )
        return None


class _Broken(Exception):
    """A proposer does what it may not; the text says what, without its name."""


def _said(error: BaseException) -> str:
    if isinstance(error, _Broken):
        return str(error).removesuffix(".")
    places = traceback.extract_tb(error.__traceback__)
    place = next((p for p in reversed(places) if "workbench/engine/" not in p.filename), places[-1])
    said = " ".join(str(error).split())
    return f"failed: {type(error).__name__}: {said[:500]} ({Path(place.filename).name}:{place.lineno})"

"""Searches by Optuna's samplers over the grid's own recipes: `random`, `tpe` and `nsga2`.

Each recipe is a point with one coordinate per technique. What Optuna asks for is looked up among the recipes, so a search makes the
same files as the grid would, only fewer.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import Field

from workbench.engine.proposers.base import NoParams, Proposals, Proposer, Space
from workbench.engine.proposers.goals import goals_of, violations
from workbench.quiet import quiet
from workbench.recipes import grammar
from workbench.values.params import Params
from workbench.values.recipe import Recipe
from workbench.values.settings import MOST_COUNT
from workbench.values.trial import Trial

Point = tuple[tuple[str, str], ...]
# Asking again gives the same point often where few are left; then one is drawn at random instead.
TRIES = 20


class OptunaSearch(Proposals):
    """Asks a sampler for points and tells it both goals of trials that are ok, with the limits that they miss."""

    @quiet("optuna", logging.ERROR)
    def __init__(self, space: Space, sampler: Any) -> None:
        import optuna

        recipes = {r.id: r for r in (space.baseline, *space.recipes)}
        names = sorted({s.technique for r in space.recipes for s in r.steps})
        points = {i: _point(r, names) for i, r in recipes.items()}
        axes = {n: sorted({dict(points[r.id])[n] for r in space.recipes}) for n in names}
        self._recipes, self._points = recipes, points
        self._space: dict[str, Any] = {
            n: optuna.distributions.CategoricalDistribution(values) for n, values in axes.items()
        }
        self._ids = {point: i for i, point in points.items()}
        self._limits = space.limits
        self._left = {r.id: None for r in space.recipes}
        self._study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
        self._draw = random.Random(space.seed)
        self._out: dict[str, Any] = {}
        self._told: dict[str, Trial] = {}
        self._baseline: Trial | None = None

    @quiet("optuna", logging.ERROR)
    def ask(self, n: int) -> Sequence[Recipe]:
        """Return `n` recipes that were not proposed before, as many as there are."""
        return [self._next() for _ in range(min(n, len(self._left)))]

    @quiet("optuna", logging.ERROR)
    def tell(self, trial: Trial) -> None:
        """Take a trial as what became of its point."""
        recipe_id = Recipe(steps=trial.steps).id
        self._told[recipe_id] = trial
        if self._baseline is None:
            self._baseline = trial
            if not self._space or any(v not in self._space[n].choices for n, v in self._points[recipe_id]):
                return
            # Its point is known without being proposed.
            self._study.enqueue_trial(dict(self._points[recipe_id]))
            self._out[recipe_id] = self._study.ask(self._space)
        self._answer(self._out.pop(recipe_id), trial)

    def _next(self) -> Recipe:
        for _ in range(TRIES):
            asked = self._study.ask(self._space)
            found = self._ids.get(tuple(sorted(asked.params.items())), "")
            if found in self._left:
                return self._take(found, asked)
            if found in self._told:
                self._answer(asked, self._told[found])
            else:
                self._fail(asked)
        found = self._draw.choice(list(self._left))
        self._study.enqueue_trial(dict(self._points[found]))
        return self._take(found, self._study.ask(self._space))

    def _take(self, recipe_id: str, asked: Any) -> Recipe:
        del self._left[recipe_id]
        self._out[recipe_id] = asked
        return self._recipes[recipe_id]

    def _answer(self, asked: Any, trial: Trial) -> None:
        assert self._baseline is not None
        for name, violation in violations(trial, self._baseline, self._limits).items():
            asked.set_constraint(name, violation)
        goals = goals_of(trial)
        if goals is None:
            self._fail(asked)
        else:
            self._study.tell(asked, list(goals))

    def _fail(self, asked: Any) -> None:
        import optuna

        self._study.tell(asked, state=optuna.trial.TrialState.FAIL)


class Random(Proposer[NoParams]):
    """Draws recipes of the grid."""

    name = "random"
    help = "draw recipes of the grid at random"
    within_grid = True

    def start(self, space: Space, params: NoParams) -> Proposals:
        """Return what draws without looking at results."""
        import optuna

        return OptunaSearch(space, optuna.samplers.RandomSampler(seed=space.seed))


class TpeParams(Params):
    """How the search begins."""

    startup: int | None = Field(
        None, ge=1, le=MOST_COUNT, description="trials drawn at random before results count; default a third of all"
    )


class Tpe(Proposer[TpeParams]):
    """Searches with a tree-structured Parzen estimator (Bergstra et al. 2011, for several goals Ozaki et al. 2020)."""

    name = "tpe"
    help = "search by size and quality with Optuna's tree-structured Parzen estimator"
    within_grid = True
    params = TpeParams

    def start(self, space: Space, params: TpeParams) -> Proposals:
        """Return what looks where good recipes were found."""
        import optuna

        startup = params.startup or max(4, space.trials // 3)
        return OptunaSearch(space, optuna.samplers.TPESampler(seed=space.seed, n_startup_trials=startup))


class Nsga2Params(Params):
    """How many there are in a generation."""

    population: int | None = Field(
        None, ge=2, le=MOST_COUNT, description="trials of one generation; default a quarter of all"
    )


class Nsga2(Proposer[Nsga2Params]):
    """Searches with the genetic algorithm NSGA-II (Deb et al. 2002)."""

    name = "nsga2"
    help = "search by size and quality with Optuna's genetic algorithm NSGA-II"
    within_grid = True
    params = Nsga2Params

    def start(self, space: Space, params: Nsga2Params) -> Proposals:
        """Return what mixes the best recipes found so far."""
        import optuna

        # A population that fits several times into the trials; the default of 50 would be all random.
        population = params.population or max(4, space.trials // 4)
        return OptunaSearch(space, optuna.samplers.NSGAIISampler(seed=space.seed, population_size=population))


def _point(recipe: Recipe, names: Iterable[str]) -> Point:
    """Return a recipe's coordinates: for each technique of any recipe, its step as text or "none"."""
    own = {s.technique: grammar.step_text(s) for s in recipe.steps}
    return tuple((name, own.get(name, "none")) for name in names)

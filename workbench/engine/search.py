"""Search where a grid is too large: Optuna's ask-and-tell over the grid's own recipes.

Each recipe is a point with one coordinate per technique. What Optuna asks for is looked up among the
recipes, so a search makes the same files as the grid would, only fewer; batches keep all workers busy.
"""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections.abc import Callable
from typing import Any

from workbench.quiet import quiet
from workbench.recipes import grammar
from workbench.values.limits import Limits
from workbench.values.recipe import Recipe
from workbench.values.settings import Search
from workbench.values.trial import Trial
from workbench.views.columns import Columns
from workbench.views.holding import Holder
from workbench.views.pareto import losses_of

Point = tuple[tuple[str, str], ...]
# Asking again gives the same point often where few are left; then one is drawn at random instead.
TRIES = 20


@quiet("optuna", logging.ERROR)
def search(
    recipes: dict[str, Recipe],
    settings: Search,
    limits: Limits,
    batch: int,
    build: Callable[[list[str]], None],
    trial: Callable[[str], Trial],
    baseline: Callable[[], Trial],
    cancel: threading.Event,
    clock: Callable[[], float] = time.monotonic,
) -> list[str]:
    """Choose recipes by id, have them built batch by batch, and return those that were tried.

    `build` makes trials of the ids; `trial` returns one that was built. Both objectives, file size and the primary figure (or
    agreement where there are no labels), are told for trials that are ok. Seeded: the same trials every time.
    """
    import optuna

    points = {_point(r, recipes.values()): i for i, r in recipes.items()}
    axes = {name: sorted({dict(p)[name] for p in points}) for name in dict(next(iter(points)))}
    space: dict[str, Any] = {
        name: optuna.distributions.CategoricalDistribution(values) for name, values in axes.items()
    }
    limit = min(len(recipes), settings.trials or math.ceil(len(recipes) / 4))
    study = optuna.create_study(
        directions=["minimize", "maximize"], sampler=_sampler(settings.strategy, settings.seed, limit)
    )
    draw = random.Random(settings.seed)
    tried: dict[str, Trial] = {}
    begin = clock()

    def tell(asked: Any, done: Trial) -> None:
        values = _objectives(done)
        for name, violation in _violations(done, baseline(), limits).items():
            asked.set_constraint(name, violation)
        study.tell(asked, values, None if values else optuna.trial.TrialState.FAIL)

    def ask(taken: set[str]) -> tuple[Any, str]:
        for _ in range(TRIES):
            asked = study.ask(space)
            found = points.get(tuple(sorted(asked.params.items())))
            if found is not None and found not in tried and found not in taken:
                return asked, found
            if found in tried:
                tell(asked, tried[found])
            else:
                study.tell(asked, state=optuna.trial.TrialState.FAIL)
        point, found = draw.choice([(p, i) for p, i in points.items() if i not in tried and i not in taken])
        study.enqueue_trial(dict(point))
        return study.ask(space), found

    while (
        len(tried) < limit and not cancel.is_set() and (settings.timeout is None or clock() - begin < settings.timeout)
    ):
        asked: dict[str, Any] = {}
        for _ in range(min(batch, limit - len(tried))):
            one, recipe_id = ask(set(asked))
            asked[recipe_id] = one
        build(list(asked))
        for recipe_id, one in asked.items():
            tried[recipe_id] = trial(recipe_id)
            tell(one, tried[recipe_id])
    return list(tried)


def _sampler(strategy: str, seed: int, limit: int) -> Any:
    import optuna

    if strategy == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    if strategy == "tpe":
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=max(4, limit // 3))
    # A population that fits several times into the trials; the default of 50 would be all random.
    return optuna.samplers.NSGAIISampler(seed=seed, population_size=max(4, limit // 4))


def _point(recipe: Recipe, every: Any) -> Point:
    """Return a recipe's coordinates: for each technique of any recipe, its step as text or "none"."""
    names = sorted({s.technique for r in every for s in r.steps})
    own = {s.technique: grammar.step_text(s) for s in recipe.steps}
    return tuple((name, own.get(name, "none")) for name in names)


def _objectives(trial: Trial) -> list[float] | None:
    if trial.state != "ok" or trial.size is None or trial.quality is None:
        return None
    # Turned so that less is better.
    loss = losses_of(Columns([trial]))[0]
    good = None if loss is None else -loss
    return None if good is None else [float(trial.size.file), float(good)]


def _violations(trial: Trial, baseline: Trial, limits: Limits) -> dict[str, float]:
    """Return by how much each limit on size and quality is missed; positive means missed, endless where there is no file.

    Nothing is measured while building, so limits of a runtime say nothing yet; neither does quality that nobody evaluated.
    """
    built = Limits(size=limits.size, compressed=limits.compressed, drop=limits.drop, figures=limits.figures)
    strict = built.model_copy(update={"strict": limits.strict})
    columns = Columns([baseline] if trial.id == baseline.id else [baseline, trial])
    beyond = Holder(columns, strict).beyond(trial)
    missing = {b.name: math.inf if b.kind in ("size", "compressed") else 0.0 for b in built.bounds}
    return {name: missing[name] if over is None else over for name, over in beyond.items()}

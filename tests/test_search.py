"""Search over a grid's recipes: which are chosen, without building anything."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Literal

import pytest

from workbench.engine.search import search
from workbench.recipes.grammar import recipe_text
from workbench.recipes.grid import expand, parse_grid
from workbench.values.limits import Limits
from workbench.values.recipe import Recipe
from workbench.values.settings import Search
from workbench.values.trial import Quality, Size, Trial

Strategy = Literal["random", "tpe", "nsga2"]
GRID = parse_grid(
    {
        "prune": ["none", 0.3, 0.5, 0.8],
        "cluster": ["none", 16],
        "quantize": ["float32", "float16", "dynamic", "int8", "int4-dynamic"],
    }
)
RECIPES = {r.id: r for r in expand(GRID, "keras").recipes}
BYTES = {"float32": 400_000, "float16": 200_000, "dynamic": 110_000, "int8": 100_000, "int4-dynamic": 60_000}


def made(recipe: Recipe) -> Trial:
    """A trial whose figures follow from its recipe alone."""
    text = recipe_text(recipe)
    size = BYTES[text.rpartition("+")[2]]
    loss = 0.03 * ("0.8" in text) + 0.01 * ("0.5" in text) + 0.02 * ("cluster" in text) + 0.05 * ("int4" in text)
    return Trial(
        id=recipe.id,
        recipe=text,
        steps=recipe.steps,
        state="ok",
        size=Size(file=size, gzip=size),
        quality=Quality(samples=10, task="classification", accuracy=0.99 - loss),
    )


BASELINE = next(made(r) for r in RECIPES.values() if recipe_text(r) == "float32")


def run(
    settings: Search,
    constraints: Limits | None = None,
    failing: str = "",
    clock: Iterator[float] | Iterator[int] | None = None,
) -> tuple[list[str], list[list[str]]]:
    batches: list[list[str]] = []

    def trial(recipe_id: str) -> Trial:
        done = made(RECIPES[recipe_id])
        return (
            done.model_copy(update={"state": "failed", "error": "no"}) if failing and failing in done.recipe else done
        )

    ticks = clock or iter(lambda: 0.0, 1.0)
    chosen = search(
        RECIPES,
        settings,
        constraints or Limits(),
        2,
        batches.append,
        trial,
        lambda: BASELINE,
        threading.Event(),
        lambda: next(ticks),
    )
    return chosen, batches


@pytest.mark.parametrize("strategy", ["random", "tpe", "nsga2"])
def test_a_search_tries_as_many_distinct_recipes_as_asked(strategy: Strategy) -> None:
    chosen, batches = run(Search(strategy=strategy, trials=12))
    assert len(chosen) == len(set(chosen)) == 12
    assert set(chosen) <= set(RECIPES)
    assert [i for b in batches for i in b] == chosen
    assert all(len(b) == 2 for b in batches)


@pytest.mark.parametrize("strategy", ["random", "tpe", "nsga2"])
def test_the_seed_decides(strategy: Strategy) -> None:
    first, again, other = (run(Search(strategy=strategy, trials=12, seed=s))[0] for s in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize("strategy", ["random", "tpe", "nsga2"])
def test_a_search_can_end_up_with_the_whole_grid(strategy: Strategy) -> None:
    chosen, _ = run(Search(strategy=strategy, trials=1000))
    assert set(chosen) == set(RECIPES)


def test_a_quarter_is_the_default() -> None:
    assert len(run(Search(strategy="tpe"))[0]) == len(RECIPES) // 4


def test_failed_trials_count_and_do_not_stop_the_search() -> None:
    chosen, _ = run(Search(strategy="tpe", trials=20), failing="int8")
    assert len(chosen) == 20
    assert any("int8" in recipe_text(RECIPES[i]) for i in chosen)


def test_time_ends_a_search() -> None:
    chosen, batches = run(Search(strategy="random", trials=20, timeout=10), clock=iter(range(0, 1000, 4)))
    assert len(batches) == 2
    assert len(chosen) == 4


def test_constraints_draw_the_search() -> None:
    """With a tight size, a guided search spends more of its later trials on recipes that keep it than a random one."""

    def kept(strategy: Strategy) -> int:
        found = 0
        for seed in range(8):
            chosen, _ = run(Search(strategy=strategy, trials=20, seed=seed), Limits(size=70_000))
            found += sum(made(RECIPES[i]).size.file <= 70_000 for i in chosen[8:])  # type: ignore[union-attr]  # every trial here has a size
        return found

    assert kept("tpe") > kept("random")

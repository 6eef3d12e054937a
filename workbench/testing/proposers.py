"""What every proposer has to keep, asked and told as in a sweep, with trials whose figures follow from their recipes: nothing is built."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pytest

from workbench import registry
from workbench.engine.choosing import Chooser, most_trials
from workbench.engine.planning import float_baseline
from workbench.engine.proposers.base import Space
from workbench.recipes import grammar
from workbench.recipes.grid import expand, parse_grid
from workbench.testing.common import check_described, check_missing
from workbench.values.base import digest
from workbench.values.limits import Limits
from workbench.values.recipe import Recipe
from workbench.values.settings import Search
from workbench.values.source import SourceKind
from workbench.values.trial import Quality, Size, Trial

GRID: dict[str, Any] = {
    "prune": ["none", 0.3, 0.5, 0.8],
    "cluster": ["none", 16],
    "quantize": ["float32", "float16", "dynamic", "int8", "int4-dynamic"],
}
BYTES = {"float32": 400_000, "float16": 200_000, "dynamic": 110_000, "int8": 100_000, "int4-dynamic": 60_000}
# How many recipes are out at once, as on two workers.
OUT = 4
Judge = Callable[[Recipe], Trial]


def good(recipe: Recipe) -> Trial:
    """Return a trial that is ok, its figures drawn from its recipe alone."""
    text = grammar.recipe_text(recipe)
    draw = int(digest(recipe.to_json())[:8], 16) / 16**8
    size = int(BYTES.get(text.rpartition("+")[2], 300_000) * (1 - 0.2 * draw))
    quality = Quality(samples=100, task="classification", accuracy=round(0.99 - 0.02 * len(recipe.steps) * draw, 2))
    baseline = text == "float32"
    return Trial(
        id=recipe.id,
        recipe=text,
        steps=recipe.steps,
        baseline=baseline,
        state="ok",
        size=Size(file=size, gzip=size),
        quality=quality,
    )


def bad(recipe: Recipe) -> Trial:
    """Return a trial that failed, unless it is the baseline."""
    made = good(recipe)
    if made.baseline:
        return made
    return made.model_copy(update={"state": "failed", "error": "it does not work", "size": None, "quality": None})


class Simulation:
    """A search without a sweep: `asked` are the recipes in the order in which they were proposed, `told` those that were told."""

    def __init__(
        self,
        text: str,
        grid: dict[str, Any],
        source: SourceKind = "keras",
        trials: int | None = None,
        seed: int = 0,
        judge: Judge = good,
        limits: Limits | None = None,
        late: Callable[[int], int] = lambda _: 0,
        **settings: Any,
    ) -> None:
        """Search to the end. `late(i)` is for how many looks the i-th recipe is still being built."""
        baseline = float_baseline()
        parsed = parse_grid(grid)
        others = tuple(r for r in expand(parsed, source).recipes if r.id != baseline.id)
        search = Search(strategy=text, trials=trials, seed=seed)
        self.space = Space(
            source=source,
            axes=parsed.axes,
            recipes=others,
            baseline=baseline,
            trials=most_trials(search, len(others)),
            limits=limits or Limits(),
            seed=seed,
            unfit=lambda r: grammar.check_recipe(r, source),
        )
        self.told: list[Recipe] = []
        search = search.model_copy(update={"timeout": settings.pop("timeout", None)})
        self.chooser = Chooser(search, self.space, OUT, 60.0, threading.Event(), **settings)
        looks: dict[str, int] = {}

        def result(recipe: Recipe) -> Trial | None:
            number = list(self.chooser.asked).index(recipe.id)
            looks[recipe.id] = looks.get(recipe.id, -1) + 1
            if looks[recipe.id] < late(number):
                return None
            self.told.append(recipe)
            return judge(recipe)

        while self.chooser.recipes(result) or (self.chooser.proposals is not None and self.chooser.out):
            pass

    @property
    def asked(self) -> list[Recipe]:
        """The recipes that were proposed; raises what the proposer did wrong."""
        if self.chooser.error:
            raise self.chooser.error
        return list(self.chooser.asked.values())[1:]

    @property
    def texts(self) -> list[str]:
        """The recipes that were proposed, as texts."""
        return [grammar.recipe_text(r) for r in self.asked]


class ProposerConformance:
    """The common tests; `text` names the proposer as on the command line, `grid` has lists to choose from that it makes something of."""

    text: ClassVar[str]
    grid: ClassVar[dict[str, Any]] = GRID

    def search(self, **options: Any) -> Simulation:
        """Search without building anything."""
        return Simulation(self.text, self.grid, **options)

    def test_its_text_is_read_and_written(self) -> None:
        name, params = grammar.parse_proposer(self.text)
        text = grammar.proposer_text(name, params)
        assert grammar.parse_proposer(text) == (name, params)
        assert grammar.parse_proposer({"name": name, **params.to_json()}) == (name, params)
        assert parse_grid({"search": {"strategy": self.text}}).search.strategy == text

    def test_it_says_what_it_is(self) -> None:
        name, _ = grammar.parse_proposer(self.text)
        proposer = registry.proposers.get(name)
        check_described(proposer, name)
        check_missing(proposer.available())
        assert proposer.usual(40) >= 1

    def test_it_proposes_what_fits_each_once_and_ends(self) -> None:
        found = self.search(trials=60)
        assert found.asked, "it proposes something"
        assert len({r.id for r in found.asked}) == len(found.asked)
        assert found.space.baseline not in found.asked
        assert [r for r in found.asked if found.space.unfit(r)] == []
        assert [r.id for r in found.told] == [found.space.baseline.id, *(r.id for r in found.asked)]

    def test_it_proposes_nothing_to_train_where_nothing_can_be(self) -> None:
        grid = {"quantize": ["float32", "float16", "dynamic", "int8"]}
        found = Simulation(self.text, grid, source="tflite", trials=20)
        assert [r for r in found.asked if found.space.unfit(r)] == []

    @pytest.mark.parametrize("trials", [1, 2, 7])
    def test_it_keeps_to_the_trials_that_were_asked_for(self, trials: int) -> None:
        assert 1 <= len(self.search(trials=trials).asked) <= trials

    def test_it_says_how_many_it_tries_and_keeps_to_that(self) -> None:
        found = self.search()
        assert 1 <= len(found.asked) <= found.space.trials

    def test_a_grid_with_nothing_but_the_baseline_is_no_trouble(self) -> None:
        assert len(Simulation(self.text, {"quantize": ["float32"]}, trials=5).asked) <= 5

    def test_the_seed_and_the_results_decide_and_no_clock(self) -> None:
        first = self.search(trials=12, seed=1)
        slow = self.search(trials=12, seed=1, late=lambda i: (7 * i) % 5)
        assert slow.texts == first.texts

    @pytest.mark.parametrize("every", [1, 2, 3])
    def test_failed_trials_are_taken(self, every: int) -> None:
        def judge(recipe: Recipe) -> Trial:
            return bad(recipe) if int(recipe.id, 16) % every == 0 else good(recipe)

        assert self.search(trials=20, judge=judge).asked

    def test_limits_are_taken(self) -> None:
        assert self.search(trials=12, limits=Limits(size=150_000, drop={"": 0.01}, strict=True)).asked

    def test_two_searches_at_once_know_nothing_of_each_other(self) -> None:
        alone = [self.search(trials=12, seed=s).texts for s in (1, 2, 3)]
        with ThreadPoolExecutor(3) as threads:
            together = list(threads.map(lambda s: self.search(trials=12, seed=s).texts, (1, 2, 3)))
        assert together == alone

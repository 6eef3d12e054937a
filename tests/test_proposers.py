"""Proposers and how they are asked: what is chosen, in which order it is told, and what comes of one that breaks its promises; nothing is built."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pytest
from pydantic import Field

from workbench import registry
from workbench.engine.proposers.base import NoParams, Proposals, Proposer, Space
from workbench.errors import Cancelled, WorkbenchError
from workbench.recipes import grammar
from workbench.recipes.grid import grid_dict, parse_grid
from workbench.testing import ProposerConformance
from workbench.testing.proposers import GRID, OUT, Simulation, bad, good
from workbench.values.limits import Limits
from workbench.values.params import Params, param_specs
from workbench.values.recipe import Recipe
from workbench.values.settings import Search
from workbench.values.trial import Size, Trial

SEARCHES = ["random", "tpe", "nsga2"]
OTHERS = 39


class TestGrid(ProposerConformance):
    text = "grid"


class TestRandom(ProposerConformance):
    text = "random"


class TestTpe(ProposerConformance):
    text = "tpe"


class TestTpeWithOptions(ProposerConformance):
    text = "tpe[startup=3]"


class TestNsga2(ProposerConformance):
    text = "nsga2[population=4]"


# ---- the four


def test_the_grid_is_proposed_whole_in_its_order() -> None:
    found = Simulation("grid", GRID)
    assert found.asked == list(found.space.recipes)
    assert len(found.asked) == OTHERS


@pytest.mark.parametrize("text", SEARCHES)
def test_a_search_tries_as_many_recipes_of_the_grid_as_asked(text: str) -> None:
    found = Simulation(text, GRID, trials=12)
    assert len(found.asked) == 12
    assert set(found.asked) <= set(found.space.recipes)


@pytest.mark.parametrize("text", SEARCHES)
def test_another_seed_gives_other_recipes(text: str) -> None:
    assert Simulation(text, GRID, trials=12, seed=1).texts != Simulation(text, GRID, trials=12, seed=2).texts


@pytest.mark.parametrize("text", SEARCHES)
def test_a_search_can_end_up_with_the_whole_grid(text: str) -> None:
    assert set(Simulation(text, GRID, trials=1000).texts) == set(Simulation("grid", GRID).texts)


def test_a_quarter_is_the_default() -> None:
    assert len(Simulation("tpe", GRID).asked) == 10


@pytest.mark.parametrize(
    ("text", "other"), [("tpe[startup=2]", "tpe[startup=18]"), ("nsga2[population=2]", "nsga2[population=18]")]
)
def test_options_count(text: str, other: str) -> None:
    assert (
        Simulation(text, GRID, trials=20, judge=shaped).texts != Simulation(other, GRID, trials=20, judge=shaped).texts
    )


def test_failed_trials_count_and_do_not_stop_the_search() -> None:
    found = Simulation("tpe", GRID, trials=20, judge=lambda r: bad(r) if "int8" in grammar.recipe_text(r) else good(r))
    assert len(found.asked) == 20
    assert any("int8" in t for t in found.texts)


@pytest.mark.parametrize("text", ["tpe", "nsga2"])
def test_results_count(text: str) -> None:
    assert Simulation(text, GRID, trials=30, judge=good).texts != Simulation(text, GRID, trials=30, judge=shaped).texts


def test_limits_draw_the_search() -> None:
    """With a tight size, a guided search spends more of its later trials on recipes that keep it than a random one."""

    def kept(text: str) -> int:
        found = 0
        for seed in range(8):
            chosen = Simulation(text, GRID, trials=20, seed=seed, judge=shaped, limits=Limits(size=70_000)).asked
            found += sum(size_of(shaped(r)) <= 70_000 for r in chosen[8:])
        return found

    assert kept("tpe") > kept("random")


def shaped(recipe: Recipe) -> Trial:
    """A trial whose size hangs on its scheme alone."""
    made = good(recipe)
    size = {"float32": 400_000, "float16": 200_000, "dynamic": 110_000, "int8": 100_000}
    found = size.get(made.recipe.rpartition("+")[2], 60_000)
    return made.model_copy(update={"size": Size(file=found, gzip=found)})


def size_of(trial: Trial) -> int:
    assert trial.size is not None
    return trial.size.file


# ---- how they are asked


class Kept(Proposals):
    """Proposes from a list, and keeps what is asked and told."""

    def __init__(self, space: Space, answer: Callable[[Space, Kept, int], Any]) -> None:
        self.space, self.answer = space, answer
        self.log: list[int | str] = []
        self.told: list[Trial] = []
        self.proposed = 0

    def ask(self, n: int) -> Sequence[Recipe]:
        self.log.append(n)
        answer: Any = self.answer(self.space, self, n)
        self.proposed += len(answer) if isinstance(answer, list) else 0
        return answer  # type: ignore[no-any-return]  # what it is, is what is tested

    def tell(self, trial: Trial) -> None:
        self.log.append(trial.recipe)
        self.told.append(trial)


class Stranger(Proposer[NoParams]):
    """A proposer whose answers a test gives."""

    name = "stranger"
    help = "proposes what a test says"
    answer: ClassVar[Callable[[Space, Kept, int], Any]]
    started: ClassVar[list[Kept]]

    def start(self, space: Space, params: NoParams) -> Proposals:
        made = Kept(space, type(self).answer)
        self.started.append(made)
        return made

    def usual(self, recipes: int) -> int:
        return 1000


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Space, Kept, int], Any]], None]:
    """Registers the proposer `stranger` with what it answers."""
    monkeypatch.setattr(registry.proposers, "_names", {**registry.BUILTIN_PROPOSERS, "stranger": "here"})
    monkeypatch.setattr(registry.proposers, "_loaded", {"stranger": Stranger()})
    monkeypatch.setattr(Stranger, "started", [], raising=False)

    def register(answer: Callable[[Space, Kept, int], Any]) -> None:
        monkeypatch.setattr(Stranger, "answer", staticmethod(answer), raising=False)

    return register


def fresh(space: Space, kept: Kept, n: int) -> list[Recipe]:
    """The next recipes of the grid, exactly as many as asked for."""
    return list(space.recipes[kept.proposed : kept.proposed + n])


def test_one_that_takes_long_keeps_nobody_waiting_and_results_are_told_in_the_order_asked(answers: Any) -> None:
    answers(fresh)
    found = Simulation("stranger", GRID, trials=6, late=lambda i: 3 * (i == 1))
    assert Stranger.started[0].log == [
        *(OUT - 1, "float32", 1, *found.texts[:1], 1),
        *(found.texts[1], 1, *found.texts[2:]),
    ]


def test_what_is_out_and_told_is_the_same_however_long_each_takes(answers: Any) -> None:
    answers(fresh)
    for late in (lambda i: 0, lambda i: i % 3, lambda i: 5 - i % 5, lambda i: 9 * (i == 2)):
        Simulation("stranger", GRID, trials=12, late=late)
    logs = [kept.log for kept in Stranger.started]
    assert all(log == logs[0] for log in logs[1:])


def test_none_means_wait_while_trials_are_out_and_the_end_when_none_is(answers: Any) -> None:
    """By generations: all results first, then the next three."""

    def generation(space: Space, kept: Kept, n: int) -> list[Recipe]:
        known = max(0, len(kept.told) - 1)
        return list(space.recipes[known : known + 3]) if known == kept.proposed < 6 else []

    answers(generation)
    found = Simulation("stranger", GRID)
    assert [t.recipe for t in Stranger.started[0].told] == ["float32", *found.texts]
    assert len(found.asked) == 6
    assert found.chooser.left == 0


def test_the_plan_grows_beyond_the_grid(answers: Any) -> None:
    """Between two levels that were tried, a third: a recipe that the grid does not hold."""

    def between(space: Space, kept: Kept, n: int) -> list[Recipe]:
        if kept.proposed == 0:
            return list(space.recipes)
        if len(kept.told) < 3 or kept.proposed > 2:
            return []
        levels = [float(t.steps[0].params["sparsity"]) for t in kept.told if not t.baseline]
        return [grammar.parse_recipe(f"prune:{sum(levels) / 2}+int8")]

    answers(between)
    found = Simulation("stranger", {"recipes": ["prune:0.2+int8", "prune:0.8+int8"]})
    assert found.texts == ["prune:0.2+int8", "prune:0.8+int8", "prune:0.5+int8"]


def test_what_an_earlier_sweep_measured_is_not_told(answers: Any) -> None:
    from trials import measured

    answers(fresh)
    with_times = Simulation(
        "stranger",
        GRID,
        trials=3,
        judge=lambda r: good(r).model_copy(update={"measurements": (measured("xnnpack", 1.0),)}),
    )
    assert with_times.asked
    assert all(t.measurements == () for t in Stranger.started[0].told)


def test_time_ends_a_search(answers: Any) -> None:
    answers(fresh)
    ticks = itertools.count(0, 3)
    found = Simulation("stranger", GRID, trials=20, timeout=20, clock=lambda: float(next(ticks)))
    assert 0 < len(found.asked) < 20
    assert len(found.told) == len(found.asked) + 1, "what is out is still built and told"


# ---- what breaks its promises


def refuse(*_: Any) -> Any:
    raise ValueError("no idea\nleft")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (refuse, r"failed: ValueError: no idea left \(test_proposers.py:\d+\)"),
        (lambda s, k, n: "int8", "answered 'int8'. Allowed: a list of recipes"),
        (lambda s, k, n: None, "answered None"),
        (lambda s, k, n: (r for r in s.recipes), "answered <generator"),
        (lambda s, k, n: ["int8"], "proposed 'int8', which is no Recipe. `workbench.recipes.grammar.parse_recipe`"),
        (lambda s, k, n: [s.baseline], "proposed 'float32' a second time"),
        (lambda s, k, n: [s.recipes[0]], "proposed 'float16' a second time"),
        (lambda s, k, n: [s.recipes[0], s.recipes[0]], "proposed 'float16' a second time"),
        (lambda s, k, n: [grammar.parse_recipe("prune:0.5")], "proposed 'prune:0.5', which does not fit: .*ends in a scheme"),
        (lambda s, k, n: [Recipe.model_validate({"steps": [{"technique": "prun"}]})], "unknown technique 'prun'"),
        (
            lambda s, k, n: [Recipe.model_validate({"steps": [{"technique": "prune", "params": {"sparsity": 2}}]})],
            "sparsity = 2",
        ),
    ],
)  # fmt: skip
def test_a_broken_promise_ends_the_search_and_says_what_it_was(answers: Any, answer: Any, said: str) -> None:
    answers(answer)
    found = Simulation("stranger", GRID)
    with pytest.raises(WorkbenchError, match=f"proposer 'stranger' .*{said}"):
        found.asked  # noqa: B018  # it raises
    assert "choose another --search-strategy" in str(found.chooser.error)
    assert len(found.chooser.asked) <= 2


def test_the_same_recipe_written_otherwise_is_the_same(answers: Any) -> None:
    long = {"technique": "prune", "params": {"sparsity": "0.5", "schedule": "constant"}}
    short = grammar.parse_recipe("prune:0.5[schedule=constant]+int8")
    odd = Recipe.model_validate({"steps": [long, {"technique": "quantize", "params": {"scheme": "int8"}}]})
    answers(lambda s, k, n: [odd, short])
    assert "a second time" in str(Simulation("stranger", GRID).chooser.error)
    answers(lambda s, k, n: [] if len(k.log) > 1 else [odd])
    assert Simulation("stranger", GRID).texts == [grammar.recipe_text(short)]


def test_one_that_fails_when_told_ends_the_search_too(answers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(fresh)
    monkeypatch.setattr(Kept, "tell", refuse)
    found = Simulation("stranger", GRID)
    assert "failed: ValueError" in str(found.chooser.error)
    assert len(found.chooser.asked) == OUT, "what was proposed before is built"


def test_one_that_starts_with_nothing_of_the_kind_is_told(answers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(fresh)
    monkeypatch.setattr(Stranger, "start", lambda *_: 7)
    assert "started with 7, which is none of" in str(Simulation("stranger", GRID).chooser.error)


def test_one_that_never_ends_is_bounded(answers: Any) -> None:
    def endless(space: Space, kept: Kept, n: int) -> list[Recipe]:
        return [grammar.parse_recipe(f"prune:{len(kept.log) / 10_000:.4f}+int8")]

    answers(endless)
    assert len(Simulation("stranger", {"recipes": ["int8"]}, trials=50).asked) == 50


def test_more_than_may_be_tried_are_cut(answers: Any) -> None:
    answers(lambda s, k, n: list(s.recipes))
    assert len(Simulation("stranger", GRID, trials=5).asked) == 5


def test_one_that_never_answers_keeps_neither_the_sweep_nor_who_cancels_it(answers: Any) -> None:
    from workbench.engine.choosing import Chooser

    release = threading.Event()
    answers(lambda s, k, n: [] * release.wait(60))
    space = Simulation("grid", {"quantize": ["float32", "int8"]}).space
    try:
        chooser = Chooser(Search(strategy="stranger"), space, OUT, 0.2, threading.Event())
        assert chooser.recipes(lambda _: None) == []
        assert "did not answer within 0.2 s (--limits-stage-seconds)" in str(chooser.error)
        cancel = threading.Event()
        chooser = Chooser(Search(strategy="stranger"), space, OUT, 900.0, cancel)
        threading.Timer(0.2, cancel.set).start()
        begin = time.monotonic()
        with pytest.raises(Cancelled):
            chooser.recipes(lambda _: None)
        assert time.monotonic() - begin < 60
    finally:
        release.set()


# ---- how they are named


@pytest.mark.parametrize(
    ("strategy", "canonical"),
    [
        ("tpe", "tpe"),
        ("tpe[startup=5]", "tpe[startup=5]"),
        ({"name": "tpe", "startup": 5}, "tpe[startup=5]"),
        ({"name": "nsga2"}, "nsga2"),
        ("nsga2[ population = 6 ]", "nsga2[population=6]"),
    ],
)
def test_a_proposer_is_named_by_text_or_mapping(strategy: Any, canonical: str) -> None:
    grid = parse_grid({"quantize": ["int8"], "search": {"strategy": strategy, "trials": 3}})
    assert grid.search.strategy == canonical
    assert parse_grid(grid_dict(grid)) == grid


@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        ("tp", ["unknown proposer 'tp'", "Did you mean 'tpe'?", "Allowed: grid, nsga2, random, tpe"]),
        ("", ["proposer '' is not understood"]),
        ("tpe:5", ["options go into brackets, e.g. tpe[startup=5]"]),
        ("tpe[start=5]", ["unknown parameter of proposer 'tpe' 'start'", "Did you mean 'startup'"]),
        ("tpe[startup=0]", ["proposer 'tpe': startup = '0': input should be greater than or equal to 1"]),
        ({"startup": 5}, ["has no name", "{name: tpe, startup: 5}"]),
        ({"name": "tpe", "startup": True}, ["startup = true: a number is meant"]),
        (7, ["proposer '7' is not understood"]),
        (None, ["search: strategy is empty", "grid, nsga2, random, tpe"]),
    ],
)
def test_mistakes_in_a_proposers_name_are_told(strategy: Any, said: list[str]) -> None:
    with pytest.raises(WorkbenchError) as error:
        parse_grid({"quantize": ["int8"], "search": {"strategy": strategy}})
    assert all(part in str(error.value) for part in said), str(error.value)


def test_the_setting_says_where_its_names_are_found() -> None:
    (strategy,) = [s for s in param_specs(Search) if s.name == "strategy"]
    assert strategy.registry == "proposers"
    assert all(s.registry == "" for s in param_specs(Search) if s.name != "strategy")


class OddParams(Params):
    """Of a proposer in a test."""

    share: float = Field(0.5, gt=0, le=1, description="how much of the grid")
    word: str = Field("a", description="a word")


def test_options_at_their_default_are_left_out_of_the_text() -> None:
    assert grammar.proposer_text("odd", OddParams(share=0.5, word="b")) == "odd[word=b]"
    assert grammar.proposer_text("odd", OddParams(share=1.0)) == "odd[share=1]"

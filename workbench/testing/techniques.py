"""What every technique has to keep: real sweeps of the bundled model, read back from their files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pytest

from workbench import api, registry
from workbench.engine.engine import Engine
from workbench.errors import WorkbenchError
from workbench.flatbuffer.census import read_census, read_sizes
from workbench.recipes.grammar import check_recipe, parse_recipe, parse_step, recipe_text, resolve, step_text
from workbench.techniques.base import KerasTechnique, Promise
from workbench.testing.common import Array, check_described, check_missing, digits, model_path, sha256
from workbench.values.recipe import SCHEMES, Recipe, Step
from workbench.values.trial import Trial

# What is said of a file that does not keep its recipe.
BROKEN = ("sparsity-lost", "clusters-lost", "mostly-float-int8", "kernels-float", "not-quantized")


class SweptTwice(NamedTuple):
    """The trials of the same sweep in two stores, by recipe."""

    one: dict[str, Trial]
    two: dict[str, Trial]


class TechniqueConformance:
    """The common tests; `text` is the step as on the command line, `prune:0.5`, or a scheme, `int8`.

    A step that changes a Keras model is followed by each of `schemes`. `model`, `data` and `train` say what it works on: the bundled model, a part of
    the digits, one epoch. Sweeps take some seconds; the files are made twice, to see that they are the same.
    """

    text: ClassVar[str]
    schemes: ClassVar[tuple[str, ...]] = ("float32", "int8")
    train: ClassVar[dict[str, Any]] = {"epochs": 1}

    @pytest.fixture(scope="class")
    def model(self) -> Any:
        """The model that is swept."""
        return model_path()

    @pytest.fixture(scope="class")
    def data(self) -> dict[str, Array]:
        """The data to train, calibrate and test with."""
        return digits()

    @pytest.fixture(scope="class")
    def engine(self) -> Iterator[Engine]:
        """The worker that does it."""
        with Engine(jobs=1) as engine:
            yield engine

    @pytest.fixture(scope="class")
    def step(self) -> Step:
        """The step as it was read."""
        return parse_step(self.text)

    @pytest.fixture(scope="class")
    def recipes(self, step: Step) -> list[Recipe]:
        """The recipes that have the step."""
        if resolve(step)[0].level == "flatbuffer":
            return [Recipe(steps=(step,))]
        return [parse_recipe(f"{self.text}+{scheme}") for scheme in self.schemes]

    @pytest.fixture(scope="class")
    def swept(
        self,
        step: Step,
        recipes: list[Recipe],
        model: Any,
        data: Any,
        engine: Engine,
        tmp_path_factory: pytest.TempPathFactory,
    ) -> SweptTwice:
        """The same sweep done in two stores."""
        if missing := resolve(step)[0].available():
            pytest.skip(missing)
        folder = tmp_path_factory.mktemp("swept")
        plain = [scheme for scheme in self.schemes if scheme in SCHEMES]
        grid = {
            "recipes": list(dict.fromkeys([*plain, *map(recipe_text, recipes)])),
            "train": self.train,
            "measure": {"skip": True},
        }
        found = []
        for name in ("one", "two"):
            study = api.sweep(model, data, grid, store=folder / name, study="conformance", engine=engine)
            found.append({trial.recipe: trial for trial in study.trials})
        return SweptTwice(*found)

    def test_its_text_is_read_and_written(self, step: Step, recipes: list[Recipe]) -> None:
        assert parse_step(step_text(step)) == step
        assert Step.model_validate(step.to_json()) == step
        for recipe in recipes:
            assert parse_recipe(recipe_text(recipe)) == recipe

    def test_it_says_what_it_is(self, step: Step) -> None:
        technique, params = resolve(step)
        check_described(technique, step.technique)
        assert technique.version >= 1
        assert all(isinstance(tool, str) and tool for tool in technique.tools)
        assert type(params).model_validate(params.to_json()) == params

    def test_it_says_what_is_missing(self, step: Step) -> None:
        check_missing(registry.techniques.get(step.technique).available())

    def test_unknown_options_are_refused(self, step: Step) -> None:
        with pytest.raises(WorkbenchError, match="no_such_option"):
            parse_step(f"{step.technique}[no_such_option=1]")

    def test_it_says_what_it_goes_with(self, step: Step, recipes: list[Recipe]) -> None:
        for recipe in recipes:
            assert check_recipe(recipe, "keras") is None
            other = check_recipe(recipe, "tflite")
            assert other is None or len(other) > 20
        if isinstance(resolve(step)[0], KerasTechnique):
            assert check_recipe(recipes[0], "tflite"), "a .tflite is no Keras model"

    def test_every_file_runs(self, swept: SweptTwice, recipes: list[Recipe]) -> None:
        for trial in _trials(swept.one, recipes):
            assert (trial.state, trial.error) == ("ok", None), trial.recipe
            assert trial.quality is not None
            assert trial.quality.primary is not None
            assert trial.quality.cosine is not None
            assert trial.artifact is not None
            path = Path(trial.artifact.path)
            assert sha256(path.read_bytes()) == trial.artifact.sha256
            assert (read_census(path), read_sizes(path)) == (trial.census, trial.size)

    def test_the_promise_is_kept_in_the_file(self, swept: SweptTwice, recipes: list[Recipe], step: Step) -> None:
        technique, params = resolve(step)
        promise = technique.promise(params) if isinstance(technique, KerasTechnique) else Promise()
        for trial in _trials(swept.one, recipes):
            assert [w.seen for w in trial.warnings if w.kind in BROKEN] == [], trial.recipe
            assert trial.artifact is not None
            census = read_census(Path(trial.artifact.path))
            if promise.sparsity is not None:
                assert census.sparsity >= promise.sparsity - 0.02, trial.recipe
            if promise.clusters is not None:
                assert census.unique_weights <= promise.clusters, trial.recipe

    def test_it_leaves_what_it_says_before(
        self,
        swept: SweptTwice,
        recipes: list[Recipe],
        model: Any,
        engine: Engine,
        tmp_path_factory: pytest.TempPathFactory,
    ) -> None:
        trained = [recipe for recipe in recipes if recipe.prefix]
        if not trained:
            return
        grid = {"recipes": [recipe_text(r) for r in trained]}
        said = api.preflight(model, grid, tmp_path_factory.mktemp("said"), engine=engine)
        for trial in _trials(swept.one, trained):
            steps = [s for s in said.steps if any(trial.recipe.startswith(f"{asked}+") for asked in s.asked)]
            warned = [w.seen for w in trial.warnings if w.kind == "layers-left"]
            if all(s.known for s in steps):
                assert [s.error for s in steps] == [None] * len(steps), trial.recipe
                assert len(warned) == sum(bool(s.left) for s in steps), trial.recipe
            for seen, step in zip(warned, [s for s in steps if s.left], strict=False):
                assert all(item.layer in seen for item in step.left[:5])

    def test_it_changes_the_file(self, swept: SweptTwice, recipes: list[Recipe]) -> None:
        for trial in _trials(swept.one, recipes):
            plain = swept.one.get(trial.recipe.rpartition("+")[2])
            if plain is not None and plain.recipe != trial.recipe:
                assert plain.artifact is not None
                assert trial.artifact is not None
                assert trial.artifact.sha256 != plain.artifact.sha256, f"{trial.recipe} is {plain.recipe}"

    def test_the_same_again_gives_the_same_file(self, swept: SweptTwice, recipes: list[Recipe]) -> None:
        for one, two in zip(_trials(swept.one, recipes), _trials(swept.two, recipes), strict=True):
            assert (one.id, one.artifact and one.artifact.sha256) == (two.id, two.artifact and two.artifact.sha256)


def _trials(found: dict[str, Trial], recipes: list[Recipe]) -> list[Trial]:
    return [found[recipe_text(recipe)] for recipe in recipes]

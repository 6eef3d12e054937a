"""Two sweeps with the same seed in two fresh stores: what is the same, what is not, and how the difference is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reproduction import compare
from trials import make_trial

import workbench
from workbench.values.graph import Artifact
from workbench.values.trial import Trial

RECIPES = (
    "float32",
    "int8",
    "prune:0.5+float32",
    "prune:0.5+int8",
    "prune:0.5+cluster:16+int8",
)


def other(trial: Trial, accuracy: float | None = None, size: int | None = None) -> Trial:
    """The same recipe with another file."""
    changed = make_trial(trial.recipe, accuracy=accuracy, size=size)
    assert trial.artifact
    return changed.model_copy(update={"artifact": Artifact(path="x", sha256="f" * 64, kind="tflite")})


def test_equal_studies_are_identical() -> None:
    trials = [make_trial(r) for r in RECIPES]
    found = compare(trials, trials)
    assert found.bit_identical
    assert found.same_sizes
    assert found.same_accuracies
    assert found.text == "5 of 5 recipes bit-identical"


def test_the_first_step_that_differs_is_named() -> None:
    one = [make_trial(r) for r in RECIPES]
    two = [*one[:2], other(one[2]), other(one[3]), other(one[4], accuracy=0.9)]
    found = compare(one, two)
    assert {d.recipe: d.step for d in found.differences} == dict.fromkeys(RECIPES[2:], "prune:0.5")
    two = [*one[:3], one[3], other(one[4])]
    assert [d.step for d in compare(one, two).differences] == ["cluster:16"]
    two = [*one[:3], other(one[3]), one[4]]
    assert [d.step for d in compare(one, two).differences] == ["int8"]


def test_how_much_differs_is_told() -> None:
    one = [make_trial(r) for r in RECIPES]
    two = [*one[:4], other(one[4], accuracy=one[4].quality.accuracy - 0.02, size=one[4].size.file + 16)]  # type: ignore[union-attr, operator]
    found = compare(one, two)
    assert not found.same_sizes
    assert not found.same_accuracies
    assert "+16 bytes" in found.text
    assert "accuracy -2.00 points" in found.text
    found = compare(one, [make_trial("float32"), make_trial("int8", state="failed", error="no"), make_trial("int16x8")])
    assert found.only_one == RECIPES[2:]
    assert found.only_other == ("int16x8",)
    assert "state ok, then failed" in found.text


@pytest.mark.slow
def test_two_sweeps_with_the_same_seed(small_h5: Path, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    x, y = draw.random((160, 8, 8, 1), dtype=np.float32), draw.integers(0, 6, 160)
    data = {"x_train": x[:120], "y_train": y[:120], "x_test": x[120:], "y_test": y[120:]}
    # Each kind of training once, in one chain.
    recipes = ["float32", "int8", "prune:0.5+float32", "prune:0.5+cluster:4+qat+int8"]
    grid = {"recipes": recipes, "train": {"epochs": 1, "seed": 3}, "measure": {"skip": True}}
    with workbench.Engine(jobs=2) as engine:

        def trials(name: str, **settings: Any) -> list[Trial]:
            asked = {**grid, **settings}
            return workbench.sweep(small_h5, data, asked, study="s", store=tmp_path / name, engine=engine).trials

        one, two = trials("a"), trials("b")
        changed = trials("c", recipes=["prune:0.5+float32"], train={"epochs": 1, "seed": 4})
    found = compare(one, two)
    print(found.text)
    assert len(found.common) == len(recipes)
    assert found.same_ids, found.text
    assert found.same_sizes, found.text
    assert found.same_accuracies, found.text
    # What is trained comes out equal too: seeds are set, operators deterministic, and workers have as many threads.
    assert found.bit_identical, found.text
    assert [d.recipe for d in compare(one, changed).differences] == ["prune:0.5+float32"]


@pytest.mark.parametrize("recipe", ["prune:0.5+float32"])
def test_a_difference_can_be_seen(recipe: str) -> None:
    one = make_trial(recipe)
    assert compare([one], [other(one)]).differences[0].hash_differs

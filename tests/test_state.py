"""Files that keep what they saw between calls: figures are of samples that begin anew, and the trial says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workbench
from workbench.engine.warn import more_exact
from workbench.recipes.grammar import parse_recipe

X = np.random.default_rng(0).normal(size=(24, 6, 4)).astype(np.float32)


def recurrent(kind: str) -> Any:
    import tf_keras

    layers = tf_keras.layers
    steps = layers.Input((6, 4), name="steps")
    made = layers.Bidirectional(layers.LSTM(5)) if kind == "Bidirectional" else getattr(layers, kind)(5)
    return tf_keras.Model(steps, layers.Dense(3, activation="softmax")(made(steps)))


def outputs(path: str, reset: bool) -> np.ndarray[Any, Any]:
    """The outputs for each sample by a plain interpreter, whose state is reset before each, or not."""
    from ai_edge_litert.interpreter import Interpreter

    made = Interpreter(model_path=path)
    made.allocate_tensors()
    found = []
    for sample in X:
        if reset:
            made.reset_all_variables()
        made.set_tensor(made.get_input_details()[0]["index"], sample[None])
        made.invoke()
        found.append(made.get_tensor(made.get_output_details()[0]["index"])[0])
    return np.array(found)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "keeps"), [("LSTM", True), ("Bidirectional", True), ("GRU", False)])
def test_a_file_that_keeps_state_says_so(kind: str, keeps: bool, tmp_path: Path, warm_engine: workbench.Engine) -> None:
    data = {"x_test": X, "y_test": np.arange(len(X)) % 3}
    grid = {"quantize": ["float32"], "measure": {"skip": True}}
    (trial,) = workbench.sweep(recurrent(kind), data, grid, store=tmp_path, engine=warm_engine).trials
    assert trial.artifact is not None
    assert trial.quality is not None
    fresh = outputs(trial.artifact.path, reset=True)
    # The premise: without a reset such a file gives other answers.
    assert bool(np.abs(outputs(trial.artifact.path, reset=False) - fresh).max() > 1e-4) is keeps
    assert trial.quality.accuracy == pytest.approx((fresh.argmax(axis=1) == data["y_test"]).mean())
    assert ("keeps-state" in [w.kind for w in trial.warned]) is keeps


@pytest.mark.parametrize(
    ("recipe", "holds", "lacks"),
    [
        ("prune:0.5+float32", ["sparsity"], ["bits", "calibration", "qat", "granularity"]),
        ("cluster:8+float32", ["more clusters"], ["sparsity", "calibration"]),
        ("int8", ["int16x8", "`qat` before", "calibration"], ["sparsity", "clusters", "granularity"]),
        ("prune:0.5+qat+int8", ["sparsity", "more epochs of `qat`"], ["before the scheme", "int16x8"]),
        ("int4-dynamic", ["8 bits"], ["calibration"]),
        ("int16x8", ["float16"], ["`int16x8`"]),
    ],
)
def test_advice_is_about_what_the_recipe_did(recipe: str, holds: list[str], lacks: list[str]) -> None:
    said = more_exact(parse_recipe(recipe).steps)
    assert all(words in said for words in holds), said
    assert not any(words in said for words in lacks), said

"""Recurrent models that Keras 3 exported with an open batch convert, and post-training schemes work on them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras  # type: ignore[import-untyped,unused-ignore]
import numpy as np
import pytest

import workbench
from workbench.errors import StageFailed
from workbench.sources.freeze import saved_model_inference
from workbench.sources.one_sample import one_sample

layers = keras.layers
KINDS = {
    "lstm": lambda x: layers.LSTM(5)(x),
    "gru": lambda x: layers.GRU(5)(x),
    "gru, reset before": lambda x: layers.GRU(5, reset_after=False)(x),
    "bidirectional": lambda x: layers.Bidirectional(layers.LSTM(4))(x),
    "stacked": lambda x: layers.GRU(3)(layers.LSTM(4, return_sequences=True)(x)),
}


def model_of(name: str) -> Any:
    keras.utils.set_random_seed(1)
    x = layers.Input((7, 5), name="x")
    return keras.Model(x, layers.Dense(3, activation="softmax", name="y")(KINDS[name](x)), name="model")


def exported(model: Any, folder: Path) -> Path:
    model.export(str(folder), verbose=False)
    return folder


def run_file(content: bytes, x: Any) -> Any:
    """What a plain interpreter gives, sample by sample."""
    from ai_edge_litert.interpreter import Interpreter  # type: ignore[import-untyped,unused-ignore]

    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    found = []
    for sample in x:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], sample[None])
        interpreter.invoke()
        found.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0])
    return np.stack(found)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if n not in ("lstm", "bidirectional") else []) for n in KINDS]
)
def test_it_converts_for_one_sample_and_computes_the_same(name: str, tmp_path: Path) -> None:
    model = model_of(name)
    inference = one_sample(saved_model_inference(exported(model, tmp_path / "model")))
    x = np.random.default_rng(0).random((4, 7, 5), np.float32)
    np.testing.assert_allclose(run_file(inference.flatbuffer(), x), model.predict_on_batch(x), atol=1e-5)


def test_a_batch_that_is_fixed_is_left_alone(tmp_path: Path) -> None:
    import tensorflow as tf

    module = tf.Module()
    module.twice = tf.function(lambda x: {"y": x * 2.0}, input_signature=[tf.TensorSpec((2, 4), tf.float32, name="x")])
    tf.saved_model.save(module, str(tmp_path / "model"), signatures=module.twice)
    inference = saved_model_inference(tmp_path / "model")
    with pytest.raises(StageFailed, match="no open batch"):
        one_sample(inference)


@pytest.fixture(scope="module")
def engine() -> Iterator[workbench.Engine]:
    with workbench.Engine(jobs=1) as made:
        yield made


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lstm", "bidirectional"])
def test_post_training_schemes_work(name: str, tmp_path: Path, engine: workbench.Engine) -> None:
    model = model_of(name)
    x, y = np.random.default_rng(0).random((24, 7, 5), np.float32), np.arange(24) % 3
    data = {"x_train": x, "y_train": y, "x_test": x[:8], "y_test": y[:8]}
    grid = {"recipes": ["float32", "dynamic", "float16"], "measure": {"skip": True}}
    study = workbench.sweep(exported(model, tmp_path / "model"), data, grid, store=tmp_path / "store", engine=engine)
    trials = {t.recipe: t for t in study.trials}
    assert {r: (t.state, t.error) for r, t in trials.items()} == dict.fromkeys(grid["recipes"], ("ok", None))
    artifact = trials["float32"].artifact
    assert artifact is not None
    file = next((tmp_path / "store").rglob(f"{artifact.sha256}*"))
    np.testing.assert_allclose(run_file(file.read_bytes(), x[:4]), model.predict_on_batch(x[:4]), atol=1e-5)

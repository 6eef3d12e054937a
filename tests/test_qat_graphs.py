"""Graphs that quantization-aware training has to get through the converter: average pooling before a join, layers of ConvNeXt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workbench

X = np.random.default_rng(0).random((48, 12, 12, 3), np.float32)
Y = np.arange(48) % 3


def over_images(body: Any) -> Any:
    """A classifier of 12x12 images."""
    import tf_keras

    layers = tf_keras.layers
    image = layers.Input((12, 12, 3), name="image")
    x = body(layers, layers.Conv2D(8, 3, padding="same", activation="relu")(image))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, padding="same", activation="relu")(x))
    return tf_keras.Model(image, layers.Dense(3, activation="softmax", name="kind")(x))


def transition(layers: Any, x: Any) -> Any:
    """DenseNet's: a pooled map that is joined with what is made of it."""
    x = layers.AveragePooling2D()(layers.Conv2D(8, 1)(x))
    return layers.Concatenate()([x, layers.Conv2D(4, 3, padding="same")(x)])


def inception(layers: Any, x: Any) -> Any:
    pooled = layers.AveragePooling2D(3, 1, "same")(x)
    return layers.Concatenate()([pooled, layers.Conv2D(4, 1)(x), layers.MaxPooling2D(3, 1, "same")(x)])


def added(layers: Any, x: Any) -> Any:
    """NASNet's: two pooled maps, one after the other, and their sum with what they were made of."""
    pooled = layers.AveragePooling2D(3, 1, "same")(x)
    return layers.Add()([x, layers.AveragePooling2D(3, 1, "same")(pooled)])


def scaled(layers: Any, x: Any) -> Any:
    """ConvNeXt's, with a layer that tf_keras knows by a private name only."""
    from workbench.compat.tf_keras import unlisted_layers

    return layers.Add()(
        [x, unlisted_layers()["LayerScale"](0.5, 8, name="scale")(layers.Conv2D(8, 3, padding="same")(x))]
    )


def xception(layers: Any, x: Any) -> Any:
    """Xception's: separable convolutions with normalization between them, and a sum with a shortcut of as many channels; TFMOT's own split mixes these up."""
    for size in (12, 16):
        short = layers.BatchNormalization()(layers.Conv2D(size, 1, strides=2, padding="same", use_bias=False)(x))
        for _ in range(2):
            x = layers.Activation("relu")(x)
            x = layers.BatchNormalization()(layers.SeparableConv2D(size, 3, padding="same", use_bias=False)(x))
        x = layers.Add()([layers.MaxPooling2D(3, 2, "same")(x), short])
    return x


@pytest.mark.slow
@pytest.mark.parametrize("body", [xception, transition, inception, added, scaled])
def test_a_graph_comes_through_with_its_kernels_in_integers(
    body: Any, tmp_path: Path, warm_engine: workbench.Engine
) -> None:
    from ai_edge_litert.interpreter import Interpreter

    grid = {"recipes": ["qat+int8"], "train": {"epochs": 1}, "measure": {"skip": True}}
    data = {"x_train": X, "y_train": Y, "x_test": X[:12], "y_test": Y[:12]}
    study = workbench.sweep(over_images(body), data, grid, store=tmp_path, engine=warm_engine)
    _base, trial = study.trials
    assert trial.error is None
    assert trial.artifact is not None
    assert trial.census is not None
    made = Interpreter(model_path=trial.artifact.path)
    made.allocate_tensors()
    kernels = [t.name for t in trial.census.tensors if t.kernel]
    types = {d["name"]: d["dtype"] for d in made.get_tensor_details()}
    assert kernels
    assert {types[name] for name in kernels} == {np.int8}
    # One epoch moves it, but not far: noise of a graph whose ranges do not fit would be of the size of the signal.
    assert trial.quality is not None
    assert trial.quality.sqnr_db is not None
    assert trial.quality.sqnr_db > 25
    details = {d["index"]: d for d in made.get_tensor_details()}
    for op in made._get_ops_details():
        if op["op_name"] == "AVERAGE_POOL_2D":
            ends = [details[i]["quantization"] for i in (op["inputs"][0], op["outputs"][0])]
            assert ends[0] == ends[1], ends


@pytest.mark.slow
def test_a_dilated_layer_is_left_where_the_batch_is_open_and_reached_as_advised(
    tmp_path: Path, warm_engine: workbench.Engine
) -> None:
    import tf_keras

    from workbench.techniques.qat import Qat, QatParams

    def dilated(batch: int | None) -> Any:
        layers = tf_keras.layers
        series = layers.Input((12, 6), batch_size=batch, name="series")
        x = layers.Conv1D(8, 3, dilation_rate=2, padding="causal", activation="relu", name="wide")(series)
        return tf_keras.Model(series, layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling1D()(x)))

    (left,) = Qat().reach(dilated(None), QatParams()).left
    assert (left.layer, "batch_size=1" in left.why) == ("wide", True)
    assert Qat().reach(dilated(1), QatParams()).left == ()
    x = np.random.default_rng(1).random((30, 12, 6), np.float32)
    data = {"x_train": x, "y_train": np.arange(30) % 3, "x_test": x[:9], "y_test": np.arange(9) % 3}
    grid = {"recipes": ["qat+int8"], "train": {"epochs": 1}, "measure": {"skip": True}}
    for batch, types in ((1, {"int8"}), (None, {"int8", "float32"})):
        study = workbench.sweep(dilated(batch), data, grid, store=tmp_path / str(batch), engine=warm_engine)
        census = study.trials[1].census
        assert census is not None
        assert {t.type for t in census.tensors if t.kernel} == types

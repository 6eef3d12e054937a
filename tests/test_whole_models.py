"""Trained techniques reach every kernel of a model, in nested models, wrappers, cells and attention."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from models import share_weights

from workbench.techniques.base import TrainJob
from workbench.values.recipe import Step
from workbench.values.settings import Train

pytestmark = pytest.mark.slow
IMAGES = np.random.default_rng(0).random((32, 10, 10, 1)).astype("f4")
SERIES = IMAGES[..., 0]


def nested() -> Any:
    import tf_keras as keras

    layers = keras.layers
    inner = keras.Sequential(
        [layers.Input((10, 10, 1)), layers.Conv2D(4, 3, use_bias=False), layers.BatchNormalization()], name="inner"
    )
    image = layers.Input((10, 10, 1))
    base = keras.Model(image, layers.SeparableConv2D(6, 3)(layers.ReLU()(inner(image))), name="base")
    top = layers.Input((10, 10, 1), name="image")
    x = layers.GlobalAveragePooling2D()(base(top, training=False))
    return keras.Model(top, layers.Dense(8, name="head")(x))


def twice() -> Any:
    import tf_keras as keras

    layers = keras.layers
    part = keras.Sequential(
        [layers.Input((10, 10, 1)), layers.Conv2D(4, 3, activation="relu"), layers.Flatten(), layers.Dense(8)],
        name="part",
    )
    image = layers.Input((10, 10, 1))
    return keras.Model(image, layers.Subtract()([part(image), part(image * 2.0)]))


def last() -> Any:
    import tf_keras as keras

    layers = keras.layers
    image = layers.Input((10, 10, 1))
    base = keras.Sequential(
        [layers.Input((8, 8, 3)), layers.Conv2DTranspose(4, 3), layers.Flatten(), layers.Dense(8)], name="tail"
    )
    return keras.Model(image, base(layers.Conv2D(3, 3)(image)))


def recurrent() -> Any:
    import tf_keras as keras

    layers = keras.layers
    series = layers.Input((10, 10))
    x = layers.Bidirectional(layers.LSTM(6, return_sequences=True))(series)
    x = layers.TimeDistributed(layers.Dense(8))(x)
    x = layers.RNN([layers.GRUCell(6), layers.SimpleRNNCell(6)])(x)
    return keras.Model(series, layers.Dense(8)(x))


def attention() -> Any:
    import tf_keras as keras

    layers = keras.layers
    series = layers.Input((10, 10))
    x = layers.MultiHeadAttention(2, 4)(series, series)
    x = layers.Conv1DTranspose(6, 3)(layers.EinsumDense("abc,cd->abd", (10, 8), bias_axes="d")(x))
    return keras.Model(series, layers.Dense(8)(layers.Flatten()(x)))


MODELS = [nested, twice, last, recurrent, attention]


def variables(model: Any) -> list[Any]:
    """Weights of two axes or more, read by name from all that the model holds."""
    found = {id(w): w for w in model.weights if len(w.shape) > 1 and "bias" not in w.name and "depthwise" not in w.name}
    return list(found.values())


def job(model: Any, x: Any, *before: Step, left: Any = None) -> TrainJob:
    def fit(made: Any, callbacks: list[Any]) -> None:
        made.compile("adam", "mse")
        made.fit(x, np.ones((len(x), 8), "f4"), batch_size=16, epochs=1, verbose=0, callbacks=callbacks)

    return TrainJob(x, None, Train(epochs=1, batch_size=16), before, fit, 2, **({"left": left} if left else {}))


def data(model: Any) -> Any:
    return IMAGES if len(model.input_shape) == 4 else SERIES


@pytest.mark.parametrize("make", MODELS)
def test_every_kernel_is_pruned_and_then_clustered(make: Any) -> None:
    from workbench.techniques.cluster import Cluster, ClusterParams
    from workbench.techniques.prune import Prune, PruneParams

    model = make()
    names, count = list(model.output_names), len(variables(model))
    pruned = Prune().apply(model, PruneParams(), job(model, data(model)))
    assert len(variables(pruned)) == count
    for weight in variables(pruned):
        assert abs(np.mean(weight.numpy() == 0) - 0.5) <= 1 / weight.shape.num_elements(), weight.name
    step = Step(technique="prune", params={})
    made = Cluster().apply(pruned, ClusterParams(clusters=4), job(model, data(model), step))
    assert list(made.output_names) == names
    assert len(variables(made)) == count
    for weight in variables(made):
        assert len(np.unique(weight.numpy())) <= 4, weight.name
        assert np.mean(weight.numpy() == 0) > 0.45, weight.name


@pytest.mark.parametrize("make", MODELS)
def test_a_flat_model_is_the_same_and_holds_no_models(make: Any) -> None:
    import tf_keras as keras

    from workbench.techniques.flatten import flatten

    model = make()
    flat = flatten(model)
    assert not [layer for layer in flat.layers if isinstance(layer, keras.Model)]
    assert flat.count_params() == model.count_params()
    assert (flat.input_names, flat.output_names) == (model.input_names, model.output_names)
    np.testing.assert_allclose(flat.predict(data(model), verbose=0), model.predict(data(model), verbose=0), atol=1e-5)


def rescaled() -> Any:
    import tf_keras as keras

    layers = keras.layers
    scaled = [layers.Input((10, 10, 1)), layers.Rescaling(4.0, -1.0), layers.Conv2D(4, 3, activation="relu")]
    return keras.Sequential([*scaled, layers.Conv2DTranspose(3, 3), layers.Flatten(), layers.Dense(8)])


def normalized() -> Any:
    import tf_keras as keras

    layers = keras.layers
    norm = layers.Normalization()
    norm.adapt(IMAGES * 50 + 9)
    return keras.Sequential([layers.Input((10, 10, 1)), norm, layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(8)])


CHAINS = [
    (nested, ()),
    (nested, ("prune", "cluster")),
    (twice, ("prune",)),
    (last, ("cluster",)),
    (attention, ("prune",)),
    (rescaled, ("cluster",)),
    (normalized, ("prune",)),
]


@pytest.mark.parametrize(("make", "chain"), CHAINS)
def test_qat_takes_what_is_supported_and_keeps_zeros_and_clusters(
    make: Any, chain: tuple[str, ...], tmp_path: Any
) -> None:
    import tensorflow as tf

    from workbench.sources.freeze import keras_inference
    from workbench.techniques.qat import Qat, QatParams

    model = make()
    share_weights(model, chain)
    x = data(model) * (50 if make is normalized else 1)
    expected = model.predict(x, verbose=0)
    before = tuple(Step(technique=c, params={}) for c in chain)
    left: dict[str, str] = {}

    def fit(aware: Any, callbacks: list[Any]) -> None:
        aware.compile("sgd", "mse")
        aware.fit(x, expected, batch_size=16, verbose=0, callbacks=callbacks)

    note = lambda layer, why, weights: left.update({layer: why})  # noqa: E731
    aware = Qat().apply(model, QatParams(), TrainJob(x, None, Train(), before, fit, 2, note))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([keras_inference(aware).function])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    path = tmp_path / "aware.tflite"
    path.write_bytes(converter.convert())
    seen = [t for t in constants(path) if t.ndim > 1 and t.size > 8]
    integers = [t for t in seen if t.dtype == np.int8]
    assert integers
    if make is not attention:
        assert len(integers) == len(seen)
    # A depthwise kernel `(1, height, width, channels)` is none of those that are pruned or clustered.
    for kernel in (k for k in seen if k.ndim != 4 or k.shape[0] != 1):
        assert "cluster" not in chain or len(np.unique(kernel)) <= 6
        assert "prune" not in chain or np.mean(kernel == 0) > 0.4
    kinds = {type(layer).__name__ for layer in model.layers if layer.name in left}
    assert kinds >= {rescaled: {"Rescaling"}, normalized: {"Normalization"}, attention: {"MultiHeadAttention"}}.get(
        make, set()
    )
    got = run(path, x)
    assert np.sum((expected - expected.mean(0)) ** 2) > 10 * np.sum((got - expected) ** 2)


def constants(path: Any) -> list[Any]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    made = {i for o in interpreter._get_ops_details() for i in o["outputs"]}
    ends = {d["index"] for d in interpreter.get_input_details()}
    kept = [d["index"] for d in interpreter.get_tensor_details() if d["index"] not in made | ends]
    return [interpreter.get_tensor(i) for i in kept]


def run(path: Any, x: Any) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    given, out = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    interpreter.resize_tensor_input(given, x.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given, x)
    interpreter.invoke()
    return interpreter.get_tensor(out)

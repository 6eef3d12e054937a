"""`qat` on layers over one axis, dense layers over sequences, masks and activations that TFMOT does not know: the file is 8-bit where it is said to be."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from models import share_weights

from workbench.techniques.base import TrainJob
from workbench.values.recipe import Step
from workbench.values.settings import Train

RNG = np.random.default_rng(0)
SERIES = RNG.normal(size=(48, 12, 6)).astype("f4")
WORDS = RNG.integers(0, 4, (48, 10)).astype("i4")


def stack(*layers: Any, shape: Any = (12, 6), **options: Any) -> Any:
    import tf_keras as keras

    return keras.Sequential([keras.layers.Input(shape, **options), *layers])


def settled(model: Any) -> Any:
    """Give biases and statistics values that are not 0 and 1."""
    draw = np.random.default_rng(1)
    for w in model.weights:
        if len(w.shape) == 1 and w.dtype.is_floating:
            w.assign(
                draw.uniform(0.5, 1.5, w.shape)
                if "variance" in w.name or "gamma" in w.name
                else draw.normal(size=w.shape) * 0.2
            )
    return model


def convolutions() -> Any:
    from tf_keras import layers as k

    return stack(
        *(k.Conv1D(8, 3, padding="causal", use_bias=False), k.BatchNormalization(), k.ReLU()),
        *(k.MaxPooling1D(2, padding="same"), k.Conv1D(8, 3, padding="same", groups=2), k.Activation("relu")),
        *(k.Conv1D(8, 3, strides=2, activation="tanh"), k.Flatten(), k.Dense(4)),
    )


def apart() -> Any:
    from tf_keras import layers as k

    return stack(
        *(k.DepthwiseConv1D(3, strides=2, padding="same", depth_multiplier=2), k.BatchNormalization(), k.ReLU(6.0)),
        *(k.SeparableConv1D(8, 3, padding="causal", use_bias=False), k.BatchNormalization(), k.ReLU()),
        *(k.Conv1DTranspose(6, 3, strides=2, use_bias=False), k.BatchNormalization(), k.Flatten(), k.Dense(4)),
    )


def block() -> Any:
    import tf_keras as keras
    from tf_keras import layers as k

    given = k.Input((12, 6))
    x = k.Dense(8)(given)
    y = k.Dense(8, activation="swish")(k.Dense(16, activation="gelu")(k.LayerNormalization()(x)))
    x = k.TimeDistributed(k.Dense(8, activation="elu"))(k.Add()([x, y]))
    x = k.Dense(4, activation="relu")(k.Reshape((3, 4, 8))(x))
    return keras.Model(given, k.Dense(4, activation="softplus")(k.Flatten()(x)))


def shared_and_open() -> Any:
    import tf_keras as keras
    from tf_keras import layers as k

    given = k.Input((None, 6))
    conv, dense = k.Conv1D(6, 3, padding="same", activation="relu"), k.Dense(6)
    x = conv(dense(conv(dense(given))))
    return keras.Model(given, k.Dense(4)(k.GlobalAveragePooling1D()(x)))


def masked() -> Any:
    from tf_keras import layers as k

    table = k.Embedding(9, 8, mask_zero=True)
    return stack(table, k.Dropout(0.1), k.Dense(8), k.Flatten(), k.Dense(4), shape=(10,), dtype="int32")


MODELS = [convolutions, apart, block, shared_and_open, masked]


def given(model: Any) -> Any:
    return WORDS if len(model.input_shape) == 2 else SERIES


@pytest.mark.parametrize("make", MODELS)
def test_the_outputs_and_the_names_of_kernels_stay(make: Any) -> None:
    import tf_keras as keras

    from workbench.techniques.qat import Qat, QatParams

    model = settled(make())
    reach = Qat().reach(model, QatParams())
    np.testing.assert_allclose(
        reach.model.predict(given(model), verbose=0), model.predict(given(model), verbose=0), atol=1e-5
    )
    assert reach.model.count_params() <= model.count_params()
    assert [tuple(t.shape) for t in reach.model.inputs] == [tuple(t.shape) for t in model.inputs]
    assert reach.model.input_names == model.input_names
    known = {layer.name for layer in model.layers}
    assert {*reach.reached, *(item.layer for item in reach.left)} <= known
    with_weights = {
        layer.name
        for layer in model.layers
        if layer.weights and not isinstance(layer, (keras.layers.LayerNormalization, keras.layers.Embedding))
    }
    assert with_weights <= set(reach.reached)
    assert {item.layer for item in reach.left if item.weights} == {
        layer.name for layer in model.layers if layer.weights and layer.name not in with_weights
    }
    if make is block:
        assert Counter(item.why.rpartition(" ")[2] for item in reach.left if not item.weights) == {
            "'elu'": 1,
            "'softplus'": 1,
        }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "chain"),
    [
        (convolutions, ("prune", "cluster")),
        (apart, ("prune",)),
        (block, ("cluster",)),
        (shared_and_open, ()),
        (masked, ()),
    ],
)
def test_the_file_is_8_bit_and_keeps_zeros_and_clusters(make: Any, chain: tuple[str, ...]) -> None:
    import tensorflow as tf

    from workbench.techniques.fold import fold_batch_norms
    from workbench.techniques.qat import Qat, QatParams

    model = fold_batch_norms(settled(make()))
    share_weights(model, chain)
    x = given(model)
    expected = model.predict(x, verbose=0)

    def fit(aware: Any, callbacks: list[Any]) -> None:
        aware.compile("sgd", "mse")
        aware.fit(x, expected, batch_size=24, verbose=0, callbacks=callbacks)

    before = tuple(Step(technique=c, params={}) for c in chain)
    aware = Qat().apply(model, QatParams(), TrainJob(x, None, Train(), before, fit, 2))
    spec = tf.TensorSpec((1, *aware.input_shape[1:]), aware.input.dtype)
    called = tf.function(lambda v: aware(v, training=False)).get_concrete_function(spec)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([called], aware)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    file = converter.convert()
    got, products, constants = read(file, x)
    assert np.sum((expected - expected.mean(0)) ** 2) > 10 * np.sum((got - expected) ** 2)
    # Every product takes and gives integers, with a kernel of integers.
    assert len(products) >= 2
    assert {(str(k), str(o)) for k, o in products} == {("int8", "int8")}
    for kernel in (k for k in constants if k.ndim != 4 or k.shape[0] != 1):
        assert "cluster" not in chain or len(np.unique(kernel)) <= 6
        assert "prune" not in chain or np.mean(kernel == 0) > 0.4


def read(file: bytes, x: Any) -> tuple[Any, list[tuple[Any, Any]], list[Any]]:
    """Return outputs of a file for `x`, the types of kernel and output of each of its products, and their kernels, as the plain interpreter has them."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    runs = Interpreter(model_content=file, experimental_op_resolver_type=resolver)
    where, out = runs.get_input_details()[0]["index"], runs.get_output_details()[0]["index"]
    runs.resize_tensor_input(where, (1, *x.shape[1:]))
    runs.allocate_tensors()
    found = []
    for row in x:
        runs.set_tensor(where, row[None])
        runs.invoke()
        found.append(runs.get_tensor(out)[0])
    types = {d["index"]: np.dtype(d["dtype"]) for d in runs.get_tensor_details()}
    kinds = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED")
    done = [o for o in runs._get_ops_details() if o["op_name"] in kinds]
    products = [(types[o["inputs"][1]], types[o["outputs"][0]]) for o in done]
    return np.array(found), products, [runs.get_tensor(o["inputs"][1]) for o in done]


def test_a_mask_that_a_later_layer_takes_is_kept_and_said() -> None:
    from tf_keras import layers as k

    from workbench.techniques.qat import Qat, QatParams

    ends = {"lstm": [k.LSTM(5)], "global_average_pooling1d": [k.GlobalAveragePooling1D()]}
    for taker, end in ends.items():
        between = [k.Dense(6, name="between"), k.LayerNormalization(), k.Dropout(0.1, name="drop")]
        model = stack(k.Embedding(9, 8, mask_zero=True), *between, *end, k.Dense(3, name="head"), shape=(10,), dtype="int32")  # fmt: skip
        reach = Qat().reach(model, QatParams())
        assert set(reach.reached) == {"head"}
        why = {item.layer: item.why for item in reach.left}
        assert f"a mask passes through it to {taker}" in why["between"]
        assert f"a mask passes through it to {taker}" in why["drop"]
        if taker != "lstm":
            continue
        aware = Qat().apply(model, QatParams(), TrainJob(WORDS, None, Train(), (), lambda *_: None, 2))
        expected = model.predict(WORDS, verbose=0)
        off = np.abs(aware.predict(WORDS, verbose=0) - expected).max()
        assert off < 0.05 * np.abs(expected).max()


def test_what_cannot_be_turned_is_said_to_be_left() -> None:
    import tf_keras as keras
    from tf_keras import layers as k

    from workbench.techniques.qat import Qat, QatParams

    bound = k.Dense(5, kernel_constraint=keras.constraints.MaxNorm(1.0), name="bound")
    model = stack(bound, k.Conv1D(4, 3, kernel_regularizer="orthogonal_regularizer", name="along"), k.Flatten(), k.Dense(3))  # fmt: skip
    reach = Qat().reach(model, QatParams())
    assert {item.layer: item.weights for item in reach.left} == {"bound": 35, "along": 64}
    assert not {"bound", "along"} & set(reach.reached)
    why = {item.layer: item.why for item in reach.left}
    assert "constraint of its kernel" in why["bound"]
    assert "TFMOT has no 8-bit scheme for Conv1D; the regularizer of its kernel" in why["along"]


@pytest.mark.parametrize("kind", ["Dense", "Conv1D", "DepthwiseConv1D", "SeparableConv1D", "Conv1DTranspose"])
def test_batch_normalization_is_folded_into_layers_over_one_axis(kind: str) -> None:
    import tf_keras as keras
    from tf_keras import layers as k

    from workbench.techniques.fold import fold_batch_norms, fuse_relus

    for bias in (False, True):
        size = () if kind == "Dense" else (3,)
        first = () if kind == "DepthwiseConv1D" else (5,)
        linear = getattr(k, kind)(*first, *size, use_bias=bias)
        model = settled(stack(linear, k.BatchNormalization(), k.ReLU()))
        folded = fuse_relus(fold_batch_norms(model))
        assert len(folded.layers) == 1
        assert isinstance(folded, keras.Sequential)
        np.testing.assert_allclose(folded.predict(SERIES, verbose=0), model.predict(SERIES, verbose=0), atol=1e-5)

"""Small Keras 3 models of each kind, by name, with random weights and shaken normalizations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras  # type: ignore[import-untyped,unused-ignore]
import numpy as np

layers, ops = keras.layers, keras.ops
Make = Callable[[], Any]


def over(shape: tuple[int | None, ...], make: Callable[[Any], Any], **options: Any) -> Make:
    """A model of one input."""

    def build() -> Any:
        x = layers.Input(shape, name="x", **options)
        return keras.Model(x, make(x), name="model")

    return build


def several() -> Any:
    """Two inputs and two outputs by name, a layer used twice, an operation between."""
    image, table = layers.Input((8, 8, 3), name="a"), layers.Input((4,), name="b")
    shared = layers.Dense(6, activation="hard_swish", name="shared")
    x = layers.Flatten()(layers.Conv2D(4, 3)(image))
    both = layers.Concatenate()([x, shared(table), shared(table * 2.0)])
    found = {"kind": layers.Dense(2, name="first")(both), "size": ops.sum(table, axis=-1, keepdims=True)}
    return keras.Model({"image": image, "table": table}, found, name="several")


def nested() -> Any:
    """A frozen submodel called twice, beside another with layers of the same names."""

    def body(name: str) -> Any:
        parts = [layers.Conv2D(4, 3, name="conv"), layers.BatchNormalization(name="norm"), layers.ReLU(6.0)]
        return keras.Sequential([layers.Input((8, 8, 3)), *parts], name=name)

    one, two = body("one"), body("two")
    one.trainable = False
    left, right = layers.Input((8, 8, 3), name="left"), layers.Input((8, 8, 3), name="right")
    apart = ops.abs(one(left, training=False) - one(right, training=False))
    pooled = layers.GlobalMaxPooling2D()(layers.Add(name="conv")([apart, two(left)]))
    return keras.Model([left, right], layers.Dense(1, name="same")(pooled), name="nested")


def arithmetic(x: Any) -> Any:
    """Operations of many kinds on `(n, 6, 4)`."""
    first, second = x[:, 0], x[:, 1]
    found = [ops.var(x, axis=1), ops.std(x, axis=1), ops.max(x, axis=1), ops.logsumexp(x, axis=1)]
    found += [
        ops.cumsum(x, axis=1)[:, -1],
        ops.where(first > 0.5, first, 0.0),
        ops.squeeze(ops.split(x, 6, axis=1)[2], 1),
    ]
    found += [
        ops.clip(second, 0.2, 0.5),
        ops.sin(first) ** 2,
        ops.minimum(first, second) / (1 + ops.abs(second)),
        1 - first,
    ]
    found += [ops.matmul(ops.transpose(x, (0, 2, 1)), x)[:, :, 0], ops.cast(ops.argmax(x, axis=1), "float32")]
    found += [ops.gelu(first), ops.take(x, 2, axis=1), ops.reshape(x, (-1, 24))[:, :4], ops.softmax(second)]
    return ops.stack(found, axis=1)


def attention(x: Any) -> Any:
    """Self-attention with a residual."""
    return layers.LayerNormalization()(layers.Add()([x, layers.MultiHeadAttention(2, 4)(x, x)]))


def words(make: Callable[[Any], Any], **options: Any) -> Make:
    """A model of indexes in a table of 20 words."""
    return over((12,), lambda x: make(layers.Embedding(20, 4, **options)(x)))


def sequential(*parts: Any) -> Make:
    """A Sequential of an Input and layers, each made anew."""
    return lambda: keras.Sequential([part() for part in parts], name="sequential")


def adapted() -> Any:
    """Normalizations that have learned their mean and variance, of a table and of each step of a series."""
    draw = np.random.default_rng(5)
    table, steps, turned = layers.Normalization(), layers.Normalization(), layers.Normalization(invert=True)
    for layer, shape in ((table, (50, 4)), (steps, (50, 3)), (turned, (50, 3))):
        layer.adapt(draw.normal(7, 30, shape).astype(np.float32))
    one, other = layers.Input((4,), name="table"), layers.Input((5, 3), name="series")
    both = [table(one), layers.Flatten()(turned(layers.TimeDistributed(steps)(other)))]
    return keras.Model([one, other], layers.Dense(3)(layers.Concatenate()(both)))


def half() -> Any:
    """A model that computes in float16, its last layer in float32."""
    x = layers.Input((8, 8, 3), name="x")
    y = layers.BatchNormalization(dtype="mixed_float16")(layers.Conv2D(4, 3, dtype="mixed_float16")(x))
    return keras.Model(x, layers.Dense(2, dtype="float32", name="y")(layers.Flatten()(y)), name="half")


L = layers
KINDS: dict[str, Make] = {
    "lstm": over((6, 4), lambda x: L.Dense(3)(L.LSTM(5)(x))),
    "lstm with states": over((6, 4), lambda x: L.LSTM(5, return_sequences=True, return_state=True)(x)),
    "gru": over((6, 4), lambda x: L.GRU(5)(L.GRU(4, return_sequences=True)(x))),
    "gru, reset before": over((6, 4), lambda x: L.GRU(5, reset_after=False)(x)),
    "simple rnn": over((6, 4), lambda x: L.SimpleRNN(5, activation="relu")(x)),
    "cells": over((6, 4), lambda x: L.RNN([L.LSTMCell(3), L.GRUCell(4)])(x)),
    "bidirectional with mask": words(lambda x: L.Bidirectional(L.LSTM(5))(x), mask_zero=True),
    "bidirectional of two kinds": over((6, 4), lambda x: L.Bidirectional(L.LSTM(3), backward_layer=L.GRU(3, go_backwards=True))(x)),
    "words": words(lambda x: L.Dense(2)(L.GlobalAveragePooling1D()(x))),
    "indexes": over((5,), lambda x: L.Flatten()(L.Embedding(7, 3)(x)), dtype="int32"),
    "conv1d": over((16, 3), lambda x: L.LeakyReLU(0.2)(L.SeparableConv1D(4, 3)(L.Conv1D(8, 3, padding="causal", activation="hard_sigmoid")(x)))),
    "conv3d": over((6, 6, 6, 2), lambda x: L.Flatten()(L.MaxPooling3D(2)(L.Conv3D(3, 3, activation="celu")(x)))),
    "convolutions": over((8, 8, 3), lambda x: L.PReLU()(L.Conv2DTranspose(2, 3, strides=2)(L.DepthwiseConv2D(3)(L.SeparableConv2D(3, 3, activation="relu6")(x))))),
    "convlstm": over((3, 8, 8, 2), lambda x: L.ConvLSTM2D(3, 3)(x)),
    "open size": over((None, None, 3), lambda x: L.GlobalAveragePooling2D()(L.Conv2D(4, 5)(x))),
    "attention": over((6, 4), attention),
    "attention without weights": over((6, 4), lambda x: L.AdditiveAttention()([x, L.Attention()([x, x])])),
    "several": several,
    "nested": nested,
    "half precision": half,
    "operations": over((6, 4), arithmetic),
    "over time": over((3, 8, 8, 2), lambda x: L.LSTM(4)(L.TimeDistributed(keras.Sequential([L.Input((8, 8, 2)), L.Conv2D(3, 3), L.BatchNormalization(), L.Flatten()]))(x))),
    "augmented": sequential(lambda: L.Input((16, 16, 3)), lambda: L.RandomFlip("horizontal"), lambda: L.RandomRotation(0.1), lambda: L.RandomCrop(12, 12), lambda: L.RandomHue(0.2), lambda: L.Resizing(10, 10), lambda: L.CenterCrop(8, 8), lambda: L.Rescaling(1 / 255), lambda: L.Normalization(mean=[0.1, 0.2, 0.3], variance=[0.2, 0.3, 0.4]), lambda: L.Conv2D(4, 3), lambda: L.Dropout(0.2), lambda: L.Flatten()),
    "adapted to data": adapted,
    "normalizations": over((6, 4), lambda x: L.RMSNormalization()(L.UnitNormalization()(L.GroupNormalization(2)(x)))),
    "einsum": over((6, 4), lambda x: L.EinsumDense("abc,cd->abd", output_shape=(None, 3), bias_axes="d")(x)),
    "activations": over((4,), lambda x: L.Activation("hard_sigmoid")(L.Dense(3, activation=L.LeakyReLU(0.3))(L.Dense(3, activation="mish")(x)))),
}  # fmt: skip


def shaken(model: Any) -> Any:
    """The model, its normalizations with statistics as after training."""
    generator = np.random.default_rng(3)
    pending = [model]
    while pending:
        layer = pending.pop()
        pending.extend(getattr(layer, "layers", []))
        if isinstance(layer, layers.BatchNormalization):
            for weight in layer.weights:
                weight.assign(generator.uniform(0.5, 1.5, weight.shape))
    return model


def kind(name: str) -> Any:
    """A model of a kind, always with the same weights and names."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    return shaken(KINDS[name]())


def application(name: str, size: int = 64) -> Any:
    """One of `keras.applications` for 10 classes, always with the same weights."""
    keras.utils.set_random_seed(0)
    return shaken(getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3), classes=10))

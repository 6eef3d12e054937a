"""Small models of each family that people bring, trained for a moment on a task that they can learn; for the table of `docs/coverage.md`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
IMAGE, SERIES, VOLUME, TABLE, TOKENS = (12, 12, 3), (12, 6), (6, 8, 8, 2), (10,), (10,)
CLASSES, WORDS = 3, 30
TRAIN, TEST = 192, 96


@dataclass(frozen=True)
class Family:
    """What a row of the table is: `make` builds the model with Keras's `layers` of either kind, `data` its arrays `(x, y)` of so many samples.

    `bring` turns the trained model into what is given to Workbench, in a folder.
    """

    name: str
    make: Callable[[Any], Any]
    data: Callable[[int, int], tuple[Any, Any]]
    bring: Callable[[Any, Path], Any] = lambda model, folder: model
    keras: str = "keras"
    loss: Any = "sparse_categorical_crossentropy"


# ---- data: noise, and for each class a pattern of its own


def _patterned(shape: tuple[int, ...], count: int, seed: int) -> tuple[Array, Array]:
    draw, y = np.random.default_rng(seed), np.arange(count) % CLASSES
    patterns = np.random.default_rng(99).uniform(0, 1, (CLASSES, *shape))
    return (0.6 * patterns[y] + 0.4 * draw.random((count, *shape))).astype(np.float32), y


def of(shape: tuple[int, ...], scale: float = 1.0) -> Callable[[int, int], tuple[Array, Array]]:
    """Samples of a shape, 0 to `scale`, and their classes."""

    def data(count: int, seed: int) -> tuple[Array, Array]:
        x, y = _patterned(shape, count, seed)
        return x * np.float32(scale), y

    return data


def words(count: int, seed: int) -> tuple[Array, Array]:
    """Indexes of words, most of which come from a third of the table that is the class's."""
    draw, y = np.random.default_rng(seed), np.arange(count) % CLASSES
    own = draw.integers(0, WORDS // CLASSES, (count, *TOKENS)) + (y * (WORDS // CLASSES))[:, None]
    x = np.where(draw.random((count, *TOKENS)) < 0.6, own, draw.integers(1, WORDS, (count, *TOKENS)))
    return np.maximum(x, 1).astype(np.int32), y


def masks(count: int, seed: int) -> tuple[Array, Array]:
    """Images, and for each pixel whether it is bright."""
    x, _ = _patterned(IMAGE, count, seed)
    return x, (x.mean(axis=-1) > 0.5).astype(np.int64)


def two_inputs(count: int, seed: int) -> tuple[dict[str, Array], Array]:
    """An image and a row of a table for each sample."""
    image, y = _patterned(IMAGE, count, seed)
    return {"image": image, "table": _patterned(TABLE, count, seed + 1)[0]}, y


def pairs(count: int, seed: int) -> tuple[dict[str, Array], Array]:
    """Two series for each sample, and the class of the first."""
    left, y = _patterned(SERIES, count, seed)
    return {"left": left, "right": np.roll(left, 1, axis=1)}, y


def two_outputs(count: int, seed: int) -> tuple[Array, dict[str, Array]]:
    """Images with their class and their brightness."""
    x, y = _patterned(IMAGE, count, seed)
    return x, {"kind": y, "brightness": x.mean(axis=(1, 2, 3))[:, None] * 10}


# ---- models; `k` is the module keras or tf_keras


def _head(k: Any, x: Any) -> Any:
    return k.layers.Dense(CLASSES, activation="softmax", name="kind")(x)


def _pooled(k: Any, x: Any) -> Any:
    pool = {3: "GlobalAveragePooling1D", 4: "GlobalAveragePooling2D", 5: "GlobalAveragePooling3D"}[len(x.shape)]
    return _head(k, getattr(k.layers, pool)()(x))


def _over(shape: tuple[int, ...], body: Callable[[Any, Any], Any], **options: Any) -> Callable[[Any], Any]:
    def make(k: Any) -> Any:
        x = k.layers.Input(shape, name="x", **options)
        return k.Model(x, body(k, x), name="model")

    return make


def _norm(k: Any, **options: Any) -> Any:
    # Its statistics have settled after the few steps of training here.
    return k.layers.BatchNormalization(momentum=0.7, **options)


def _conv(k: Any, x: Any, filters: int, size: int = 3, **options: Any) -> Any:
    x = k.layers.Conv2D(filters, size, padding="same", use_bias=False, **options)(x)
    return k.layers.ReLU()(_norm(k)(x))


def _dense(k: Any, x: Any) -> Any:
    return _head(k, k.layers.Dense(16, activation="relu")(k.layers.Dense(24, activation="relu")(x)))


def _convolution(k: Any, x: Any) -> Any:
    return _pooled(k, _conv(k, k.layers.MaxPooling2D()(_conv(k, x, 8)), 12))


def _depthwise(k: Any, x: Any) -> Any:
    x = k.layers.Conv2D(8, 1, use_bias=False)(x)
    x = k.layers.ReLU(6.0)(_norm(k)(x))
    x = k.layers.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False)(x)
    x = k.layers.ReLU(6.0)(_norm(k)(x))
    return _pooled(k, _norm(k)(k.layers.Conv2D(12, 1, use_bias=False)(x)))


def _separable(k: Any, x: Any) -> Any:
    x = k.layers.SeparableConv2D(8, 3, activation="relu")(x)
    return _pooled(k, k.layers.SeparableConv2D(12, 3, activation="relu")(x))


def _residual(k: Any, x: Any) -> Any:
    x = _conv(k, x, 8)
    y = _norm(k)(k.layers.Conv2D(8, 3, padding="same", use_bias=False)(_conv(k, x, 8)))
    return _pooled(k, k.layers.ReLU()(k.layers.Add()([x, y])))


def _gated(k: Any, x: Any) -> Any:
    x = k.layers.Activation("swish")(_norm(k)(k.layers.Conv2D(8, 3)(x)))
    gate = k.layers.Reshape((1, 1, 8))(k.layers.GlobalAveragePooling2D()(x))
    gate = k.layers.Conv2D(8, 1, activation="sigmoid")(k.layers.Conv2D(4, 1, activation="relu")(gate))
    return _pooled(k, k.layers.Multiply()([x, gate]))


def _conv1d(k: Any, x: Any) -> Any:
    x = k.layers.Conv1D(8, 3, padding="causal", dilation_rate=2, activation="relu")(x)
    return _pooled(k, _norm(k)(k.layers.Conv1D(12, 3, activation="relu")(x)))


def _conv3d(k: Any, x: Any) -> Any:
    return _pooled(k, k.layers.Conv3D(8, 3, activation="relu")(k.layers.Conv3D(6, 3, activation="relu")(x)))


def _transposed(k: Any, x: Any) -> Any:
    down = _conv(k, x, 8)
    deep = _conv(k, k.layers.MaxPooling2D()(down), 12)
    up = k.layers.Conv2DTranspose(8, 3, strides=2, padding="same", activation="relu")(deep)
    return k.layers.Conv2D(2, 1, activation="softmax", name="kind")(k.layers.Concatenate()([down, up]))


def _recurrent(kind: str) -> Callable[[Any, Any], Any]:
    return lambda k, x: _head(k, getattr(k.layers, kind)(12)(x))


def _bidirectional(k: Any, x: Any) -> Any:
    x = k.layers.Bidirectional(k.layers.LSTM(8, return_sequences=True))(x)
    return _pooled(k, k.layers.Dense(8, activation="relu")(x))


def _block(k: Any, x: Any, width: int) -> Any:
    seen = k.layers.MultiHeadAttention(2, 8)(x, x)
    x = k.layers.LayerNormalization()(k.layers.Add()([x, seen]))
    y = k.layers.Dense(width)(k.layers.Dense(24, activation="gelu")(x))
    return k.layers.LayerNormalization()(k.layers.Add()([x, y]))


def _transformer(k: Any, x: Any) -> Any:
    return _pooled(k, _block(k, k.layers.Dense(12)(x), 12))


def _text(k: Any, x: Any) -> Any:
    return _pooled(k, k.layers.Conv1D(12, 3, activation="relu")(k.layers.Embedding(WORDS, 8)(x)))


def _masked(k: Any, x: Any) -> Any:
    return _head(k, k.layers.LSTM(12)(k.layers.Embedding(WORDS, 8, mask_zero=True)(x)))


def _several_inputs(k: Any) -> Any:
    image, table = k.layers.Input(IMAGE, name="image"), k.layers.Input(TABLE, name="table")
    seen = k.layers.GlobalAveragePooling2D()(_conv(k, image, 8))
    both = k.layers.Concatenate()([seen, k.layers.Dense(8, activation="relu")(table)])
    return k.Model({"image": image, "table": table}, _head(k, both), name="model")


def _several_outputs(k: Any) -> Any:
    x = k.layers.Input(IMAGE, name="x")
    seen = k.layers.Flatten()(k.layers.MaxPooling2D()(_conv(k, x, 8)))
    return k.Model(x, {"kind": _head(k, seen), "brightness": k.layers.Dense(1, name="brightness")(seen)}, name="model")


def _nested(k: Any) -> Any:
    inner = k.Sequential([k.layers.Input((10, 10, 8)), k.layers.Conv2D(8, 3, use_bias=False), _norm(k), k.layers.ReLU()], name="inner")  # fmt: skip
    image = k.layers.Input(IMAGE)
    base = k.Model(image, k.layers.Conv2D(12, 3, activation="relu")(inner(k.layers.Conv2D(8, 3)(image))), name="base")
    x = k.layers.Input(IMAGE, name="x")
    return k.Model(x, _pooled(k, base(x)), name="model")


def _shared(k: Any) -> Any:
    left, right = k.layers.Input(SERIES, name="left"), k.layers.Input(SERIES, name="right")
    conv, dense = k.layers.Conv1D(8, 3, activation="relu"), k.layers.Dense(8, activation="relu")
    ends = [dense(k.layers.GlobalMaxPooling1D()(conv(x))) for x in (left, right)]
    return k.Model({"left": left, "right": right}, _head(k, k.layers.Concatenate()(ends)), name="model")


def _normalized(k: Any, x: Any) -> Any:
    norm = k.layers.Normalization(mean=[0.5, 0.45, 0.55], variance=[0.05, 0.06, 0.07])
    return _pooled(k, _conv(k, norm(k.layers.Rescaling(1 / 255)(x)), 8))


def _operations(k: Any, x: Any) -> Any:
    x = k.ops.relu(k.layers.Conv2D(8, 3, name="stem")(x * 2.0 - 1.0))
    x = k.ops.concatenate([x[:, ::2, ::2], k.ops.max(x, axis=-1, keepdims=True)[:, 1::2, 1::2]], axis=-1)
    return _head(k, k.ops.mean(k.layers.Conv2D(8, 3, activation="hard_swish")(x), axis=(1, 2)))


def _half(k: Any) -> Any:
    with_half = {"dtype": "mixed_float16"}
    x = k.layers.Input(IMAGE, name="x")
    y = _norm(k, **with_half)(k.layers.Conv2D(8, 3, **with_half)(x))
    y = k.layers.GlobalAveragePooling2D(**with_half)(k.layers.ReLU(**with_half)(y))
    return k.Model(x, k.layers.Dense(CLASSES, activation="softmax", dtype="float32", name="kind")(y), name="model")


def _own_layer(k: Any, x: Any) -> Any:
    class Scaled(k.layers.Layer):  # type: ignore[misc,name-defined,unused-ignore]  # Keras is untyped
        def call(self, values: Any) -> Any:
            return values * 2.0 - 1.0

    return _convolution(k, Scaled(name="scaled")(x))


def _subclassed(k: Any) -> Any:
    class Own(k.Model):  # type: ignore[misc,name-defined,unused-ignore]  # Keras is untyped
        def __init__(self) -> None:
            super().__init__(name="own")
            self.inner = [k.layers.Conv2D(8, 3, activation="relu"), k.layers.Conv2D(12, 3, activation="relu")]
            self.pool, self.kind = k.layers.GlobalAveragePooling2D(), k.layers.Dense(CLASSES, activation="softmax")

        def call(self, x: Any) -> Any:
            for layer in self.inner:
                x = layer(x)
            return self.kind(self.pool(x))

    return Own()


# ---- what is brought that is no Keras model


def _exported(model: Any, folder: Path) -> Path:
    model.export(str(folder / "exported"), verbose=False)
    return folder / "exported"


def _function(model: Any, folder: Path) -> Any:
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((None, *IMAGE), tf.float32, name="x")])  # type: ignore[untyped-decorator,unused-ignore]
    def serve(x: Any) -> dict[str, Any]:
        return {"kind": model(x, training=False)}

    return serve


def _module(model: Any, folder: Path) -> Any:
    import tensorflow as tf

    class Table(tf.Module):  # type: ignore[misc,unused-ignore]  # TensorFlow is untyped
        def __init__(self) -> None:
            super().__init__()
            self.values = [tf.Variable(np.asarray(w)) for w in model.get_weights()]

        @tf.function(input_signature=[tf.TensorSpec((None, *TABLE), tf.float32, name="x")])  # type: ignore[untyped-decorator,unused-ignore]
        def __call__(self, x: Any) -> dict[str, Any]:
            for i in range(0, len(self.values) - 2, 2):
                x = tf.nn.relu(x @ self.values[i] + self.values[i + 1])
            return {"kind": tf.nn.softmax(x @ self.values[-2] + self.values[-1])}

    return Table()


def _imported(model: Any, folder: Path) -> Path:
    from models import to_tflite

    return to_tflite(model, folder / "model.tflite")


FAMILIES = [
    Family("dense", _over(TABLE, _dense), of(TABLE)),
    Family("convolution", _over(IMAGE, _convolution), of(IMAGE)),
    Family("depthwise convolution", _over(IMAGE, _depthwise), of(IMAGE)),
    Family("separable convolution", _over(IMAGE, _separable), of(IMAGE)),
    Family("residual", _over(IMAGE, _residual), of(IMAGE)),
    Family("squeeze and excite, swish", _over(IMAGE, _gated), of(IMAGE)),
    Family("Conv1D, causal and dilated", _over(SERIES, _conv1d), of(SERIES)),
    Family("Conv3D", _over(VOLUME, _conv3d), of(VOLUME)),
    Family("transposed convolution (segmentation)", _over(IMAGE, _transposed), masks),
    Family("LSTM", _over(SERIES, _recurrent("LSTM")), of(SERIES)),
    Family("GRU", _over(SERIES, _recurrent("GRU")), of(SERIES)),
    Family("bidirectional LSTM", _over(SERIES, _bidirectional), of(SERIES)),
    Family("attention (transformer block)", _over(SERIES, _transformer), of(SERIES)),
    Family("embedding (text)", _over(TOKENS, _text, dtype="int32"), words),
    Family("embedding with mask and LSTM (text)", _over(TOKENS, _masked, dtype="int32"), words),
    Family("several inputs", _several_inputs, two_inputs),
    Family("several outputs", _several_outputs, two_outputs, loss={"kind": "sparse_categorical_crossentropy", "brightness": "mse"}),
    Family("nested", _nested, of(IMAGE)),
    Family("shared layers", _shared, pairs),
    Family("normalization and rescaling", _over(IMAGE, _normalized), of(IMAGE, 255.0)),
    Family("mixed precision", _half, of(IMAGE)),
    Family("keras.ops", _over(IMAGE, _operations), of(IMAGE)),
    Family("with a layer of one's own", _over(IMAGE, _own_layer), of(IMAGE)),
    Family("subclassed", _subclassed, of(IMAGE)),
    Family("convolution, of tf_keras", _over(IMAGE, _convolution), of(IMAGE), keras="tf_keras"),
    Family("nested, of tf_keras", _nested, of(IMAGE), keras="tf_keras"),
    Family("SavedModel", _over(IMAGE, _convolution), of(IMAGE), _exported),
    Family("tf.function", _over(IMAGE, _convolution), of(IMAGE), _function),
    Family("tf.Module", _over(TABLE, _dense), of(TABLE), _module),
    Family(".tflite", _over(IMAGE, _convolution), of(IMAGE), _imported, keras="tf_keras"),
]  # fmt: skip


def brought(family: Family, folder: Path) -> tuple[Any, dict[str, Any]]:
    """Return what is given to Workbench of a family, trained, and its data."""
    import importlib

    k = importlib.import_module(family.keras)
    k.utils.set_random_seed(0)
    model = family.make(k)
    x, y = family.data(TRAIN, 1)
    test, labels = family.data(TEST, 2)
    model.compile(k.optimizers.Adam(0.01), family.loss)
    model.fit(x, y, epochs=20, batch_size=32, verbose=0)
    return family.bring(model, folder), {"x_train": x, "y_train": y, "x_test": test, "y_test": labels}

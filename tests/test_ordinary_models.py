"""What users bring still loads: every layer of tf_keras, TensorFlow's functions in a functional model, its applications."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench.sources import allowed_classes, trust
from workbench.sources.identify import identify
from workbench.sources.keras_file import parse_keras_file
from workbench.sources.load import load_keras

SUFFIXES = (".h5", ".keras")


def same(model: Any, path: Path) -> None:
    """Save a model by the path's ending, load it without code, and compare what it gives."""
    import tensorflow as tf

    model.save(path)
    assert parse_keras_file(path).fault == ""
    loaded = load_keras(path)
    draw = np.random.default_rng(0)
    inputs = [
        tf.constant(draw.integers(0, 4, [d or 2 for d in t.shape]).astype(t.dtype.as_numpy_dtype)) for t in model.inputs
    ]
    given = inputs if len(inputs) > 1 else inputs[0]
    # Layers that distort images do so unless told not to.
    pairs = zip(*(tf.nest.flatten(m(given, training=False)) for m in (model, loaded)), strict=True)
    for one, other in pairs:
        np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=1e-5, atol=1e-6)


def layers_1d(k: Any) -> Any:
    x = k.Input((12, 6), name="x")
    made = [
        k.Conv1D(4, 3, activation="gelu"), k.Conv1DTranspose(4, 3), k.SeparableConv1D(4, 3), k.DepthwiseConv1D(3), k.LocallyConnected1D(4, 3),
        k.Cropping1D(1), k.ZeroPadding1D(1), k.UpSampling1D(2), k.MaxPooling1D(2), k.AveragePooling1D(2), k.GlobalMaxPooling1D(),
        k.GlobalAveragePooling1D(), k.SpatialDropout1D(0.2), k.Permute((2, 1)), k.Masking(0.0), k.EinsumDense("abc,cd->abd", output_shape=(None, 5)),
        k.LSTM(3), k.GRU(3, reset_after=False), k.SimpleRNN(3), k.RNN(k.LSTMCell(3)), k.RNN([k.GRUCell(3), k.SimpleRNNCell(2)]),
        k.RNN(k.StackedRNNCells([k.LSTMCell(2), k.LSTMCell(3)])), k.Bidirectional(k.LSTM(2)), k.Bidirectional(k.GRU(2), backward_layer=k.GRU(2, go_backwards=True)),
        k.TimeDistributed(k.Dense(3, activation="mish")), k.LayerNormalization(), k.UnitNormalization(), k.GroupNormalization(2),
    ]  # fmt: skip
    outputs = [layer(x) for layer in made]
    outputs += [k.MultiHeadAttention(2, 3)(x, x), k.Attention()([x, x]), k.AdditiveAttention()([x, x])]
    return x, outputs


def layers_2d(k: Any) -> Any:
    import tf_keras

    x = k.Input((8, 8, 4), name="x")
    made = [
        k.Conv2D(4, 3, activation="relu", kernel_regularizer="l2", kernel_initializer="he_normal", kernel_constraint=tf_keras.constraints.MaxNorm(2.0)),
        k.Conv2D(4, 3, activation=k.LeakyReLU(0.1), kernel_initializer=tf_keras.initializers.Constant(0.5)), k.Conv2DTranspose(4, 3),
        k.SeparableConv2D(4, 3), k.DepthwiseConv2D(3), k.LocallyConnected2D(4, 3), k.Cropping2D(1), k.ZeroPadding2D(1), k.UpSampling2D(2),
        k.MaxPooling2D(2), k.AveragePooling2D(2), k.GlobalMaxPooling2D(), k.GlobalAveragePooling2D(), k.SpatialDropout2D(0.2), k.Flatten(),
        k.Reshape((64, 4)), k.BatchNormalization(), k.Normalization(mean=1.0, variance=2.0), k.Rescaling(0.5), k.Resizing(4, 4), k.CenterCrop(4, 4),
        k.RandomFlip(), k.RandomRotation(0.1), k.RandomZoom(0.1), k.RandomContrast(0.1), k.RandomTranslation(0.1, 0.1), k.RandomCrop(4, 4),
        k.RandomHeight(0.1), k.RandomWidth(0.1), k.RandomBrightness(0.1), k.Dropout(0.2), k.GaussianNoise(0.1), k.GaussianDropout(0.1),
        k.AlphaDropout(0.1), k.ActivityRegularization(0.1), k.ReLU(6), k.LeakyReLU(), k.PReLU(), k.ELU(), k.ThresholdedReLU(), k.Softmax(),
        k.Identity(), k.experimental.SyncBatchNormalization(),  # SpectralNormalization of tf_keras 2.21 cannot be made
    ]  # fmt: skip
    activations = sorted(
        a for a in dir(tf_keras.activations) if a not in ("deserialize", "get", "serialize") and a[0] != "_"
    )
    return x, [*(layer(x) for layer in made), *(k.Activation(a)(x) for a in activations)]


def layers_3d(k: Any) -> Any:
    x = k.Input((6, 6, 6, 2), name="x")
    made = [
        k.Conv3D(2, 3), k.Conv3DTranspose(2, 3), k.Cropping3D(1), k.ZeroPadding3D(1), k.UpSampling3D(2), k.MaxPooling3D(2), k.AveragePooling3D(2),
        k.GlobalMaxPooling3D(), k.GlobalAveragePooling3D(), k.SpatialDropout3D(0.2), k.ConvLSTM2D(2, 3), k.TimeDistributed(k.ConvLSTM1D(2, 3)),
    ]  # fmt: skip
    return x, [layer(x) for layer in made]


def layers_flat(k: Any) -> Any:
    x, y, ids = k.Input((6,), name="x"), k.Input((6,), name="y"), k.Input((5,), dtype="int32", name="ids")
    merged = [k.Add, k.Subtract, k.Multiply, k.Average, k.Maximum, k.Minimum, k.Concatenate]
    outputs = [layer()([x, y]) for layer in merged]
    outputs += [k.Dot(1)([x, y]), k.Dense(3)(x), k.RepeatVector(2)(x), k.Discretization([0.1, 0.5])(x)]
    outputs += [
        k.experimental.RandomFourierFeatures(4)(x),
        k.Embedding(9, 4)(ids),
        k.IntegerLookup(vocabulary=[1, 2, 3])(ids),
    ]
    outputs += [k.CategoryEncoding(9)(ids), k.Hashing(4)(ids), k.HashedCrossing(4)((ids[:, :1], ids[:, 1:2]))]
    return [x, y, ids], outputs


def functions(k: Any) -> Any:
    """What `tf` functions, operators and slices make of a functional model."""
    import tensorflow as tf
    import tf_keras

    x = k.Input((8, 4), name="x")
    rows = tf.shape(x)[0]
    made = [
        tf.reshape(x, [-1, 32]), tf.reshape(x, [rows, 32]), x + 1, 1 - x, x * 2.5, x / 2, -x, x**2, x // 2, x % 2, x > 0, x @ tf.transpose(x, [0, 2, 1]),
        x[:, 1:], x[:, :, 0], x[:, ::-1, tf.newaxis], tf.nn.relu(x), tf.nn.relu6(x), tf.nn.gelu(x), tf.nn.softmax(x), tf.nn.silu(x), tf.concat([x, x], -1),
        tf.stack([x, x]), tf.split(x, 2, axis=1), tf.unstack(x, axis=1), tf.math.reduce_mean(x, 1), tf.math.log1p(x), tf.math.rsqrt(x + 1.0), tf.reduce_sum(x, -1, keepdims=True),
        tf.math.top_k(x, 2), tf.argmax(x, -1), tf.where(x > 0, x, x * 0.0), tf.cast(x, "float16"), tf.expand_dims(x, 1), tf.squeeze(x[:, :1], 1), tf.gather(x, [0, 2], axis=1),
        tf.pad(x, [[0, 0], [1, 1], [0, 0]]), tf.tile(x, [1, 2, 1]), tf.one_hot(tf.cast(x, "int32"), 3), tf.clip_by_value(x, 0, 1),
        tf.linalg.norm(x, axis=-1), tf.linalg.matmul(x, x, transpose_b=True), tf.signal.dct(x), tf.image.resize(x[:, :, :, tf.newaxis], (4, 4)),
        tf.nn.conv1d(x, np.ones((3, 4, 2), np.float32), 1, "SAME"), tf.nn.avg_pool1d(x, 2, 2, "VALID"), tf.nn.l2_normalize(x, -1), tf.nn.bias_add(x, [1.0, 2.0, 3.0, 4.0]),
        tf.identity(x), tf.stop_gradient(x), tf.broadcast_to(x[:, :1], tf.shape(x)), tf.repeat(x, 2, axis=1), tf.roll(x, 1, 1), tf.cumsum(x, 1), tf.zeros_like(x), tf.ones_like(x),
        tf.abs(x), tf.exp(x), tf.sqrt(x), tf.square(x), tf.maximum(x, 0.5), tf.minimum(x, 0.5), tf.round(x), tf.math.floormod(x, 2.0), tf.math.erf(x), tf.math.squared_difference(x, 1.0),
        tf.logical_and(x > 0, x < 2), tf.equal(x, 1.0), tf.reverse(x, [1]), tf.sort(x, 1),
        tf_keras.backend.mean(x, axis=1), tf_keras.backend.batch_dot(x, x, axes=1), tf_keras.backend.softmax(x), tf_keras.activations.swish(x), tf_keras.backend.sum(x),
        tf.debugging.check_numerics(x, "odd"), tf.quantization.fake_quant_with_min_max_args(x), tf.strings.length(tf.strings.as_string(x)), tf.bitwise.invert(tf.cast(x, "int32")),
    ]  # fmt: skip
    return x, tf.nest.flatten(made)


def nested(k: Any) -> Any:
    import tf_keras

    inner_x = k.Input((4,), name="inner_x")
    inner = tf_keras.Model(inner_x, [k.Dense(3)(inner_x), inner_x * 2.0], name="inner")
    sequence = tf_keras.Sequential(
        [k.Dense(4, input_shape=(4,)), tf_keras.Sequential([k.Dense(2)], name="deep")], name="sequence"
    )
    inner.compile("adam", "mse")
    sequence.compile(tf_keras.optimizers.SGD(0.1), tf_keras.losses.Huber(), ["accuracy", tf_keras.metrics.AUC()])
    x = k.Input((4,), name="x")
    return x, [*inner(x), *inner(x + 1.0), sequence(x)]


def ragged(k: Any) -> Any:
    import tensorflow as tf

    x = k.Input((6,), name="x")
    rows = tf.RaggedTensor.from_row_splits(x[:, 0], [0, 1, 2])
    return x, [rows.to_tensor(), rows.flat_values, rows.row_lengths()]


def mixed(k: Any) -> Any:
    import tf_keras

    x = k.Input((4,), name="x")
    half = tf_keras.mixed_precision.Policy("mixed_float16")
    return x, [k.Dense(3, dtype=half)(x), k.Dense(3, dtype="float64")(x)]


BUILDERS = (layers_1d, layers_2d, layers_3d, layers_flat, functions, nested, ragged, mixed)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("build", BUILDERS)
def test_ordinary_models_load_without_code(build: Callable[[Any], Any], suffix: str, tmp_path: Path) -> None:
    import tf_keras

    tf_keras.backend.clear_session()
    tf_keras.utils.set_random_seed(1)
    inputs, outputs = build(tf_keras.layers)
    same(tf_keras.Model(inputs, outputs, name="ordinary"), tmp_path / f"model{suffix}")


def test_texts_load_with_words_of_their_own(tmp_path: Path) -> None:
    import tensorflow as tf
    import tf_keras

    layers = tf_keras.layers
    text = layers.Input((1,), dtype="string", name="text")
    ids = layers.TextVectorization(vocabulary=["a", "b"], output_sequence_length=3)(text)
    model = tf_keras.Model(text, [ids, layers.StringLookup(vocabulary=["a", "b"])(text)])
    model.save(tmp_path / "model.keras")
    info = identify(tmp_path / "model.keras", tmp_path)
    given = tf.constant([["a b c"], ["a"]])
    for one, other in zip(model(given), load_keras(Path(info.path))(given), strict=True):
        np.testing.assert_array_equal(one, other)


def test_every_public_layer_is_decided_on() -> None:
    """A layer that a new tf_keras brings is looked at before it is allowed."""
    import tf_keras

    layers = tf_keras.layers
    public = {n for n in dir(layers) if inspect.isclass(getattr(layers, n))}
    bases = {"AbstractRNNCell", "InputSpec", "Layer", "Wrapper"}
    refused = {"DenseFeatures", "Lambda"}
    assert public - allowed_classes.LAYERS == bases | refused | {"experimental"} & public
    for kind, allowed in (
        ("initializers", "INITIALIZERS"),
        ("regularizers", "REGULARIZERS"),
        ("constraints", "CONSTRAINTS"),
    ):
        module = getattr(tf_keras, kind)
        names = {n for n in dir(module) if inspect.isclass(getattr(module, n))}
        assert names - getattr(allowed_classes, allowed) <= {"Initializer", "Regularizer", "Constraint"}


def applications() -> list[Any]:
    """Those with more in them than the layers that `layers_2d` saves and loads one by one."""
    import tf_keras

    a = tf_keras.applications
    return [
        a.EfficientNetB0(input_shape=(32, 32, 3), weights=None), a.ConvNeXtTiny(input_shape=(32, 32, 3), weights=None),
        a.InceptionResNetV2(input_shape=(75, 75, 3), weights=None), a.RegNetX002(input_shape=(32, 32, 3), weights=None),
        a.ResNetRS50(input_shape=(32, 32, 3), weights=None),
    ]  # fmt: skip


@pytest.mark.slow
def test_applications_hold_no_code() -> None:
    import tf_keras
    from tf_keras.src.saving.legacy.serialization import serialize_keras_object

    for model in applications():
        for config in (tf_keras.saving.serialize_keras_object(model), serialize_keras_object(model)):
            assert trust.fault_of(config) == "", model.name


@pytest.mark.slow
@pytest.mark.parametrize(("name", "suffix"), [("MobileNetV3Small", ".keras"), ("ConvNeXtTiny", ".h5")])
def test_applications_load(name: str, suffix: str, tmp_path: Path) -> None:
    import tf_keras

    model = getattr(tf_keras.applications, name)(input_shape=(32, 32, 3), weights=None, classes=5)
    same(model, tmp_path / f"model{suffix}")

"""The good files that are mutated, made once into a folder: `python tests/fuzz/bases.py FOLDER`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

# What every kind of file is made of; keys are file endings.
Made = Iterator[tuple[str, bytes]]


def tflite() -> Made:
    """Yield `.tflite` files by name: every scheme, sparse tensors, loops, recurrent layers, several signatures."""
    import tensorflow as tf

    model = _small()
    samples = [np.random.default_rng(i).random((1, 8, 8, 2), np.float32) for i in range(4)]
    lite, spec = tf.lite, tf.TensorSpec

    served = tf.function(lambda image: model(image)).get_concrete_function(spec([1, 8, 8, 2], tf.float32, name="image"))

    def convert(configure: Callable[[Any], None] = lambda c: None) -> bytes:
        converter = lite.TFLiteConverter.from_concrete_functions([served], model)
        configure(converter)
        return bytes(converter.convert())

    def dynamic(c: Any) -> None:
        c.optimizations = [lite.Optimize.DEFAULT]

    def float16(c: Any) -> None:
        dynamic(c)
        c.target_spec.supported_types = [tf.float16]

    def int8(c: Any) -> None:
        dynamic(c)
        c.representative_dataset = lambda: ([s] for s in samples)
        c.target_spec.supported_ops = [lite.OpsSet.TFLITE_BUILTINS_INT8]
        c.inference_input_type = c.inference_output_type = tf.int8

    def sparse(c: Any) -> None:
        c.optimizations = [lite.Optimize.EXPERIMENTAL_SPARSITY]

    def offsets(c: Any) -> None:
        c._experimental_use_buffer_offset = True

    plain = convert()
    yield "float32", plain
    for configure in (dynamic, float16, int8, sparse, offsets):
        yield configure.__name__, convert(configure)
    yield from _int4(plain)
    yield "lstm", _fused(_recurrent())

    class Several(tf.Module):  # type: ignore[misc]  # tensorflow is untyped
        @tf.function(input_signature=[spec([1, 4], tf.float32, name="x")])  # type: ignore[untyped-decorator]
        def loop(self, x: Any) -> Any:
            steps = tf.constant(0)
            _, y = tf.while_loop(lambda i, _: i < 3, lambda i, y: (i + 1, y * 1.5 + 1.0), (steps, x))
            return {"y": y}

        @tf.function(input_signature=[spec([1, 4], tf.float32, name="a"), spec([1, 4], tf.float32, name="b")])  # type: ignore[untyped-decorator]
        def both(self, a: Any, b: Any) -> Any:
            return {"sum": a + b, "product": tf.matmul(a, b, transpose_b=True)}

    several = Several()
    functions = [several.loop.get_concrete_function(), several.both.get_concrete_function()]
    for names, chosen in (("loop", functions[:1]), ("signatures", functions)):
        yield names, bytes(lite.TFLiteConverter.from_concrete_functions(chosen, several).convert())


def _small() -> Any:
    import tf_keras

    layers = tf_keras.layers
    tf_keras.utils.set_random_seed(1)
    ends = layers.Input((8, 8, 2), name="image")
    x = layers.Conv2D(32, 3, padding="same", activation="relu", name="conv")(ends)
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu", name="depthwise")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dense(64, activation="relu", name="hidden")(x)
    model = tf_keras.Model(ends, layers.Dense(6, activation="softmax", name="scores")(x), name="small")
    weights = model.get_layer("scores").get_weights()
    # Most of the last kernel is zeros, which the sparse encoding leaves out.
    weights[0][:, np.arange(6) % 3 != 0] = 0
    model.get_layer("scores").set_weights(weights)
    return model


def _recurrent() -> Any:
    import tf_keras

    layers = tf_keras.layers
    return tf_keras.Sequential([layers.Input((5, 3), batch_size=1), layers.LSTM(4, name="memory"), layers.Dense(2)])


def _fused(model: Any) -> bytes:
    """Return a model with a recurrent layer as a `.tflite`; without traces of its layers, which take many times the time."""
    import tempfile

    from workbench.sources import load

    with tempfile.TemporaryDirectory() as folder:
        load.save_ordinary(model, Path(folder))
        return load.convert_float(Path(folder))


def _int4(plain: bytes) -> Made:
    import tempfile

    from workbench.techniques import quantizer_engine

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "plain.tflite")
        path.write_bytes(plain)
        for scheme in ("int4-dynamic", "int4-weight-only", "int4-block32"):
            yield scheme, quantizer_engine.quantize(path, scheme, "channel", None)


def keras_files(ending: str) -> Made:
    """Yield models as tf_keras saves them."""
    import tempfile

    for name, model in (("small", _small()), ("recurrent", _recurrent())):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"{name}{ending}")
            model.save(path)
            yield name, path.read_bytes()


def npz() -> Made:
    """Yield arrays, stored and compressed."""
    import io

    draw = np.random.default_rng(0)
    arrays: dict[str, Any] = {"x_train": draw.random((20, 4, 4, 1), np.float32), "y_train": draw.integers(0, 3, 20)}
    arrays |= {"x_test": arrays["x_train"][:10], "y_test": arrays["y_train"][:10]}
    for name, save in (("stored", np.savez), ("deflated", np.savez_compressed)):
        file = io.BytesIO()
        save(file, **arrays)
        yield name, file.getvalue()


def csv() -> Made:
    """Yield tables of numbers, with text labels and without."""
    rows = [f"{i % 7},{i * 0.5},{'abc'[i % 3]}" for i in range(40)]
    yield "labels", "\n".join(["a,b,label", *rows]).encode()
    yield "numbers", "\n".join(["a,b,label", *(r[:-1] + str(i % 3) for i, r in enumerate(rows))]).encode()


BASES: dict[str, Callable[[], Made]] = {
    ".tflite": tflite,
    ".h5": lambda: keras_files(".h5"),
    ".keras": lambda: keras_files(".keras"),
    ".npz": npz,
    ".csv": csv,
}


def write(folder: Path, endings: list[str]) -> None:
    """Write the good files of these endings that are not there yet."""
    for ending in endings:
        place = folder / ending.lstrip(".")
        if not place.exists():
            place.mkdir(parents=True)
            for name, data in BASES[ending]():
                (place / f"{name}{ending}").write_bytes(data)


if __name__ == "__main__":
    write(Path(sys.argv[1]), sys.argv[2:] or list(BASES))

"""The loop of the public guides, to compare with: one configuration at a time, each from the Keras model.

What TensorFlow's and TFMOT's tutorials do, written plainly: `TFLiteConverter.from_keras_model` per
configuration, a representative dataset of 200 samples, evaluation one sample at a time, 50 timed runs; for trained
techniques one fine-tuning of the whole chain per configuration. Schemes that the converter lacks are made
with a conversion of their own followed by litert-quantizer.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
RUNS = 50
CALIBRATION = 200


@dataclass(frozen=True)
class Outcome:
    """What the loop gives for one configuration: bytes of the file, accuracy, median milliseconds, seconds it took."""

    recipe: str
    size: int
    accuracy: float
    latency_ms: float
    seconds: float


def run_loop(
    load: Callable[[], Any], recipes: list[str], data: dict[str, Array], epochs: int, folder: Path
) -> list[Outcome]:
    """Make every recipe from a fresh model, one after the other."""
    found = []
    for recipe in recipes:
        begin = time.perf_counter()
        content = make(load(), recipe.split("+"), data, epochs)
        path = folder / f"{recipe.replace(':', '-')}.tflite"
        path.write_bytes(content)
        accuracy, latency = evaluate(path, data["x_test"], data["y_test"])
        found.append(Outcome(recipe, len(content), accuracy, latency, time.perf_counter() - begin))
    return found


def make(model: Any, steps: list[str], data: dict[str, Array], epochs: int) -> bytes:
    """Return the flatbuffer of one recipe."""
    *trained, scheme = steps
    for position, step in enumerate(trained):
        model = train(model, step, trained[:position], data, epochs)
    return convert(model, scheme, "qat" in trained, data["x_train"])


def train(model: Any, step: str, before: list[str], data: dict[str, Array], epochs: int) -> Any:
    """Fine-tune one step as TFMOT's guides do."""
    import tensorflow_model_optimization as tfmot
    import tf_keras
    from tensorflow_model_optimization.python.core.clustering.keras.experimental import cluster

    x, y = data["x_train"], data["y_train"]
    name, _, value = step.partition(":")
    total = -(-len(x) // 64) * epochs
    pruned, clustered = any(s.startswith("prune") for s in before), any(s.startswith("cluster") for s in before)

    def fit(wrapped: Any, rate: float, callbacks: list[Any]) -> None:
        wrapped.compile(tf_keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
        wrapped.fit(x, y, batch_size=64, epochs=epochs, verbose=0, callbacks=callbacks)

    if name == "prune":
        schedule = tfmot.sparsity.keras.PolynomialDecay(
            0.0, float(value), 0, int(0.6 * total), frequency=max(1, total // 40)
        )
        wrapped = tfmot.sparsity.keras.prune_low_magnitude(model, pruning_schedule=schedule)
        fit(wrapped, 1e-3, [tfmot.sparsity.keras.UpdatePruningStep()])
        return tfmot.sparsity.keras.strip_pruning(wrapped)
    if name == "cluster":
        start = tfmot.clustering.keras.CentroidInitialization.KMEANS_PLUS_PLUS
        wrapped = cluster.cluster_weights(model, int(value), start, preserve_sparsity=pruned)
        fit(wrapped, 1e-4, [])
        return tfmot.clustering.keras.strip_clustering(wrapped)
    combine = tfmot.experimental.combine
    scheme = (
        combine.Default8BitClusterPreserveQuantizeScheme(preserve_sparsity=pruned)
        if clustered
        else combine.Default8BitPrunePreserveQuantizeScheme()
        if pruned
        else None
    )
    annotated = tfmot.quantization.keras.quantize_annotate_model(model)
    wrapped = (
        tfmot.quantization.keras.quantize_apply(annotated, scheme)
        if scheme
        else tfmot.quantization.keras.quantize_apply(annotated)
    )
    fit(wrapped, 1e-4, [])
    return wrapped


def convert(model: Any, scheme: str, aware: bool, samples: Array) -> bytes:
    """Convert as TensorFlow's guide to post-training quantization does."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)

    def representative() -> Iterator[list[Array]]:
        for i in range(min(CALIBRATION, len(samples))):
            yield [samples[i : i + 1]]

    if scheme in ("dynamic", "float16", "int8", "int8-float-io", "int16x8"):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if scheme == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if scheme in ("int8", "int8-float-io", "int16x8") and not aware:
        converter.representative_dataset = representative
        int16 = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        converter.target_spec.supported_ops = [int16 if scheme == "int16x8" else tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    if scheme in ("int8", "int16x8"):
        converter.inference_input_type = converter.inference_output_type = tf.int16 if scheme == "int16x8" else tf.int8
    content = bytes(converter.convert())
    if scheme in ("weight-only-int8", "int4-dynamic", "int4-weight-only", "int4-block32"):
        content = requantize(content, scheme)
    return content


def requantize(content: bytes, scheme: str) -> bytes:
    """Make a scheme that the converter lacks from the float file it gave."""
    from litert_quantizer import qtyping, quantizer

    made = quantizer.Quantizer(content)
    every = qtyping.TFLOperationName.ALL_SUPPORTED
    if scheme == "weight-only-int8":
        made.add_weight_only_config(".*", every, 8)
    elif scheme == "int4-weight-only":
        made.add_weight_only_config(".*", every, 4)
    elif scheme == "int4-dynamic":
        made.add_dynamic_config(".*", every, 4)
    else:
        made.add_dynamic_config(".*", every, 4, qtyping.QuantGranularity.BLOCKWISE_32)
    return bytes(made.quantize(enable_progress_bar=False, enable_progress_report=False).quantized_model)


def evaluate(path: Path, x: Array, y: Array) -> tuple[float, float]:
    """Return accuracy, one sample at a time, and the median of 50 timed runs in milliseconds."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    right = 0
    for sample, label in zip(x, y, strict=True):
        value = sample[None]
        if source["dtype"] is not np.float32:
            scale, zero = source["quantization"]
            limits = np.iinfo(source["dtype"])
            value = np.clip(np.round(value / scale) + zero, limits.min, limits.max).astype(source["dtype"])
        interpreter.set_tensor(source["index"], value)
        interpreter.invoke()
        right += int(interpreter.get_tensor(target["index"])[0].argmax() == label)
    times = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        interpreter.invoke()
        times.append(time.perf_counter() - begin)
    return right / len(y), float(np.median(times)) * 1000


def main() -> None:
    """Run the loop on a model file and an .npz, and write the outcomes as JSON."""
    import sys

    import tf_keras

    model, data, out, epochs, *recipes = sys.argv[1:]
    arrays = dict(np.load(data))
    folder = Path(out).parent
    found = run_loop(lambda: tf_keras.models.load_model(model, compile=False), recipes, arrays, int(epochs), folder)
    Path(out).write_text(json.dumps([asdict(o) for o in found]))


if __name__ == "__main__":
    main()

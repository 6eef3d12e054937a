"""Helpers for the small tf_keras models of the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def shake_norms(model: Any) -> None:
    """Give every batch normalization statistics, scales and shifts as after training."""
    draw = np.random.default_rng(5)
    for layer in model.layers:
        if type(layer).__name__ == "BatchNormalization":
            shape = layer.moving_mean.shape
            for weight, low, high in ((layer.moving_mean, -0.5, 0.5), (layer.moving_variance, 0.2, 2.0)):
                weight.assign(draw.uniform(low, high, shape))
            if layer.scale:
                layer.gamma.assign(draw.uniform(0.5, 1.5, shape))
            if layer.center:
                layer.beta.assign(draw.uniform(-0.5, 0.5, shape))


def to_tflite(model: Any, path: Path) -> Path:
    """Write a tf_keras model as a float `.tflite` by way of a concrete function, and return the path."""
    import tensorflow as tf

    folder = path.with_suffix(".savedmodel")
    specs = {n: tf.TensorSpec(t.shape, t.dtype, name=n) for n, t in zip(model.input_names, model.inputs, strict=True)}

    def call(**inputs: Any) -> dict[str, Any]:
        values = [inputs[n] for n in model.input_names]
        outputs = model(values if len(values) > 1 else values[0], training=False)
        listed = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        return dict(zip(model.output_names, listed, strict=True))

    module = tf.Module()
    module.model = model
    served = tf.function(call).get_concrete_function(**specs)
    tf.saved_model.save(module, str(folder), signatures={"serving_default": served})
    path.write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(folder)).convert())
    return path


def share_weights(model: Any, chain: tuple[str, ...]) -> None:
    """Give each kernel of a model what earlier steps leave there: half of it zeros after `prune`, six values after `cluster`."""
    from workbench.techniques.clusters import Shared
    from workbench.techniques.layers import kernels

    for kernel in kernels(model):
        values = kernel.numpy()
        if "prune" in chain:
            kernel.assign(np.where(np.abs(values) > np.median(np.abs(values)), values, 0))
        if "cluster" in chain:
            Shared.few(kernel, 6, "LINEAR", "prune" in chain).share()

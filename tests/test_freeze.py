"""What is frozen can be saved, whatever gradients its functions have of their own, and gives the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench.sources.freeze import keras_inference


def _function(x: Any) -> Any:
    import tensorflow as tf

    return tf.nn.silu(x)


def _own(x: Any) -> Any:
    import tensorflow as tf

    scale = x * 0 + 2.0

    @tf.custom_gradient  # type: ignore[untyped-decorator,unused-ignore]
    def doubled(value: Any) -> Any:
        return value * 2.0, lambda upstream: upstream * tf.reduce_mean(value) * 2.0

    return doubled(x) * scale


@pytest.mark.parametrize("activation", ["swish", "selu", _function, _own])
def test_functions_with_gradients_of_their_own_are_saved(
    activation: str | Callable[[Any], Any], tmp_path: Path
) -> None:
    import tensorflow as tf
    import tf_keras

    x = tf_keras.layers.Input((6,), name="x")
    within = tf_keras.layers.Dense(4, activation=activation)(x)
    model = tf_keras.Model(x, tf_keras.layers.Activation(activation)(within))
    keras_inference(model).save(tmp_path / "frozen")
    serve = tf.saved_model.load(str(tmp_path / "frozen")).signatures["serving_default"]
    values = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)
    (found,) = serve(**{n: tf.constant(values) for n in serve.structured_input_signature[1]}).values()
    np.testing.assert_allclose(found, model(values), rtol=1e-5, atol=1e-6)

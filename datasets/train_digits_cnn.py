"""Train datasets/digits_cnn.h5, a small residual network for datasets/digits.npz."""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

HERE = Path(__file__).resolve().parent
DEFAULT_DATA = HERE / "digits.npz"
DEFAULT_MODEL = HERE / "digits_cnn.h5"
SEED = 1998
EPOCHS = 40
BATCH_SIZE = 64
PEAK_LEARNING_RATE = 2e-3
MAX_SHIFT = 2
MIN_ACCURACY = 0.97
STEM_FILTERS = 32
# (filters, stride) of each residual block.
BLOCKS = ((32, 1), (40, 2), (64, 2))

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


class Digits(NamedTuple):
    """The data set with pixels scaled to 0..1."""

    x_train: FloatArray
    y_train: IntArray
    x_test: FloatArray
    y_test: IntArray


def load_digits(path: Path) -> Digits:
    """Load the data set written by build_digits.py."""
    with np.load(path, allow_pickle=False) as data:
        return Digits(
            x_train=scale_pixels(data["x_train"]),
            y_train=data["y_train"],
            x_test=scale_pixels(data["x_test"]),
            y_test=data["y_test"],
        )


def scale_pixels(pixels: npt.NDArray[np.uint8]) -> FloatArray:
    """Map 0..255 to float32 0..1, the input range of the model."""
    return pixels.astype(np.float32) / np.float32(255)


def configure_tensorflow() -> None:
    """Make TensorFlow repeat itself exactly: one thread, CPU only, fixed seeds."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf
    import tf_keras

    tf.config.set_visible_devices([], "GPU")
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    tf_keras.utils.set_random_seed(SEED)


def conv_bn(x: Any, filters: int, kernel: int, stride: int, name: str) -> Any:
    """Append a convolution without bias and its batch normalization."""
    from tf_keras import layers

    x = layers.Conv2D(filters, kernel, strides=stride, padding="same", use_bias=False, name=f"{name}_conv")(x)
    # With about 20 steps per epoch, the default momentum of 0.99 would leave the moving statistics
    # behind the weights in a fine-tuning of a few epochs.
    return layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)


def residual_block(x: Any, filters: int, stride: int, name: str) -> Any:
    """Append two 3x3 convolutions with a shortcut around them."""
    from tf_keras import layers

    y = conv_bn(x, filters, 3, stride, f"{name}_a")
    y = layers.ReLU(name=f"{name}_a_relu")(y)
    y = conv_bn(y, filters, 3, 1, f"{name}_b")
    if stride != 1 or x.shape[-1] != filters:
        x = conv_bn(x, filters, 1, stride, f"{name}_shortcut")
    x = layers.Add(name=f"{name}_add")([x, y])
    return layers.ReLU(name=f"{name}_relu")(x)


def build_model() -> Any:
    """Return the untrained network."""
    import tf_keras
    from tf_keras import layers

    # Every layer has a name: automatic ones depend on what the process built before.
    image = layers.Input((32, 32, 1), name="image")
    x = conv_bn(image, STEM_FILTERS, 3, 2, "stem")
    x = layers.ReLU(name="stem_relu")(x)
    for number, (filters, stride) in enumerate(BLOCKS, start=1):
        x = residual_block(x, filters, stride, f"block{number}")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    probabilities = layers.Dense(10, activation="softmax", name="probabilities")(x)
    return tf_keras.Model(image, probabilities, name="digits_cnn")


def shift_images(images: FloatArray, random: np.random.RandomState, most: int) -> FloatArray:
    """Move each image by up to so many pixels in both directions, filling with zeros."""
    border = ((0, 0), (most, most), (most, most), (0, 0))
    padded = np.pad(images, border)
    height, width = images.shape[1:3]
    shifted = np.empty_like(images)
    for index, (top, left) in enumerate(random.randint(0, 2 * most + 1, (len(images), 2))):
        shifted[index] = padded[index, top : top + height, left : left + width]
    return shifted


class Plan(NamedTuple):
    """How a network is trained."""

    epochs: int = EPOCHS
    batch_size: int = BATCH_SIZE
    peak_learning_rate: float = PEAK_LEARNING_RATE
    max_shift: int = MAX_SHIFT


def train(model: Any, digits: Digits, plan: Plan) -> Any:
    """Return the network, trained; the test images are not looked at."""
    import tf_keras

    steps = plan.epochs * -(-len(digits.x_train) // plan.batch_size)
    schedule = tf_keras.optimizers.schedules.CosineDecay(plan.peak_learning_rate, steps)
    model.compile(
        optimizer=tf_keras.optimizers.Adam(schedule),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    random = np.random.RandomState(SEED)
    for epoch in range(1, plan.epochs + 1):
        start = time.perf_counter()
        order = random.permutation(len(digits.x_train))
        images = shift_images(digits.x_train[order], random, plan.max_shift)
        history = model.fit(images, digits.y_train[order], batch_size=plan.batch_size, shuffle=False, verbose=0).history
        print(
            f"epoch {epoch:2d}/{plan.epochs}  loss {history['loss'][0]:.4f}  "
            f"accuracy {history['accuracy'][0]:.4f}  {time.perf_counter() - start:.2f} s",
            flush=True,
        )
    return model


def evaluate(model: Any, digits: Digits) -> tuple[int, int]:
    """Return how many test images the model gets right, and of how many."""
    predicted = np.argmax(model.predict(digits.x_test, batch_size=BATCH_SIZE, verbose=0), axis=-1)
    return int(np.sum(predicted == digits.y_test)), len(digits.y_test)


def check(path: Path, digits: Digits, least: float) -> bool:
    """Print what the model file holds and return whether its accuracy is good enough."""
    import tf_keras

    model = tf_keras.models.load_model(path, compile=False)
    correct, total = evaluate(model, digits)
    accuracy = correct / total
    data = path.read_bytes()
    print(f"{path.name}: {len(data):,} bytes, sha256 {hashlib.sha256(data).hexdigest()}")
    print(f"parameters: {model.count_params():,}")
    print(f"test accuracy: {accuracy:.4f} ({correct}/{total})")
    if accuracy < least:
        print(f"test accuracy is below {least}", file=sys.stderr)
        return False
    return True


def main(argv: list[str] | None = None) -> int:
    """Train and save the model, or check a saved one."""
    parser = argparse.ArgumentParser(description="Train or check the digits model.")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="data set to read")
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL, help="model file")
    parser.add_argument("--check", action="store_true", help="only evaluate the model file; exit 1 if it is poor")
    arguments = parser.parse_args(argv)
    configure_tensorflow()
    digits = load_digits(arguments.data)
    if not arguments.check:
        model = train(build_model(), digits, Plan())
        model.save(arguments.model, include_optimizer=False, save_format="h5")
    return 0 if check(arguments.model, digits, MIN_ACCURACY) else 1


if __name__ == "__main__":
    sys.exit(main())

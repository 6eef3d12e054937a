"""Small models and files that several tests share: made once per session, never to be changed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import nurseries
import pytest
from hypothesis import settings

# The fixture, and two hooks that serve the tests that use it.
from lab_fixture import lab, pytest_runtest_makereport, pytest_runtest_protocol  # noqa: F401
from models import shake_norms, to_tflite

import workbench

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Who runs the tests: the process itself, or that which has it run some of them.
os.environ.setdefault(nurseries.RUN, str(os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()))
nurseries.install()
# A busy machine is no failure.
settings.register_profile("workbench", deadline=None)
settings.load_profile("workbench")

Array = np.ndarray[Any, Any]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that the processes of pytest-xdist end together."""
    slow: Counter[str] = Counter()
    for item in items:
        slow[_file(item)] += item.get_closest_marker("slow") is not None
    items.sort(key=lambda item: -slow[_file(item)])


def _file(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]


@pytest.fixture(scope="session")
def warm_engine() -> Iterator[workbench.Engine]:
    """One worker for all sweeps of this process that ask for it: importing TensorFlow is most of what a small sweep takes."""
    with workbench.Engine(jobs=1) as engine:
        yield engine


@pytest.fixture(scope="session")
def small_keras_model() -> Any:
    """A tf_keras classifier: `image` (8, 8, 1) through convolution, batch normalization and ReLU to 6 `probabilities`."""
    import tf_keras

    layers = tf_keras.layers
    tf_keras.utils.set_random_seed(7)
    image = layers.Input((8, 8, 1), name="image")
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="stem")(image)
    x = layers.BatchNormalization(name="stem_norm")(x)
    x = layers.ReLU(name="stem_relu")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dense(6, activation="softmax", name="probabilities")(x)
    model = tf_keras.Model(image, x, name="small")
    shake_norms(model)
    return model


@pytest.fixture(scope="session")
def small_h5(small_keras_model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`small_keras_model` as an `.h5` file."""
    path = tmp_path_factory.mktemp("models") / "small.h5"
    small_keras_model.save(path, include_optimizer=False)
    return path


@pytest.fixture(scope="session")
def small_tflite(small_keras_model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`small_keras_model` as a float `.tflite` with the signature `serving_default`."""
    return to_tflite(small_keras_model, tmp_path_factory.mktemp("models") / "small.tflite")


@pytest.fixture(scope="session")
def small_int8_tflite(small_tflite: Path, small_images: Array, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`small_tflite` in full int8, calibrated on `small_images`."""
    from workbench.techniques import quantizer_engine

    samples = [{"image": small_images[i : i + 1]} for i in range(50)]
    ranges = quantizer_engine.calibrate(small_tflite, samples, 1)
    path = tmp_path_factory.mktemp("models") / "small_int8.tflite"
    path.write_bytes(quantizer_engine.quantize(small_tflite, "int8", "channel", ranges))
    return path


@pytest.fixture(scope="session")
def two_input_model() -> Any:
    """A tf_keras model whose names sort otherwise than its order: `zeta` (4,), `alpha` (2, 2) to `second` (3,), `first` (2,)."""
    import tf_keras

    layers = tf_keras.layers
    tf_keras.utils.set_random_seed(8)
    zeta, alpha = layers.Input((4,), name="zeta"), layers.Input((2, 2), name="alpha")
    both = layers.Concatenate(name="both")([layers.Dense(4, name="hidden")(zeta), layers.Flatten(name="flat")(alpha)])
    outputs = [layers.Dense(3, name="second")(both), layers.Dense(2, name="first")(both)]
    return tf_keras.Model([zeta, alpha], outputs, name="two_inputs")


@pytest.fixture(scope="session")
def two_input_tflite(two_input_model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`two_input_model` as a float `.tflite`."""
    return to_tflite(two_input_model, tmp_path_factory.mktemp("models") / "two_inputs.tflite")


@pytest.fixture(scope="session")
def small_images() -> Array:
    """100 images (8, 8, 1) of values from 0 to 1."""
    return np.random.default_rng(3).random((100, 8, 8, 1), dtype=np.float32)

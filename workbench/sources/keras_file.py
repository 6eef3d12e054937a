"""What a `.keras` or `.h5` file says of itself, read in a process of its own with bounds on time and memory.

The HDF5 library can crash on a damaged file, and a small file can unfold to more than a machine holds; neither must end the
kernel or the sweep.
"""

from __future__ import annotations

import functools
import json
import os
import resource
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

from workbench.errors import WorkbenchError
from workbench.sources import trust
from workbench.sources.hdf5 import read_hdf5, text_of
from workbench.sources.keras3.allowed import KERAS_3
from workbench.sources.unfolding import check_archive, member

READ_SECONDS = 60.0
# What the reading process may address beyond the size of the file; NumPy and the HDF5 library take most of it.
READ_BYTES = 4 << 30
# The configuration of NASNetLarge has 1 MB; vocabularies are the largest that stand in one.
CONFIG_BYTES = 16 << 20
# Of a configuration: the largest of tf_keras.applications, NASNetLarge, has some 60,000 values; models in models nest a few dozen deep.
MOST_VALUES = 1_000_000
MOST_DEPTH = 300


class KerasFile(NamedTuple):
    """What a file says: the Keras version that wrote it ("" where unknown), the model's configuration, the number of weights.

    `parameters` is None where unknown; `fault` says what code the configuration holds for the Keras that wrote it, "" where it is data alone.
    """

    version: str
    config: dict[str, Any]
    parameters: int | None
    fault: str = ""

    @property
    def keras3(self) -> bool:
        """Whether Keras 3 wrote it; tf_keras calls itself 2."""
        return self.version.startswith("3.")


def read_keras_file(path: Path) -> KerasFile:
    """Return what the file says; raises WorkbenchError when it is damaged, holds no model or unfolds to too much."""
    stat = path.stat()
    return _read(str(path), stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=8)
def _read(path: str, _changed: int, size: int) -> KerasFile:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-m", "workbench.sources.keras_file", path]
    try:
        done = subprocess.run(command, capture_output=True, env=environment, timeout=READ_SECONDS, check=False)
        answer = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        raise WorkbenchError(
            f"{path!r} ({size} bytes) was given up: reading took longer than {READ_SECONDS:g} s. Save the model again; "
            "if its disk is slow, copy it to a faster one."
        ) from None
    except (ValueError, RecursionError):
        why = "reading it crashed the HDF5 library" if done.returncode < 0 else "what it says of itself cannot be read"
        raise WorkbenchError(f"{path!r} ({size} bytes) is damaged: {why}. Save the model again.") from None
    if "error" in answer:
        raise WorkbenchError(answer["error"])
    return KerasFile(**answer)


def parse_keras_file(path: Path) -> KerasFile:
    """Return what the file says, read in this process; raises WorkbenchError as `read_keras_file` does."""
    archive = is_archive(path)
    try:
        version, config, parameters = _archive(path) if archive else _hdf5(path)
        if not isinstance(config, dict):
            raise ValueError("its configuration is no object")
        _check_extent(config)
    except MemoryError:
        raise WorkbenchError(f"{str(path)!r} was given up: reading it takes more than {READ_BYTES >> 30} GB.") from None
    # RuntimeError: the HDF5 library, an encrypted archive, or JSON that nests deeper than Python can follow.
    except (
        OSError,
        KeyError,
        ValueError,
        RuntimeError,
        AttributeError,
        NotImplementedError,
        zipfile.BadZipFile,
    ) as error:
        if archive:
            raise WorkbenchError(f"{str(path)!r} is a damaged .keras file: {error}") from None
        raise WorkbenchError(
            f"{str(path)!r} is not a readable HDF5 or .keras file ({path.stat().st_size} bytes): {error}"
        ) from None
    found = KerasFile(version, config, parameters)
    return found._replace(fault=trust.fault_of(config, KERAS_3 if found.keras3 else trust.TF_KERAS))


def _check_extent(config: Any) -> None:
    """Raise ValueError for a configuration that nests deeper, or holds more values, than any model's."""
    pending, count = [(config, 1)], 0
    while pending:
        value, depth = pending.pop()
        count += 1
        if depth > MOST_DEPTH:
            raise ValueError(f"its configuration nests deeper than {MOST_DEPTH} levels")
        if count > MOST_VALUES:
            raise ValueError(f"its configuration holds more than {MOST_VALUES:,} values")
        inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        pending.extend((inner, depth + 1) for inner in inside)


def is_archive(path: Path) -> bool:
    """Whether tf_keras reads the file as a `.keras` archive: by its ending too, for a file can be archive and HDF5 at once."""
    return path.name.endswith(".keras") and zipfile.is_zipfile(path)


def _archive(path: Path) -> tuple[str, Any, int | None]:
    with zipfile.ZipFile(path) as archive:
        check_archive(archive, path)
        version = str(json.loads(member(archive, "metadata.json", CONFIG_BYTES)).get("keras_version", ""))
        config = json.loads(member(archive, "config.json", CONFIG_BYTES))
        if "model.weights.h5" not in archive.namelist():
            return version, config, None
        with archive.open("model.weights.h5") as weights:
            return version, config, read_hdf5(weights, path).parameters


def _hdf5(path: Path) -> tuple[str, Any, int | None]:
    found = read_hdf5(path, path, ("model_config", "keras_version"))
    if "model_config" not in found.attributes:
        raise WorkbenchError(
            f"{str(path)!r} holds weights only, no model. Save the whole model: model.save({path.name!r})."
        )
    text = text_of(found.attributes["model_config"])
    if len(text) > CONFIG_BYTES:
        raise ValueError(f"its configuration has more than {CONFIG_BYTES} bytes")
    return text_of(found.attributes.get("keras_version", "")), json.loads(text), found.parameters


def main(path: str) -> None:
    """Print what a file says as JSON, within bounds on memory."""
    bound = READ_BYTES + Path(path).stat().st_size
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    try:
        answer = parse_keras_file(Path(path))._asdict()
    except WorkbenchError as error:
        answer = {"error": str(error)}
    print(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1])

"""Named arrays in one file: an `.npz` whose members are numbered, with their names as data beside them.

As members of the archive names would be paths, and as NumPy's arguments identifiers: `file` and `a/b` cannot be written so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
_NAMES = "names"


def save_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays by name, in their order."""
    names = np.frombuffer(json.dumps(list(arrays)).encode(), np.uint8)
    members = {f"array_{i}": np.asarray(array) for i, array in enumerate(arrays.values())}
    np.savez(path, **{_NAMES: names}, **members)  # type: ignore[arg-type]  # one of them could be `allow_pickle`


def load_arrays(path: Path) -> dict[str, Array]:
    """Return what `save_arrays` wrote; pickled objects are refused."""
    with np.load(path, allow_pickle=False) as file:
        names = json.loads(file[_NAMES].tobytes())
        return {name: file[f"array_{i}"] for i, name in enumerate(names)}

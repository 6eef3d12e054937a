"""A damaged Keras file gives a message, whatever the HDF5 library makes of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from workbench.errors import WorkbenchError
from workbench.sources.keras_file import read_keras_file


def test_what_a_file_says(small_h5: Path) -> None:
    found = read_keras_file(small_h5)
    assert found.version.startswith("2.")
    assert found.config["class_name"] in ("Functional", "Sequential")
    assert found.parameters is not None
    assert found.parameters > 0


def said(path: Path) -> str | None:
    """Return the message that a file gets, None where it could be read; any other exception fails the test."""
    try:
        read_keras_file(path)
    except WorkbenchError as error:
        return str(error)
    return None


def test_damaged_files_give_a_message_or_the_model(small_h5: Path, tmp_path: Path) -> None:
    whole = small_h5.read_bytes()
    draw = np.random.default_rng(0)
    refused = 0
    for number in range(12):
        broken = bytearray(whole)
        for place in draw.integers(0, min(len(broken), 4096), 40):
            broken[place] = draw.integers(0, 256)
        path = tmp_path / f"{number}.h5"
        path.write_bytes(bytes(broken))
        refused += said(path) is not None
    assert refused > 0, "some of this damage is beyond reading"


def test_a_crash_of_the_library_is_a_message(small_h5: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.h5"
    path.write_bytes(small_h5.read_bytes())
    (tmp_path / "h5py.py").write_text("import os\nos.abort()\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(WorkbenchError, match="crashed the HDF5 library"):
        read_keras_file(path)

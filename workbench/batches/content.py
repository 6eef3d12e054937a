"""Hashes of what goes into a run, taken without loading it: quick, and enough to know that it is unchanged."""

from __future__ import annotations

from pathlib import Path

from workbench.data.load import bundled, load_dataset
from workbench.files import file_sha256, kind_of, tree_sha256
from workbench.values.base import digest


def data_sha256(told: str) -> str:
    """Return a hash of a dataset's file or folder with its options; raises WorkbenchError for an unknown name or a missing file."""
    text, _, query = told.partition("?")
    path = Path(text)
    kind = kind_of(path)
    if text == "digits" and kind == "nothing":
        return file_sha256(bundled("digits.npz"))
    if kind == "folder":
        return digest([tree_sha256(path), query])
    if kind == "nothing" or (query and path.suffix != ".csv"):
        load_dataset(told)  # says what is wrong
    return digest([file_sha256(path), query]) if query else file_sha256(path)

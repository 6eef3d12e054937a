"""Datasets by name or path: `digits`, `.npz`, `.csv`, a folder of class subfolders of images."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np

from workbench.data.dataset import Dataset, from_arrays
from workbench.data.images import ImageParams, read_image_folder
from workbench.data.table import TableParams, read_table
from workbench.errors import WorkbenchError, unknown
from workbench.values.base import build

ALLOWED = "digits, a .npz or .csv file, a folder of class subfolders of images, a dict of arrays"


def bundled(name: str) -> Path:
    """Return the path of a file in `datasets/`, in a checkout or in the installed package."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "_bundled", package.parent / "datasets"):
        if (folder / name).exists():
            return folder / name
    raise WorkbenchError(f"bundled file {name!r} is missing from this installation. Reinstall tflite-workbench.")


def load_dataset(data: Any, input_shape: tuple[int | None, ...] | None = None) -> Dataset:
    """Return a dataset from a name, a path, a dict of arrays or a Dataset.

    `input_shape`, with the batch first, is what images are sized to and rows of a table are shaped to. Raises WorkbenchError for an unknown name,
    an unreadable file, or arrays that do not fit together.
    """
    if isinstance(data, Dataset):
        return data
    if isinstance(data, Mapping):
        return from_arrays(data)
    if not isinstance(data, (str, Path)):
        raise WorkbenchError(f"a dataset cannot be made of {type(data).__name__}. Allowed: {ALLOWED}.")
    text, _, query = str(data).partition("?")
    path, options = Path(text), dict(parse_qsl(query, keep_blank_values=True))
    if text != "digits" and path.is_dir():
        return read_image_folder(path, build(ImageParams, options, "image"), input_shape)
    if path.suffix == ".csv" and path.is_file():
        return read_table(path, build(TableParams, options, "table"), input_shape)
    if query and path.suffix != ".csv":
        raise WorkbenchError(
            f"dataset {text!r} takes no options, but got {query!r}. A folder of images does, e.g. FOLDER?size=32x32, and a table, e.g. FILE.csv?label=class."
        )
    if text == "digits":
        return _digits()
    if not path.exists():
        if path.suffix or "/" in text:
            raise WorkbenchError(f"dataset file {text!r} does not exist. Allowed: {ALLOWED}.")
        raise unknown("dataset", text, ["digits"], "Or give a .npz or .csv file, or a folder of images.")
    if path.suffix == ".npz":
        return from_arrays(_read_npz(path), path.stem)
    raise WorkbenchError(f"dataset file {text!r} ends in {path.suffix!r}. Allowed: {ALLOWED}.")


def _digits() -> Dataset:
    arrays = _read_npz(bundled("digits.npz"))
    for key in ("x_train", "x_test"):
        # The bundled model was trained on 0 to 1.
        arrays[key] = arrays[key].astype(np.float32) / np.float32(255)
    return from_arrays(arrays, "digits")


def _read_npz(path: Path) -> dict[str, Any]:
    if not zipfile.is_zipfile(path):
        raise WorkbenchError(
            f"{str(path)!r} is not a readable .npz ({path.stat().st_size} bytes): it is no zip archive, or not a whole one. numpy.savez writes one."
        )
    try:
        # Pickled arrays could run code on loading; they are refused.
        with np.load(path, allow_pickle=False) as file:
            return {k: file[k] for k in file.files}
    except Exception as error:  # a damaged archive raises anything from zlib.error to TokenError
        raise WorkbenchError(f"{str(path)!r} is not a readable .npz of plain arrays: {error}") from None

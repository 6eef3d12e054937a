"""Datasets by name or path: `digits`, `.npz`, `.csv`, a folder of class subfolders of images, or of images with annotations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np

from workbench.data.coco import is_annotated, read_annotated_folder
from workbench.data.dataset import Dataset, from_arrays, name_of
from workbench.data.images import ImageParams, read_image_folder
from workbench.data.npz import read_npz
from workbench.data.table import TableParams, read_table
from workbench.errors import WorkbenchError, shown, unknown
from workbench.files import kind_of
from workbench.values.base import build

ALLOWED = "digits, a .npz or .csv file, a folder of class subfolders of images (or of images with annotations.json), a dict of arrays"


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
    try:
        return _from_path(text, query, input_shape)
    except MemoryError:
        raise WorkbenchError(
            f"dataset {shown(text)} needs more memory than this process may take. Use fewer or smaller samples."
        ) from None


def takes_shape(data: Any) -> bool:
    """Whether a dataset is read to fit the model's input: a folder of images, and a table."""
    if not isinstance(data, (str, Path)):
        return False
    path = Path(str(data).partition("?")[0])
    return path.suffix == ".csv" or (str(path) != "digits" and kind_of(path) == "folder")


def _from_path(text: str, query: str, input_shape: tuple[int | None, ...] | None) -> Dataset:
    path = Path(text)
    kind = "nothing" if text == "digits" else kind_of(path)
    if kind == "folder":
        read = read_annotated_folder if is_annotated(path) else read_image_folder
        return read(path, build(ImageParams, _options(text, query), "image"), input_shape)
    if path.suffix == ".csv" and kind != "nothing":
        return read_table(path, build(TableParams, _options(text, query), "table"), input_shape)
    if query and path.suffix != ".csv":
        raise WorkbenchError(
            f"dataset {shown(text)} takes no options, but got {shown(query)}. A folder of images does, e.g. FOLDER?size=32x32, and a table, e.g. FILE.csv?label=class."
        )
    if text == "digits":
        return _digits()
    if kind == "nothing":
        if path.suffix or "/" in text:
            raise WorkbenchError(f"dataset file {shown(text)} does not exist. Allowed: {ALLOWED}.")
        raise unknown("dataset", text, ["digits"], "Or give a .npz or .csv file, or a folder of images.")
    if path.suffix == ".npz":
        return from_arrays(read_npz(path), name_of(path.stem))
    raise WorkbenchError(f"dataset file {shown(text)} ends in {shown(path.suffix)}. Allowed: {ALLOWED}.")


def _options(text: str, query: str) -> dict[str, str]:
    """Return what stands behind the question mark; raises WorkbenchError for an option that is given twice."""
    pairs = parse_qsl(query, keep_blank_values=True)
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise WorkbenchError(f"dataset {shown(text)} gets the option {shown(twice)} twice. Give it once.")
    return found


def _digits() -> Dataset:
    arrays = read_npz(bundled("digits.npz"))
    for key in ("x_train", "x_test"):
        # The bundled model was trained on 0 to 1.
        arrays[key] = arrays[key].astype(np.float32) / np.float32(255)
    return from_arrays(arrays, "digits")

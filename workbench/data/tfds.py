"""Data sets of TensorFlow Datasets, by name or from a folder that it prepared."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from workbench.data.base import DatasetReader, InputShape
from workbench.data.columns import ColumnParams, Kind, choose
from workbench.data.dataset import Split, name_of
from workbench.data.images import TEST, scaled, target_size
from workbench.data.pictures import fitted
from workbench.data.pieces import Known, Pieces
from workbench.errors import WorkbenchError, shown
from workbench.files import holds, kind_of, tree_sha256
from workbench.values.base import digest

# Those of other owners (`kaggle:...`, `OWNER:NAME`) are code that would run.
_NAME = re.compile(r"[a-zA-Z0-9_]+(/[\w.-]+)?(:[\d.*]+)?")


class TfdsParams(ColumnParams):
    """How a data set of TensorFlow Datasets becomes arrays; written as `tfds:NAME/CONFIG:VERSION?label=label`."""

    test: float = Field(0.25, gt=0, lt=1, description="share of the only split for the test, in whole hundredths")
    folder: str | None = Field(
        None, description="where data sets are kept; default is TFDS_DATA_DIR or ~/tensorflow_datasets"
    )
    download: bool = Field(True, description="whether what is not there is fetched and prepared")


class Tfds(DatasetReader[TfdsParams]):
    """Data sets of TensorFlow Datasets."""

    name = "tfds"
    help = "data sets of TensorFlow Datasets, by name or from a folder that it prepared"
    takes = "tfds:NAME"
    options = "TensorFlow Datasets"
    params = TfdsParams
    fits_shape = True

    def matches(self, text: str) -> bool:
        """Whether it is a folder of one version that was prepared; anything else is named, `tfds:NAME`."""
        path = Path(text)
        return kind_of(path) == "folder" and holds(path, "dataset_info.json") and holds(path, "features.json")

    def available(self) -> str | None:
        """Return how to install the library where it is not there."""
        there = importlib.util.find_spec("tensorflow_datasets")
        return None if there else "install it: pip install 'tflite-workbench[tfds]'"

    def read(self, text: str, params: TfdsParams, input_shape: InputShape | None) -> Pieces:
        """Return the examples as they come."""
        builder = _builder(text, params)
        return _Examples(builder, params, input_shape, text).pieces()

    def sha256(self, text: str) -> str:
        """Return the hash of a folder, else of the name, which has the version where it is to stay the same."""
        return tree_sha256(Path(text)) if kind_of(Path(text)) == "folder" else digest(text)


def _builder(text: str, params: TfdsParams) -> Any:
    import tensorflow_datasets as library

    if kind_of(Path(text)) != "folder" and not _NAME.fullmatch(text):
        raise WorkbenchError(
            f"tfds:{shown(text)} is no name of TensorFlow Datasets. Expected NAME, NAME/CONFIG or NAME:VERSION, or a folder that it prepared; "
            "those of others, OWNER:NAME, are code and not loaded."
        )
    try:
        if kind_of(Path(text)) == "folder":
            return library.builder_from_directory(text)
        builder = library.builder(text, data_dir=params.folder)
        if params.download:
            builder.download_and_prepare()
        return builder
    except Exception as error:  # it raises anything, errors of the network among them
        raise WorkbenchError(
            f"tfds:{text} cannot be read: {type(error).__name__}: {' '.join(str(error).split())[:300]}. Check the name, or give a folder that it prepared."
        ) from None


class _Examples:
    """The examples of all splits."""

    def __init__(self, builder: Any, params: TfdsParams, input_shape: InputShape | None, text: str) -> None:
        self._builder, self._params, self._text = builder, params, text
        self._features = dict(builder.info.features.items())
        kinds = {name: _kind(f) for name, f in self._features.items()}
        keys = builder.info.supervised_keys
        if keys and not params.input and not params.label and all(isinstance(k, str) for k in keys[:2]):
            params = params.model_copy(update={"input": keys[0], "label": keys[1]})
        self._columns = choose(kinds, params, f"tfds:{text}")
        self._images = [n for n in self._columns.inputs.values() if kinds[n] == "image"]
        first = next(iter(self._columns.inputs.values()), None)
        self._size = (
            target_size(Path(text), params, input_shape if first in self._images else None)
            if self._images
            else (0, 0, 0)
        )
        label = next(iter(self._columns.labels.values()), None)
        self._names = tuple(self._features[label].names) if label and kinds[label] == "class" else ()

    def pieces(self) -> Pieces:
        """Return them as they come; those of one split only are divided by the library's own slices."""
        there = list(self._builder.info.splits)
        test = next((t for t in TEST if t in there), None)
        if test is None:
            cut = min(99, max(1, round(100 * self._params.test)))
            read = {"test": f"{there[0]}[:{cut}%]", "train": f"{there[0]}[{cut}%:]"}
            left = there[1:]
        else:
            read = {"test": test} | {s: s for s in ("train", "calibration") if s in there}
            left = [s for s in there if s not in read.values()]
        notes = tuple(f"split {s!r} of tfds:{self._text} is not read" for s in left)

        def each() -> Iterator[tuple[str, Split]]:
            for split, asked in read.items():
                for example in self._builder.as_dataset(split=asked, shuffle_files=False).as_numpy_iterator():
                    yield split, self._split(example)

        return Pieces(
            name_of(re.sub(r"[/:].*", "", Path(text).name if kind_of(Path(text := self._text)) == "folder" else text)),
            each(),
            lambda: Known(self._names, notes),
        )

    def _split(self, example: dict[str, Any]) -> Split:
        return self._columns.sample(lambda name: self._value(name, example[name]))

    def _value(self, name: str, value: Any) -> np.ndarray[Any, Any]:
        if name in self._images:
            pixels = np.asarray(value)
            if pixels.dtype != np.uint8:
                raise WorkbenchError(f"tfds:{self._text}: images {name!r} are of {pixels.dtype}. Allowed: uint8.")
            return scaled(fitted(pixels, self._size[:2], self._size[2]), self._params.scale)
        return np.asarray(value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value)


def _kind(feature: Any) -> Kind:
    import tensorflow_datasets as library

    if isinstance(feature, library.features.Image):
        return "image"
    if isinstance(feature, library.features.ClassLabel):
        return "class"
    if isinstance(feature, library.features.Text):
        return "word"
    shape, dtype = getattr(feature, "shape", None), getattr(feature, "np_dtype", None)
    if not isinstance(shape, tuple) or dtype is None:
        return "other"
    kind = np.dtype(dtype).kind
    if kind in "biuf":
        return "array" if shape else "number"
    return "word" if not shape else "other"

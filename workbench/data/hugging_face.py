"""Data sets of Hugging Face's `datasets`: from its hub, folders that it saved, `.parquet` and `.arrow` files."""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from workbench.data.base import DatasetReader, InputShape
from workbench.data.columns import ChosenColumns, ColumnParams, Kind, choose
from workbench.data.dataset import Split, name_of
from workbench.data.images import TEST, ImageParams, drawn_by_class, scaled, target_size
from workbench.data.pictures import Corrupt, Notes, decode_picture
from workbench.data.pieces import Known, Pieces
from workbench.errors import WorkbenchError, shown
from workbench.files import file_sha256, holds, kind_of, tree_sha256
from workbench.values.base import digest

# What its own loaders are called, by the ending of a file.
LOADERS = {".parquet": "parquet", ".arrow": "arrow", ".jsonl": "json", ".json": "json"}
_ROWS = 32


class HubParams(ColumnParams, ImageParams):
    """How a data set of Hugging Face becomes arrays; written as `hf:NAME?config=small&label=label`."""

    config: str | None = Field(None, description="configuration of a data set of the hub that has several")


class HuggingFace(DatasetReader[HubParams]):
    """Data sets of Hugging Face."""

    name = "hf"
    help = "data sets of Hugging Face: of the hub, saved folders, .parquet and .arrow files"
    takes = "hf:NAME or hf:PATH"
    options = "Hugging Face data set"
    params = HubParams
    fits_shape = True

    def matches(self, text: str) -> bool:
        """Whether it is a folder that `save_to_disk` wrote; anything else is named, `hf:NAME`."""
        return kind_of(Path(text)) == "folder" and _is_saved(Path(text))

    def available(self) -> str | None:
        """Return how to install the library where it is not there."""
        found = importlib.util.find_spec("datasets")
        # Any folder of that name, as beside these sources, is a package without a file of its own.
        return None if found and found.origin else "install it: pip install 'tflite-workbench[hf]'"

    def read(self, text: str, params: HubParams, input_shape: InputShape | None) -> Pieces:
        """Return the rows as they come."""
        loaded = _loaded(text, params)
        parts, left = _splits(loaded, text)
        rows = _Rows(parts, params, input_shape, text)
        return Pieces(
            name_of(Path(text).stem), rows.each(), lambda: Known(rows.class_names, (*left, *rows.sentences()))
        )

    def sha256(self, text: str) -> str:
        """Return the hash of what lies at a path, else of the name: what the hub has is known when it was read."""
        kind = kind_of(Path(text))
        return (
            tree_sha256(Path(text)) if kind == "folder" else file_sha256(Path(text)) if kind == "file" else digest(text)
        )


def _library() -> Any:
    return importlib.import_module("datasets")


def _is_saved(path: Path) -> bool:
    return holds(path, "dataset_dict.json") or holds(path, "state.json")


def _loaded(text: str, params: HubParams) -> Any:
    """Return what the library makes of a name or path; raises WorkbenchError with what it says."""
    library = _library()
    path = Path(text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if kind_of(path) == "folder" and _is_saved(path):
                return library.load_from_disk(text)
            if kind_of(path) == "file":
                if path.suffix not in LOADERS:
                    raise WorkbenchError(
                        f"hf:{text} ends in {shown(path.suffix)}. Allowed: {', '.join(LOADERS)}, a folder, a name of the hub."
                    )
                return library.load_dataset(LOADERS[path.suffix], data_files=text)
            return library.load_dataset(text, params.config)
    except WorkbenchError:
        raise
    except Exception as error:  # it raises anything, errors of the network among them
        raise WorkbenchError(
            f"hf:{text} cannot be read: {type(error).__name__}: {' '.join(str(error).split())[:300]}. Check the name, or give a local folder or file."
        ) from None


def _splits(loaded: Any, text: str) -> tuple[dict[str, Any], list[str]]:
    """Return tables by split, "" for one that is to be divided, and what is not read."""
    if not isinstance(loaded, Mapping):
        return {"": loaded}, []
    test = next((t for t in TEST if t in loaded), None)
    if test is None:
        name = "train" if "train" in loaded else next(iter(loaded))
        left = [n for n in loaded if n != name]
        return {"": loaded[name]}, [f"split {n!r} of hf:{text} is not read" for n in left]
    found = {"test": loaded[test]} | {s: loaded[s] for s in ("train", "calibration") if s in loaded}
    left = [n for n in loaded if n not in ("train", "calibration", test)]
    return found, [f"split {n!r} of hf:{text} is not read, as {test!r} is the test split" for n in left]


def _kind(feature: Any) -> Kind:
    library = _library()
    if isinstance(feature, library.Image):
        return "image"
    if isinstance(feature, library.ClassLabel):
        return "class"
    if isinstance(feature, library.Value):
        return "word" if "string" in feature.dtype else "number" if _is_number(feature.dtype) else "other"
    return "array" if _is_number(_dtype(feature)) else "other"


def _dtype(feature: Any) -> str:
    """Return the type of the numbers in a feature, however they are nested."""
    while not isinstance(getattr(feature, "dtype", None), str) or feature.dtype in ("list", "dict"):
        inner = getattr(feature, "feature", None)
        if inner is None:
            return ""
        feature = inner
    return str(feature.dtype)


def _is_number(dtype: str) -> bool:
    return dtype.rstrip("0123456789") in ("int", "uint", "float", "bool")


class _Rows:
    """The rows of all splits, and what was found on the way."""

    def __init__(self, parts: dict[str, Any], params: HubParams, input_shape: InputShape | None, text: str) -> None:
        library = _library()
        self._params, self._text = params, text
        first = next(iter(parts.values()))
        self._features = dict(first.features)
        kinds = {name: _kind(f) for name, f in self._features.items()}
        self._columns: ChosenColumns = choose(kinds, params, f"hf:{text}")
        used = [*self._columns.inputs.values(), *self._columns.joined, *self._columns.labels.values()]
        self._images = [n for n in used if kinds[n] == "image"]
        self._size = (0, 0, 0)
        if self._images:
            first_input = next(iter(self._columns.inputs.values()))
            self._size = target_size(Path(text), params, input_shape if first_input in self._images else None)
        self._parts = {}
        for split, table in parts.items():
            made = table.select_columns(list(dict.fromkeys(used)))
            for name in self._images:
                # Decoded within our bounds, not the library's.
                made = made.cast_column(name, library.Image(decode=False))
            self._parts[split] = made
        label = next(iter(self._columns.labels.values()), None)
        self.class_names: tuple[str, ...] = (
            tuple(self._features[label].names) if label and kinds[label] == "class" else ()
        )
        self._label = label if label and kinds[label] in ("class", "word", "number") else None
        self._total = sum(map(len, self._parts.values()))
        self._notes, self._corrupt = Notes(), Corrupt(params.corrupt == "skip", "rows")

    def each(self) -> Iterator[tuple[str, Split]]:
        """Give the rows that can be read; raises WorkbenchError that names those that cannot, unless they are left out."""
        for split, table in self._parts.items():
            tests = None if split else self._tests(table)
            for start in range(0, len(table), _ROWS):
                columns = table[start : start + _ROWS]
                for place in range(len(next(iter(columns.values())))):
                    try:
                        part = self._row({n: v[place] for n, v in columns.items()}, start + place)
                    except WorkbenchError as error:
                        self._corrupt.add(error)
                        continue
                    yield split or ("test" if tests is not None and tests[start + place] else "train"), part
        self._corrupt.check(self._total)

    def sentences(self) -> tuple[str, ...]:
        """Return what was left out or changed."""
        return (*self._corrupt.sentences(self._total), *self._notes.sentences(self._total))

    def _tests(self, table: Any) -> Any:
        """Return which rows are for the test split, each class by its share where there are classes."""
        values = [0] * len(table)
        if self._label in self._features and (_kind(self._features[self._label]) in ("class", "word")):
            codes: dict[Any, int] = {}
            values = [codes.setdefault(v, len(codes)) for v in table[self._label]]
        test, _ = drawn_by_class(values, self._params.test, self._params.seed)
        found = np.zeros(len(table), bool)
        found[test] = True
        return found

    def _row(self, row: dict[str, Any], place: int) -> Split:
        called = f"row {place:,} of hf:{self._text}"
        return self._columns.sample(lambda name: self._value(name, row[name], called))

    def _value(self, name: str, value: Any, called: str) -> np.ndarray[Any, Any]:
        if value is None:
            raise WorkbenchError(f"{called} has nothing in column {name!r}.")
        if name in self._images:
            path = value.get("path")
            data = value["bytes"] if value.get("bytes") is not None else Path(path).read_bytes() if path else b""
            pixels = decode_picture(data, Path(called), self._size[:2], self._size[2], self._notes)
            return scaled(pixels, self._params.scale)
        dtype = _dtype(self._features[name])
        try:
            return np.asarray(value, dtype=dtype if _is_number(dtype) else None)
        except (ValueError, TypeError):
            raise WorkbenchError(
                f"{called}: column {name!r} holds {shown(value)}, which is no array of {dtype}."
            ) from None

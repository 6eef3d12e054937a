"""A dataset: named splits of arrays, with class names."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from workbench.errors import WorkbenchError, shown

Array = np.ndarray[Any, Any]

MOST_CLASS_NAME = 255


@dataclass(frozen=True)
class Split:
    """Samples `x` `(n, *input_shape)` (or a dict of such by input name) and labels `y` `(n,)`, or None."""

    x: Array | dict[str, Array]
    y: Array | None = None

    @property
    def inputs(self) -> dict[str, Array]:
        """The samples by input name; "" names a single unnamed input."""
        return self.x if isinstance(self.x, dict) else {"": self.x}

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    def take(self, index: Any) -> Split:
        """Return the samples at an index or slice."""
        x = {k: v[index] for k, v in self.x.items()} if isinstance(self.x, dict) else self.x[index]
        return Split(x, None if self.y is None else self.y[index])


@dataclass(frozen=True)
class Dataset:
    """Splits `train`, `calibration`, `test`; only `test` is always there.

    `calibration_from` says where the calibration split came from: itself, train or test; `notes` are sentences on what
    was changed or left out in reading. Raises WorkbenchError for class names that are no text.
    """

    name: str
    test: Split
    train: Split | None = None
    calibration: Split | None = None
    class_names: tuple[str, ...] = ()
    calibration_from: str = field(default="calibration")
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_class_names(self.class_names, f"dataset {self.name!r}")

    @property
    def labels(self) -> Literal["class", "value", "none"]:
        """Whether labels are classes (integers), values (floats) or missing."""
        if self.test.y is None:
            return "none"
        return "class" if np.issubdtype(self.test.y.dtype, np.integer) else "value"

    def splits(self) -> dict[str, Split]:
        """Return the splits that are there, a calibration split only where it is not train or test again."""
        own = self.calibration if self.calibration_from == "calibration" else None
        found = {"train": self.train, "calibration": own, "test": self.test}
        return {k: v for k, v in found.items() if v is not None}


def check_class_names(names: Iterable[str], where: str) -> None:
    """Raise WorkbenchError for a class name that is empty, long, or no text: what a terminal would obey instead of showing it."""
    for name in names:
        if not 0 < len(name) <= MOST_CLASS_NAME:
            problem = f"has {len(name):,} characters"
        elif strange := next((c for c in name if c not in "\t\n\r" and unicodedata.category(c) in ("Cc", "Cs")), None):
            kind = "byte that is not UTF-8" if "\udc80" <= strange <= "\udcff" else "control character"
            problem = f"holds a {kind} ({strange!r})"
        else:
            continue
        raise WorkbenchError(
            f"{where}: class name {shown(name)} {problem}. Allowed: 1 to {MOST_CLASS_NAME} characters of text. Rename the class."
        )


def name_of(text: str) -> str:
    """Return a file's name as the name of a dataset: bytes that are not UTF-8 and control characters replaced by a mark."""
    legible = os.fsencode(text).decode("utf-8", "replace")
    return "".join("\ufffd" if unicodedata.category(c) == "Cc" else c for c in legible)


def from_arrays(data: Mapping[str, Any], name: str = "arrays") -> Dataset:
    """Return a dataset of arrays: `x_train y_train x_test y_test` (`x_calibration` optional), or `x y`, which is split 3 to 1.

    Raises WorkbenchError when arrays are missing, empty, of unequal length, of objects, or not finite.
    """
    arrays = {k: _checked(k, v) for k, v in data.items() if k != "class_names" and v is not None}
    names = _class_names(name, data["class_names"]) if data.get("class_names") is not None else ()
    known = {f"{axis}_{split}" for axis in "xy" for split in ("train", "calibration", "test")} | {"x", "y"}
    for key in arrays:
        if key not in known:
            raise WorkbenchError(
                f"dataset {name!r} has an array {shown(key)}. Allowed: x_train y_train x_test y_test x_calibration class_names, or x y."
            )
    train: Split | None
    if "x" in arrays:
        whole = _split(name, "", arrays)
        order = np.random.default_rng(0).permutation(len(whole))
        cut = max(1, len(whole) // 4)
        train, test = whole.take(np.sort(order[cut:])), whole.take(np.sort(order[:cut]))
    elif "x_test" in arrays:
        test = _split(name, "_test", arrays)
        train = _split(name, "_train", arrays) if "x_train" in arrays else None
    else:
        raise WorkbenchError(
            f"dataset {name!r} has {', '.join(sorted(arrays)) or 'no arrays'}, but needs x_test (and x_train), or x. Labels are y_test, y_train, y."
        )
    given = _split(name, "_calibration", arrays) if "x_calibration" in arrays else None
    calibration, origin = (
        (given, "calibration") if given else (train, "train") if train and len(train) else (test, "test")
    )
    return Dataset(name, test, train if train is not None and len(train) else None, calibration, names, origin)


def _class_names(name: str, given: Any) -> tuple[str, ...]:
    found = np.asarray(given)
    if found.ndim != 1 or found.dtype.kind not in "USOiu":
        raise WorkbenchError(f"dataset {name!r}: class_names is {shown(given)}. Expected a list of names.")
    return tuple(str(c) for c in found.tolist())


def _split(name: str, suffix: str, arrays: dict[str, Any]) -> Split:
    x, y = arrays[f"x{suffix}"], arrays.get(f"y{suffix}")
    lengths = {len(v) for v in x.values()} if isinstance(x, dict) else {len(x)}
    if y is not None:
        if isinstance(y, dict):
            raise WorkbenchError(f"dataset {name!r}: y{suffix} is one array, not a dict")
        if y.ndim == 2 and y.shape[1] == 1:
            y = y[:, 0]
        elif y.ndim == 2 and y.shape[1] > 1 and np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all():
            y = y.argmax(axis=1)  # one-hot labels
        lengths.add(len(y))
    if len(lengths) != 1:
        raise WorkbenchError(
            f"dataset {name!r}: x{suffix} and y{suffix} have different numbers of samples: {sorted(lengths)}"
        )
    if lengths == {0}:
        raise WorkbenchError(f"dataset {name!r}: x{suffix} has no samples")
    # True and False are two classes.
    return Split(x, y.astype(np.int64) if y is not None and y.dtype.kind in "biu" else y)


def _checked(key: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _checked(f"{key}[{k}]", v) for k, v in value.items()}
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise WorkbenchError(f"array {shown(key)} is no array of numbers: {error}") from None
    if array.dtype.kind not in "biuf":
        raise WorkbenchError(f"array {shown(key)} has type {array.dtype}; allowed are numbers")
    if array.ndim == 0:
        raise WorkbenchError(f"array {shown(key)} is a single number; samples go along the first axis")
    if len(array) and not array.size:
        raise WorkbenchError(f"array {shown(key)} has shape {array.shape}; its samples hold no values")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise WorkbenchError(f"array {shown(key)} holds values that are not finite (NaN or infinity)")
    return array

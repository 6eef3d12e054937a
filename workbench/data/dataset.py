"""A dataset: named splits of arrays, with class names."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from workbench.data.named import grouped, numbered
from workbench.data.rows import Rows, Values, pieces
from workbench.errors import WorkbenchError, shown
from workbench.values.boxes import WIDTHS, padded
from workbench.values.labels import LabelInfo, label_info, together

MOST_CLASS_NAME = 255


@dataclass(frozen=True)
class Split:
    """Samples `x` `(n, *input_shape)` (or a dict of such by input name) and labels `y` `(n, ...)` (or a dict by output name), or None.

    Each is an array, or `Rows` of a file, from which indexes and slices read arrays.
    """

    x: Values | dict[str, Values]
    y: Values | dict[str, Values] | None = None

    @classmethod
    def named(cls, inputs: dict[str, Values], targets: dict[str, Values]) -> Split:
        """Return a split of what `inputs` and `targets` give: "" alone names what has no name, no targets are no labels."""
        x, y = (values[""] if list(values) == [""] else values for values in (inputs, targets))
        return cls(x, y if targets else None)

    @property
    def inputs(self) -> dict[str, Values]:
        """The samples by input name; "" names a single unnamed input."""
        return self.x if isinstance(self.x, dict) else {"": self.x}

    @property
    def targets(self) -> dict[str, Values]:
        """The labels by output name; "" names those of the first output, nothing is there where there are none."""
        return self.y if isinstance(self.y, dict) else {} if self.y is None else {"": self.y}

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of one sample by input name."""
        return {name: tuple(v.shape[1:]) for name, v in self.inputs.items()}

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    def take(self, index: Any) -> Split:
        """Return the samples at an array of indexes; those in a file stay there."""

        def of(values: Values) -> Values:
            if isinstance(values, dict):
                return {name: of(v) for name, v in values.items()}
            return values.choose(index) if isinstance(values, Rows) else values[index]

        return Split(of(self.x), None if self.y is None else of(self.y))


@dataclass(frozen=True)
class Dataset:
    """Splits `train`, `calibration`, `test`; only `test` is always there.

    `calibration_from` says where the calibration split came from: itself, train or test; `notes` are sentences on what
    was changed or left out in reading; `said` is what the user said that labels are. Raises WorkbenchError for class names that are no text.
    """

    name: str
    test: Split
    train: Split | None = None
    calibration: Split | None = None
    class_names: tuple[str, ...] = ()
    calibration_from: str = field(default="calibration")
    notes: tuple[str, ...] = ()
    said: Literal["class", "value"] | None = None

    def __post_init__(self) -> None:
        check_class_names(self.class_names, f"dataset {self.name!r}")

    @property
    def labels(self) -> Literal["class", "value", "none"]:
        """How the first output's labels look: whole numbers, which can be classes, values, or missing; its task says what they are."""
        first = next(iter(self.label_infos.values()), None)
        return "none" if first is None else first.said or ("class" if first.whole else "value")

    @property
    def label_infos(self) -> dict[str, LabelInfo]:
        """What labels look like, by output name, over all splits that have them."""
        parts = [part.targets for part in self.splits().values() if part.y is not None]
        names = dict.fromkeys(name for targets in parts for name in targets)
        return {n: together([label_info(t[n], self.said) for t in parts if n in t]) for n in names}

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


def from_arrays(
    data: Mapping[str, Any], name: str = "arrays", said: Literal["class", "value"] | None = None
) -> Dataset:
    """Return a dataset of arrays: `x_train y_train x_test y_test` (`x_calibration` optional), or `x y`, which is split 3 to 1.

    Samples of several inputs, and labels of several outputs, are a dict by name, or arrays `x_train.NAME`; labels that are words become classes;
    boxes are a list of arrays `(k, 5)`, k differing, or an array filled up with -1. `said` is what the user said that labels are.

    Raises WorkbenchError when arrays are missing, empty, of unequal length, of objects, or not finite.
    """
    data = numbered(grouped(data, name), name)
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
    return Dataset(
        name, test, train if train is not None and len(train) else None, calibration, names, origin, said=said
    )


def _class_names(name: str, given: Any) -> tuple[str, ...]:
    found = np.asarray(given)
    if found.ndim != 1 or found.dtype.kind not in "USOiu":
        raise WorkbenchError(f"dataset {name!r}: class_names is {shown(given)}. Expected a list of names.")
    return tuple(str(c) for c in found.tolist())


def _split(name: str, suffix: str, arrays: dict[str, Any]) -> Split:
    x, y = arrays[f"x{suffix}"], arrays.get(f"y{suffix}")
    lengths = {len(v) for v in x.values()} if isinstance(x, dict) else {len(x)}
    given: Values | dict[str, Values] | None = None
    if isinstance(y, dict):
        if not y:
            raise WorkbenchError(
                f"dataset {name!r}: y{suffix} is an empty dict. Give labels by the names of outputs, or leave it out."
            )
        given = {output: _labels(v) for output, v in y.items()}
    elif y is not None:
        given = _labels(y)
    lengths.update(len(v) for v in (given.values() if isinstance(given, dict) else [given]) if v is not None)
    if len(lengths) != 1:
        raise WorkbenchError(
            f"dataset {name!r}: x{suffix} and y{suffix} have different numbers of samples: {sorted(lengths)}"
        )
    if lengths == {0}:
        raise WorkbenchError(f"dataset {name!r}: x{suffix} has no samples")
    return Split(x, given)


def _labels(y: Values) -> Values:
    """Return labels with one number per sample where there is but one: columns of one, and one-hot rows, become classes."""
    if isinstance(y, Rows):
        parts = [_labels(part) for part in pieces(y)] if y.ndim == 2 else []
        return np.concatenate(parts) if parts and all(p.ndim == 1 for p in parts) else y
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    elif y.ndim == 2 and y.shape[1] > 1 and np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all():
        y = y.argmax(axis=1)
    if y.dtype.kind == "b":
        y = y.astype(np.uint8)  # True and False are two classes
    # Masks may be large, and stay as they are.
    return y.astype(np.int64) if y.dtype.kind in "iu" and y.ndim == 1 else y


def _checked(key: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _checked(f"{key}[{k}]", v) for k, v in value.items()}
    if key.startswith("y"):
        value = _filled(key, value)
    try:
        array = value if isinstance(value, Rows) else np.asarray(value)
    except ValueError as error:
        raise WorkbenchError(f"array {shown(key)} is no array of numbers: {error}") from None
    if array.dtype.kind not in "biuf":
        raise WorkbenchError(f"array {shown(key)} has type {array.dtype}; allowed are numbers")
    if array.ndim == 0:
        raise WorkbenchError(f"array {shown(key)} is a single number; samples go along the first axis")
    if len(array) and not array.size:
        raise WorkbenchError(f"array {shown(key)} has shape {array.shape}; its samples hold no values")
    if array.dtype.kind == "f" and not all(np.isfinite(part).all() for part in pieces(array)):
        raise WorkbenchError(f"array {shown(key)} holds values that are not finite (NaN or infinity)")
    return array


def _filled(key: str, value: Any) -> Any:
    """Return boxes given sample by sample as one array filled up with -1, anything else as it is.

    Raises WorkbenchError for boxes that are no rows of x1 y1 x2 y2 class.
    """
    objects = isinstance(value, np.ndarray) and value.dtype == object and value.ndim == 1
    if not objects and (not isinstance(value, (list, tuple)) or not len(value) or np.isscalar(value[0])):
        return value
    try:
        each = [np.asarray(v) for v in value]
    except ValueError:
        return value
    if not any(v.ndim == 2 for v in each) or len({v.shape for v in each}) == 1:
        return value
    for n, v in enumerate(each):
        if v.size and (v.ndim != 2 or v.shape[1] not in WIDTHS or v.dtype.kind not in "iuf"):
            raise WorkbenchError(
                f"array {shown(key)}: labels of sample {n} are of shape {v.shape} and type {v.dtype}, not rows of numbers x1 y1 x2 y2 class. "
                "Samples with different numbers of rows are boxes; an image without any has no rows."
            )
    return padded(each)

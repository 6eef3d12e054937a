"""Tables: `.csv` files with a row per sample, a column per feature and one of labels."""

from __future__ import annotations

import codecs
import csv
import io
import math
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from workbench.data.base import DatasetReader, InputShape
from workbench.data.dataset import Dataset, check_class_names, from_arrays, name_of
from workbench.data.room import check_room
from workbench.data.rows import Array
from workbench.errors import WorkbenchError, shown, unknown
from workbench.files import open_regular, read_regular
from workbench.values.params import Params

SPLITS = ("train", "calibration", "test")
NO_LABELS = "none"
# What a byte of a table of short cells takes at most while they are text (27 to 58 measured).
_BYTES_A_BYTE = 60


class TableParams(Params):
    """How a table becomes arrays; written as `FILE.csv?label=class&split=part`."""

    primary: ClassVar[str | None] = None

    label: str | None = Field(
        None, description="column of labels, `none` for none; default is the one named label, else the last"
    )
    labels: Literal["auto", "class", "value"] = Field(
        "auto", description="what labels are; auto takes words and whole numbers as classes, others as values"
    )
    split: str | None = Field(
        None, description="column that says train, calibration or test; default is the one named split, if any"
    )
    test: float = Field(0.25, gt=0, lt=1, description="share of rows for the test split where no column says it")


class CsvTable(DatasetReader[TableParams]):
    """Numbers with a row per sample."""

    name = "csv"
    help = "a table with a row per sample, a column per feature and one of labels"
    takes = "a .csv file"
    options = "table"
    params = TableParams
    endings = (".csv",)
    fits_shape = True

    def read(self, text: str, params: TableParams, input_shape: InputShape | None) -> Dataset:
        """Return the rows, shaped to the model's input."""
        return read_table(Path(text), params, input_shape)


def read_table(path: Path, params: TableParams, input_shape: tuple[int | None, ...] | None = None) -> Dataset:
    """Return a table as float32 samples, shaped to the model's input where they have as many numbers.

    Labels that are words become classes in the order of the alphabet. Rows without a split are drawn with seed 0.
    Raises WorkbenchError that names file, row and column of what cannot be used.
    """
    names, columns = _columns(path)
    split = _named(path, params.split, names) if params.split else "split" if "split" in names else None
    label = _label(path, params.label, [n for n in names if n != split])
    features = [n for n in names if n not in (label, split)]
    if not features:
        raise WorkbenchError(f"{str(path)!r} has no column besides {shown(label)}; samples need at least one.")
    x = _shaped(np.stack([_numbers(path, n, columns[n]) for n in features], axis=1, dtype=np.float32), input_shape)
    arrays: dict[str, Any] = {}
    y: Array | None = None
    if label is not None:
        y, classes = _labels(path, label, columns[label], params.labels)
        arrays["class_names"] = classes or None
    for part, rows in _rows(path, split, columns, len(x), params.test).items():
        arrays[f"x_{part}"] = x[rows]
        arrays[f"y_{part}"] = None if y is None else y[rows]
    return from_arrays(arrays, name_of(path.stem), None if params.labels == "auto" else params.labels)


def _columns(path: Path) -> tuple[list[str], dict[str, list[str]]]:
    rows = _cells(path)
    if len(rows) < 2:
        raise WorkbenchError(
            f"{str(path)!r} has {len(rows)} rows. Expected a row of column names, then one per sample."
        )
    names = [name.strip() for name in rows[0]]
    if all(_is_number(name) for name in names):
        raise WorkbenchError(
            f"the first row of {str(path)!r} has only numbers. Expected the names of the columns there."
        )
    if len(names) == 1 and any(mark in names[0] for mark in ";\t"):
        raise WorkbenchError(f"{str(path)!r} has one column, {names[0][:60]!r}. Expected commas between columns.")
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise WorkbenchError(f"{str(path)!r} has two columns named {shown(twice)}. Expected each name once.")
    for at, row in enumerate(rows[1:], 2):
        if len(row) != len(names):
            raise WorkbenchError(
                f"row {at} of {str(path)!r} has {len(row)} cells, but the first row names {len(names)}."
            )
    return names, dict(
        zip(names, ([cell.strip() for cell in column] for column in zip(*rows[1:], strict=True)), strict=True)
    )


def _cells(path: Path) -> list[list[str]]:
    """Return the cells of the rows that have any, as text."""
    with open_regular(path, "table") as file:
        size = os.fstat(file.fileno()).st_size
    check_room(size * _BYTES_A_BYTE, f"the cells of {str(path)!r}", "Write large data as .npz with numpy.savez.")
    data = read_regular(path, "table", size)
    try:
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise csv.Error("it is UTF-16; save it as UTF-8")
        if b"\0" in data:
            raise csv.Error(f"it holds a byte 0, which text does not (at byte {data.index(0):,})")
        text = io.StringIO(data.decode("utf-8-sig"), newline="")
        return [row for row in csv.reader(text, skipinitialspace=True, strict=True) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise WorkbenchError(f"{str(path)!r} cannot be read as a table: {error}") from None


def _named(path: Path, name: str, names: Sequence[str]) -> str:
    if name not in names:
        raise unknown(f"column of {path.name}", name, names)
    return name


def _label(path: Path, asked: str | None, names: Sequence[str]) -> str | None:
    if asked == NO_LABELS and NO_LABELS not in names:
        return None
    if asked:
        return _named(path, asked, names)
    return "label" if "label" in names else names[-1]


def _labels(path: Path, name: str, cells: Sequence[str], kind: str) -> tuple[Array, tuple[str, ...]]:
    """Return labels as numbers, and the names of classes where they are words."""
    if kind == "value":
        return _numbers(path, name, cells), ()
    whole = [c.removeprefix("-").isdecimal() for c in cells]
    if all(whole):
        for at, cell in enumerate(cells, 2):
            if len(cell) > 4000 or not -(2**63) <= int(cell) < 2**63:
                raise WorkbenchError(
                    f"row {at}, column {shown(name)} of {str(path)!r} is {shown(cell)}. Expected a class of at most 64 bits; ?labels=value takes labels as values."
                )
        return np.array([int(c) for c in cells], dtype=np.int64), ()
    if kind == "auto" and all(_is_number(c) for c in cells):
        return _numbers(path, name, cells), ()
    empty = next((at for at, c in enumerate(cells, 2) if not c), None)
    if empty is not None:
        raise WorkbenchError(f"row {empty} of {str(path)!r} has no label in column {shown(name)}.")
    classes = sorted(set(cells))
    check_class_names(classes, f"column {shown(name)} of {str(path)!r}")
    places = {c: i for i, c in enumerate(classes)}
    return np.array([places[c] for c in cells], dtype=np.int64), tuple(classes)


def _numbers(path: Path, name: str, cells: Sequence[str]) -> Array:
    wrong, numbers = "", np.empty(0)
    try:
        # One by one: an array of text takes for each cell what the longest needs.
        numbers = np.fromiter(map(float, cells), np.float64, len(cells))
        with np.errstate(over="ignore"):
            found: Array = numbers.astype(np.float32)
    except ValueError:
        at = next(i for i, c in enumerate(cells) if not _is_number(c))
        wrong = "Expected a number; words can stand in the column of labels, ?label=COLUMN."
    else:
        if np.isfinite(found).all():
            return found
        at = int(np.flatnonzero(~np.isfinite(found))[0])
        wrong = (
            "Expected a number that fits into 32 bits, at most 3.4e38."
            if np.isfinite(numbers[at])
            else "Expected a number; this one is not finite."
        )
    raise WorkbenchError(f"row {at + 2}, column {shown(name)} of {str(path)!r} is {shown(cells[at])}. {wrong}")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _shaped(x: Array, input_shape: tuple[int | None, ...] | None) -> Array:
    shape = [d for d in (input_shape or ())[1:] if d is not None]
    if len(shape) != len(input_shape or ()) - 1 or math.prod(shape) != x.shape[1]:
        return x  # what does not fit is told where data and model meet
    return x.reshape(len(x), *shape)


def _rows(path: Path, split: str | None, columns: dict[str, list[str]], count: int, test: float) -> dict[str, Array]:
    """Return the rows of each split that has any."""
    if split is None:
        order = np.random.default_rng(0).permutation(count)
        cut = max(1, round(count * test))
        found = {"train": np.sort(order[cut:]), "test": np.sort(order[:cut])}
    else:
        for at, cell in enumerate(columns[split], 2):
            if cell not in SPLITS:
                raise WorkbenchError(
                    f"row {at}, column {shown(split)} of {str(path)!r} is {shown(cell)}. Allowed: {', '.join(SPLITS)}."
                )
        cells = np.array(columns[split])
        found = {part: np.flatnonzero(cells == part) for part in SPLITS}
    return {part: rows for part, rows in found.items() if len(rows)}

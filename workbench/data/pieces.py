"""Data that comes in pieces: held in memory where it is small, else written into files as it comes."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from workbench.data.dataset import Dataset, Split, from_arrays
from workbench.data.rows import HELD, PIECE, Array, Rows, Scratch, open_npy, write_header
from workbench.errors import WorkbenchError, shown
from workbench.files import make_within


class Known(NamedTuple):
    """What is known of data once all of it was read: the names of classes, and sentences on what was changed or left out."""

    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Pieces:
    """A dataset as it comes: `each` gives the name of a split (`train`, `calibration`, `test`) and some samples of it, in any order of splits.

    Samples of one input have the same shape in all pieces; labels may be words. `after` is asked when all were read. `expected` is about how many
    bytes there will be, where that is known; `said` is what the user said that labels are.
    """

    name: str
    each: Iterator[tuple[str, Split]]
    after: Callable[[], Known] = Known
    expected: int = 0
    said: Literal["class", "value"] | None = None


def collect(data: Pieces, scratch: Path | None = None) -> Dataset:
    """Return all pieces as a dataset, its arrays in files of a folder in `scratch` where they are more than memory should hold.

    The folder, in the temporary one unless said otherwise, goes with the arrays. Raises WorkbenchError where there is no room, or pieces do not fit together.
    """
    spool = _Spool(data.name, scratch, data.expected)
    for split, part in data.each:
        spool.add(split, part)
    told = data.after()
    arrays = {**spool.arrays(), "class_names": told.class_names or None}
    return dataclasses.replace(from_arrays(arrays, data.name, data.said), notes=told.notes)


class _Spool:
    """What was read so far, by split, axis and name."""

    def __init__(self, name: str, scratch: Path | None, expected: int) -> None:
        self._name, self._scratch, self._expected = name, scratch, expected
        self._columns: dict[tuple[str, str | None], _Column] = {}
        self._folder: Scratch | None = None
        self._held = 0

    def add(self, split: str, part: Split) -> None:
        """Take some samples of a split."""
        given: dict[tuple[str, str | None], Any] = {}
        for axis, values in (("x", part.x), ("y", part.y)):
            if isinstance(values, dict):
                given |= {(f"{axis}_{split}", name): value for name, value in values.items()}
            elif values is not None:
                given[(f"{axis}_{split}", None)] = values
        for key, value in given.items():
            column = self._columns.setdefault(key, _Column(f"{self._name!r}, {key[0]} {key[1] or ''}".strip()))
            column.add(np.asarray(value))
            self._held += value.nbytes
        try:
            if self._folder is None and max(self._held, self._expected) > HELD:
                self._check_room()
                self._folder = Scratch(self._scratch)
            if self._folder is not None:
                for place, column in enumerate(self._columns.values()):
                    column.spill(self._folder.path / f"{place}.npy", PIECE)
        except OSError as error:
            raise self._full(str(error)) from error

    def arrays(self) -> dict[str, Any]:
        """Return everything as `from_arrays` takes it."""
        found: dict[str, Any] = {}
        for (key, name), column in self._columns.items():
            try:
                values = column.whole(self._folder)
            except OSError as error:
                raise self._full(str(error)) from error
            if name is None:
                found[key] = values
            else:
                found.setdefault(key, {})[name] = values
        return found

    def _check_room(self) -> None:
        where = self._scratch or Path(tempfile.gettempdir())
        if self._scratch is not None:
            make_within(self._scratch)
        free = shutil.disk_usage(where).free
        if self._expected > free:
            raise self._full(f"about {self._expected / 1e9:,.1f} GB are needed, but {free / 1e9:,.1f} GB are free")

    def _full(self, why: str) -> WorkbenchError:
        where = self._scratch or Path(tempfile.gettempdir())
        other = "choose another --store" if self._scratch else "set TMPDIR to another folder"
        return WorkbenchError(
            f"the arrays of dataset {shown(self._name)} do not fit into {str(where)!r}: {why}. Free some space, {other}, or use smaller samples."
        )


class _Column:
    """The samples of one input, or labels of one output, of one split."""

    def __init__(self, told: str) -> None:
        self._told = told
        self._parts: list[Array] = []
        self._waiting, self._written = 0, 0
        self._path: Path | None = None

    def add(self, part: Array) -> None:
        """Take some rows; raises WorkbenchError where they are unlike those before."""
        first = self._parts[0] if self._parts else part
        words = first.dtype.kind in "OSU"
        if first.shape[1:] != part.shape[1:] or (first.dtype != part.dtype and not words):
            raise WorkbenchError(
                f"dataset {self._told}: samples have shapes {first.shape[1:]} and {part.shape[1:]}, types {first.dtype} and {part.dtype}. Expected the same of all."
            )
        self._parts.append(part)
        self._waiting += 0 if words else part.nbytes

    def spill(self, path: Path, most: int) -> None:
        """Write what waits where it is more than `most` bytes; words wait for all others."""
        if self._waiting <= most:
            return
        first = self._parts[0]
        new = self._path is None
        self._path = path
        with open(path, "wb" if new else "ab") as file:
            if new:
                write_header(file, first.shape, first.dtype)
            for part in self._parts:
                file.write(np.ascontiguousarray(part).data)
                self._written += len(part)
        # One without rows says what the others have to be.
        self._parts, self._waiting = [first[:0].copy()], 0

    def whole(self, folder: Scratch | None) -> Array | Rows:
        """Return all rows."""
        if self._path is None:
            return self._parts[0] if len(self._parts) == 1 else np.concatenate(self._parts)
        self.spill(self._path, 0)
        first = self._parts[0]
        with open(self._path, "r+b") as file:
            write_header(file, (self._written, *first.shape[1:]), first.dtype)
        return open_npy(self._path, folder)

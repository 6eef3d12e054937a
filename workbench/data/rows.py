"""Arrays that lie in a file and are read row by row, so that data larger than memory can be worked with."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from workbench.files import make_within

Array = np.ndarray[Any, Any]
# What a dataset may have and still be held in memory as plain arrays, and what is read of a larger one at a time.
HELD = 1 << 28
PIECE = 1 << 23


class Rows:
    """An array `(n, *shape)` in a file, read anew each time that rows are asked for: by index, slice, or array of either kind.

    Its bytes begin at `start` of the file and lie as NumPy's do in order "C". They are read, not mapped: mapped pages would count as this
    process's memory. `keeper` is whatever has to live as long as the file is needed. Of the file's rows these are the `chosen` ones, all where it is None.
    """

    def __init__(
        self,
        path: Path,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        start: int,
        keeper: object = None,
        chosen: Array | None = None,
    ) -> None:
        self.path, self.dtype, self.start, self.keeper, self.chosen = path, dtype, start, keeper, chosen
        self.shape = shape if chosen is None else (len(chosen), *shape[1:])
        self._row = math.prod(shape[1:]) * dtype.itemsize

    def choose(self, places: Array) -> Rows:
        """Return the rows at an array of indexes, as rows of the same file."""
        places = places if self.chosen is None else self.chosen[places]
        return Rows(self.path, self.shape, self.dtype, self.start, self.keeper, places)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """The bytes of all rows."""
        return len(self) * self._row

    @property
    def size(self) -> int:
        """The number of values."""
        return math.prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Array:
        if isinstance(index, slice):
            index = np.arange(*index.indices(len(self)))
        if np.ndim(index) == 0:
            one: Array = self[np.asarray([index])][0]
            return one
        places: Array = np.asarray(index)
        if places.dtype == bool:
            places = np.flatnonzero(places)
        places = np.where(places < 0, places + len(self), places).astype(np.int64)
        if len(places) and not (places.min() >= 0 and places.max() < len(self)):
            raise IndexError(f"row {index} of {len(self)}")
        if self.chosen is not None:
            places = self.chosen[places]
        # Neighbours are read together.
        breaks = np.flatnonzero(np.diff(places) != 1) + 1
        runs = [(int(run[0]), len(run)) for run in np.split(places, breaks) if len(run)]
        return self._read(runs, len(places))

    def __iter__(self) -> Iterator[Array]:
        for part in pieces(self):
            yield from part

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        whole = self[:]
        return whole if dtype is None else whole.astype(dtype, copy=False)

    def min(self) -> Any:
        """Return the smallest value."""
        return min(part.min() for part in pieces(self))

    def max(self) -> Any:
        """Return the largest value."""
        return max(part.max() for part in pieces(self))

    def _read(self, runs: list[tuple[int, int]], count: int) -> Array:
        found = np.empty((count, *self.shape[1:]), self.dtype)
        flat = found.reshape(-1).view(np.uint8).data if found.size else memoryview(b"")
        at = 0
        with open(self.path, "rb", buffering=0) as file:
            for first, rows in runs:
                end = at + rows * self._row
                file.seek(self.start + first * self._row)
                while at < end:
                    got = file.readinto(flat[at:end])
                    if not got:
                        raise OSError(f"{str(self.path)!r} ends before row {first + rows}")
                    at += got
        return found


class Scratch:
    """A folder that goes when nobody needs it any more, at the latest with this process."""

    def __init__(self, scratch: Path | None = None) -> None:
        if scratch is not None:
            make_within(scratch)
        self.path = Path(tempfile.mkdtemp(prefix="partial-" if scratch else "workbench-data-", dir=scratch))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


# What samples and labels are: an array, or `Rows` where there are more than memory should hold. Both are indexed alike, so nobody has to ask which.
Values = Any


def whole(values: Values) -> Values:
    """Return a mapped array as a plain one, rows of a file as they are."""
    return values if isinstance(values, Rows) else np.asarray(values)


def pieces(values: Values, most: int = PIECE) -> Iterator[Array]:
    """Give all rows in order, contiguous and about `most` bytes at a time."""
    step = max(1, most // max(1, values.nbytes // max(1, len(values))))
    for start in range(0, len(values), step):
        yield np.ascontiguousarray(values[start : start + step])


def open_npy(path: Path, keeper: object = None) -> Rows:
    """Return the array of a `.npy` file; raises ValueError for another file, pickled objects, or fewer bytes than it should have."""
    with open(path, "rb") as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
        start = file.tell()
    found = Rows(path, shape, dtype, start, keeper)
    if fortran or dtype.hasobject or not shape or os.path.getsize(path) != start + found.nbytes:
        raise ValueError(f"{str(path)!r} does not hold {shape} of {dtype} row by row")
    return found


def save_npy(path: Path, values: Values) -> None:
    """Write an array as `numpy.save` does; one that was spooled on the same file system is given another name, without a copy."""
    if not isinstance(values, Rows):
        np.save(path, values, allow_pickle=False)
        return
    if values.keeper is not None and values.chosen is None:
        try:
            os.link(values.path, path)
            return
        except OSError:
            pass  # another file system, or one without links
    with open(path, "wb") as file:
        write_header(file, values.shape, values.dtype)
        for part in pieces(values):
            file.write(part.data)


def write_header(file: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Write what a `.npy` file begins with; it is as long for any number of rows."""
    told = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, told)

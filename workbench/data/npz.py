"""`.npz` files: plain arrays of a zip archive, whose sizes are checked before anything is inflated."""

from __future__ import annotations

import io
import math
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from workbench.data.base import DatasetReader, InputShape, NoOptions
from workbench.data.dataset import Dataset, from_arrays, name_of
from workbench.data.room import check_room
from workbench.data.rows import HELD, PIECE, Scratch, open_npy
from workbench.errors import WorkbenchError, shown
from workbench.files import open_regular

# Of one input a dataset has nine arrays at most; what has more than a model of many inputs is something else.
MOST_ARRAYS = 64
# numpy and zipfile ask for less at a time, but for the table of contents.
_MOST_AT_ONCE = 1 << 20
_MOST_HEADER = 1 << 14


class Npz(DatasetReader[NoOptions]):
    """Arrays by name."""

    name = "npz"
    help = "arrays by name as numpy.savez writes them: x_train y_train x_test y_test, or x y; of several inputs x_train.NAME"
    takes = "a .npz file"
    endings = (".npz",)

    def read(self, text: str, params: NoOptions, input_shape: InputShape | None) -> Dataset:
        """Return the arrays as they are."""
        return from_arrays(read_npz(Path(text)), name_of(Path(text).stem))


def read_npz(path: Path) -> dict[str, Any]:
    """Return the arrays of an `.npz` file by name.

    Raises WorkbenchError for what is no whole archive of plain arrays (pickled ones could run code), or does not fit into memory.
    """
    with open_regular(path, "dataset file") as raw:
        file = _Chunks(io.FileIO(raw.fileno(), closefd=False))
        try:
            if not zipfile.is_zipfile(file):
                size = path.stat().st_size
                raise _Unfit(f"({size} bytes): it is no zip archive, or not a whole one. numpy.savez writes one.")
            with zipfile.ZipFile(file) as archive:
                members = _members(archive)
                whole = sum(m.file_size for m in members.values())
                # `x` and `y` are copied into their splits; checks take a byte for each value.
                needed = whole * (2 if "x" in members else 1) + whole // 4
                folder = Scratch() if whole > HELD else None
                if folder is None:
                    check_room(needed, f"the arrays of {str(path)!r}", "Use fewer samples or a smaller type of number.")
                else:
                    _check_disk(path, folder, whole)
                return {name: _array(archive, member, folder) for name, member in members.items()}
        except (WorkbenchError, MemoryError):
            raise
        except _Unfit as error:
            raise WorkbenchError(f"{str(path)!r} is not a readable .npz {error}") from None
        except Exception as error:  # a damaged archive raises anything from zlib.error to TokenError
            raise WorkbenchError(f"{str(path)!r} is not a readable .npz of plain arrays: {str(error)[:300]}") from None


class _Unfit(Exception):
    """Why an archive is not used; ends the sentence that names it."""


class _Chunks(io.BufferedReader):
    """A file of which no more than a chunk is read at once: zipfile reads a table of contents of gigabytes whole."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _MOST_AT_ONCE:
            raise _Unfit(f"of plain arrays: its table of contents has {size:,} bytes. Allowed: {MOST_ARRAYS} arrays.")
        return super().read(size)


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return what is in an archive by the name of the array."""
    members = archive.infolist()
    if len(members) > MOST_ARRAYS:
        raise _Unfit(f"of plain arrays: it holds {len(members):,}. Allowed: at most {MOST_ARRAYS}.")
    found: dict[str, zipfile.ZipInfo] = {}
    for member in members:
        name = member.filename.removesuffix(".npy")
        if name == member.filename:
            raise _Unfit(f"of plain arrays: it holds {shown(member.filename)}, which is no .npy.")
        if name in found:
            raise _Unfit(f"of plain arrays: it holds {shown(member.filename)} twice.")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _Unfit(f"of plain arrays: {shown(member.filename)} is compressed in a way that numpy does not use.")
        found[name] = member
    return found


def _check_disk(path: Path, folder: Scratch, needed: int) -> None:
    free = shutil.disk_usage(folder.path).free
    if needed > free:
        raise WorkbenchError(
            f"the arrays of {str(path)!r} are too large for memory and need {needed:,} bytes in {str(folder.path.parent)!r}, but {free:,} are free. "
            "Free some space, or set TMPDIR to another folder."
        )


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Scratch | None) -> Any:
    """Return one array, made only when its header says as many bytes as the archive does; a large one is written into a folder."""
    with archive.open(member) as file:
        # Longer headers are refused by numpy, but only when it has read them.
        start = io.BytesIO(file.read(_MOST_HEADER))
        version = np.lib.format.read_magic(start)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
        if read is None:
            raise _Unfit(f"of plain arrays: {shown(member.filename)} is of version {version}. Allowed: 1.0 and 2.0.")
        try:
            shape, fortran, dtype = read(start)
        except MemoryError:  # Python's word for an expression nested too deep
            raise _Unfit(f"of plain arrays: the header of {shown(member.filename)} is none.") from None
        if dtype.hasobject:
            raise _Unfit(
                f"of plain arrays: {shown(member.filename)} holds pickled objects. Object arrays cannot be loaded; store numbers."
            )
        told = math.prod(shape) * dtype.itemsize
        held = member.file_size - start.tell()
        if told != held or dtype.itemsize == 0:
            raise _Unfit(
                f"of plain arrays: {shown(member.filename)} is said to have shape {shown(shape)} of {dtype}, {told:,} bytes, but holds {held:,}."
            )
    if folder is not None and held > PIECE and shape and not fortran:
        target = folder.path / f"{len(list(folder.path.iterdir()))}.npy"
        with archive.open(member) as file, open(target, "wb") as written:
            shutil.copyfileobj(file, written, _MOST_AT_ONCE)
        return open_npy(target, folder)
    if folder is not None:
        check_room(held, f"array {shown(member.filename)}", "Store it in C order, which can be read in pieces.")
    with archive.open(member) as file:
        return np.lib.format.read_array(file, allow_pickle=False)

"""Look over an HDF5 file without reading its arrays: what it declares, and that all of it lies within the file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import IO, Any, NamedTuple

from workbench.errors import WorkbenchError
from workbench.sources.unfolding import check_size

LINKS = 200_000
# Filters that the library itself has; any other is looked for as a plug-in in a folder of the machine.
_FILTERS = {1: "deflate", 2: "shuffle", 3: "fletcher32", 4: "szip", 5: "nbit", 6: "scaleoffset", 32000: "lzf"}


class Hdf5(NamedTuple):
    """Attributes of the root (text as bytes or str), and the number of weights."""

    attributes: dict[str, Any]
    parameters: int | None


def read_hdf5(source: Path | IO[bytes], path: Path, attributes: tuple[str, ...] = ()) -> Hdf5:
    """Return what a file of weights or a model declares.

    `path` is the file on disk that `source` is or lies in. Raises WorkbenchError for links and arrays that lie in other files,
    filters that would be loaded, and more bytes than a file of that size may unfold to.
    """
    import h5py

    with h5py.File(source, "r") as file:
        links: list[Any] = []

        def add(name: str, link: Any) -> bool | None:
            links.append((name, link))
            return True if len(links) > LINKS else None

        if file.visititems_links(add):
            raise WorkbenchError(f"{str(path)!r} holds more than {LINKS} groups and arrays, which no model has.")
        declared, weights = 0, 0
        for name, link in links:
            if isinstance(link, h5py.ExternalLink):
                raise _elsewhere(path, name, f"a link to the file {link.filename!a}")
            if not isinstance(link, h5py.HardLink):
                continue
            item = file[name]
            if isinstance(item, h5py.Dataset):
                _check_storage(item, name, path)
                count = math.prod(item.shape or ())
                declared += count * item.dtype.itemsize
                # Optimizer state lies under its own name in both formats.
                weights += 0 if name.startswith("optimizer") else count
        check_size(declared, path, f"{len(links)} groups and arrays")
        found = {name: file.attrs[name] for name in attributes if name in file.attrs}
        return Hdf5(found, weights)


def _check_storage(array: Any, name: str, path: Path) -> None:
    if array.external:
        raise _elsewhere(path, name, f"an array in the file {array.external[0][0]!a}")
    if array.is_virtual:
        raise _elsewhere(path, name, "a virtual array, put together of others")
    properties = array.id.get_create_plist()
    for index in range(properties.get_nfilters()):
        code = properties.get_filter(index)[0]
        if code not in _FILTERS:
            raise WorkbenchError(
                f"{str(path)!r} needs filter {code} to read {name!a}, which is none of HDF5's own and would be loaded as a library. "
                "Save the model again without compression."
            )


def _elsewhere(path: Path, name: str, what: str) -> WorkbenchError:
    return WorkbenchError(
        f"{str(path)!r} is not whole: {name!a} is {what}. Save the model into one file: model.save({path.name!r})."
    )


def text_of(value: Any) -> str:
    """Return the text of an attribute; raises ValueError when it is none."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, str):
        return value
    raise ValueError(f"an attribute is of type {type(value).__name__}, not text")

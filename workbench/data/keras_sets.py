"""The data sets that Keras offers by name, from its folder of downloads, or fetched into it; nothing in them is unpickled."""

from __future__ import annotations

import gzip
import hashlib
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field

from workbench.data.base import DatasetReader, InputShape
from workbench.data.dataset import Dataset, Split, from_arrays
from workbench.data.images import PictureParams, scaled, target_size
from workbench.data.npz import read_npz
from workbench.data.pictures import fitted
from workbench.data.pieces import Known, Pieces
from workbench.data.rows import Array
from workbench.errors import WorkbenchError, unknown
from workbench.files import file_sha256, kind_of, open_regular

_GOOGLE = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
_TORONTO = "https://www.cs.toronto.edu/~kriz/"
_SECONDS = 60.0
_CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_THINGS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class SourceFile(NamedTuple):
    """A file of the folder of downloads: its name there, where it comes from, and the hash by which a download is checked, if one is known."""

    name: str
    origin: str
    hash: str = ""


_FASHION = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")  # fmt: skip
# By name. Keras itself takes CIFAR pickled; the authors offer the same as plain bytes.
FILES: dict[str, tuple[SourceFile, ...]] = {
    "mnist": (
        SourceFile(
            "mnist.npz", f"{_GOOGLE}mnist.npz", "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
        ),
    ),
    "fashion_mnist": tuple(SourceFile(f"fashion-mnist/{name}", _GOOGLE + name) for name in _FASHION),
    "cifar10": (
        SourceFile("cifar-10-binary.tar.gz", f"{_TORONTO}cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530"),
    ),
    "cifar100": (
        SourceFile("cifar-100-binary.tar.gz", f"{_TORONTO}cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8"),
    ),
    "boston_housing": (
        SourceFile(
            "boston_housing.npz",
            f"{_GOOGLE}boston_housing.npz",
            "f553886a1f8d56431e820c5b82552d9d95cfcb96d1e678153f8839538947dff5",
        ),
    ),
}
# Of whole data sets of images: so much is read of a member of an archive.
_MOST_BYTES = 1 << 29


class KerasParams(PictureParams):
    """How one of Keras's data sets becomes arrays; written as `keras:cifar10?scale=0..255`."""

    download: bool = Field(True, description="whether a file that is not there is fetched")


class KerasSets(DatasetReader[KerasParams]):
    """Data sets of Keras."""

    name = "keras"
    help = f"data sets that Keras offers: {', '.join(FILES)}; fetched once into ~/.keras/datasets"
    takes = "keras:NAME"
    options = "keras data set"
    params = KerasParams
    fits_shape = True

    def matches(self, text: str) -> bool:
        """Never: it is named, `keras:mnist`."""
        return False

    def read(self, text: str, params: KerasParams, input_shape: InputShape | None) -> Dataset | Pieces:
        """Return images as they come, sized to the model's input, or the table of numbers."""
        _known(text)
        paths = [_fetched(file, params.download) for file in FILES[text]]
        if text == "boston_housing":
            return from_arrays({k: v for k, v in read_npz(paths[0]).items() if k in ("x", "y")}, text, "value")
        parts, names = _images(text, paths)
        first = next(iter(parts.values()))[0]
        own = (None, *first.shape[1:3], first.shape[3] if first.ndim == 4 else 1)
        fits = input_shape is not None and len(input_shape) == 4 and None not in input_shape[1:]
        height, width, channels = target_size(Path(text), params, input_shape if fits else own)
        flat = input_shape is not None and len(input_shape) == 2 and input_shape[1] == height * width * channels
        shape = (height * width * channels,) if flat else (height, width, channels)

        def each() -> Iterator[tuple[str, Split]]:
            for split, (x, y) in parts.items():
                for pixels, label in zip(x, y, strict=True):
                    made = scaled(fitted(pixels, (height, width), channels), params.scale)
                    yield split, Split(made.reshape(1, *shape), np.asarray([label], dtype=np.int64))

        total = sum(len(x) for x, _ in parts.values())
        return Pieces(text, each(), lambda: Known(names), total * height * width * channels * 4)

    def sha256(self, text: str) -> str:
        """Return a hash of the files."""
        _known(text)
        return hashlib.sha256("".join(file_sha256(_fetched(f, True)) for f in FILES[text]).encode()).hexdigest()


def _known(text: str) -> None:
    if text not in FILES:
        more = "Their texts are pickled, which is not loaded." if text in ("imdb", "reuters") else ""
        raise unknown("data set of Keras", text, FILES, more)


def _fetched(file: SourceFile, download: bool) -> Path:
    """Return where a file lies, fetched if it is not there; raises WorkbenchError where that cannot be."""
    folder = Path(os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras")) / "datasets"
    path = folder / file.name
    if kind_of(path) == "nothing":
        if not download:
            raise WorkbenchError(
                f"{str(path)!r} is not there, and ?download=false says not to fetch it. Put {file.origin} there."
            )
        _download(file, path)
    return path


def _download(file: SourceFile, path: Path) -> None:
    from urllib.request import urlopen

    hasher = hashlib.md5(usedforsecurity=False) if len(file.hash) == 32 else hashlib.sha256()
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with urlopen(file.origin, timeout=_SECONDS) as source, open(partial, "wb") as target:
            while block := source.read(1 << 20):
                hasher.update(block)
                target.write(block)
        if file.hash and hasher.hexdigest() != file.hash:
            raise OSError(f"what came has the hash {hasher.hexdigest()[:12]}..., not {file.hash[:12]}...")
        partial.replace(path)
    except OSError as error:
        raise WorkbenchError(
            f"{file.origin} cannot be fetched: {error}. Put the file there yourself: {str(path)!r}."
        ) from None
    finally:
        partial.unlink(missing_ok=True)


def _images(text: str, paths: list[Path]) -> tuple[dict[str, tuple[Array, Array]], tuple[str, ...]]:
    """Return images and labels by split, and the names of classes."""
    try:
        if text == "mnist":
            a = read_npz(paths[0])
            return {s: (a[f"x_{s}"], a[f"y_{s}"]) for s in ("train", "test")}, ()
        if text == "fashion_mnist":
            x, y, other_x, other_y = (_idx(path) for path in paths)
            return {"train": (x, y), "test": (other_x, other_y)}, _CLOTHES
        return _cifar(paths[0], 1 if text == "cifar10" else 2)
    except (KeyError, ValueError, EOFError, OSError, tarfile.TarError) as error:
        where = " and ".join(repr(str(p.parent if text == "fashion_mnist" else p)) for p in paths[:1])
        raise WorkbenchError(
            f"{where} is not what Keras offers as {text!r}: {error}. Remove it, so that it is fetched again."
        ) from None


def _idx(path: Path) -> Array:
    """Return the array of a gzipped file of the IDX form of LeCun's MNIST page: type, shape and bytes."""
    with open_regular(path, "data file") as raw, gzip.GzipFile(fileobj=raw) as file:
        head = file.read(4)
        if len(head) < 4 or head[:3] != b"\0\0\x08" or not 1 <= head[3] <= 4:
            raise ValueError(f"{path.name} is no file of bytes in the IDX form")
        shape = tuple(int(d) for d in np.frombuffer(file.read(4 * head[3]), ">u4"))
        return np.frombuffer(file.read(_MOST_BYTES), np.uint8).reshape(shape)


def _cifar(path: Path, labels: int) -> tuple[dict[str, tuple[Array, Array]], tuple[str, ...]]:
    """Return CIFAR of its archive of plain bytes: so many labels, of which the last one is meant, then 32 x 32 pixels color by color."""
    found: dict[str, list[Array]] = {"train": [], "test": []}
    names: tuple[str, ...] = _THINGS if labels == 1 else ()
    with open_regular(path, "data file") as raw, tarfile.open(fileobj=raw, mode="r:gz") as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() and member.size <= _MOST_BYTES else None
            base: Any = os.path.basename(member.name)
            if file is not None and base == "fine_label_names.txt":
                names = tuple(file.read().decode().split())
            elif file is not None and base.endswith(".bin"):
                rows = np.frombuffer(file.read(), np.uint8).reshape(-1, labels + 3072)
                found["test" if base.startswith("test") else "train"].append(rows)
    whole = {split: np.concatenate(rows) for split, rows in found.items() if rows}
    if "test" not in whole:
        raise ValueError("it holds no test batch")
    return {
        s: (r[:, labels:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), r[:, labels - 1]) for s, r in whole.items()
    }, names

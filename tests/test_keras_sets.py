"""Keras's data sets by name, from files in the forms that are offered, laid into its folder of downloads."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench.batches.content import data_sha256
from workbench.data import keras_sets
from workbench.data.load import load_dataset
from workbench.errors import WorkbenchError

DRAW = np.random.default_rng(5)
PIXELS = {"train": DRAW.integers(0, 256, (20, 28, 28), np.uint8), "test": DRAW.integers(0, 256, (10, 28, 28), np.uint8)}
LABELS = {"train": np.arange(20, dtype=np.uint8) % 10, "test": np.arange(10, dtype=np.uint8)}


def mnist(folder: Path) -> None:
    arrays = {f"{axis}_{s}": of[s] for axis, of in (("x", PIXELS), ("y", LABELS)) for s in PIXELS}
    np.savez(folder / "mnist.npz", **arrays)  # type: ignore[arg-type]


def fashion(folder: Path) -> None:
    (folder / "fashion-mnist").mkdir()
    for split, name in (("train", "train"), ("test", "t10k")):
        for array, ending in ((PIXELS[split], "images-idx3"), (LABELS[split], "labels-idx1")):
            head = b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
            with gzip.open(folder / "fashion-mnist" / f"{name}-{ending}-ubyte.gz", "wb") as file:
                file.write(head + array.tobytes())


def colors(split: str) -> Any:
    return np.stack([PIXELS[split][:, :, :], 255 - PIXELS[split], PIXELS[split] // 2], -1).repeat(2, 1)[:, :32, :].repeat(2, 2)[:, :, :32]  # fmt: skip


def cifar(folder: Path, fine: bool) -> None:
    with tarfile.open(folder / f"cifar-{100 if fine else 10}-binary.tar.gz", "w:gz") as archive:

        def add(name: str, data: bytes) -> None:
            entry = tarfile.TarInfo(f"cifar/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))

        for split, names in (("train", ["data_batch_1.bin", "data_batch_2.bin"]), ("test", ["test_batch.bin"])):
            planes = colors(split).transpose(0, 3, 1, 2).reshape(len(PIXELS[split]), -1)
            label = LABELS[split][:, None]
            rows = np.concatenate([*([label // 5] if fine else []), label, planes], axis=1).astype(np.uint8)
            if fine:
                add(f"{split}.bin", rows.tobytes())
            else:
                for part, name in zip(np.array_split(rows, len(names)), names, strict=True):
                    add(name, part.tobytes())
        if fine:
            add("fine_label_names.txt", "\n".join(f"thing{n}" for n in range(10)).encode())


@pytest.fixture
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "datasets").mkdir()
    return tmp_path / "datasets"


@pytest.mark.parametrize(
    ("name", "write", "want", "first"),
    [
        ("mnist", mnist, lambda s: PIXELS[s][..., None], ""),
        ("fashion_mnist", fashion, lambda s: PIXELS[s][..., None], "T-shirt/top"),
        ("cifar10", lambda f: cifar(f, False), colors, "airplane"),
        ("cifar100", lambda f: cifar(f, True), colors, "thing0"),
    ],
)
def test_images_by_name(downloads: Path, name: str, write: Any, want: Callable[[str], Any], first: str) -> None:
    write(downloads)
    found = load_dataset(f"keras:{name}?scale=0..255&download=false")
    assert found.name == name
    assert found.class_names[:1] == ((first,) if first else ())
    for split in ("train", "test"):
        np.testing.assert_allclose(found.splits()[split].inputs[""], want(split), atol=1e-4)
        np.testing.assert_array_equal(found.splits()[split].y, LABELS[split])
    assert float(np.asarray(load_dataset(f"keras:{name}").test.x).max()) <= 1
    before = data_sha256(f"keras:{name}")
    assert before == data_sha256(f"keras:{name}")
    assert before != data_sha256(f"keras:{name}?scale=0..255")


def test_images_take_the_models_shape(downloads: Path) -> None:
    mnist(downloads)
    assert load_dataset("keras:mnist", (None, 16, 12, 3)).test.inputs[""].shape == (10, 16, 12, 3)
    assert load_dataset("keras:mnist", (None, 784)).test.inputs[""].shape == (10, 784)
    np.testing.assert_allclose(load_dataset("keras:mnist", (None, 784)).test.inputs[""], PIXELS["test"].reshape(10, -1) / 255, atol=1e-6)  # fmt: skip


def test_a_table_of_values(downloads: Path) -> None:
    np.savez(downloads / "boston_housing.npz", x=DRAW.random((40, 13)), y=np.arange(40.0))
    found = load_dataset("keras:boston_housing")
    assert found.labels == "value"
    assert (len(found.test), found.test.inputs[""].shape[1]) == (10, 13)


def test_what_is_not_there_is_fetched_and_checked(downloads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    import hashlib

    (tmp_path / "web").mkdir()
    mnist(tmp_path / "web")
    content = (tmp_path / "web" / "mnist.npz").read_bytes()
    origin, known = (tmp_path / "web" / "mnist.npz").as_uri(), hashlib.sha256(content).hexdigest()
    monkeypatch.setitem(keras_sets.FILES, "mnist", (keras_sets.SourceFile("mnist.npz", origin, "0" * 64),))
    with pytest.raises(
        WorkbenchError, match=r"cannot be fetched: what came has the hash .* Put the file there yourself"
    ):
        load_dataset("keras:mnist")
    assert list(downloads.iterdir()) == []
    with pytest.raises(WorkbenchError, match="download=false"):
        load_dataset("keras:mnist?download=false")
    monkeypatch.setitem(keras_sets.FILES, "mnist", (keras_sets.SourceFile("mnist.npz", origin, known),))
    assert len(load_dataset("keras:mnist").test) == 10
    assert (downloads / "mnist.npz").read_bytes() == content


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("mnist", "mnist.npz"),
        ("cifar10", "cifar-10-binary.tar.gz"),
        ("fashion_mnist", "fashion-mnist/train-images-idx3-ubyte.gz"),
    ],
)
def test_damaged_files_are_named(downloads: Path, name: str, file: str) -> None:
    (mnist if name == "mnist" else fashion if name == "fashion_mnist" else lambda f: cifar(f, False))(downloads)
    data = (downloads / file).read_bytes()
    for broken in (b"", b"hello", data[: len(data) // 2]):
        (downloads / file).write_bytes(broken)
        with pytest.raises(WorkbenchError, match="is not"):
            load_dataset(f"keras:{name}")


def test_other_names_are_told() -> None:
    with pytest.raises(WorkbenchError, match=r"unknown data set of Keras 'mnits'.*mnist"):
        load_dataset("keras:mnits")
    with pytest.raises(WorkbenchError, match="pickled, which is not loaded"):
        load_dataset("keras:imdb")

"""Data sets of Hugging Face's library, made by the library itself and read back offline."""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from workbench import registry
from workbench.data.columns import ColumnParams, choose
from workbench.data.dataset import Dataset
from workbench.data.load import load_dataset
from workbench.errors import WorkbenchError
from workbench.testing import DatasetConformance

needs_library = pytest.mark.skipif(
    registry.datasets.get("hf").available() is not None, reason="the extra [hf] is not installed"
)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = importlib.import_module("datasets")
    monkeypatch.setattr(found.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return found


def png(value: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (5, 6), (value, value, value)).save(file, "PNG")
    return file.getvalue()


def pictures(library: Any, begin: int, end: int) -> Any:
    features = library.Features(
        {"image": library.Image(), "label": library.ClassLabel(names=["cat", "dog"]), "id": library.Value("int64")}
    )
    rows = {"image": [{"bytes": png(n), "path": None} for n in range(begin, end)], "label": [n % 2 for n in range(begin, end)]}  # fmt: skip
    return library.Dataset.from_dict({**rows, "id": list(range(begin, end))}, features=features)


def shades(data: Dataset) -> list[int]:
    return sorted(round(float(v)) for s in data.splits().values() for v in np.asarray(s.inputs[""])[:, 0, 0, 0])


@needs_library
def test_splits_of_images_with_classes(library: Any, tmp_path: Path) -> None:
    library.DatasetDict({"train": pictures(library, 0, 12), "validation": pictures(library, 50, 54)}).save_to_disk(
        tmp_path / "pets"
    )
    found = load_dataset(f"{tmp_path / 'pets'}?scale=0..255", (None, 4, 4, 3))
    assert found.train is not None
    assert found.class_names == ("cat", "dog")
    assert found.test.inputs[""].shape == (4, 4, 4, 3)
    assert [round(float(v)) for v in np.asarray(found.test.inputs[""])[:, 0, 0, 0]] == [50, 51, 52, 53]
    np.testing.assert_array_equal(found.train.y, np.arange(12) % 2)


def saved(table: Any, folder: Path) -> str:
    table.save_to_disk(folder)
    return str(folder)


def parquet(table: Any, folder: Path) -> str:
    folder.mkdir()
    table.to_parquet(folder / "a.parquet")
    return str(folder / "a.parquet")


def arrow(table: Any, folder: Path) -> str:
    table.save_to_disk(folder)
    return str(next(folder.glob("*.arrow")))


@needs_library
@pytest.mark.parametrize("make", [saved, parquet, arrow])
def test_one_table_is_divided_by_class(library: Any, tmp_path: Path, make: Callable[[Any, Path], str]) -> None:
    text = make(pictures(library, 0, 20), tmp_path / "a")
    found = load_dataset(f"hf:{text}?size=4x4&scale=0..255&test=0.2")
    assert shades(found) == list(range(20))
    assert np.bincount(np.asarray(found.test.y)).tolist() == [2, 2]


@needs_library
def test_numbers_words_and_arrays(library: Any, tmp_path: Path) -> None:
    table = library.Dataset.from_dict({"a": [float(n) for n in range(12)], "b": list(range(12)), "word": ["x", "y", "z"] * 4})  # fmt: skip
    text = saved(table, tmp_path / "numbers")
    found = load_dataset(f"hf:{text}?label=word")
    x = np.concatenate([np.asarray(s.inputs[""]) for s in found.splits().values()])
    assert sorted(x.tolist()) == [[float(n), float(n)] for n in range(12)]
    assert found.class_names == ("x", "y", "z")
    np.testing.assert_array_equal(found.test.y, np.asarray(found.test.inputs[""])[:, 0] % 3)
    arrays = library.Dataset.from_dict(
        {"v": [[n, n + 1] for n in range(8)], "w": [[[float(n)] * 3] * 2 for n in range(8)], "y": [0.5 * n for n in range(8)]},
        features=library.Features({"v": library.List(library.Value("int32")), "w": library.Array2D((2, 3), "float32"), "y": library.Value("float32")}),
    )  # fmt: skip
    both = load_dataset(f"hf:{saved(arrays, tmp_path / 'arrays')}")
    assert {n: (v.shape[1:], v.dtype) for n, v in both.test.inputs.items()} == {"v": ((2,), "int32"), "w": ((2, 3), "float32")}  # fmt: skip
    np.testing.assert_array_equal(both.test.y, both.test.inputs["v"][:, 0] / 2)
    one = load_dataset(f"hf:{tmp_path / 'arrays'}?input=w&label=none")
    assert one.test.y is None
    assert one.test.inputs[""].shape[1:] == (2, 3)


@needs_library
def test_what_cannot_be_read(library: Any, tmp_path: Path) -> None:
    table = pictures(library, 0, 6)
    broken = library.Dataset.from_dict(
        {"image": [{"bytes": b"x" if n == 2 else png(n), "path": None} for n in range(6)], "label": [0] * 6},
        features=library.Features({"image": library.Image(), "label": library.ClassLabel(names=["cat"])}),
    )
    with pytest.raises(WorkbenchError, match=r"row 2 of hf:.* holds no image"):
        load_dataset(f"hf:{saved(broken, tmp_path / 'broken')}?size=4x4")
    assert shades(load_dataset(f"hf:{tmp_path / 'broken'}?size=4x4&corrupt=skip&scale=0..255")) == [0, 1, 3, 4, 5]
    text = saved(table, tmp_path / "good")
    with pytest.raises(WorkbenchError, match=r"unknown column of hf:.*'lable'.*label"):
        load_dataset(f"hf:{text}?size=4x4&label=lable")
    with pytest.raises(WorkbenchError, match=r"hf:nobody/nothing cannot be read: .*give a local folder or file"):
        load_dataset("hf:nobody/nothing")
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(WorkbenchError, match=r"ends in '\.txt'\. Allowed: \.parquet"):
        load_dataset(f"hf:{tmp_path / 'a.txt'}")


class TestHuggingFace(DatasetConformance):
    name = "hf"
    options = "size=4x4"

    @pytest.fixture(scope="class")
    def text(self, tmp_path_factory: pytest.TempPathFactory) -> str:
        if missing := registry.datasets.get("hf").available():
            pytest.skip(missing)
        return saved(pictures(importlib.import_module("datasets"), 0, 8), tmp_path_factory.mktemp("hf") / "saved")


def test_without_the_library_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for name in ("hf", "tfds"):
        with pytest.raises(WorkbenchError, match=rf"pip install 'tflite-workbench\[{name}\]'"):
            load_dataset(f"{name}:mnist")


@pytest.mark.parametrize(
    ("kinds", "options", "inputs", "labels", "joined"),
    [
        ({"image": "image", "label": "class", "id": "number"}, {}, {"": "image"}, {"": "label"}, ()),
        ({"a": "number", "b": "number", "y": "number"}, {}, {}, {"": "y"}, ("a", "b")),
        ({"a": "number", "kind": "class"}, {}, {}, {"": "kind"}, ("a",)),
        ({"v": "array", "w": "array", "name": "word"}, {}, {"v": "v", "w": "w"}, {}, ()),
        (
            {"v": "array", "w": "array", "name": "word"},
            {"input": "w", "label": "name,v"},
            {"": "w"},
            {"name": "name", "v": "v"},
            (),
        ),
        ({"image": "image", "label": "class"}, {"label": "none"}, {"": "image"}, {}, ()),
    ],
)
def test_columns_are_told_by_kind_and_name(
    kinds: Any, options: Any, inputs: Any, labels: Any, joined: tuple[str, ...]
) -> None:
    assert choose(kinds, ColumnParams(**options), "d") == (inputs, labels, joined)

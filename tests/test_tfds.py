"""Data sets of TensorFlow Datasets, written by the library itself and read back offline."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench import registry
from workbench.data.load import load_dataset
from workbench.errors import WorkbenchError
from workbench.testing import DatasetConformance

needs_library = pytest.mark.skipif(
    registry.datasets.get("tfds").available() is not None, reason="the extra [tfds] is not installed"
)


def stored(root: Path, splits: dict[str, range]) -> Path:
    """Write images of one shade each with a class, a number and a word; return the folder of the version."""
    import tensorflow as tf

    library: Any = importlib.import_module("tensorflow_datasets")
    features = library.features.FeaturesDict(
        {
            "image": library.features.Image(shape=(6, 5, 3)),
            "kind": library.features.ClassLabel(names=["cat", "dog"]),
            "v": library.features.Tensor(shape=(2,), dtype=np.float32),
            "name": library.features.Text(),
        }
    )

    def rows(each: range) -> Any:
        n = np.array(each)
        return tf.data.Dataset.from_tensor_slices(
            {
                "image": np.broadcast_to(n[:, None, None, None], (len(n), 6, 5, 3)).astype(np.uint8),
                "kind": n % 2,
                "v": np.stack([n, -n], 1).astype(np.float32),
                "name": np.array([f"w{i % 3}" for i in each]),
            }
        )

    builder = library.dataset_builders.store_as_tfds_dataset(
        name="shades", version="1.0.0", data_dir=root, features=features,
        split_datasets={split: rows(each) for split, each in splits.items()},
    )  # fmt: skip
    return Path(builder.data_dir)


@needs_library
def test_splits_of_images_with_classes(tmp_path: Path) -> None:
    folder = stored(tmp_path, {"train": range(8), "test": range(100, 104)})
    for text in (f"{folder}?", f"tfds:shades?folder={tmp_path}&"):
        found = load_dataset(f"{text}scale=0..255", (None, 3, 4, 1))
        assert found.train is not None
        assert found.class_names == ("cat", "dog")
        assert found.test.inputs[""].shape == (4, 3, 4, 1)
        shades = np.asarray(found.test.inputs[""])[:, 0, 0, 0].round().astype(int)
        assert sorted(shades) == [100, 101, 102, 103]
        np.testing.assert_array_equal(found.test.y, shades % 2)


@needs_library
def test_one_split_is_divided_and_columns_are_chosen(tmp_path: Path) -> None:
    folder = stored(tmp_path, {"train": range(20)})
    found = load_dataset(f"{folder}?test=0.2&input=v&label=name")
    assert len(found.test) == 4
    for split in found.splits().values():
        assert split.inputs[""].shape[1:] == (2,)
        np.testing.assert_array_equal(split.y, np.asarray(split.inputs[""])[:, 0] % 3)
    assert found.class_names == ("w0", "w1", "w2")
    with pytest.raises(WorkbenchError, match=r"unknown column of tfds:.*'kinds'.*kind"):
        load_dataset(f"{folder}?label=kinds")


@needs_library
def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match="tfds:no_such_data_set cannot be read: DatasetNotFoundError"):
        load_dataset(f"tfds:no_such_data_set?folder={tmp_path}&download=false")
    for text in ("kaggle:shades", "somebody:shades/config", "../shades"):
        with pytest.raises(WorkbenchError, match=r"is no name of TensorFlow Datasets.*are code and not loaded"):
            load_dataset(f"tfds:{text}")


class TestTfds(DatasetConformance):
    name = "tfds"
    options = "size=4x4"

    @pytest.fixture(scope="class")
    def text(self, tmp_path_factory: pytest.TempPathFactory) -> str:
        if missing := registry.datasets.get("tfds").available():
            pytest.skip(missing)
        return str(stored(tmp_path_factory.mktemp("tfds"), {"train": range(8), "test": range(4)}))

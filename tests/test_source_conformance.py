"""The built-in sources and readers of datasets keep what is asked of a stranger's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras3_models import kind

from workbench.data.load import bundled, load_dataset
from workbench.errors import WorkbenchError
from workbench.testing import DatasetConformance, SourceConformance


@pytest.mark.slow
class TestKeras(SourceConformance):
    name = "keras"

    @pytest.fixture(scope="class")
    def file(self, small_h5: Path) -> Path:
        return small_h5


@pytest.mark.slow
class TestKeras3(SourceConformance):
    name = "keras3"

    @pytest.fixture(scope="class")
    def file(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        path = tmp_path_factory.mktemp("models") / "small.keras"
        kind("several").save(path)
        return path


@pytest.mark.slow
class TestSavedModel(SourceConformance):
    name = "savedmodel"

    @pytest.fixture(scope="class")
    def file(self, small_keras_model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
        folder = tmp_path_factory.mktemp("models") / "small"
        small_keras_model.export(folder)
        return folder


@pytest.mark.slow
class TestTFLite(SourceConformance):
    name = "tflite"

    @pytest.fixture(scope="class")
    def file(self, small_tflite: Path) -> Path:
        return small_tflite


class TestDigits(DatasetConformance):
    name = "digits"
    input_shape = (None, 32, 32, 1)

    @pytest.fixture(scope="class")
    def text(self) -> str:
        return "digits"


class TestNpz(DatasetConformance):
    name = "npz"

    @pytest.fixture(scope="class")
    def text(self) -> str:
        return str(bundled("digits.npz"))


class TestTable(DatasetConformance):
    name = "csv"
    options = "label=kind"
    input_shape = (None, 2, 1)

    @pytest.fixture(scope="class")
    def text(self, tmp_path_factory: pytest.TempPathFactory) -> str:
        path = tmp_path_factory.mktemp("data") / "table.csv"
        path.write_text("a,b,kind\n" + "".join(f"{n},{n * n},{'odd' if n % 2 else 'even'}\n" for n in range(40)))
        return str(path)


def write_pictures(folder: Path, names: list[str]) -> None:
    from PIL import Image

    draw = np.random.default_rng(0)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / name)


class TestFolder(DatasetConformance):
    name = "folder"
    options = "test=0.5"
    input_shape = (None, 6, 6, 3)

    @pytest.fixture(scope="class")
    def text(self, tmp_path_factory: pytest.TempPathFactory) -> str:
        folder = tmp_path_factory.mktemp("pets")
        write_pictures(folder, [f"{kind}/{n}.png" for kind in ("cat", "dog") for n in range(4)])
        return str(folder)


class TestCoco(DatasetConformance):
    name = "coco"
    options = "size=4x4"

    @pytest.fixture(scope="class")
    def text(self, tmp_path_factory: pytest.TempPathFactory) -> str:
        return str(annotated(tmp_path_factory.mktemp("street")))


class TestRecords(DatasetConformance):
    name = "tfrecord"
    input_shape = (None, 3)

    @pytest.fixture(scope="class")
    def text(self, tmp_path_factory: pytest.TempPathFactory) -> str:
        import tensorflow as tf

        folder = tmp_path_factory.mktemp("records")
        (folder / "features.yaml").write_text("features: {v: {shape: [3]}}\ninputs: v\n")
        for shard in range(2):
            with tf.io.TFRecordWriter(str(folder / f"part-{shard}.tfrecord")) as writer:
                for n in range(6):
                    numbers = tf.train.Feature(float_list=tf.train.FloatList(value=[n, shard, 1.0]))
                    example = tf.train.Example(features=tf.train.Features(feature={"v": numbers}))
                    writer.write(example.SerializeToString())
        return str(folder)


def annotated(folder: Path) -> Path:
    import json

    write_pictures(folder, [f"images/{n}.png" for n in range(4)])
    images = [{"id": n, "file_name": f"{n}.png", "width": 8, "height": 8} for n in range(4)]
    boxes = [{"id": n, "image_id": n, "category_id": 1, "bbox": [1, 1, 4, 4]} for n in range(4)]
    text = json.dumps({"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "car"}]})
    (folder / "annotations.json").write_text(text)
    return folder


def test_a_folder_of_classes_with_annotations_is_read_as_asked(tmp_path: Path) -> None:
    folder = annotated(tmp_path / "both")
    write_pictures(folder, ["cat/0.png", "cat/1.png", "dog/0.png"])
    (folder / "images").rename(folder / "cow")
    with pytest.raises(WorkbenchError, match=r"image .*2\.png"):
        load_dataset(f"{folder}?size=4x4")
    assert load_dataset(f"folder:{folder}?size=4x4").class_names == ("cat", "cow", "dog")

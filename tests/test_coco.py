"""Folders of images with COCO's annotations: boxes as shares of the image, classes, splits, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from workbench.data.load import load_dataset
from workbench.errors import WorkbenchError
from workbench.values.boxes import there
from workbench.values.labels import label_info

CATEGORIES = [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}]


def write(folder: Path, count: int = 4, name: str = "annotations.json", below: str = "", **change: Any) -> Path:
    """Pictures of 20 x 10 pixels; picture n has n boxes, the last one a crowd of cats."""
    (folder / below).mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for n in range(count):
        Image.fromarray(np.full((10, 20, 3), 10 * n, dtype=np.uint8)).save(folder / below / f"{n}.png")
        images.append({"id": n + 100, "file_name": f"{n}.png", "width": 20, "height": 10})
        for k in range(n):
            last = k == n - 1
            annotations.append(
                {"image_id": n + 100, "category_id": 7 if last else 3, "bbox": [2 * k, 1, 4, 5], "iscrowd": int(last)}
            )
    data = {"images": images, "annotations": annotations, "categories": CATEGORIES, **change}
    (folder / name).write_text(json.dumps(data))
    return folder


@pytest.mark.parametrize("below", ["", "images"])
def test_boxes_are_shares_of_the_image_and_classes_places_by_id(tmp_path: Path, below: str) -> None:
    write(tmp_path / "train", below=below)
    write(tmp_path / "valid", 3, "_annotations.coco.json", below)
    data = load_dataset(f"{tmp_path}?size=8x8", None)
    assert data.train is not None
    assert data.class_names == ("dog", "cat")
    assert data.train.inputs[""].shape == (4, 8, 8, 3)
    np.testing.assert_allclose(data.train.inputs[""][:, 0, 0, 0], np.arange(4) * 10 / 255, atol=1e-6)
    y = data.train.targets[""]
    assert y.shape == (4, 3, 6)
    assert there(y).sum(axis=1).tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(y[3, 1], [0.1, 0.1, 0.3, 0.6, 0, 0])
    np.testing.assert_allclose(y[3, 2], [0.2, 0.1, 0.4, 0.6, 1, 1])
    assert data.test.targets[""].shape == (3, 2, 6)
    assert label_info(y).boxes
    by_id = load_dataset(f"{tmp_path}?size=8x8&category=id", None)
    assert by_id.train is not None
    assert sorted(np.unique(by_id.train.targets[""][..., 4])) == [-1, 3, 7]
    assert by_id.class_names == ()


def test_one_file_is_split_and_empty_boxes_are_told(tmp_path: Path) -> None:
    write(tmp_path, 8)
    data = json.loads((tmp_path / "annotations.json").read_text())
    data["annotations"][0]["bbox"] = [1, 1, 0, 5]
    (tmp_path / "annotations.json").write_text(json.dumps(data))
    found = load_dataset(str(tmp_path), (None, 8, 8, 1))
    assert found.train is not None
    assert (len(found.train), len(found.test)) == (6, 2)
    assert "1 boxes without width or height are left out" in found.notes
    counts = [int(there(y).sum()) for part in (found.train, found.test) for y in part.targets[""]]
    assert sorted(counts) == [0, 0, 2, 3, 4, 5, 6, 7]


IMAGE = {"id": 100, "file_name": "0.png", "width": 20, "height": 10}
BOX = {"image_id": 100, "category_id": 7, "bbox": [1, 1, 2, 2]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"images": 3}, "no list of objects 'images'"),
        ({"categories": ["cat"]}, "no list of objects 'categories'"),
        ({"categories": [{"id": 1, "name": 3}]}, "category"),
        ({"categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}, "an id of its own"),
        ({"categories": [{"id": -1, "name": "a"}]}, "whole number from 0"),
        ({"categories": [{"id": 7, "name": "a\u001b[31m"}]}, "control character"),
        ({"images": [IMAGE, IMAGE]}, "an id of its own"),
        ({"images": [{**IMAGE, "width": 0}]}, "width and height"),
        ({"images": [{**IMAGE, "height": True}]}, "width and height"),
        ({"images": [{**IMAGE, "file_name": "../0.png"}]}, "a path below this folder"),
        ({"images": [{**IMAGE, "file_name": "/etc/0.png"}]}, "a path below this folder"),
        ({"images": [{**IMAGE, "file_name": "0.svg"}]}, "that ends in .png"),
        ({"images": [{**IMAGE, "file_name": "nowhere.png"}], "annotations": []}, "nowhere.png"),
        ({"images": [IMAGE], "annotations": [{**BOX, "image_id": 1}]}, "image_id and category_id that are listed"),
        ({"images": [IMAGE], "annotations": [{**BOX, "category_id": 1}]}, "image_id and category_id that are listed"),
        ({"images": [IMAGE], "annotations": [{**BOX, "bbox": [1, 2, 3]}]}, "x, y, width, height"),
        ({"images": [IMAGE], "annotations": [{**BOX, "bbox": [1, 2, 3, "4"]}]}, "x, y, width, height"),
        ({"images": [IMAGE], "annotations": [{**BOX, "bbox": [1, 2, 3, 1e999]}]}, "no number of JSON"),
        ({"images": [IMAGE], "annotations": [{**BOX, "iscrowd": 2}]}, "x, y, width, height"),
        ({"images": []}, "annotation"),
    ],
)
def test_what_is_no_annotation_is_told(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    write(tmp_path, **change)
    with pytest.raises(WorkbenchError) as caught:
        load_dataset(f"{tmp_path}?size=8x8", None)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("text", [b"{", b"[" * 100_000, b"\xff\xfe\xfd", b"[]", b'{"images": 1' + b"0" * 5000 + b"}"])
def test_what_is_no_json_is_told(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "annotations.json").write_bytes(text)
    with pytest.raises(WorkbenchError, match="annotations"):
        load_dataset(f"{tmp_path}?size=8x8", None)


def test_no_images_at_all_and_train_without_test_are_told(tmp_path: Path) -> None:
    write(tmp_path / "none", 0)
    with pytest.raises(WorkbenchError, match="list no images"):
        load_dataset(f"{tmp_path / 'none'}?size=8x8", None)
    write(tmp_path / "half" / "train")
    with pytest.raises(WorkbenchError, match="for train, but not for test"):
        load_dataset(f"{tmp_path / 'half'}?size=8x8", None)
    write(tmp_path / "both" / "train")
    write(tmp_path / "both" / "test", categories=[{"id": 7, "name": "cat"}], annotations=[])
    with pytest.raises(WorkbenchError, match="other categories"):
        load_dataset(f"{tmp_path / 'both'}?size=8x8", None)

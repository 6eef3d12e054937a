"""Folders of images: split folders and shares by class, and images that cannot be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from workbench.data.images import drawn_by_class
from workbench.data.load import load_dataset
from workbench.errors import WorkbenchError


def write(folder: Path, classes: dict[str, int]) -> Path:
    for place, (name, count) in enumerate(classes.items()):
        (folder / name).mkdir(parents=True)
        for n in range(count):
            Image.new("L", (5, 4), 20 * place + n).save(folder / name / f"{n:02d}.png")
    return folder


@pytest.mark.parametrize("share", [0.1, 0.2, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("classes", [{"a": 10, "b": 10}, {"a": 40, "b": 10, "c": 20}, {"a": 3, "b": 5, "c": 7}])
def test_each_class_has_its_share(classes: dict[str, int], share: float) -> None:
    labels = [label for label, count in enumerate(classes.values()) for _ in range(count)]
    for seed in range(3):
        test, train = drawn_by_class(labels, share, seed)
        assert sorted([*test, *train]) == list(range(len(labels)))
        assert len(test) == max(1, round(share * len(labels)))
        for label, count in enumerate(classes.values()):
            assert abs(sum(labels[i] == label for i in test) - share * count) < 1
    assert drawn_by_class(labels, share, 1) == drawn_by_class(labels, share, 1)


def test_a_share_is_drawn_by_seed(tmp_path: Path) -> None:
    folder = write(tmp_path / "pets", {"cat": 20, "dog": 10})
    found, again, other = (load_dataset(f"{folder}?size=4x5&test=0.2&seed={seed}") for seed in (3, 3, 4))
    assert np.bincount(np.asarray(found.test.y)).tolist() == [4, 2]
    np.testing.assert_array_equal(found.test.x, again.test.x)
    assert not np.array_equal(found.test.inputs[""], other.test.inputs[""])


@pytest.mark.parametrize("test", ["test", "val", "valid", "validation"])
def test_split_folders(tmp_path: Path, test: str) -> None:
    write(tmp_path / "pets" / "train", {"cat": 3, "dog": 2})
    write(tmp_path / "pets" / test, {"cat": 1, "dog": 2})
    found = load_dataset(f"{tmp_path / 'pets'}?size=4x5")
    assert found.train is not None
    assert (np.asarray(found.train.y).tolist(), np.asarray(found.test.y).tolist()) == ([0, 0, 0, 1, 1], [0, 1, 1])


def test_a_folder_beside_test_is_told(tmp_path: Path) -> None:
    for part in ("train", "test", "val"):
        write(tmp_path / "pets" / part, {"cat": 2})
    assert "folder 'val' is not read, as there is 'test'" in load_dataset(f"{tmp_path / 'pets'}?size=4x5").notes


def test_all_that_cannot_be_read_are_counted_and_the_first_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "pets", {"cat": 12, "dog": 12})
    for n in range(7):
        path = folder / ("cat" if n % 2 else "dog") / f"{n:02d}.png"
        path.write_bytes(path.read_bytes()[: 30 + n] if n else b"")
    with pytest.raises(WorkbenchError) as caught:
        load_dataset(f"{folder}?size=4x5")
    said = str(caught.value)
    assert said.startswith("7 of 24 images cannot be read. image ")
    assert said.count("cannot be read: it") == 5
    assert "And 2 more." in said
    assert "?corrupt=skip" in said
    found = load_dataset(f"{folder}?size=4x5&corrupt=skip&scale=0..255")
    assert found.notes[0].startswith("7 of 24 images cannot be read and are left out: image ")
    assert sum(map(len, found.splits().values())) == 17
    shades = sorted(round(float(v)) for s in found.splits().values() for v in np.asarray(s.x)[:, 0, 0, 0])
    assert shades == sorted([n for n in range(12) if n not in (1, 3, 5)] + [20 + n for n in range(12) if n not in (0, 2, 4, 6)])  # fmt: skip


def test_where_none_can_be_read_nothing_is_left(tmp_path: Path) -> None:
    folder = write(tmp_path / "pets", {"cat": 2})
    for path in (folder / "cat").iterdir():
        path.write_bytes(b"x")
    with pytest.raises(WorkbenchError, match="2 of 2 images cannot be read"):
        load_dataset(f"{folder}?size=4x5&corrupt=skip")

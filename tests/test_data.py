"""Datasets from names, arrays, `.npz` files and folders of images; how they are stored and checked."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import workbench
from workbench.data.dataset import Dataset, Split, from_arrays
from workbench.data.load import load_dataset
from workbench.data.materialize import check_fit, dataset_sha256, materialize, open_split
from workbench.errors import WorkbenchError
from workbench.values.source import DatasetInfo, Signature, TensorInfo

Array = np.ndarray[Any, Any]


def labels_of(split: Any) -> Array:
    """The labels of a split that has one array of them."""
    assert isinstance(split.y, np.ndarray)
    return split.y


# ---- the bundled images


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


def test_digits_are_gray_images_from_0_to_1(digits: Dataset) -> None:
    assert digits.train is not None
    assert digits.labels == "class"
    assert digits.class_names == tuple("0123456789")
    for split in (digits.train, digits.test):
        assert split.y is not None
        assert split.inputs[""].shape == (len(split), 32, 32, 1)
        assert split.inputs[""].dtype == np.float32
        assert (split.inputs[""].min(), split.inputs[""].max()) == (0.0, 1.0)
        assert labels_of(split).shape == (len(split),)
        assert sorted(set(labels_of(split).tolist())) == list(range(10))
    assert (len(digits.train), len(digits.test)) == (1348, 449)


def test_digits_splits_are_disjoint(digits: Dataset) -> None:
    assert digits.train is not None
    train = {row.tobytes() for row in digits.train.inputs[""]}
    test = {row.tobytes() for row in digits.test.inputs[""]}
    assert len(train) + len(test) > 1700
    assert not train & test


def test_digits_calibrate_on_train(digits: Dataset) -> None:
    assert digits.calibration_from == "train"
    assert digits.calibration is digits.train
    assert list(digits.splits()) == ["train", "test"]


def test_fashion_is_clothes_that_no_model_was_tested_on() -> None:
    fashion = load_dataset("fashion")
    assert fashion.train is not None
    assert (len(fashion.train), len(fashion.test)) == (5000, 2000)
    assert fashion.class_names[::9] == ("T-shirt/top", "Ankle boot")
    for split, each in ((fashion.train, 500), (fashion.test, 200)):
        images = split.inputs[""]
        assert (images.shape, images.dtype) == ((len(split), 28, 28, 1), np.float32)
        assert (images.min(), images.max()) == (0.0, 1.0)
        assert np.bincount(labels_of(split)).tolist() == [each] * 10
    train = {row.tobytes() for row in fashion.train.inputs[""]}
    test = {row.tobytes() for row in fashion.test.inputs[""]}
    assert len(test) == 2000
    assert not train & test
    # Upright and called by their names: trousers have two legs with nothing between, boots stand on the lower edge, higher at one side.
    mean = {n: fashion.test.inputs[""][labels_of(fashion.test) == n, :, :, 0].mean(axis=0) for n in (1, 9)}
    assert mean[1][20:, 13:15].mean() < 0.7 * mean[1][20:, 10:12].mean()
    assert mean[9][20:24].mean() > 4 * mean[9][:3].mean()


def test_the_public_name_loads_a_dataset() -> None:
    found = workbench.load_dataset({"x": np.zeros((8, 2))})
    assert (len(found.test), found.test.y) == (2, None)


def test_a_dataset_is_passed_through(digits: Dataset) -> None:
    assert load_dataset(digits) is digits


# ---- arrays and .npz


def arrays(n: int = 12, **more: Any) -> dict[str, Any]:
    draw = np.random.default_rng(0)
    return {"x": draw.random((n, 4), dtype=np.float32), **more}


def test_x_and_y_are_split_three_to_one() -> None:
    data = from_arrays(arrays(n=100, y=np.arange(100)))
    assert data.train is not None
    assert data.train.y is not None
    assert data.test.y is not None
    assert (len(data.train), len(data.test)) == (75, 25)
    assert sorted([*data.train.y, *data.test.y]) == list(range(100))
    whole = arrays(n=100)["x"]
    np.testing.assert_array_equal(data.test.x, whole[data.test.y])
    again = from_arrays(arrays(n=100, y=np.arange(100)))
    np.testing.assert_array_equal(again.test.y, data.test.y)


def test_one_sample_is_a_test_split() -> None:
    data = from_arrays(arrays(n=1))
    assert (len(data.test), data.train, data.calibration_from) == (1, None, "test")
    assert list(data.splits()) == ["test"]


def test_named_splits_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "birds.npz"
    draw = np.random.default_rng(0)
    np.savez(
        path,
        x_train=draw.random((6, 4)),
        y_train=np.arange(6) % 2,
        x_test=draw.random((3, 4)),
        y_test=np.array([0, 1, 0]),
        x_calibration=draw.random((5, 4)),
        class_names=np.array(["jay", "wren"]),
    )
    data = load_dataset(path)
    assert data.name == "birds"
    assert {k: len(v) for k, v in data.splits().items()} == {"train": 6, "calibration": 5, "test": 3}
    assert data.calibration_from == "calibration"
    assert data.class_names == ("jay", "wren")
    assert data.splits()["calibration"].y is None
    assert load_dataset(str(path)).splits().keys() == data.splits().keys()


@pytest.mark.parametrize(
    ("y", "labels", "expected"),
    [
        (np.array([0, 2, 1, 2]), "class", [0, 2, 1, 2]),
        (np.array([0, 2, 1, 2], dtype=np.uint8), "class", [0, 2, 1, 2]),
        (np.array([[0], [2], [1], [2]]), "class", [0, 2, 1, 2]),
        (np.eye(3)[[0, 2, 1, 2]], "class", [0, 2, 1, 2]),
        (np.eye(3, dtype=np.uint8)[[0, 2, 1, 2]], "class", [0, 2, 1, 2]),
        (np.array([True, False, True, False]), "class", [1, 0, 1, 0]),
        (np.array([0.5, 2.0, 1.0, 2.0]), "value", [0.5, 2.0, 1.0, 2.0]),
        (np.array([[0.5], [2.0], [1.0], [2.0]]), "value", [0.5, 2.0, 1.0, 2.0]),
        (np.array([[1.0, 1.5], [0.0, 1.0], [1.0, 0.0], [0.0, 0.0]]), "value", [[1, 1.5], [0, 1], [1, 0], [0, 0]]),
        (None, "none", None),
    ],
    ids=[
        "classes",
        "uint8",
        "column",
        "one-hot",
        "one-hot-uint8",
        "bool",
        "values",
        "value-column",
        "rows",
        "no",
    ],
)
def test_labels(y: Array | None, labels: str, expected: Any) -> None:
    data = from_arrays({"x_test": np.zeros((4, 2)), "y_test": y})
    assert data.labels == labels
    assert (None if data.test.y is None else labels_of(data.test).tolist()) == expected
    if labels == "class":
        assert data.test.y is not None
        assert labels_of(data.test).dtype == np.int64


def test_missing_train_labels_leave_the_test_labels() -> None:
    data = from_arrays({"x_train": np.zeros((4, 2)), "x_test": np.zeros((2, 2)), "y_test": np.array([0, 1])})
    assert data.train is not None
    assert data.train.y is None
    assert data.labels == "class"


def test_several_inputs_by_name() -> None:
    data = from_arrays({"x": {"a": np.arange(8.0), "b": np.arange(16.0).reshape(8, 2)}, "y": np.arange(8)})
    assert data.test.y is not None
    assert data.test.inputs["a"].tolist() == labels_of(data.test).tolist()
    assert data.test.inputs["b"].tolist() == [[2.0 * i, 2.0 * i + 1] for i in labels_of(data.test)]
    assert data.test.take(slice(0, 1)).inputs["b"].shape == (1, 2)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({}, "no arrays"),
        ({"y": np.zeros(3)}, "has y, but needs x_test"),
        ({"x_train": np.zeros((3, 2))}, "has x_train, but needs x_test"),
        ({"x": np.zeros((3, 2)), "z": np.zeros(3)}, "array 'z'. Allowed: x_train"),
        ({"x": np.zeros((8, 2)), "y": np.zeros(7)}, "different numbers of samples: [7, 8]"),
        ({"x": {"a": np.zeros(3), "b": np.zeros(4)}}, "different numbers of samples: [3, 4]"),
        ({"x_test": np.zeros((0, 2))}, "x_test has no samples"),
        ({"x": np.zeros((0, 2)), "y": np.zeros(0)}, "x has no samples"),
        ({"x": np.array([[0.0], [np.nan]])}, "array 'x' holds values that are not finite"),
        ({"x": {"a": np.array([np.inf, 0])}}, "array 'x[a]' holds values that are not finite"),
        ({"x": np.zeros((2, 2)), "y": np.array([0.0, np.nan])}, "array 'y' holds values that are not finite"),
        ({"x": np.array(["a", "b"])}, "array 'x' has type <U1; allowed are numbers"),
        ({"x": np.array([None, {}])}, "array 'x' has type object"),
        ({"x": np.zeros(3, dtype=complex)}, "complex128"),
        ({"x": 3.0}, "single number"),
        ({"x": [[1], [1, 2]]}, "array 'x' is no array of numbers"),
        ({"x": np.zeros((2, 2)), "y": {}}, "y is an empty dict"),
    ],
)
def test_arrays_that_do_not_make_a_dataset(data: dict[str, Any], said: str) -> None:
    with pytest.raises(WorkbenchError) as caught:
        load_dataset(data)
    assert said in str(caught.value)


def zip_without_arrays(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello.txt", "hello")


def broken_compression(path: Path) -> None:
    np.savez_compressed(path, x=np.random.default_rng(0).random((100, 8)))
    data = bytearray(path.read_bytes())
    data[200:260] = b"\xff" * 60
    path.write_bytes(data)


def cut_short(path: Path) -> None:
    np.savez(path, x=np.zeros((100, 8)))
    path.write_bytes(path.read_bytes()[:3000])


def single_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros((3, 2)))


def pickled(path: Path) -> None:
    np.savez(path, x=np.array([Trap(), 1], dtype=object))


def spring(mark: str) -> None:
    os.environ["WORKBENCH_TEST_TRAP"] = mark


class Trap:
    """Unpickling it leaves a mark."""

    def __reduce__(self) -> tuple[Any, ...]:
        return spring, ("sprung",)


@pytest.mark.parametrize(
    "make",
    [lambda p: p.write_bytes(b""), lambda p: p.write_bytes(b"hello"), broken_compression, cut_short, single_array],
)
def test_damaged_npz_files(tmp_path: Path, make: Callable[[Path], Any]) -> None:
    path = tmp_path / "data.npz"
    make(path)
    with pytest.raises(WorkbenchError, match=r"data\.npz' is not a readable \.npz"):
        load_dataset(path)


def test_a_zip_without_arrays_is_no_dataset(tmp_path: Path) -> None:
    zip_without_arrays(tmp_path / "data.npz")
    with pytest.raises(WorkbenchError):
        load_dataset(tmp_path / "data.npz")


def test_pickled_objects_are_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORKBENCH_TEST_TRAP", raising=False)
    pickled(tmp_path / "data.npz")
    with pytest.raises(WorkbenchError, match="Object arrays cannot be loaded"):
        load_dataset(tmp_path / "data.npz")
    assert "WORKBENCH_TEST_TRAP" not in os.environ
    np.load(tmp_path / "data.npz", allow_pickle=True)["x"]
    assert os.environ["WORKBENCH_TEST_TRAP"] == "sprung"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("digit", "Did you mean 'digits'"),
        ("nowhere.npz", "dataset file 'nowhere.npz' does not exist"),
        ("some/where", "does not exist"),
        (3, "cannot be made of int"),
        (None, "cannot be made of NoneType"),
        ("digits?size=32x32", "takes no options"),
        ("fashio", "Did you mean 'fashion'"),
    ],
)
def test_names_that_are_no_dataset(name: Any, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WorkbenchError) as caught:
        load_dataset(name)
    assert said in str(caught.value)
    assert "digits" in str(caught.value)


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    (tmp_path / "data.parquet").write_bytes(b"PAR1")
    with pytest.raises(WorkbenchError, match=r"ends in '\.parquet'\. Allowed: digits"):
        load_dataset(tmp_path / "data.parquet")


# ---- folders of images


def write_images(folder: Path, classes: dict[str, int], suffix: str = "png", value: int | None = None) -> None:
    draw = np.random.default_rng(0)
    for name, count in classes.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            pixels = (
                draw.integers(0, 256, (6, 5, 3), dtype=np.uint8)
                if value is None
                else np.full((6, 5, 3), value, np.uint8)
            )
            Image.fromarray(pixels).save(folder / name / f"{i}.{suffix}")


def test_a_folder_of_classes_is_split(tmp_path: Path) -> None:
    write_images(tmp_path / "pets", {"dog": 6, "cat": 10})
    data = load_dataset(f"{tmp_path / 'pets'}?size=4x3")
    assert data.train is not None
    assert data.train.y is not None
    assert data.test.y is not None
    assert data.name == "pets"
    assert data.class_names == ("cat", "dog")
    assert data.test.inputs[""].shape == (4, 4, 3, 3)
    assert data.train.inputs[""].shape == (12, 4, 3, 3)
    assert sorted([*data.train.y, *data.test.y]) == [0] * 10 + [1] * 6
    assert data.calibration_from == "train"
    assert data.test.inputs[""].dtype == np.float32


@pytest.mark.parametrize("test_name", ["test", "val", "validation"])
def test_a_folder_of_splits(tmp_path: Path, test_name: str) -> None:
    write_images(tmp_path / "pets" / "train", {"dog": 2, "cat": 3})
    write_images(tmp_path / "pets" / test_name, {"dog": 1, "cat": 1})
    data = load_dataset(tmp_path / "pets", (None, 6, 5, 3))
    assert data.train is not None
    assert data.train.y is not None
    assert data.test.y is not None
    assert labels_of(data.train).tolist() == [0, 0, 0, 1, 1]
    assert labels_of(data.test).tolist() == [0, 1]
    first = np.asarray(Image.open(tmp_path / "pets" / "train" / "cat" / "0.png"))
    np.testing.assert_allclose(data.train.inputs[""][0], first / 255, atol=1e-6)


def test_a_test_folder_alone(tmp_path: Path) -> None:
    write_images(tmp_path / "pets" / "test", {"dog": 1, "cat": 1})
    data = load_dataset(tmp_path / "pets", (None, 6, 5, 3))
    assert (data.train, data.calibration_from, len(data.test)) == (None, "test", 2)


@pytest.mark.parametrize(
    ("query", "shape", "white", "black"),
    [
        ("size=4x3", (4, 3, 3), 1.0, 0.0),
        ("size=4x3&scale=-1..1", (4, 3, 3), 1.0, -1.0),
        ("size=4x3&scale=0..255", (4, 3, 3), 255.0, 0.0),
        ("size=4x3&color=gray", (4, 3, 1), 1.0, 0.0),
        ("size=4x3&color=rgb&scale=-1..1", (4, 3, 3), 1.0, -1.0),
    ],
)
def test_options_of_images(tmp_path: Path, query: str, shape: tuple[int, ...], white: float, black: float) -> None:
    write_images(tmp_path / "a", {"x": 2}, value=255)
    write_images(tmp_path / "b", {"x": 2}, value=0)
    for name, value in (("a", white), ("b", black)):
        found = load_dataset(f"{tmp_path / name}?{query}").test.inputs[""]
        assert found.shape[1:] == shape
        assert (found == value).all()


@pytest.mark.parametrize(("channels", "expected"), [(1, 1), (3, 3), (None, 3)])
def test_size_and_colour_of_the_model(tmp_path: Path, channels: int | None, expected: int) -> None:
    write_images(tmp_path / "a", {"x": 2})
    assert load_dataset(tmp_path / "a", (None, 7, 9, channels)).test.inputs[""].shape == (1, 7, 9, expected)
    assert load_dataset(f"{tmp_path / 'a'}?size=2x2", (None, 7, 9, channels)).test.inputs[""].shape == (
        1,
        2,
        2,
        expected,
    )


def test_the_share_of_the_test_split(tmp_path: Path) -> None:
    write_images(tmp_path / "a", {"x": 5, "y": 5})
    for share, count in ((0.1, 1), (0.5, 5), (0.99, 10)):
        data = load_dataset(f"{tmp_path / 'a'}?size=2x2&test={share}")
        assert len(data.test) == count
        assert (len(data.train) if data.train else 0) == 10 - count


def test_gray_is_luminance(tmp_path: Path) -> None:
    (tmp_path / "a" / "x").mkdir(parents=True)
    Image.new("RGB", (2, 2), (255, 0, 0)).save(tmp_path / "a" / "x" / "red.png")
    assert load_dataset(f"{tmp_path / 'a'}?size=2x2&color=gray").test.inputs[""] == pytest.approx(0.299, abs=0.003)


def test_sixteen_bit_images_keep_their_grays(tmp_path: Path) -> None:
    (tmp_path / "a" / "x").mkdir(parents=True)
    ramp = np.linspace(0, 65535, 16).astype(np.uint16).reshape(4, 4)
    Image.fromarray(ramp).save(tmp_path / "a" / "x" / "ramp.png")
    found = load_dataset(f"{tmp_path / 'a'}?size=4x4&color=gray").test.inputs[""]
    np.testing.assert_allclose(found[0, :, :, 0], ramp / 65535, atol=1 / 255)


@pytest.mark.parametrize("suffix", ["png", "jpg", "jpeg", "bmp", "webp", "gif"])
def test_kinds_of_images(tmp_path: Path, suffix: str) -> None:
    write_images(tmp_path / "a", {"x": 2}, suffix=suffix, value=200)
    (tmp_path / "a" / "x" / "notes.txt").write_text("no image")
    found = load_dataset(f"{tmp_path / 'a'}?size=4x4")
    assert found.train is not None
    assert found.test.inputs[""] == pytest.approx(200 / 255, abs=0.02)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "need a size: add ?size=HEIGHTxWIDTH, e.g. a?size=96x96"),
        ("?size=4", "size = '4'"),
        ("?size=0x4", "size = '0x4'"),
        ("?size=", "size = ''"),
        ("?siz=4x4", "Did you mean 'size'"),
        ("?size=4x4&scale=0-1", "scale = '0-1'"),
        ("?size=4x4&color=blue", "color = 'blue'"),
        ("?size=4x4&test=1", "test = '1'"),
        ("?size=4x4&test=some", "test = 'some'"),
    ],
)
def test_mistakes_in_the_options_of_images(tmp_path: Path, query: str, said: str) -> None:
    write_images(tmp_path / "a", {"x": 2})
    with pytest.raises(WorkbenchError) as caught:
        load_dataset(f"{tmp_path / 'a'}{query}")
    assert said in str(caught.value)


def test_models_of_other_channels_take_no_images(tmp_path: Path) -> None:
    write_images(tmp_path / "a", {"x": 2})
    with pytest.raises(WorkbenchError, match="the model takes 4 channels"):
        load_dataset(tmp_path / "a", (None, 4, 4, 4))


def test_folders_without_images(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(WorkbenchError, match=r"has no class subfolders of images\. Expected empty/CLASS"):
        load_dataset(tmp_path / "empty")
    (tmp_path / "empty" / "cat").mkdir()
    with pytest.raises(WorkbenchError, match=r"holds no images in its class subfolders\. Allowed: \.png"):
        load_dataset(f"{tmp_path / 'empty'}?size=2x2")


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "webp"])
def test_damaged_images_are_named(tmp_path: Path, suffix: str) -> None:
    write_images(tmp_path / "a", {"x": 3}, suffix)
    path = tmp_path / "a" / "x" / f"1.{suffix}"
    data = path.read_bytes()
    for broken in (b"", b"hello", data[: len(data) // 2]):
        path.write_bytes(broken)
        with pytest.raises(WorkbenchError, match=rf"image '.*1\.{suffix}' cannot be read"):
            load_dataset(f"{tmp_path / 'a'}?size=4x4")


# ---- stored by content


def test_stored_once_and_memory_mapped(tmp_path: Path) -> None:
    data = from_arrays(arrays(n=20, y=np.arange(20) % 3))
    info = materialize(data, tmp_path)
    folder = tmp_path / info.sha256
    assert sorted(p.name for p in folder.iterdir()) == ["x_test..npy", "x_train..npy", "y_test.npy", "y_train.npy"]
    before = {p: p.stat().st_mtime_ns for p in folder.iterdir()}
    assert materialize(data, tmp_path) == info
    assert {p: p.stat().st_mtime_ns for p in folder.iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == [info.sha256]
    split = open_split(folder, "test")
    assert isinstance(split.x, np.memmap)
    assert not split.x.flags.writeable
    np.testing.assert_array_equal(split.x, data.test.x)
    np.testing.assert_array_equal(split.y, data.test.y)


def test_what_is_known_of_a_stored_dataset(tmp_path: Path) -> None:
    info = materialize(from_arrays(arrays(n=8, y=np.arange(8) % 2, class_names=["a", "b"]), "eight"), tmp_path)
    assert info == DatasetInfo(
        name="eight",
        sha256=info.sha256,
        splits={"train": 6, "test": 2},
        inputs={"": (4,)},
        labels="class",
        class_names=("a", "b"),
        calibration_from="train",
    )


def test_named_inputs_are_stored_under_any_name(tmp_path: Path) -> None:
    x = {name: np.arange(8.0) + i for i, name in enumerate(["a", "b/c", "serving_default_x:0", "d.e", "..", "%2F"])}
    info = materialize(from_arrays({"x": x}), tmp_path)
    found = open_split(tmp_path / info.sha256, "train").inputs
    assert sorted(found) == sorted(x)
    assert [float(found[n][0] - found["a"][0]) for n in x] == [0, 1, 2, 3, 4, 5]


def change(data: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    return {**data, key: value}


def test_the_hash_is_of_the_content() -> None:
    data = arrays(n=8, y=np.arange(8) % 2)
    base = dataset_sha256(from_arrays(data))
    assert dataset_sha256(from_arrays(data, "another name")) == base
    others = [
        change(data, "y", (np.arange(8) + 1) % 2),
        change(data, "x", data["x"] + np.float32(1)),
        change(data, "x", data["x"].astype(np.float64)),
        change(data, "x", data["x"].reshape(8, 2, 2)),
        change(data, "x", {"a": data["x"]}),
        change(data, "class_names", ["a", "b"]),
        change(data, "y", None),
    ]
    assert len({base, *(dataset_sha256(from_arrays(d)) for d in others)}) == len(others) + 1


@given(st.integers(0, 7), st.integers(0, 3))
def test_one_changed_number_changes_the_hash(row: int, column: int) -> None:
    data = arrays(n=8)
    changed = data["x"].copy()
    changed[row, column] = np.nextafter(changed[row, column], np.float32(2))
    assert dataset_sha256(from_arrays(data)) != dataset_sha256(from_arrays({"x": changed}))


def test_calibration_falls_back_to_train_then_test(tmp_path: Path) -> None:
    own = from_arrays({"x_train": np.zeros((4, 1)), "x_test": np.ones((3, 1)), "x_calibration": np.full((2, 1), 2.0)})
    train = from_arrays({"x_train": np.zeros((4, 1)), "x_test": np.ones((3, 1))})
    test = from_arrays({"x_test": np.ones((3, 1))})
    for data, count, value in ((own, 2, 2.0), (train, 4, 0.0), (test, 3, 1.0)):
        found = open_split(tmp_path / materialize(data, tmp_path).sha256, "calibration")
        assert (len(found), float(found.inputs[""][0, 0])) == (count, value)


def test_a_missing_split_is_named(tmp_path: Path) -> None:
    info = materialize(from_arrays({"x_test": np.ones((3, 1))}), tmp_path)
    with pytest.raises(WorkbenchError, match="the dataset has no train split"):
        open_split(tmp_path / info.sha256, "train")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    info = materialize(from_arrays(arrays()), tmp_path)
    (tmp_path / info.sha256).rename(tmp_path / "away")
    (tmp_path / info.sha256).symlink_to(tmp_path / "nowhere")  # renaming a folder onto a link fails
    with pytest.raises(WorkbenchError, match="cannot be written into"):
        materialize(from_arrays(arrays()), tmp_path)
    assert not list(tmp_path.glob("partial-*"))


# ---- does the model fit


def signature(
    inputs: dict[str, tuple[int | None, ...]], outputs: tuple[tuple[int | None, ...], ...] = ((None, 3),)
) -> Signature:
    return Signature(
        inputs=tuple(TensorInfo(name=n, shape=(None, *s), dtype="float32") for n, s in inputs.items()),
        outputs=tuple(TensorInfo(name=f"out{i}", shape=s, dtype="float32") for i, s in enumerate(outputs)),
    )


def info_of(inputs: dict[str, tuple[int, ...]], class_names: tuple[str, ...] = ()) -> DatasetInfo:
    return DatasetInfo(
        name="d", sha256="0" * 64, splits={"test": 1}, inputs=inputs, labels="class", class_names=class_names
    )


@pytest.mark.parametrize(
    ("inputs", "model"),
    [
        ({"": (8, 8, 1)}, {"image": (8, 8, 1)}),
        ({"": (8, 8, 1)}, {"image": (None, None, 1)}),
        ({"image": (8, 8, 1)}, {"image": (8, 8, 1)}),
        ({"b": (2,), "a": (3,)}, {"a": (3,), "b": (2,)}),
        ({"": ()}, {"scalar": ()}),
    ],
)
def test_datasets_that_fit(inputs: dict[str, tuple[int, ...]], model: dict[str, tuple[int | None, ...]]) -> None:
    check_fit(info_of(inputs, ("a", "b", "c")), signature(model))


@pytest.mark.parametrize(
    ("inputs", "model", "said"),
    [
        ({"": (8, 8, 3)}, {"image": (8, 8, 1)}, ["shape (8, 8, 3)", "'image' takes (8, 8, 1)", "Reshape or resize"]),
        ({"": (8, 8)}, {"image": (8, 8, 1)}, ["shape (8, 8)", "takes (8, 8, 1)"]),
        ({"": (8, 7, 1)}, {"image": (None, 8, 1)}, ["shape (8, 7, 1)"]),
        ({"picture": (8, 8, 1)}, {"image": (8, 8, 1)}, ["has inputs picture; the model takes image"]),
        ({"a": (1,)}, {"a": (1,), "b": (1,)}, ["has inputs a; the model takes a, b"]),
        ({"": (1,)}, {"a": (1,), "b": (1,)}, ["takes 2 inputs (a, b)", "dict of arrays"]),
        ({"a": (1,), "b": (2,)}, {"a": (1,), "b": (1,)}, ["'b' takes (1,)"]),
    ],
)
def test_datasets_that_do_not_fit(
    inputs: dict[str, tuple[int, ...]], model: dict[str, tuple[int | None, ...]], said: list[str]
) -> None:
    with pytest.raises(WorkbenchError) as caught:
        check_fit(info_of(inputs), signature(model))
    assert all(part in str(caught.value) for part in said), str(caught.value)


def test_more_classes_than_outputs_do_not_fit() -> None:
    names = ("a", "b", "c", "d")
    with pytest.raises(WorkbenchError, match="'d' has 4 classes, but the model's output 'out0' has 3"):
        check_fit(info_of({"": (1,)}, names), signature({"x": (1,)}))
    check_fit(info_of({"": (1,)}, names[:2]), signature({"x": (1,)}, ((None, 1),)))
    check_fit(info_of({"": (1,)}, names), signature({"x": (1,)}, ((),)))


def test_a_split_knows_its_length() -> None:
    assert len(Split({"a": np.zeros((3, 1)), "b": np.zeros(3)})) == 3
    assert len(Split(np.zeros((2, 5)))) == 2


@pytest.mark.parametrize("text", ["", " ", "folder:", "digits:", "?size=8x8", "digits:x", "digits:/tmp", "fashion:x"])
def test_a_dataset_without_a_path_is_not_the_current_folder(text: str) -> None:
    with pytest.raises(WorkbenchError, match=r"names no file or folder|is a name with no path"):
        load_dataset(text)

"""TFRecord files with a description of their features, against TensorFlow's own writer and the values that were written."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from workbench.batches.content import data_sha256
from workbench.data.dataset import Dataset
from workbench.data.load import load_dataset
from workbench.errors import WorkbenchError

IMAGES = "features: {image: {encoding: image}, label: {dtype: int64}}\ninputs: image\nlabels: label\n"
NUMBERS = "features: {v: {shape: [3]}, label: {dtype: int64}}\ninputs: v\nlabels: label\n"


def feature(value: Any) -> Any:
    import tensorflow as tf

    train = tf.train
    values = value if isinstance(value, list) else [value]
    if isinstance(values[0], bytes):
        return train.Feature(bytes_list=train.BytesList(value=values))
    if isinstance(values[0], float):
        return train.Feature(float_list=train.FloatList(value=values))
    return train.Feature(int64_list=train.Int64List(value=values))


def write(path: Path, rows: list[dict[str, Any]], packed: str = "") -> Path:
    import tensorflow as tf

    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path), packed) as writer:
        for row in rows:
            features = tf.train.Features(feature={k: feature(v) for k, v in row.items()})
            writer.write(tf.train.Example(features=features).SerializeToString())
    return path


def png(value: int, size: tuple[int, int] = (5, 5), form: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (value, value, value)).save(file, form)
    return file.getvalue()


def rows(begin: int, end: int) -> list[dict[str, Any]]:
    """Rows of every kind of feature, each of which tells the row."""
    words = [b"cat", "s\u00f8k\u00f8".encode(), b"dog"]
    return [
        {"image": png(n, (4 + n % 3, 5), "BMP" if n % 2 else "PNG"), "v": [n + 0.5, float(-n), 1.0], "label": n % 3, "word": words[n % 3],
         "raw": np.full((2, 3), n, "<u2").tobytes(), "ints": [n, -n]}
        for n in range(begin, end)
    ]  # fmt: skip


def described(folder: Path, text: str, name: str = "features.yaml") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return folder


def numbers_of(data: Dataset) -> list[float]:
    """The numbers of all rows, told by their first values."""
    return sorted(float(v) for split in data.splits().values() for v in np.asarray(split.inputs[""]).reshape(len(split), -1)[:, 0])  # fmt: skip


# ---- files


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("a.tfrecord", "a.tfrecord"),
        ("a.tfrecords", ""),
        ("a.tfrecord-00000-of-00001", ""),
        ("pets.tfrecord-00000-of-00001", "*.tfrecord*"),
        ("a.tfrecord.gz", ""),
    ],
)
def test_files_are_found_by_name_pattern_and_folder(tmp_path: Path, name: str, asked: str) -> None:
    write(described(tmp_path / "f", NUMBERS) / name, rows(0, 12), "GZIP" if name.endswith("gz") else "")
    found = load_dataset(str(tmp_path / "f" / asked))
    assert numbers_of(found) == [n + 0.5 for n in range(12)]
    assert len(found.test) == 3


def test_several_shards_are_one_set(tmp_path: Path) -> None:
    folder = described(tmp_path / "f", NUMBERS)
    for n in range(3):
        write(folder / f"part-{n}.tfrecord", rows(4 * n, 4 * n + 4))
    found = load_dataset(f"{folder}?test=0.5")
    assert numbers_of(found) == [n + 0.5 for n in range(12)]
    assert len(found.test) == 6
    other = load_dataset(f"{folder}?test=0.5&seed=1")
    assert np.asarray(other.test.x).tolist() != np.asarray(found.test.x).tolist()
    np.testing.assert_array_equal(
        found.test.y, (np.asarray(found.test.x)[:, 0] - 0.5) % 3
    )  # labels stay with their samples


@pytest.mark.parametrize(
    ("train", "test", "left"),
    [
        ("train-0.tfrecord", "test-0.tfrecord", "validation-0.tfrecord"),
        ("pets-train.tfrecord-00000-of-00001", "pets-validation.tfrecord-00000-of-00001", ""),
        ("train/a.tfrecord", "val/a.tfrecord", ""),
        ("train/a.tfrecord", "test/a.tfrecord", "val/a.tfrecord"),
    ],
)
def test_splits_by_names(tmp_path: Path, train: str, test: str, left: str) -> None:
    folder = described(tmp_path / "f", NUMBERS)
    for name, begin in ((train, 0), (test, 100), (left, 200)):
        if name:
            write(folder / name, rows(begin, begin + 4))
    found = load_dataset(str(folder))
    assert found.train is not None
    assert np.asarray(found.train.x)[:, 0].tolist() == [0.5, 1.5, 2.5, 3.5]
    assert np.asarray(found.test.x)[:, 0].tolist() == [100.5, 101.5, 102.5, 103.5]
    assert bool(found.notes) is bool(left)


# ---- features


def test_every_kind_of_feature(tmp_path: Path) -> None:
    text = """
    features:
      image: {encoding: image}
      v: {shape: [3]}
      raw: {encoding: raw, dtype: uint16, shape: [2, 3]}
      ints: {dtype: int32, shape: [2]}
      label: {dtype: int64}
      word: {dtype: string}
    inputs: {picture: image, vector: v, mask: raw, pair: ints}
    labels: {kind: label, name: word}
    """
    write(described(tmp_path / "f", text) / "a.tfrecord", rows(0, 30))
    found = load_dataset(f"{tmp_path / 'f'}?size=3x4&scale=0..255&color=gray")
    for split in found.splits().values():
        at = split.inputs["vector"][:, 0] - 0.5
        np.testing.assert_array_equal(split.inputs["vector"][:, 1], -at)
        np.testing.assert_allclose(split.inputs["picture"], np.broadcast_to(at[:, None, None, None], (len(at), 3, 4, 1)), atol=1e-4)  # fmt: skip
        np.testing.assert_array_equal(split.inputs["mask"], np.broadcast_to(at[:, None, None], (len(at), 2, 3)))
        np.testing.assert_array_equal(split.inputs["pair"], np.stack([at, -at], 1))
        assert [split.inputs[n].dtype for n in ("picture", "vector", "mask", "pair")] == ["float32", "float32", "uint16", "int32"]  # fmt: skip
        np.testing.assert_array_equal(split.targets["kind"], at % 3)
        words = sorted(["cat", "s\u00f8k\u00f8", "dog"])
        np.testing.assert_array_equal(split.targets["name"], [words.index(["cat", "s\u00f8k\u00f8", "dog"][int(n) % 3]) for n in at])  # fmt: skip


def test_words_are_classes_and_images_take_the_models_size(tmp_path: Path) -> None:
    text = '{"features": {"image": {"encoding": "image"}, "word": {"dtype": "string"}}, "inputs": "image", "labels": "word"}'
    write(described(tmp_path / "f", text, "features.json") / "a.tfrecord", rows(0, 9))
    found = load_dataset(str(tmp_path / "f"), (None, 7, 6, 1))
    assert found.class_names == ("cat", "dog", "s\u00f8k\u00f8")
    assert found.test.inputs[""].shape[1:] == (7, 6, 1)


def test_labels_may_be_left_out(tmp_path: Path) -> None:
    write(described(tmp_path / "f", "features: {v: {shape: [3]}}\ninputs: [v]") / "a.tfrecord", rows(0, 9))
    found = load_dataset(str(tmp_path / "f"))
    assert list(found.test.inputs) == ["v"]
    assert found.test.y is None


def test_a_description_elsewhere_counts_for_what_is_read(tmp_path: Path) -> None:
    write(tmp_path / "f" / "a.tfrecord", rows(0, 9))
    described(tmp_path, NUMBERS, "mine.yaml")
    told = f"{tmp_path / 'f'}?features={tmp_path / 'mine.yaml'}"
    assert numbers_of(load_dataset(told)) == [n + 0.5 for n in range(9)]
    before = data_sha256(told)
    described(tmp_path, NUMBERS + "\n", "mine.yaml")
    assert data_sha256(told) != before


# ---- what is wrong


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("features: [1", "cannot be read"),
        ("just words", "Expected e.g. features"),
        ("features: {}\ninputs: v", "features = {}"),
        ("features: {v: {shape: [3]}}\ninputs: w", r"unknown feature in description .*'w'"),
        ("features: {v: {shape: [3], kind: x}}\ninputs: v", "kind"),
        ("features: {v: {dtype: complex64}}\ninputs: v", "complex64"),
        ("features: {v: {shape: [0]}}\ninputs: v", r"shape \[0\]. Allowed: sizes from 1"),
        ("features: {word: {dtype: string}}\ninputs: word", "is a word. Allowed"),
        ("features: {word: {dtype: string, shape: [1]}}\ninputs: word", "no shape"),
        ("features: {v: {}}\ninputs: []", "names no inputs"),
        (
            "features: {v: {shape: [3]}, image: {encoding: image}}\ninputs: v\nlabels: image",
            "Write masks as encoding: raw",
        ),
        ("!!python/object/apply:os.system [ls]", "line 1 has an alias or a tag"),
        ("a: &a [x, x]\nb: &b [*a, *a]\nfeatures: *b\ninputs: v", "line 2 has an alias or a tag"),
        ("[" * 5000, "cannot be read"),
    ],
)
def test_mistakes_in_a_description(tmp_path: Path, text: str, said: str) -> None:
    write(described(tmp_path / "f", text) / "a.tfrecord", rows(0, 1))
    with pytest.raises(WorkbenchError, match=said):
        load_dataset(f"{tmp_path / 'f'}?size=4x4")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (NUMBERS.replace("[3]", "[4]"), r"record 0 of '.*a\.tfrecord' cannot be read: it does not fit its description"),
        (NUMBERS.replace("v:", "w:").replace("inputs: v", "inputs: w"), "w"),
        (
            "features: {raw: {encoding: raw, dtype: uint8, shape: [2, 3]}}\ninputs: raw",
            r"has 12 bytes, but \[2, 3\] of uint8 has 6",
        ),
        ("features: {raw: {encoding: image}}\ninputs: raw", "holds no image"),
    ],
)
def test_records_that_are_not_as_described(tmp_path: Path, text: str, said: str) -> None:
    write(described(tmp_path / "f", text) / "a.tfrecord", rows(0, 7))
    with pytest.raises(WorkbenchError, match=said) as caught:
        load_dataset(f"{tmp_path / 'f'}?size=4x4")
    assert "7 of 7 records cannot be read" in str(caught.value)
    assert "And 2 more" in str(caught.value)


def test_without_a_description_the_first_record_is_shown(tmp_path: Path) -> None:
    write(tmp_path / "a.tfrecord", rows(0, 2))
    with pytest.raises(WorkbenchError, match=r"no description.*'label' \(int64 x 1\).*'v' \(float x 3\)"):
        load_dataset(tmp_path / "a.tfrecord")
    with pytest.raises(WorkbenchError, match="there is no such file"):
        load_dataset(tmp_path / "b.tfrecord")


def flip(data: bytes) -> bytes:
    """A bit of the fifth record's content is another."""
    at = len(data) * 4 // 9 + 40
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("damage", [flip, lambda data: data[: len(data) * 2 // 3], lambda data: data[:-3]])
def test_damaged_files_are_named_or_left_out(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    folder = described(tmp_path / "f", NUMBERS)
    path = write(folder / "train-0.tfrecord", rows(0, 9))
    write(folder / "test-0.tfrecord", rows(100, 104))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(WorkbenchError, match=r"record \d of '.*train-0\.tfrecord' cannot be read.*corrupt=skip"):
        load_dataset(str(folder))
    found = load_dataset(f"{folder}?corrupt=skip")
    assert found.train is not None
    assert 0 < len(found.train) < 9
    assert "left out" in found.notes[0]
    assert len(found.test) == 4


def test_images_that_cannot_be_read_are_left_out_alone(tmp_path: Path) -> None:
    made = rows(0, 20)
    made[3]["image"], made[7]["image"] = b"no image", made[7]["image"][:40]
    write(described(tmp_path / "f", IMAGES) / "a.tfrecord", made)
    with pytest.raises(WorkbenchError, match=r"2 of 20 records cannot be read\. record 3 of .*record 7 of"):
        load_dataset(f"{tmp_path / 'f'}?size=4x4")
    found = load_dataset(f"{tmp_path / 'f'}?size=4x4&corrupt=skip&scale=0..255")
    assert [round(n) for n in numbers_of(found)] == [n for n in range(20) if n not in (3, 7)]

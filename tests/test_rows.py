"""Data larger than memory: arrays in files read in pieces, the same content and hash as in memory, and what processes hold."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workbench
from workbench.data import materialize as stored
from workbench.data import npz, pieces
from workbench.data.dataset import Dataset, Split, from_arrays
from workbench.data.load import load_dataset
from workbench.data.materialize import dataset_sha256, materialize, open_split
from workbench.data.pieces import Known, Pieces, collect
from workbench.data.rows import Rows, open_npy
from workbench.errors import WorkbenchError
from workbench.evaluate.run import run_all

DRAW = np.random.default_rng(3)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever has more than a few kilobytes is too much for memory."""
    for module in (pieces, stored, npz):
        monkeypatch.setattr(module, "HELD", 4000)
        monkeypatch.setattr(module, "PIECE", 500)


# ---- rows of a file are the array


@pytest.mark.parametrize("dtype", ["float32", "uint8", "int64", "bool", ">f4", "float16"])
@pytest.mark.parametrize("shape", [(7,), (7, 3), (7, 2, 3), (0, 4)])
def test_rows_are_the_array(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    array = (DRAW.random(shape) * 9).astype(dtype)
    np.save(tmp_path / "a.npy", array)
    rows = open_npy(tmp_path / "a.npy")
    assert (rows.shape, rows.dtype, rows.ndim, rows.size, rows.nbytes, len(rows)) == (
        array.shape, array.dtype, array.ndim, array.size, array.nbytes, len(array)
    )  # fmt: skip
    indexes: list[Any] = [slice(None), slice(2, 5), slice(None, None, 2), slice(None, None, -1), slice(50, 60), [], array.ravel()[:0].astype(int)]  # fmt: skip
    if len(array):
        indexes += [0, -1, np.int64(3), [5, 1, 1, 2], np.array([3, 4, 5, 0]), np.arange(7) % 2 == 0, [-1, 0]]
    for index in indexes:
        want = array[np.asarray(index, int)] if isinstance(index, list) else array[index]
        np.testing.assert_array_equal(rows[index], want, err_msg=str(index))
        assert rows[index].dtype == want.dtype
    np.testing.assert_array_equal(np.asarray(rows), array)
    np.testing.assert_array_equal(list(rows), list(array))
    if array.size:
        assert (rows.min(), rows.max()) == (array.min(), array.max())
        chosen = rows.choose(np.array([4, 2, 6]))
        np.testing.assert_array_equal(chosen[:], array[[4, 2, 6]])
        np.testing.assert_array_equal(chosen.choose(np.array([2, 0]))[1:], array[[4]])
        with pytest.raises(IndexError):
            rows[7]


def test_a_file_that_is_cut_off_is_no_array(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((9, 9)))
    rows = open_npy(tmp_path / "a.npy")
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:300])
    with pytest.raises(ValueError, match="row by row"):
        open_npy(tmp_path / "a.npy")
    with pytest.raises(OSError, match="ends before row 9"):
        rows[8]


# ---- the same data in memory and in files


def independent_sha256(data: Dataset) -> str:
    """The hash as stores have known it since the first layout: all arrays whole."""
    hasher = hashlib.sha256()
    for name, split in data.splits().items():
        arrays = {f"x.{k}": v for k, v in split.inputs.items()}
        arrays |= {f"y.{k}" if k else "y": v for k, v in sorted(split.targets.items())}
        for key, values in arrays.items():
            array = np.asarray(values)
            hasher.update(f"{name}.{key}:{array.dtype}:{array.shape}\0".encode() + array.tobytes())
    hasher.update("\0".join(data.class_names).encode())
    return hasher.hexdigest()


def image_folder(root: Path) -> str:
    from PIL import Image

    for part in ("train", "test"):
        for name in ("cat", "dog"):
            (root / part / name).mkdir(parents=True)
            for n in range(4):
                Image.fromarray(DRAW.integers(0, 255, (9, 8, 3), np.uint8)).save(root / part / name / f"{n}.png")
    return f"{root}?size=12x12"


def archive(root: Path) -> str:
    root.mkdir()
    np.savez_compressed(root / "a.npz", x=DRAW.random((80, 20), dtype=np.float32), y=np.array(list("abcd") * 20))
    return str(root / "a.npz")


def archive_of_two(root: Path) -> str:
    root.mkdir()
    x = {f"x_{s}.{n}": DRAW.integers(0, 9, (60, 4 * k, 2), np.uint8) for s in ("train", "test") for k, n in ((3, "a"), (5, "b"))}  # fmt: skip
    masks = {f"y_{s}": DRAW.integers(0, 3, (60, 8, 8), np.uint8) for s in ("train", "test")}
    np.savez(root / "b.npz", **x, **masks)  # type: ignore[arg-type]
    return str(root / "b.npz")


@pytest.mark.parametrize("make", [image_folder, archive, archive_of_two])
def test_in_files_it_is_the_same_data(tmp_path: Path, make: Any, request: pytest.FixtureRequest) -> None:
    text = make(tmp_path / "source")
    held = load_dataset(text)
    request.getfixturevalue("small")
    scratch = tmp_path / "store" / "data"
    found = load_dataset(text, scratch=scratch)
    assert any(isinstance(v, Rows) for v in found.test.inputs.values())
    assert not any(isinstance(v, Rows) for v in held.test.inputs.values())
    assert dataset_sha256(found) == dataset_sha256(held) == independent_sha256(held) == independent_sha256(found)
    assert (found.notes, found.class_names, found.label_infos) == (held.notes, held.class_names, held.label_infos)
    info = materialize(found, scratch)
    assert info.model_copy(update={"inputs": {}}) == materialize(held, tmp_path / "other").model_copy(
        update={"inputs": {}}
    )
    assert sorted(p.name for p in (tmp_path / "other" / info.sha256).iterdir()) == sorted(p.name for p in (scratch / info.sha256).iterdir())  # fmt: skip
    for path in (scratch / info.sha256).iterdir():
        assert path.read_bytes() == (tmp_path / "other" / info.sha256 / path.name).read_bytes()
    again = open_split(scratch / info.sha256, "train")
    assert any(isinstance(v, Rows) for v in again.inputs.values())
    assert held.train is not None
    for name, values in held.train.inputs.items():
        np.testing.assert_array_equal(again.inputs[name], values)
    del found, again
    assert [p.name for p in scratch.iterdir()] == [info.sha256]  # the files went with the arrays


def test_pieces_of_any_kind_are_put_together(tmp_path: Path, small: None) -> None:
    x, y = DRAW.random((90, 30)), [f"class {n % 3}" for n in range(90)]

    def each() -> Iterator[tuple[str, Split]]:
        for n in range(0, 90, 7):
            yield ("test" if n % 2 else "train"), Split({"a": x[n : n + 7], "b": x[n : n + 7, :1]}, np.array(y[n : n + 7]))  # fmt: skip

    data = collect(Pieces("d", each(), lambda: Known((), ("a note",))), tmp_path)
    assert data.notes == ("a note",)
    assert data.class_names == ("class 0", "class 1", "class 2")
    at = np.arange(90) // 7 % 2 == 1
    np.testing.assert_array_equal(data.test.inputs["a"], x[at])
    np.testing.assert_array_equal(data.test.y, np.arange(90)[at] % 3)
    assert isinstance(data.test.inputs["a"], Rows)


@pytest.mark.parametrize("other", [np.zeros((1, 3)), np.zeros((1, 2), np.float32)])
def test_pieces_that_do_not_fit_together(other: Any) -> None:
    parts = iter([("test", Split(np.zeros((1, 2)))), ("test", Split(other))])
    with pytest.raises(WorkbenchError, match="Expected the same of all"):
        collect(Pieces("d", parts))


def test_no_room_is_told(tmp_path: Path, small: None) -> None:
    parts = iter([("test", Split(np.zeros((1000, 2))))])
    with pytest.raises(WorkbenchError, match=r"do not fit into .*: about 1,000,000\.0 GB are needed, but"):
        collect(Pieces("d", parts, expected=10**15), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_values_that_are_not_finite_are_seen_in_files_too(tmp_path: Path, small: None) -> None:
    x = np.zeros((2000, 3))
    x[1990, 1] = np.nan
    with pytest.raises(WorkbenchError, match="not finite"):
        collect(Pieces("d", iter([("test", Split(x))])), tmp_path)


def test_one_hot_rows_in_a_file_are_classes(tmp_path: Path, small: None) -> None:
    data = collect(Pieces("d", iter([("test", Split(np.zeros((900, 2)), np.eye(9)[np.arange(900) % 9]))])), tmp_path)
    np.testing.assert_array_equal(data.test.y, np.arange(900) % 9)


# ---- who works with rows


def rows_of(array: Any, path: Path) -> Rows:
    np.save(path, array)
    return open_npy(path)


@pytest.mark.parametrize("several", [False, True])
def test_training_on_rows_learns_as_on_arrays(tmp_path: Path, several: bool) -> None:
    import tf_keras

    from workbench.techniques import training
    from workbench.values.settings import Train
    from workbench.values.task import TaskSpec

    x = DRAW.normal(size=(300, 4)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int64)
    losses = []
    for kind in ("arrays", "rows"):
        tf_keras.utils.set_random_seed(0)
        inputs = {n: tf_keras.layers.Input((4,), name=n) for n in (("a", "b") if several else ("a",))}
        joined = tf_keras.layers.Add()(list(inputs.values())) if several else inputs["a"]
        ends = [tf_keras.layers.Dense(2, activation="softmax", name="kind")(joined)]
        ends += [tf_keras.layers.Dense(1, name="kept")(joined)] if several else []
        model = tf_keras.Model(inputs if several else inputs["a"], ends)
        given = rows_of(x, tmp_path / "x.npy") if kind == "rows" else x
        samples = {"a": given, "b": given} if several else given
        train = Train(epochs=8, batch_size=32, learning_rate=0.02)
        tasks = {n: TaskSpec(name="classification" if n == "kind" else "none", options={}) for n in model.output_names}
        before = model.predict({"a": x, "b": x} if several else x, verbose=0)
        goals = training.goals(model, samples, {"kind": y}, tasks)
        training.fit(model, samples, goals, train, 0.01, [])
        after = model.predict({"a": x, "b": x} if several else x, verbose=0)
        first, last = (before[0], after[0]) if several else (before, after)
        assert (last.argmax(1) == y).mean() > 0.9 > (first.argmax(1) == y).mean()
        losses.append(-np.log(last[np.arange(300), y]).mean())
        if several:
            assert np.corrcoef(before[1].ravel(), after[1].ravel())[0, 1] > 0.99
    assert losses[1] == pytest.approx(losses[0], rel=0.15)  # only the order of samples differs


def test_every_sample_is_in_every_pass_once(tmp_path: Path) -> None:
    from workbench.techniques.batches import batches

    made = batches(rows_of(np.arange(50), tmp_path / "x.npy"), None, 16, seed=1)
    passes = []
    for _ in range(2):
        passes.append(np.concatenate([made[n] for n in range(len(made))]))
        made.on_epoch_end()
    assert [sorted(p.tolist()) for p in passes] == [list(range(50))] * 2
    assert passes[0].tolist() != passes[1].tolist()


def test_a_file_gives_on_rows_what_it_gives_on_arrays(tmp_path: Path) -> None:
    from workbench.data.load import bundled
    from workbench.sources.load import convert_float, load_keras, save_ordinary

    model = load_keras(bundled("digits_small.h5"))
    save_ordinary(model, tmp_path / "saved")
    (tmp_path / "m.tflite").write_bytes(convert_float(tmp_path / "saved", ""))
    x = workbench.load_dataset("digits").test.inputs[""][:70]
    there, _ = run_all(tmp_path / "m.tflite", {"": x})
    here, _ = run_all(tmp_path / "m.tflite", {"": rows_of(x, tmp_path / "x.npy")})
    for name in there:
        np.testing.assert_array_equal(here[name], there[name])


# ---- what processes hold

# Data of 400 MB as it is read, stored, hashed and looked at; then what the process held at most beyond what it began with.
WORK = """
import resource, sys
import numpy as np
from pathlib import Path
from workbench.data.calibration import calibration_warnings
from workbench.data.dataset import Split
from workbench.data.materialize import materialize, open_split, stored_sha256
from workbench.data.pieces import Pieces, collect
from workbench.techniques.batches import batches
root = Path(sys.argv[1])
draw = np.random.default_rng(0)
part = draw.random((64, 128, 128, 3), dtype=np.float32)
each = (("test" if n % 4 == 0 else "train", Split(part, np.arange(64) % 5)) for n in range(32))
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
begin = peak()
data = collect(Pieces("d", each), root)
info = materialize(data, root)
del data
calibration_warnings(root / info.sha256, info, 50)
assert stored_sha256(root / info.sha256, info.inputs, ()) == info.sha256
train = open_split(root / info.sha256, "train")
for batch in range(len(made := batches(train.x, train.y, 64, 0))):
    made[batch]
print(sum(f.stat().st_size for f in (root / info.sha256).iterdir()), peak() - begin)
"""


def test_a_process_holds_a_small_part_of_large_data(tmp_path: Path) -> None:
    ran = subprocess.run([sys.executable, "-c", WORK, str(tmp_path)], capture_output=True, text=True, check=True)
    size, grown = map(int, ran.stdout.split())
    assert size > 400e6
    assert grown < 0.75 * size


@pytest.mark.slow
def test_large_data_sweeps(tmp_path: Path) -> None:
    """More than is held in memory in the train split alone: trained, calibrated, evaluated and measured from files."""
    import tf_keras

    x = tf_keras.layers.Input((128, 128, 4), name="image")
    flat = tf_keras.layers.Flatten()(tf_keras.layers.AveragePooling2D(32)(x))
    made = tf_keras.Model(x, tf_keras.layers.Dense(2, activation="softmax")(flat))
    made.save(tmp_path / "m.h5", include_optimizer=False)
    shades = np.linspace(-0.3, 0.3, 8, dtype=np.float32)

    def each() -> Iterator[tuple[str, Split]]:
        for n in range(150):
            noise = DRAW.random((8, 128, 128, 4), dtype=np.float32) * 0.2 - 0.1
            yield ("test" if n % 10 == 0 else "train"), Split(noise + shades[:, None, None, None], np.arange(8) // 4)

    data = collect(Pieces("shades", each()), tmp_path / "data")
    grid = {
        "recipes": ["prune:0.5+int8"],
        "train": {"epochs": 2, "learning_rate": 0.03, "batch_size": 16},
        "measure": {"skip": True},
    }
    study = workbench.sweep(tmp_path / "m.h5", data, grid, store=tmp_path / "store", jobs=1)
    assert isinstance(open_split(tmp_path / "store" / "data" / study.record.dataset.sha256, "train").x, Rows)
    assert [t.state for t in study.trials] == ["ok", "ok"]
    trial = study.trial("prune:0.5+int8")
    assert trial.quality is not None
    assert trial.quality.samples == 120
    assert trial.quality.accuracy is not None
    assert trial.quality.accuracy > 0.9  # it learned from what it read
    assert trial.census is not None
    assert trial.census.sparsity >= 0.5


def test_arrays_given_at_once_keep_their_hash() -> None:
    arrays = {"x_train": DRAW.random((20, 3)), "y_train": np.arange(20) % 2, "x_test": DRAW.random((9, 3)), "y_test": np.arange(9) % 2}  # fmt: skip
    data = from_arrays(arrays)
    assert dataset_sha256(data) == independent_sha256(data)

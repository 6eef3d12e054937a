"""Sweeps from every kind of model source and of data, held against Keras and a plain interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flatfile
import numpy as np
import pytest
from running import MODEL, environment, run, show, stage_rows

import workbench
from workbench.engine.engine import Engine
from workbench.errors import Cancelled
from workbench.evaluate.run import run_all
from workbench.study import Study
from workbench.values.recipe import SCHEMES
from workbench.values.trial import Trial

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]
Array = np.ndarray[Any, Any]
TWO: dict[str, Any] = {"quantize": ["float32", "int8"], "measure": {"skip": True}}


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """Workers that all sweeps of this file share."""
    with Engine(jobs=2) as made:
        yield made


@pytest.fixture(scope="module")
def arrays(small_keras_model: Any, small_images: Array) -> dict[str, Array]:
    """Images whose labels are mostly what the small model says, so that its accuracy is neither 0 nor 1."""
    said = small_keras_model.predict(small_images, verbose=0).argmax(axis=1)
    labels = np.where(np.arange(len(said)) % 10 == 0, (said + 1) % 6, said)
    return {"x_train": small_images[:60], "y_train": labels[:60], "x_test": small_images[60:], "y_test": labels[60:]}


@pytest.fixture(scope="module")
def sources(
    small_keras_model: Any, small_h5: Path, small_tflite: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("sources")
    small_keras_model.save(folder / "saved", save_format="tf")
    small_keras_model.save(folder / "small.keras")
    return {
        "savedmodel": folder / "saved",
        "keras": folder / "small.keras",
        "h5": small_h5,
        "tflite": small_tflite,
        "object": small_keras_model,
    }


def path_of(trial: Trial) -> Path:
    assert trial.artifact is not None, trial.error
    return Path(trial.artifact.path)


def by_recipe(study: Study) -> dict[str, Trial]:
    return {t.recipe: t for t in study.trials}


def assert_true(trial: Trial, x: Array, y: Array) -> None:
    """Hold that a trial is ok and its stored accuracy is what a plain interpreter gives."""
    assert trial.state == "ok", trial.error
    assert trial.quality is not None
    assert trial.quality.accuracy == (flatfile.labels(path_of(trial), x) == y).mean()


def noise(trial: Trial, output: str | None = None) -> float:
    """Return the signal-to-noise ratio of a trial, or of one of its outputs, in decibel."""
    assert trial.quality is not None
    found = trial.quality.outputs[output]["sqnr_db"] if output else trial.quality.sqnr_db
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("kind", "conversion"),
    [("savedmodel", "frozen"), ("keras", "frozen"), ("h5", "frozen"), ("object", "frozen"), ("tflite", "imported")],
)
def test_every_source_gives_the_models_own_outputs(
    kind: str,
    conversion: str,
    sources: dict[str, Any],
    arrays: dict[str, Array],
    small_keras_model: Any,
    engine: Engine,
    tmp_path: Path,
) -> None:
    study = workbench.sweep(sources[kind], arrays, TWO, store=tmp_path / "store", engine=engine)
    trials = by_recipe(study)
    assert set(trials) == {"float32", "int8"}
    for trial in trials.values():
        assert_true(trial, arrays["x_test"], arrays["y_test"])
        assert trial.conversion == conversion
        assert not [w for w in trial.warnings if w.kind == "slow-conversion"]
    expected = small_keras_model.predict(arrays["x_test"], verbose=0)
    np.testing.assert_allclose(flatfile.scores(path_of(trials["float32"]), arrays["x_test"]), expected, atol=1e-5)
    quality = trials["int8"].quality
    assert quality is not None
    assert quality.agreement is not None
    assert quality.agreement >= 0.9
    assert noise(trials["int8"]) > 20
    assert study.record.signature.inputs[0].shape == (None, 8, 8, 1)


def test_arrays_an_npz_and_folders_of_images_are_the_same_data(
    small_tflite: Path, arrays: dict[str, Array], engine: Engine, tmp_path: Path
) -> None:
    """Values are multiples of 1/255, which an image holds exactly."""
    from PIL import Image

    pixels = {k: (v * 255).astype(np.uint8) for k, v in arrays.items() if k.startswith("x_")}
    order = {split: np.argsort(arrays[f"y_{split}"], kind="stable") for split in ("train", "test")}
    exact = {
        f"{a}_{s}": (pixels[f"x_{s}"].astype(np.float32) / np.float32(255) if a == "x" else arrays[f"y_{s}"])[order[s]]
        for a in "xy"
        for s in order
    }
    np.savez(tmp_path / "exact.npz", **exact)  # type: ignore[arg-type]  # the names are no options
    for split, indices in order.items():
        for label in range(6):
            (tmp_path / "images" / split / f"class{label}").mkdir(parents=True)
        for number, i in enumerate(indices):
            Image.fromarray(pixels[f"x_{split}"][i, :, :, 0]).save(
                tmp_path / "images" / split / f"class{arrays[f'y_{split}'][i]}" / f"{number:03}.png"
            )
    found = {}
    for name, data in (
        ("arrays", exact),
        ("npz", tmp_path / "exact.npz"),
        ("images", f"{tmp_path / 'images'}?scale=0..1"),
    ):
        study = workbench.sweep(small_tflite, data, TWO, study=name, store=tmp_path / "store", engine=engine)
        assert len(study.trials) == 2
        for trial in study.trials:
            assert_true(trial, exact["x_test"], exact["y_test"])
        found[name] = [(t.artifact and t.artifact.sha256, t.quality and t.quality.accuracy) for t in study.trials]
    assert found["arrays"] == found["npz"] == found["images"]
    assert workbench.open_study("images", tmp_path / "store").record.dataset.class_names == tuple(
        f"class{n}" for n in range(6)
    )


def test_both_engines_agree(engine: Engine, tmp_path: Path) -> None:
    grid = {
        "quantize": ["float32", "int8", "int8[engine=converter]", "dynamic", "dynamic[engine=converter]"],
        "measure": {"skip": True},
    }
    trials = by_recipe(workbench.sweep(MODEL, "digits", grid, store=tmp_path / "store", engine=engine))
    assert {t.state for t in trials.values()} == {"ok"}
    test = workbench.load_dataset("digits").test
    assert not isinstance(test.x, dict)
    assert test.y is not None
    for scheme in ("int8", "dynamic"):
        mine, theirs = trials[scheme], trials[f"{scheme}[engine=converter]"]
        assert mine.id != theirs.id
        assert path_of(mine).read_bytes() != path_of(theirs).read_bytes()
        sizes = [path_of(t).stat().st_size for t in (mine, theirs)]
        assert abs(sizes[0] - sizes[1]) <= 0.1 * max(sizes)
        accuracies = [float((flatfile.labels(path_of(t), test.x) == test.y).mean()) for t in (mine, theirs)]
        assert abs(accuracies[0] - accuracies[1]) <= 0.01
        assert [t.quality and t.quality.accuracy for t in (mine, theirs)] == accuracies
        assert noise(mine) >= noise(theirs) - 3


# Writes the name of every process that looks for TensorFlow.
WATCH = """
import os, sys

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "tensorflow":
            with open(os.environ["WATCH_FILE"], "a") as file:
                file.write(" ".join(sys.argv) + "\\n")

sys.meta_path.insert(0, Watch())
"""


@pytest.fixture(scope="module")
def watching(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that makes a process which imports TensorFlow write itself into the file named by WATCH_FILE."""
    folder = tmp_path_factory.mktemp("watch")
    (folder / "sitecustomize.py").write_text(WATCH)
    return folder


def test_a_tflite_source_takes_all_schemes_and_no_tensorflow(
    small_tflite: Path, arrays: dict[str, Array], watching: Path, tmp_path: Path
) -> None:
    np.savez(tmp_path / "data.npz", **arrays)  # type: ignore[arg-type]  # the names are no options
    env = environment(watching, WATCH_FILE=str(tmp_path / "imports.txt"))
    schemes = ",".join(SCHEMES)
    done = run(
        tmp_path,
        "sweep",
        small_tflite,
        "--data",
        "data.npz",
        "--quantize",
        schemes,
        "--measure-budget",
        "0.1",
        "--study",
        "all",
        "--store",
        "store",
        env=env,
    )
    trials = show(tmp_path, "all", tmp_path / "store")["trials"]
    assert {t["recipe"] for t in trials} == set(SCHEMES)
    assert len(SCHEMES) == 10
    for trial in trials:
        assert trial["state"] == "ok" or trial["error"], trial["recipe"]
        if trial["state"] == "ok":
            assert trial["conversion"] == "imported"
            assert (
                trial["quality"]["accuracy"]
                == (flatfile.labels(Path(trial["artifact"]["path"]), arrays["x_test"]) == arrays["y_test"]).mean()
            )
            assert trial["measurements"][0]["state"] == "ok" or trial["measurements"][0]["error"]
    failed = {t["recipe"]: t["error"] for t in trials if t["state"] != "ok"}
    assert set(failed) <= {"int4-block32"}
    assert all("not divisible by block size 32" in error for error in failed.values())
    assert done.returncode == (1 if failed else 0)
    assert not (tmp_path / "imports.txt").exists(), (tmp_path / "imports.txt").read_text()


# No `if __name__ == "__main__"`: a worker that ran the script again would start a sweep of its own.
SCRIPT = """
import numpy as np
import tf_keras

import workbench

with open("ran.txt", "a") as file:
    file.write("once\\n")
tf_keras.utils.set_random_seed(0)
image = tf_keras.layers.Input((4, 4, 1), name="image")
dense = tf_keras.layers.Dense(3, activation="softmax", name="scores")(tf_keras.layers.Flatten()(image))
model = tf_keras.Model(image, dense, name="unguarded")
draw = np.random.default_rng(0)
data = {"x_train": draw.random((40, 4, 4, 1), dtype=np.float32), "x_test": draw.random((20, 4, 4, 1), dtype=np.float32), "y_test": draw.integers(0, 3, 20)}
study = workbench.sweep(model, data, {"quantize": ["float32", "int8"]}, runtimes=["builtin"], store="store", study="script")
print(study, *(f"{t.recipe} {t.state} {len(t.measurements)}" for t in study.trials), sep="\\n")
"""


def test_a_script_needs_no_guard(watching: Path, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    env = environment(watching, WATCH_FILE=str(tmp_path / "imports.txt"))
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines() == ["<Study 'script': 2 trials, 2 ok, 0 failed>", "float32 ok 1", "int8 ok 1"]
    assert (tmp_path / "ran.txt").read_text() == "once\n"
    # The watch itself works: this script and the workers of a Keras model do import TensorFlow.
    imports = (tmp_path / "imports.txt").read_text().splitlines()
    assert "script.py" in imports
    assert [line for line in imports if line != "script.py"]


def test_a_sweep_in_the_background_stops_when_told(engine: Engine, tmp_path: Path) -> None:
    """The float model is done in a moment, the pruned one would train for an hour."""
    grid = {
        "prune": ["none", 0.5],
        "quantize": ["float32", "int8"],
        "train": {"epochs": 1000},
        "measure": {"skip": True},
    }
    study = workbench.sweep(MODEL, "digits", grid, study="stopped", store=tmp_path / "store", wait=False, engine=engine)
    # The call came back while there is an hour's work to do.
    assert study.running
    assert study.name == "stopped"
    while sum(t.state == "ok" for t in study.trials) < 2:
        assert study.running
        time.sleep(0.1)
    study.cancel()
    with pytest.raises(Cancelled):
        study.wait()  # the test's own time limit is a tenth of the training
    assert not study.running
    trials = by_recipe(study)
    assert {r: t.state for r, t in trials.items()} == {
        "float32": "ok",
        "int8": "ok",
        "prune:0.5+float32": "pending",
        "prune:0.5+int8": "pending",
    }
    stages = stage_rows(tmp_path / "store")
    assert stages
    # What was finished is found: the same without the pruned ones is there without a further stage.
    again = workbench.sweep(
        MODEL, "digits", {**grid, "prune": ["none"]}, study="stopped", store=tmp_path / "store", engine=engine
    )
    assert {r: by_recipe(again)[r] for r in ("float32", "int8")} == {r: trials[r] for r in ("float32", "int8")}
    assert stage_rows(tmp_path / "store") == stages
    # No worker goes on training what nobody waits for: each takes new work.
    pool = engine.pool()
    while len(pool.workers()) < 2:
        time.sleep(0.1)
    assert len({pool.submit(worker, f"pid-{worker}", os.getpid).result() for worker in pool.workers()}) == 2


def test_a_model_of_two_inputs_and_two_outputs(two_input_model: Any, engine: Engine, tmp_path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    draw = np.random.default_rng(4)
    x = {"zeta": draw.normal(size=(80, 4)).astype(np.float32), "alpha": draw.normal(size=(80, 2, 2)).astype(np.float32)}
    expected = dict(zip(two_input_model.output_names, two_input_model.predict(x, verbose=0), strict=True))
    labels = expected["second"].argmax(axis=1)
    labels[::5] = (labels[::5] + 1) % 3
    data = {
        "x_train": {k: v[:50] for k, v in x.items()},
        "x_test": {k: v[50:] for k, v in x.items()},
        "y_test": labels[50:],
    }
    grid = {**TWO, "quantize": ["float32", "int8", "int8[engine=converter]"]}
    trials = by_recipe(workbench.sweep(two_input_model, data, grid, store=tmp_path / "store", engine=engine))
    assert {r: (t.state, t.error) for r, t in trials.items()} == dict.fromkeys(grid["quantize"], ("ok", None))
    interpreter = Interpreter(model_path=str(path_of(trials["float32"])))
    runner = interpreter.get_signature_runner()
    for i in range(50, 80):
        for name, value in runner(**{k: v[i : i + 1] for k, v in x.items()}).items():
            np.testing.assert_allclose(value[0], expected[name][i], atol=1e-5)
    for trial in trials.values():
        assert trial.quality is not None
        assert set(trial.quality.outputs) == {"second", "first"}
    quality = trials["float32"].quality
    assert quality is not None
    # Labels belong to the model's first output, whatever order its file keeps them in.
    assert quality.accuracy == (expected["second"][50:].argmax(axis=1) == labels[50:]).mean()
    # A sample holds few values: ranges that are not those of all samples together would cut most of them off.
    for output in ("second", "first"):
        assert noise(trials["int8"], output) >= max(20, noise(trials["int8[engine=converter]"], output) - 3)


# ---- what cannot be frozen


@pytest.fixture(scope="module")
def sequences() -> dict[str, Array]:
    draw = np.random.default_rng(6)
    return {"x_train": draw.random((60, 8, 8), dtype=np.float32), "x_test": draw.random((30, 8, 8), dtype=np.float32)}


def assert_ordinary(trial: Trial, why: str) -> None:
    assert trial.state == "ok", trial.error
    assert trial.conversion == "ordinary"
    (said,) = [w.seen for w in trial.warnings if w.kind == "slow-conversion"]
    assert why in said
    assert said.endswith("the ordinary export was used")
    assert "\n" not in said
    assert not list(path_of(trial).parent.glob("partial-*")), "the export that was converted is no artifact"


def test_a_recurrent_model_takes_the_ordinary_way_and_says_so(
    sequences: dict[str, Array], engine: Engine, tmp_path: Path
) -> None:
    """The converter wants to know the batch of an LSTM."""
    import tf_keras

    tf_keras.utils.set_random_seed(2)
    steps = tf_keras.layers.Input((8, 8), name="steps")
    model = tf_keras.Model(
        steps,
        tf_keras.layers.Dense(6, activation="softmax", name="scores")(tf_keras.layers.LSTM(12)(steps)),
        name="recurrent",
    )
    trials = by_recipe(
        workbench.sweep(
            model,
            sequences,
            {"quantize": ["float32", "dynamic"], "measure": {"skip": True}},
            store=tmp_path / "store",
            engine=engine,
        )
    )
    for trial in trials.values():
        assert_ordinary(
            trial,
            "the frozen model did not convert (ConverterError: 'tf.TensorListReserve' op requires element_shape to be static",
        )
    expected = model.predict(sequences["x_test"], verbose=0)
    census = trials["float32"].census
    assert census is not None
    assert census.operators["UNIDIRECTIONAL_SEQUENCE_LSTM"] == 1
    # The operator keeps its state from call to call; neither a plain loop, nor evaluation, nor the export may mix samples.
    path = path_of(trials["float32"])
    np.testing.assert_allclose(flatfile.scores(path, sequences["x_test"]), expected, atol=1e-5)
    np.testing.assert_allclose(run_all(path, {"": sequences["x_test"]})[0]["scores"], expected, atol=1e-5)
    np.save(tmp_path / "steps.npy", sequences["x_test"])
    bundle = workbench.open_study("recurrent-arrays", tmp_path / "store").export("float32", tmp_path / "bundle")
    printed = subprocess.run(
        [sys.executable, str(bundle / "predict.py"), str(tmp_path / "steps.npy"), "--json"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    np.testing.assert_allclose([entry["outputs"]["scores"] for entry in json.loads(printed)], expected, atol=1e-5)


def test_a_model_with_state_takes_the_ordinary_way_and_one_with_a_table_fails_in_words(
    sequences: dict[str, Array], engine: Engine, tmp_path: Path
) -> None:
    import tensorflow as tf

    weights = np.random.default_rng(1).normal(size=(64, 6)).astype(np.float32)
    signature = [tf.TensorSpec((1, 8, 8), tf.float32, name="steps")]

    class Counting(tf.Module):  # type: ignore[misc]  # TensorFlow is untyped
        """Adds to a variable at each call, which cannot become a constant."""

        def __init__(self) -> None:
            self.calls = tf.Variable(tf.zeros((1, 6)))
            self.weights = tf.Variable(weights)

        @tf.function(input_signature=signature)  # type: ignore[untyped-decorator]  # as above
        def serve(self, steps: Any) -> Any:
            self.calls.assign_add(tf.fill((1, 6), 0.001))
            return {"scores": tf.reshape(steps, (1, 64)) @ self.weights + self.calls}

    class Looking(tf.Module):  # type: ignore[misc]  # as above
        """Looks a number up in a table, for which LiteRT has no operator."""

        def __init__(self) -> None:
            pairs = tf.lookup.KeyValueTensorInitializer(tf.constant([0], tf.int64), tf.constant([3], tf.int64))
            self.table = tf.lookup.StaticHashTable(pairs, -1)

        @tf.function(input_signature=signature)  # type: ignore[untyped-decorator]  # as above
        def serve(self, steps: Any) -> Any:
            return {
                "scores": tf.reshape(steps, (1, 64)) + tf.cast(self.table.lookup(tf.constant(0, tf.int64)), tf.float32)
            }

    trials = {}
    for module in (Counting(), Looking()):
        folder = tmp_path / type(module).__name__
        tf.saved_model.save(module, str(folder), signatures={"serving_default": module.serve})
        trials[folder.name] = by_recipe(
            workbench.sweep(folder, sequences, TWO, store=tmp_path / "store", engine=engine)
        )
    for trial in trials["Counting"].values():
        assert_ordinary(trial, "the frozen model did not convert (ValueError: ")
    first = flatfile.scores(path_of(trials["Counting"]["float32"]), sequences["x_test"][:1])[0]
    np.testing.assert_allclose(first, sequences["x_test"][0].reshape(64) @ weights + 0.001, atol=1e-4)
    for trial in trials["Looking"].values():
        assert trial.state == "failed"
        assert trial.error is not None
        reason, _, known = trial.error.partition(" Known: ")
        assert reason.startswith("conversion failed: ConverterError: 'tf.Placeholder' op is neither a custom op")
        assert reason.endswith(
            "ordinary export: ConverterError: 'tf.HashTableV2' op is neither a custom op nor a flex op"
        )
        assert known.startswith("TensorFlow Lite has no operator of its own for something in the model")

"""The export folder: complete, verified, and runnable with nothing but ai-edge-litert and numpy."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trials import make_record, make_trial

from workbench.errors import WorkbenchError
from workbench.targets.export import export_trial
from workbench.values.graph import Artifact
from workbench.values.study import StudyRecord
from workbench.values.trial import Trial

CLASSES = ("cat", "dog", "emu with\nnewline")
Array = np.ndarray[Any, Any]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small real models: float and full integer on `image` `(n, 2, 3)` with three classes, and one of two inputs."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("models")
    weights = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)

    class Small(tf.Module):  # type: ignore[misc]  # TensorFlow is untyped
        @tf.function(input_signature=[tf.TensorSpec((None, 2, 3), tf.float32, name="image")])  # type: ignore[untyped-decorator]  # as above
        def classify(self, image: Any) -> Any:
            return {"scores": tf.nn.softmax(tf.reshape(image, (-1, 6)) @ weights)}

        @tf.function(
            input_signature=[
                tf.TensorSpec((1, 2), tf.float32, name="left"),
                tf.TensorSpec((1, 2), tf.int32, name="right"),
            ]
        )  # type: ignore[untyped-decorator]  # as above
        def add(self, left: Any, right: Any) -> Any:
            return {"sum": left + tf.cast(right, tf.float32)}

    module = Small()
    tf.saved_model.save(module, str(folder / "saved"), signatures={"classify": module.classify, "add": module.add})

    def converter(signature: str) -> Any:
        return tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved"), signature_keys=[signature])

    whole = converter("classify")
    whole.optimizations = [tf.lite.Optimize.DEFAULT]
    whole.representative_dataset = lambda: [[x[np.newaxis]] for x in samples()]
    whole.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    whole.inference_input_type = whole.inference_output_type = tf.int8
    made = {"float32": converter("classify").convert(), "int8": whole.convert(), "two": converter("add").convert()}
    for name, data in made.items():
        (folder / f"{name}.tflite").write_bytes(data)
    return {name: folder / f"{name}.tflite" for name in made}


def samples() -> Array:
    """Return 20 samples `(20, 2, 3)` between 0 and 1."""
    return np.random.default_rng(1).random((20, 2, 3), dtype=np.float32)


def trial_of(path: Path, recipe: str = "float32") -> Trial:
    """Return an ok trial whose artifact is that file."""
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return make_trial(recipe).model_copy(update={"artifact": Artifact(path=str(path), sha256=sha256, kind="tflite")})


def record_of(classes: tuple[str, ...] = CLASSES) -> StudyRecord:
    """Return a study's record with these class names, or with none."""
    record = make_record()
    return record.model_copy(update={"dataset": record.dataset.model_copy(update={"class_names": classes})})


@pytest.fixture
def predict(tmp_path: Path) -> Run:
    """Return a function that runs an exported folder's script on arrays, away from Workbench."""

    def run(folder: Path, data: Array | dict[str, Array], *options: str) -> subprocess.CompletedProcess[str]:
        path = tmp_path / ("input.npz" if isinstance(data, dict) else "input.npy")
        if isinstance(data, dict):
            np.savez(path, **data)  # type: ignore[arg-type]  # names of arrays, not options
        else:
            np.save(path, data)
        command = [sys.executable, "-I", str(folder / "predict.py"), str(path), *options]
        return subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=tmp_path, check=False)

    return run


def test_folder_is_complete(models: dict[str, Path], tmp_path: Path) -> None:
    out = export_trial(record_of(), trial_of(models["int8"], "int8"), tmp_path / "deep" / "out")
    assert sorted(p.name for p in out.iterdir()) == ["card.json", "labels.txt", "model.tflite", "predict.py"]
    assert (out / "model.tflite").read_bytes() == models["int8"].read_bytes()
    assert (out / "labels.txt").read_text() == "cat\ndog\nemu with newline\n"


def test_card_tells_all_that_is_known(models: dict[str, Path], tmp_path: Path) -> None:
    trial = trial_of(models["int8"], "prune:0.5+int8")
    card = json.loads((export_trial(record_of(), trial, tmp_path) / "card.json").read_text())
    (tensor,) = card["inputs"]
    assert (tensor["name"], tensor["shape"], tensor["dtype"], tensor["zero_point"]) == (
        "image",
        [None, 2, 3],
        "int8",
        -128,
    )
    assert tensor["range"] == pytest.approx([0.0, 255 * tensor["scale"]])
    assert "between 0 and" in tensor["preprocessing"]
    assert card["outputs"][0]["name"] == "scores"
    assert card["recipe"]["text"] == "prune:0.5+int8"
    assert [s["technique"] for s in card["recipe"]["steps"]] == ["prune", "quantize"]
    assert trial.artifact
    assert card["provenance"]["file_sha256"] == trial.artifact.sha256
    assert card["quality"]["accuracy"] == trial.quality.accuracy if trial.quality else False
    assert card["measurements"][0]["latency_ms"]["samples"] == 400
    assert "tensors" not in card["census"]
    assert str(tmp_path) not in (tmp_path / "card.json").read_text()


def test_card_is_strict_json_whatever_the_figures(models: dict[str, Path], tmp_path: Path) -> None:
    trial = trial_of(models["float32"])
    assert trial.quality
    endless = trial.model_copy(update={"quality": trial.quality.model_copy(update={"sqnr_db": math.inf})})
    text = (export_trial(record_of(), endless, tmp_path) / "card.json").read_text()
    assert "Infinity" not in text
    assert json.loads(text)["quality"]["sqnr_db"] is None
    assert json.loads(text)["inputs"][0]["preprocessing"].startswith("Prepare values exactly as in training")


def test_labels_of_an_earlier_export_do_not_stay(models: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("mine\n")
    export_trial(record_of(()), trial_of(models["float32"]), tmp_path)
    assert (tmp_path / "labels.txt").read_text() == "mine\n", "a file that was there before any export is not ours"
    export_trial(record_of(), trial_of(models["float32"]), tmp_path)
    export_trial(record_of(()), trial_of(models["float32"]), tmp_path)
    assert not (tmp_path / "labels.txt").exists()


def test_what_cannot_be_exported_says_why(models: dict[str, Path], tmp_path: Path) -> None:
    good = trial_of(models["float32"])
    with pytest.raises(WorkbenchError, match=r"'int8' failed.*: operator X is missing"):
        export_trial(record_of(), make_trial("int8", state="failed", error="operator X is missing"), tmp_path)
    with pytest.raises(WorkbenchError, match="'int8' is pending"):
        export_trial(record_of(), make_trial("int8", state="pending"), tmp_path)
    with pytest.raises(WorkbenchError, match=r"is gone.*Run the sweep again"):
        export_trial(record_of(), make_trial("int8"), tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkbenchError, match="is a file"):
        export_trial(record_of(), good, tmp_path / "file")
    with pytest.raises(WorkbenchError, match="cannot be written"):
        export_trial(record_of(), good, tmp_path / "file" / "below")
    changed = tmp_path / "changed.tflite"
    changed.write_bytes(models["float32"].read_bytes() + b"x")
    assert good.artifact
    with pytest.raises(WorkbenchError, match="not the file that was measured"):
        export_trial(
            record_of(),
            good.model_copy(update={"artifact": good.artifact.model_copy(update={"path": str(changed)})}),
            tmp_path / "out",
        )
    assert not (tmp_path / "out").exists()


def test_predict_agrees_between_float_and_integer(models: dict[str, Path], tmp_path: Path, predict: Run) -> None:
    scores = {}
    for name in ("float32", "int8"):
        out = export_trial(record_of(), trial_of(models[name], name), tmp_path / name)
        done = predict(out, samples(), "--json", "--threads", "2")
        assert done.returncode == 0, done.stderr
        results = json.loads(done.stdout)
        scores[name] = np.array([r["outputs"]["scores"] for r in results])
        assert [r["top"][0]["class"] for r in results] == scores[name].argmax(axis=1).tolist()
    assert scores["float32"].shape == (20, 3)
    np.testing.assert_allclose(scores["float32"].sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(scores["int8"], scores["float32"], atol=0.03)


def test_predict_clips_what_is_out_of_range(models: dict[str, Path], tmp_path: Path, predict: Run) -> None:
    out = export_trial(record_of(), trial_of(models["int8"], "int8"), tmp_path / "out")
    high, top = (json.loads(predict(out, np.full((2, 3), v), "--json").stdout)[0]["outputs"] for v in (1e6, 1.0))
    assert high == top


def test_predict_prints_a_table(models: dict[str, Path], tmp_path: Path, predict: Run) -> None:
    out = export_trial(record_of(), trial_of(models["float32"]), tmp_path / "out")
    lines = predict(out, samples()[0], "--top", "2").stdout.splitlines()
    assert lines[0].split() == ["sample", "rank", "label", "score"]
    assert [line.split()[:2] for line in lines[1:]] == [["0", "1"], ["0", "2"]]
    (out / "labels.txt").unlink()
    lines = predict(out, samples()[:3]).stdout.splitlines()
    assert lines[0].split() == ["sample", "output", "values"]
    assert [len(line.split()) for line in lines[1:]] == [5, 5, 5]


def test_predict_takes_several_inputs_by_name(models: dict[str, Path], tmp_path: Path, predict: Run) -> None:
    out = export_trial(record_of(()), trial_of(models["two"]), tmp_path / "out")
    left, right = np.array([[0.5, 1.5], [2.5, 3.5]], np.float32), np.array([[1, 2], [3, 4]])
    done = predict(out, {"right": right, "left": left}, "--json")
    assert [r["outputs"]["sum"] for r in json.loads(done.stdout)] == [[1.5, 3.5], [5.5, 7.5]]
    for data, words in (
        (left, "the model has 2 inputs"),
        ({"left": left}, "has no array 'right'. It has: left."),
        ({"left": left, "right": right[:1]}, "differ in their number of samples"),
        ({"left": left, "right": right + 0.5}, "takes whole numbers"),
    ):
        failed = predict(out, data)
        assert failed.returncode == 2
        assert words in failed.stderr
        assert "Traceback" not in failed.stderr


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (np.zeros((4, 4)), "takes one sample of shape (2, 3) or many of shape (n, 2, 3), but the file holds (4, 4)"),
        (np.zeros((0, 2, 3)), "holds no samples"),
        (np.full((2, 3), np.nan), "holds NaN or infinity"),
        (np.array([["a"]]), "not numbers"),
        (np.array([[None]], dtype=object), "cannot be read as .npy or .npz"),
    ],
    ids=["shape", "none", "nan", "text", "object"],
)
def test_predict_refuses_what_does_not_fit(
    models: dict[str, Path], tmp_path: Path, predict: Run, data: Array, words: str
) -> None:
    out = export_trial(record_of(), trial_of(models["float32"]), tmp_path / "out")
    failed = predict(out, data)
    assert failed.returncode == 2
    assert words in failed.stderr
    assert "Traceback" not in failed.stderr


def test_predict_without_its_model_says_so(models: dict[str, Path], tmp_path: Path, predict: Run) -> None:
    out = export_trial(record_of(), trial_of(models["float32"]), tmp_path / "out")
    (out / "model.tflite").write_bytes(b"not a model")
    assert "cannot be opened as a .tflite model" in predict(out, samples()).stderr
    (out / "model.tflite").unlink()
    assert "does not exist" in predict(out, samples()).stderr
    assert predict(out, samples(), "--top", "0").returncode == 2


def test_predict_needs_nothing_of_workbench() -> None:
    import workbench.targets as targets

    source = (Path(targets.__file__).parent / "predict_template.py").read_text()
    modules = {
        line.split()[1].partition(".")[0]
        for line in source.splitlines()
        if line.strip().startswith(("import ", "from "))
    }
    assert modules == {"__future__", "argparse", "json", "sys", "pathlib", "typing", "numpy", "ai_edge_litert"}

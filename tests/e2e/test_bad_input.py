"""A mistake ends with exit status 2 and one message that names the value and what is allowed; nothing is written for it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from running import Done, images, query, run, succeed

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory, small_h5: Path, small_tflite: Path, small_int8_tflite: Path
) -> Path:
    """A folder of good and bad files, all named without a path in the cases below."""
    here = tmp_path_factory.mktemp("bad")
    for source in (small_h5, small_tflite, small_int8_tflite):
        (here / source.name).write_bytes(source.read_bytes())
    images(here / "good.npz")
    images(here / "wide.npz", shape=(28, 28))
    images(here / "many.npz", classes=13, count=600)
    draw = np.random.default_rng(0)
    x = draw.random((40, 8, 8, 1), dtype=np.float32)
    np.savez(here / "unlabelled.npz", x_train=x, x_test=x)
    np.savez(here / "testless.npz", x_train=x, y_train=np.zeros(40, int))
    np.savez(here / "endless.npz", x_test=np.full_like(x, np.inf))
    np.savez(here / "uneven.npz", x_test=x, y_test=np.zeros(39, int))
    np.savez(here / "objects.npz", x_test=np.array([{}, None], dtype=object))
    (here / "text.h5").write_text("no model\n" * 20)
    (here / "text.npz").write_text("no arrays\n" * 20)
    (here / "model.onnx").write_bytes(b"\x08\x07")
    (here / "half.tflite").write_bytes(small_tflite.read_bytes()[: small_tflite.stat().st_size // 2])
    (here / "empty.tflite").write_bytes(b"")
    (here / "typo.yaml").write_text("prunne: [0.5]\nquantize: [int8]\n")
    (here / "setting.yaml").write_text("quantize: [int8]\ntrain: {epoch: 3}\n")
    (here / "broken.yaml").write_text("prune: [0.5\nquantize: {int8\n")
    (here / "good.yaml").write_text("quantize: [int8]\n")
    (here / "saved").mkdir()
    (here / "saved" / "saved_model.pb").write_bytes(b"")
    (here / "empty").mkdir()
    (here / "plain").write_text("")
    return here


def refused(done: Done, *said: str) -> None:
    """Hold that a command ended as a mistake ends: status 2, one message on stderr with these words, no traceback."""
    assert done.returncode == 2, f"exit status {done.returncode}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}"
    # What a task was taken for is told before it is known that the rest does not go together.
    told = "workbench: task of output "
    lines = [line for line in done.stderr.splitlines() if not line.startswith(told)]
    messages = [line for line in lines if line.startswith(("workbench: ", "Error: "))]
    assert len(messages) == 1, done.stderr
    assert "Traceback" not in done.stderr
    for words in said:
        assert words in done.stderr, (words, done.stderr)


def nothing_written(store: Path) -> None:
    """Hold that no study, trial or stage is in a store and no artifact was made."""
    assert [query(store, f"SELECT * FROM {table}") for table in ("studies", "trials", "executions")] == [[], [], []]
    assert not list(store.glob("artifacts/*"))


MODEL, DATA = "small.h5", ("--data", "good.npz")
SWEEPS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "no such model": (("smal.h5", *DATA), ("model file 'smal.h5' does not exist", "small.h5", "small.tflite")),
    "suffix of a model": (
        ("model.onnx", *DATA),
        ("'model.onnx' ends in '.onnx'", ".keras or .h5 (tf_keras), a SavedModel folder, or a float .tflite"),
    ),
    "text named .h5": (("text.h5", *DATA), ("text.h5' is not a readable HDF5 or .keras file (180 bytes)",)),
    "half a .tflite": (
        ("half.tflite", *DATA),
        ("half.tflite (", "cannot be read as a TensorFlow Lite model", "cut short"),
    ),
    "empty .tflite": (("empty.tflite", *DATA), ("empty.tflite (0 bytes)", "it is empty")),
    "folder that is no SavedModel": (("empty", *DATA), ("folder 'empty' holds no saved_model.pb",)),
    "model without data": ((MODEL,), ("Missing option '--data'",)),
    "shape of the data": (
        (MODEL, "--data", "wide.npz"),
        ("dataset 'wide' has samples of shape (28, 28)", "input 'image' takes (8, 8, 1)"),
    ),
    "no such dataset": ((MODEL, "--data", "digit"), ("unknown dataset 'digit'. Did you mean 'digits'?",)),
    "no such data file": (
        (MODEL, "--data", "goood.npz"),
        (
            "dataset file 'goood.npz' does not exist",
            "a .npz file, a .csv file,",
            "a folder of class subfolders of images",
        ),
    ),
    "text named .npz": ((MODEL, "--data", "text.npz"), ("'text.npz' is not a readable .npz",)),
    "pickled arrays": ((MODEL, "--data", "objects.npz"), ("'objects.npz' is not a readable .npz of plain arrays",)),
    "values that are not finite": (
        (MODEL, "--data", "endless.npz"),
        ("array 'x_test' holds values that are not finite",),
    ),
    "no test split": (
        (MODEL, "--data", "testless.npz"),
        ("dataset 'testless' has x_train, y_train, but needs x_test",),
    ),
    "labels of another length": (
        (MODEL, "--data", "uneven.npz"),
        ("dataset 'uneven': x_test and y_test have different numbers of samples: [39, 40]",),
    ),
    "training without labels": (
        (MODEL, "--data", "unlabelled.npz", "--prune", "0.5"),
        ("dataset 'unlabelled' has no labels (y_train), which 'prune:0.5+float32' fine-tunes on",),
    ),
    "scheme": (
        (MODEL, *DATA, "--quantize", "int9"),
        ("unknown scheme 'int9'. Did you mean 'int8'", "Allowed: dynamic, float16, float32"),
    ),
    "sparsity": ((MODEL, *DATA, "--prune", "1.5"), ("technique 'prune': sparsity = '1.5'", "between 0 and 1")),
    "clusters": (
        (MODEL, *DATA, "--cluster", "1"),
        ("technique 'cluster': clusters = '1'", "greater than or equal to 2"),
    ),
    "parameter of a technique": (
        (MODEL, *DATA, "--cluster", "16[init=linaer]"),
        ("init = 'linaer'", "'kmeans++', 'linear', 'density' or 'random'"),
    ),
    "flag of a technique": ((MODEL, *DATA, "--prunne", "0.5"), ("No such option", "--prunne", "--prune")),
    "key of a grid": (
        (MODEL, *DATA, "--grid", "typo.yaml"),
        ("unknown grid key 'prunne'. Did you mean 'prune'", "Allowed: calibration, cluster"),
    ),
    "setting of a grid": (
        (MODEL, *DATA, "--grid", "setting.yaml"),
        ("unknown train setting 'epoch'. Did you mean 'epochs'?",),
    ),
    "YAML": ((MODEL, *DATA, "--grid", "broken.yaml"), ("grid file 'broken.yaml' is not valid YAML", "line 2")),
    "no such grid": ((MODEL, *DATA, "--grid", "grid.yaml"), ("grid file 'grid.yaml' cannot be read",)),
    "grid and flag": (
        (MODEL, *DATA, "--grid", "good.yaml", "--prune", "0.5"),
        ("--grid and --prune exclude each other",),
    ),
    "runtime": (
        (MODEL, *DATA, "--runtime", "xnpack"),
        ("unknown runtime 'xnpack'. Did you mean 'xnnpack'?", "openvino, reference, xnnpack"),
    ),
    "option of a runtime": ((MODEL, *DATA, "--runtime", "xnnpack[thread=2]"), ("'thread'. Did you mean 'threads'?",)),
    "pruning a .tflite": (
        ("small.tflite", *DATA, "--prune", "0.5"),
        ("`prune` needs a Keras model", "a tflite source takes post-training schemes only"),
    ),
    "pruning a SavedModel": (
        ("saved", *DATA, "--prune", "0.5"),
        ("`prune` needs a Keras model", "a savedmodel source takes post-training schemes only"),
    ),
    "converter on a .tflite": (
        ("small.tflite", *DATA, "--quantize", "int8[engine=converter]"),
        ("engine `converter` needs a Keras model or SavedModel",),
    ),
    "qat with float16 alone": (
        (MODEL, *DATA, "--qat", "--quantize", "float16"),
        ("scheme 'float16' does not go with quantization-aware training", "int8, int8-float-io"),
    ),
    "negative seed": ((MODEL, *DATA, "--seed", "-1"), ("seed = -1", "greater than or equal to 0")),
    "no worker": ((MODEL, *DATA, "--jobs", "0"), ("'--jobs'", "0 is not in the range x>=1")),
    "size of memory": ((MODEL, *DATA, "--limits-memory", "much"), ("'much'", "GiB")),
    "jobs of a cluster": (
        (MODEL, *DATA, "--jobs", "2", "--cluster-address", "tcp://127.0.0.1:1"),
        ("--jobs and --cluster-address exclude each other",),
    ),
}


@pytest.mark.parametrize("case", SWEEPS)
def test_a_sweep_that_cannot_be_is_refused_before_it_begins(folder: Path, tmp_path: Path, case: str) -> None:
    arguments, said = SWEEPS[case]
    refused(run(folder, "sweep", *arguments, "--store", tmp_path / "store"), *said)
    nothing_written(tmp_path / "store")


def test_a_store_that_cannot_be_written(folder: Path) -> None:
    refused(
        run(folder, "sweep", MODEL, *DATA, "--store", "plain/store"),
        "plain/store' cannot be opened for writing",
        "--store or WORKBENCH_STORE",
    )
    assert (folder / "plain").read_text() == ""


@pytest.mark.parametrize("command", ["inspect", "bench"])
def test_a_file_that_is_not_there(folder: Path, command: str) -> None:
    refused(run(folder, command, "none.tflite"), "none.tflite", "does not exist")


def test_inspecting_half_a_file(folder: Path) -> None:
    refused(
        run(folder, "inspect", "half.tflite"), "half.tflite (", "cannot be read as a TensorFlow Lite model", "cut short"
    )
    refused(run(folder, "inspect", "text.h5"), "text.h5 (180 bytes) cannot be read as a TensorFlow Lite model", "TFL3")
    refused(run(folder, "inspect", "saved"), "saved is a folder")


def test_measuring_half_a_file_is_a_failed_measurement(folder: Path) -> None:
    done = run(folder, "bench", "half.tflite", "--format", "json")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    (found,) = json.loads(done.stdout)
    assert found["state"] == "failed"
    assert "half.tflite" in found["error"]
    assert found["latency_ms"] is None


def test_a_damaged_savedmodel(folder: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    refused(run(folder, "sweep", "saved", *DATA, "--store", store), "saved")
    nothing_written(store)


# ---- where there is a study already


@pytest.fixture(scope="module")
def store(folder: Path) -> Path:
    """A store with the study `known` of the float `.tflite`: float32 and int8, not measured."""
    succeed(
        folder,
        "sweep",
        "small.tflite",
        *DATA,
        "--quantize",
        "float32,int8",
        "--measure-skip",
        "--study",
        "known",
        "--store",
        "known",
    )
    return folder / "known"


ASKED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "study to show": (("show", "knwon"), ("unknown study 'knwon'. Did you mean 'known'?",)),
    "study to report": (("report", "knwon"), ("unknown study 'knwon'. Did you mean 'known'?",)),
    "trial to export": (
        ("export", "known", "int9", "--out", "bundle"),
        ("unknown trial 'int9'. Did you mean 'int8'?", "float32, int8", "workbench show known"),
    ),
    "folder to export to": (("export", "known", "int8", "--out", "plain"), ("'plain' is a file", "--out")),
    "file to report to": (("report", "known", "--out", "plain/page.html"), ("'plain/page.html' cannot be written",)),
    "metric": (
        ("pareto", "known", "--y", "acuracy"),
        ("unknown metric 'acuracy'. Did you mean 'accuracy'", "Allowed:"),
    ),
    "metric that was not measured": (
        ("pareto", "known", "--x", "latency@xnnpack"),
        ("unknown metric 'latency@xnnpack'", "Allowed:"),
    ),
    "size": (("best", "known", "--max-size", "big"), ("size 'big' is not understood", "100KB")),
    "drop": (("best", "known", "--max-drop", "-1"), ("max_drop = -1.0", "greater than or equal to 0")),
    "runtime that was not measured": (
        ("best", "known", "--runtime", "xnnpack"),
        ("unknown measured runtime 'xnnpack'",),
    ),
    "format": (("show", "known", "--format", "yaml"), ("'yaml' is not one of 'table', 'json', 'csv'",)),
}


@pytest.mark.parametrize("case", ASKED)
def test_a_question_that_has_no_answer(folder: Path, store: Path, case: str) -> None:
    arguments, said = ASKED[case]
    refused(run(folder, *arguments, "--store", store), *said)
    assert not (folder / "bundle").exists()
    assert (folder / "plain").read_text() == ""


def test_an_unknown_command(folder: Path) -> None:
    refused(run(folder, "sweeep"), "unknown command 'sweeep'. Did you mean 'sweep'?", "workbench --help")


def test_a_study_keeps_its_model_and_data(folder: Path, store: Path) -> None:
    tables = [query(store, f"SELECT * FROM {t}") for t in ("studies", "trials", "executions")]
    refused(
        run(folder, "sweep", MODEL, *DATA, "--study", "known", "--store", store),
        "study 'known' is about model 'small'",
        "on 'good'",
        "Choose another --study name",
    )
    refused(
        run(
            folder,
            "sweep",
            "small.tflite",
            "--data",
            "many.npz",
            "--task",
            "none",
            "--study",
            "known",
            "--store",
            store,
        ),
        "study 'known' is about",
        "not 'small'",
        "on 'many'",
    )
    assert [query(store, f"SELECT * FROM {t}") for t in ("studies", "trials", "executions")] == tables


def test_nothing_keeps_impossible_limits(folder: Path, store: Path) -> None:
    for limit in (("--max-size", "1B"), ("--max-latency-ms", "5")):
        done = run(folder, "best", "known", *limit, "--store", store)
        assert done.returncode == 1
        assert re.fullmatch(r"workbench: no trial keeps these constraints; .*\n", done.stderr)
        assert done.stdout == ""


def test_classes_that_the_model_does_not_have(folder: Path, tmp_path: Path) -> None:
    """Labels run to 12, the model knows 0 to 5: that is told before anything runs."""
    store = tmp_path / "store"
    done = run(
        folder,
        "sweep",
        "small.tflite",
        "--data",
        "many.npz",
        "--quantize",
        "float32,int8",
        "--study",
        "many",
        "--store",
        store,
    )
    refused(done, "labels are whole numbers from 0 to 12, and output 'probabilities' has th", "--task regression")
    nothing_written(store)


def test_classes_that_training_cannot_use(folder: Path, tmp_path: Path) -> None:
    """The same where only the train split has them."""
    with np.load(folder / "many.npz") as file:
        arrays = dict(file)
    np.savez(tmp_path / "train.npz", **{**arrays, "y_test": arrays["y_test"] % 6})
    store = tmp_path / "store"
    done = run(
        folder,
        "sweep",
        MODEL,
        "--data",
        tmp_path / "train.npz",
        "--prune",
        "0.5",
        "--measure-skip",
        "--study",
        "many",
        "--store",
        store,
    )
    refused(done, "labels are whole numbers from 0 to 12, and output 'probabilities' has th", "--task regression")
    nothing_written(store)

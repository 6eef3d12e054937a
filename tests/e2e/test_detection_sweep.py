"""Sweeps over detectors, and with a user's own task: figures recomputed from the files by a plain interpreter and pycocotools."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from judging import directly, plain
from running import run

import workbench
from workbench.errors import WorkbenchError
from workbench.study import Study
from workbench.tasks.detection_outputs import DetectionParams, read
from workbench.values.boxes import padded

pytestmark = pytest.mark.slow
Array = np.ndarray[Any, Any]
GRID = {"recipes": ["float32", "int8"], "measure": {"skip": True}}
FORM = "xyxy-score-classes"


@pytest.fixture(scope="module")
def engine(warm_engine: workbench.Engine) -> workbench.Engine:
    return warm_engine


def pictures(count: int) -> tuple[Array, list[Array], Array]:
    """Pictures of bright and dim squares, at most one in each quarter, their boxes, and what a grid of four cells should say."""
    draw = np.random.default_rng(0)
    x = 0.05 * draw.random((count, 16, 16, 1)).astype("f4")
    boxes: list[Array] = []
    cells = np.zeros((count, 4, 7), dtype="f4")
    for n in range(count):
        rows = []
        for cell in range(4):
            if draw.random() < 0.4:
                continue
            side = int(draw.integers(3, 7))
            top, left = draw.integers(0, 9 - side, 2) + np.array([8 * (cell // 2), 8 * (cell % 2)])
            kind = int(draw.integers(0, 2))
            x[n, top : top + side, left : left + side, 0] += (0.9, 0.45)[kind]
            box = np.array([left, top, left + side, top + side]) / 16
            rows.append([*box, kind])
            cells[n, cell] = [*box, 1, kind == 0, kind == 1]
        boxes.append(np.array(rows).reshape(-1, 5))
    return x, boxes, cells


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A small detector, trained, as `.h5`, and its pictures as `.npz`."""
    import tensorflow as tf
    import tf_keras

    x, boxes, cells = pictures(900)
    layers = tf_keras.layers
    image = layers.Input((16, 16, 1))
    hidden = layers.Conv2D(12, 3, padding="same", activation="relu")(image)
    hidden = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu")(hidden)
    hidden = layers.Dense(96, "relu")(layers.Flatten()(hidden))
    output = layers.Reshape((4, 7), name="found")(layers.Dense(28, "sigmoid")(hidden))
    model = tf_keras.Model(image, output)

    def loss(y: Any, said: Any) -> Any:
        there = y[..., 4:5]
        near = tf.abs(y[..., :4] - said[..., :4]) * there
        return 10 * tf.reduce_mean(near) + tf.reduce_mean(
            tf_keras.losses.binary_crossentropy(y[..., 4:], said[..., 4:])
        )

    tf_keras.utils.set_random_seed(0)
    model.compile(tf_keras.optimizers.Adam(0.003), loss)
    model.fit(x[:700], cells[:700], epochs=25, batch_size=32, verbose=0)
    folder = tmp_path_factory.mktemp("detector")
    tf_keras.Model(image, output).save(folder / "detector.h5")
    y = padded(boxes)
    np.savez(folder / "squares.npz", x_train=x[:700], y_train=y[:700], x_test=x[700:], y_test=y[700:])
    return folder / "detector.h5", folder / "squares.npz"


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return run(cwd, *arguments)


def test_a_detector_from_the_command_line(made: tuple[Path, Path], tmp_path: Path) -> None:
    model, data = made
    store = ["--store", str(tmp_path / "store")]
    asked = ["sweep", str(model), "--data", str(data), "--quantize", "float32,int8", "--study", "s", "--jobs", "1"]
    refused = command(*asked, *store, cwd=tmp_path)
    assert refused.returncode == 2, refused.stderr
    assert "detection[format=xyxy-score-class]" in refused.stderr
    done = command(*asked, *store, "--task", f"detection[format={FORM}]", "--measure-budget", "0.2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "task of output found: detection" in done.stderr
    shown = json.loads(command("show", "s", *store, "--format", "json", cwd=tmp_path).stdout)
    assert shown["tasks"]["found"]["options"]["format"] == FORM
    arrays = np.load(data)
    boxes = [rows[rows[:, 4] >= 0] for rows in arrays["y_test"]]
    values = {}
    for trial in shown["trials"]:
        quality = trial["quality"]
        assert quality["task"] == "detection"
        outputs = plain(trial["artifact"]["path"], arrays["x_test"])
        expected = directly(boxes, read(DetectionParams(format="xyxy-score-classes"), outputs))
        figures = {f["name"]: f for f in quality["figures"]}
        assert [figures[n]["value"] for n in ("map", "ap50", "ap75")] == pytest.approx(list(expected), abs=5e-3)
        assert figures["map"]["low"] < figures["map"]["value"] < figures["map"]["high"]
        assert trial["baseline"] == (figures["map"]["change"] is None)
        values[trial["recipe"]] = figures["map"]["value"]
    assert set(values) == {"float32", "int8"}
    assert values["float32"] > 0.3
    table = command("show", "s", *store, cwd=tmp_path)
    assert f"{values['float32']:.2%}" in table.stdout
    best = command("pareto", "s", *store, "--y", "map_drop", "--format", "json", cwd=tmp_path)
    assert best.returncode == 0, best.stderr
    assert command("report", "s", *store, "--out", str(tmp_path / "r.html"), cwd=tmp_path).returncode == 0
    assert "Mean average precision" in (tmp_path / "r.html").read_text()


def test_four_outputs_are_known_without_being_told(
    made: tuple[Path, Path], engine: workbench.Engine, tmp_path: Path
) -> None:
    import tensorflow as tf
    import tf_keras

    model = tf_keras.models.load_model(made[0])

    class Detector(tf.Module):  # type: ignore[misc]  # tensorflow has no types
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        @tf.function(input_signature=[tf.TensorSpec((None, 16, 16, 1), tf.float32)])  # type: ignore[untyped-decorator]  # as above
        def detect(self, image: Any) -> dict[str, Any]:
            found = self.model(image)
            corners, each = found[..., :4], found[..., 5:] * found[..., 4:5]
            return {
                "boxes": tf.gather(corners, [1, 0, 3, 2], axis=-1),
                "classes": tf.cast(tf.argmax(each, axis=-1), tf.float32),
                "scores": tf.reduce_max(each, axis=-1),
                "count": tf.reduce_sum(tf.ones_like(found[..., 0]), axis=-1),
            }

    module = Detector()
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures=module.detect)
    study = workbench.sweep(tmp_path / "saved", made[1], GRID, store=tmp_path / "store", study="four", engine=engine)
    assert {t.state for t in study.trials} == {"ok"}, [t.error for t in study.trials]
    (spec,) = (t for t in study.record.tasks.values() if t.name != "none")
    assert (spec.name, spec.reads) == ("detection", ("boxes", "classes", "scores", "count"))
    single = workbench.sweep(
        made[0], made[1], GRID, store=tmp_path / "store", study="one", engine=engine, task=f"detection:{FORM}"
    )

    def maps(found: Study) -> list[float]:
        return [t.quality.figures[0].value for t in found.trials if t.quality and t.baseline]

    assert maps(study) == pytest.approx(maps(single), abs=1e-3)


OPERATOR = {"max_detections": 10, "max_classes_per_detection": 1, "num_classes": 1}
SCALES = {"y_scale": 10.0, "x_scale": 10.0, "h_scale": 5.0, "w_scale": 5.0}
THRESHOLDS = {"nms_score_threshold": 0.1, "nms_iou_threshold": 0.5}


def with_operator() -> bytes:
    """A float `.tflite` of 16 anchors that says a box where a cell is bright, ending in TFLite_Detection_PostProcess."""
    import tensorflow as tf

    whole = "".join(f' attr {{ key: "{k}" value {{ i: {v} }} }}' for k, v in OPERATOR.items())
    real = "".join(f' attr {{ key: "{k}" value {{ f: {v} }} }}' for k, v in {**SCALES, **THRESHOLDS}.items())
    plain_nms = ' attr { key: "use_regular_nms" value { b: false } }'
    middle = (np.stack(np.meshgrid(np.arange(4), np.arange(4), indexing="ij"), axis=-1).reshape(-1, 2) + 0.5) / 4
    anchors = np.concatenate([middle, np.full((16, 2), 0.25)], axis=1).astype("f4")

    @tf.function(experimental_implements=f'name: "TFLite_Detection_PostProcess"{whole}{real}{plain_nms}')  # type: ignore[untyped-decorator]  # tensorflow has no types
    def post(boxes: Any, scores: Any, anchors: Any) -> Any:
        return tf.zeros([1, 10, 4]), tf.zeros([1, 10]), tf.zeros([1, 10]), tf.zeros([1])

    class Cells(tf.Module):  # type: ignore[misc]  # as above
        @tf.function(input_signature=[tf.TensorSpec((1, 16, 16, 1), tf.float32)])  # type: ignore[untyped-decorator]  # as above
        def detect(self, image: Any) -> Any:
            cell = tf.reshape(tf.nn.avg_pool2d(image, 4, 4, "VALID"), [1, 16, 1])
            scores = tf.concat([tf.zeros_like(cell), tf.sigmoid((cell - 0.4) * 20)], axis=-1)
            return post(tf.zeros([1, 16, 4]) + 0 * cell, scores, tf.constant(anchors))

    module = Cells()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.detect.get_concrete_function()], module)
    converter.allow_custom_ops = True
    return bytes(converter.convert())


def test_the_operator_of_object_detection_models(engine: workbench.Engine, tmp_path: Path) -> None:
    """Behind the count it leaves what was in memory, infinities too."""
    (tmp_path / "cells.tflite").write_bytes(with_operator())
    draw = np.random.default_rng(0)
    x, boxes = 0.05 * draw.random((60, 16, 16, 1)).astype("f4"), []
    for picture in x:
        rows = []
        for row, column in (divmod(int(k), 4) for k in draw.choice(16, draw.integers(1, 4), replace=False)):
            picture[4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 0.35 + 0.4 * draw.random()
            rows.append(
                [column / 4, row / 4, (column + 1) / 4, (row + 1) / 4, 0] + np.append(draw.normal(size=4), 0) / 50
            )
        boxes.append(np.array(rows))
    grid = {"recipes": ["float32", "float16", "dynamic"], "measure": {"skip": True}}
    study = workbench.sweep(
        tmp_path / "cells.tflite", {"x_test": x, "y_test": boxes}, grid, store=tmp_path / "store", engine=engine
    )
    assert {t.state for t in study.trials} == {"ok"}, [t.error for t in study.trials]
    for trial in study.trials:
        assert trial.quality is not None
        assert trial.artifact is not None
        assert trial.quality.task == "detection"
        found = read(DetectionParams(), plain(trial.artifact.path, x))
        expected = directly(boxes, found)
        assert [f.value for f in trial.quality.figures] == pytest.approx(list(expected), abs=1e-3)
        assert 0.3 < expected[0] < 0.9
        assert trial.quality.cosine == pytest.approx(1, abs=1e-3)


def test_a_detector_is_trained_towards_what_it_says(
    made: tuple[Path, Path], engine: workbench.Engine, tmp_path: Path
) -> None:
    grid = {"recipes": ["prune:0.3+float32", "qat+int8"], "train": {"epochs": 2}, "measure": {"skip": True}}
    study = workbench.sweep(made[0], made[1], grid, store=tmp_path / "store", engine=engine, task=f"detection:{FORM}")
    assert {t.state for t in study.trials} == {"ok"}, [t.error for t in study.trials]
    for trial in study.trials:
        assert trial.quality is not None
        assert trial.quality.figures[0].value > 0.2, trial.recipe


OWN = """
import numpy as np
from tolerance import LIMIT

def score(outputs, y):
    objects = (y[..., 4] >= 0).sum(axis=1)
    said = (outputs["found"][..., 4] > 0.5).sum(axis=1)
    return {
        "counted": np.abs(said - objects) <= LIMIT,
        "miscount": (np.abs(said - objects), "low"),
        "bias": (float((said - objects).mean()), "low"),
    }
"""


def counted(path: str, data: Path, limit: int = 0) -> tuple[float, float]:
    arrays = np.load(data)
    off = (plain(path, arrays["x_test"])["found"][..., 4] > 0.5).sum(1) - (arrays["y_test"][..., 4] >= 0).sum(1)
    return float((np.abs(off) <= limit).mean()), float(off.mean())


def test_a_task_of_ones_own_from_the_command_line(made: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    (tmp_path / "tolerance.py").write_text("LIMIT = 0\n")
    store = ["--store", str(tmp_path / "store")]
    asked = ["sweep", str(made[0]), "--data", str(made[1]), "--quantize", "float32,int8", "--study", "s", "--jobs", "1"]
    asked += [*store, "--task", "mine.py:score", "--measure-skip"]
    refused = command(*asked, cwd=tmp_path)
    assert refused.returncode == 2
    assert "--allow-code" in refused.stderr

    def values() -> dict[str, float]:
        done = command(*asked, "--allow-code", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        found = {}
        for trial in json.loads(command("show", "s", *store, "--format", "json", cwd=tmp_path).stdout)["trials"]:
            counts, miscount, bias = trial["quality"]["figures"]
            assert (counts["unit"], miscount["better"], bias["better"]) == ("share", "low", "low")
            limit = int((tmp_path / "tolerance.py").read_text().split("=")[1])
            expected = counted(trial["artifact"]["path"], made[1], limit)
            assert (counts["value"], bias["value"]) == pytest.approx(expected, abs=0.011)
            assert bias["low"] <= bias["value"] <= bias["high"]
            assert trial["baseline"] == (bias["change"] is None)
            found[trial["recipe"]] = counts["value"]
        return found

    first = values()
    assert values() == first
    # What it imports has changed, and so have the figures.
    (tmp_path / "tolerance.py").write_text("LIMIT = 4\n")
    assert set(values().values()) == {1.0}


def test_a_function_of_this_process(made: tuple[Path, Path], engine: workbench.Engine, tmp_path: Path) -> None:
    def study(task: Any) -> Study:
        found = workbench.sweep(made[0], made[1], GRID, store=tmp_path / "store", study="s", engine=engine, task=task)
        assert {t.state for t in found.trials} == {"ok"}, [t.error for t in found.trials]
        return found

    def within(limit: int) -> Any:
        return lambda outputs, y: {
            "counted": np.abs((outputs["found"][..., 4] > 0.5).sum(1) - (y[..., 4] >= 0).sum(1)) <= limit
        }

    for limit in (0, 4):
        for trial in study(within(limit)).trials:
            assert trial.quality is not None
            assert trial.artifact is not None
            (figure,) = trial.quality.figures
            assert figure.value == pytest.approx(counted(trial.artifact.path, made[1], limit)[0], abs=0.011)
    with pytest.raises(WorkbenchError, match="allow_code=True"):
        study("mine.py:score")


def test_a_function_that_fails_is_a_row(made: tuple[Path, Path], engine: workbench.Engine, tmp_path: Path) -> None:
    def broken(outputs: Any, y: Any) -> Any:
        return {"a": outputs["nothing"]}

    study = workbench.sweep(made[0], made[1], GRID, store=tmp_path / "store", engine=engine, task=broken)
    assert {t.state for t in study.trials} == {"failed"}
    assert "task broken failed: KeyError: 'nothing' (test_detection_sweep.py" in str(study.trials[0].error)

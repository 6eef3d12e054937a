"""Sweeps over models of every task, their figures recomputed from the files by a plain interpreter and scikit-learn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from judging import plain
from sklearn import metrics

import workbench
from workbench.errors import WorkbenchError
from workbench.study import Study
from workbench.values.trial import Quality, Trial

pytestmark = pytest.mark.slow
Array = np.ndarray[Any, Any]
GRID = {"recipes": ["float32", "int8", "prune:0.5+float32"], "train": {"epochs": 2}, "measure": {"skip": True}}


@pytest.fixture(scope="module")
def engine(warm_engine: workbench.Engine) -> workbench.Engine:
    return warm_engine


def fitted(model: Any, x: Array, y: Any, loss: Any, epochs: int = 12) -> Any:
    import tf_keras

    tf_keras.utils.set_random_seed(0)
    model.compile(tf_keras.optimizers.Adam(0.01), loss)
    model.fit(x, y, epochs=epochs, batch_size=32, verbose=0)
    return model


def swept(engine: workbench.Engine, folder: Path, model: Any, data: dict[str, Any], **options: Any) -> Study:
    study = workbench.sweep(model, data, GRID, store=folder / "store", study="s", engine=engine, **options)
    assert {t.state for t in study.trials} == {"ok"}, [t.error for t in study.trials]
    return study


def judged(study: Study) -> Iterator[tuple[Trial, Quality, str]]:
    for trial in study.trials:
        assert trial.quality is not None
        assert trial.artifact is not None
        yield trial, trial.quality, trial.artifact.path


def splits(x: Array, y: Array, count: int) -> dict[str, Array]:
    return {"x_train": x[:count], "y_train": y[:count], "x_test": x[count:], "y_test": y[count:]}


def test_segmentation(engine: workbench.Engine, tmp_path: Path) -> None:
    import tf_keras

    layers = tf_keras.layers
    draw = np.random.default_rng(0)
    x = draw.random((260, 12, 12, 1)).astype("f4")
    y = np.digitize(x[..., 0], [0.33, 0.66]).astype("i4")
    model = fitted(
        tf_keras.Sequential(
            [
                layers.Input((12, 12, 1)),
                layers.Conv2D(8, 3, padding="same", activation="relu"),
                layers.Conv2D(3, 1, activation="softmax"),
            ]
        ),
        x[:200],
        y[:200],
        "sparse_categorical_crossentropy",
    )
    study = swept(engine, tmp_path, model, splits(x, y, 200))
    for trial, quality, path in judged(study):
        said = next(iter(plain(path, x[200:]).values())).argmax(-1)
        assert quality.task == "segmentation"
        assert quality.accuracy == pytest.approx(metrics.accuracy_score(y[200:].ravel(), said.ravel()), abs=1e-3)
        iou = quality.figure("mean_iou")
        assert iou is not None
        expected = metrics.jaccard_score(y[200:].ravel(), said.ravel(), average="macro")
        assert iou.value == pytest.approx(expected, abs=2e-3), trial.recipe
        assert iou.low <= iou.value <= iou.high


def test_several_labels(engine: workbench.Engine, tmp_path: Path) -> None:
    import tf_keras

    draw = np.random.default_rng(1)
    x = draw.normal(size=(500, 12)).astype("f4")
    y = ((x @ draw.normal(size=(12, 5))) > 0).astype("i4")
    layers = tf_keras.layers
    model = fitted(
        tf_keras.Sequential([layers.Input((12,)), layers.Dense(32, "relu"), layers.Dense(5, "sigmoid")]),
        x[:400],
        y[:400],
        "binary_crossentropy",
    )
    for _, quality, path in judged(swept(engine, tmp_path, model, splits(x, y, 400))):
        said = next(iter(plain(path, x[400:]).values())) > 0.5
        assert quality.task == "multi-label"
        assert quality.accuracy == pytest.approx(1 - metrics.hamming_loss(y[400:], said), abs=5e-3)
        assert {f.name for f in quality.figures} == {"accuracy", "exact", "f1", "f1_macro"}


@pytest.mark.parametrize("dtype", ["float32", "int64", "bool"])
def test_two_classes_of_any_type(engine: workbench.Engine, tmp_path: Path, dtype: str) -> None:
    import tf_keras

    draw = np.random.default_rng(2)
    x = draw.normal(size=(500, 12)).astype("f4")
    y = ((x @ draw.normal(size=12)) > 0).astype(dtype)
    layers = tf_keras.layers
    model = fitted(
        tf_keras.Sequential([layers.Input((12,)), layers.Dense(16, "relu"), layers.Dense(1, "sigmoid")]),
        x[:400],
        y[:400],
        "binary_crossentropy",
    )
    study = swept(engine, tmp_path, model, splits(x, y, 400))
    for trial, quality, path in judged(study):
        said = next(iter(plain(path, x[400:]).values()))[:, 0] > 0.5
        assert quality.task == "classification"
        assert quality.accuracy == pytest.approx(metrics.accuracy_score(y[400:].astype(bool), said), abs=1e-2)
        assert trial.baseline == (quality.figures[0].change is None)
    assert study.best(max_drop=0.05) is not None


@pytest.mark.parametrize("dtype", ["int64", "float32"])
def test_whole_numbers_beside_one_output_are_values(engine: workbench.Engine, tmp_path: Path, dtype: str) -> None:
    import tf_keras

    draw = np.random.default_rng(3)
    x = draw.normal(size=(300, 12)).astype("f4")
    y = (1000 * (x @ draw.normal(size=12)) + 20_000).round().astype(dtype)
    layers = tf_keras.layers
    model = tf_keras.Sequential([layers.Input((12,)), layers.Dense(16, "relu"), layers.Dense(1)])
    model.compile(tf_keras.optimizers.Adam(0.5), "mse")
    model.fit(x, y.astype("f4"), epochs=40, verbose=0)
    for _, quality, path in judged(swept(engine, tmp_path, model, splits(x, y, 200))):
        said = next(iter(plain(path, x[200:]).values()))[:, 0]
        assert (quality.task, quality.accuracy) == ("regression", None)
        assert quality.mae == pytest.approx(metrics.mean_absolute_error(y[200:], said), rel=1e-2)
        r2 = quality.figure("r2")
        assert r2 is not None
        assert r2.value == pytest.approx(metrics.r2_score(y[200:], said), abs=1e-2)


def heads() -> Any:
    """A tf_keras model with the outputs `kind` (4 classes), `place` (2 values) and `code` (3 values)."""
    import tf_keras

    layers = tf_keras.layers
    image = layers.Input((10,), name="x")
    hidden = layers.Dense(24, "relu", name="hidden")(image)
    outputs = [
        layers.Dense(4, "softmax", name="kind")(hidden),
        layers.Dense(2, name="place")(hidden),
        layers.Dense(3, name="code")(hidden),
    ]
    return tf_keras.Model(image, outputs, name="heads")


def test_a_task_for_each_head(engine: workbench.Engine, tmp_path: Path) -> None:
    draw = np.random.default_rng(4)
    x = draw.normal(size=(400, 10)).astype("f4")
    kind, place = (x @ draw.normal(size=(10, 4))).argmax(1), (x @ draw.normal(size=(10, 2))).astype("f4")
    model = heads()
    fitted(
        model,
        x[:300],
        [kind[:300], place[:300], np.zeros((300, 3))],
        ["sparse_categorical_crossentropy", "mse", "mse"],
    )
    y = {"kind": kind, "place": place}
    data = {
        "x_train": x[:300],
        "x_test": x[300:],
        "y_train": {k: v[:300] for k, v in y.items()},
        "y_test": {k: v[300:] for k, v in y.items()},
    }
    study = swept(engine, tmp_path, model, data)
    assert {n: t.name for n, t in study.record.tasks.items()} == {
        "kind": "classification",
        "place": "regression",
        "code": "none",
    }
    for trial, quality, path in judged(study):
        said = plain(path, x[300:])
        assert quality.accuracy == pytest.approx(metrics.accuracy_score(kind[300:], said["kind"].argmax(1)), abs=1e-2)
        mae = quality.figure("place.mae")
        assert mae is not None
        expected = metrics.mean_absolute_error(place[300:], said["place"])
        assert mae.value == pytest.approx(expected, rel=2e-2), trial.recipe
    frame = study.to_frame()
    assert "accuracy" in frame.columns


def test_training_leaves_an_output_without_labels_as_it_was(engine: workbench.Engine, tmp_path: Path) -> None:
    """Trained on another head alone, with a rate at which the shared layer moves far, `code` still says what it said."""
    draw = np.random.default_rng(5)
    x = draw.normal(size=(400, 10)).astype("f4")
    data = splits(x, draw.integers(0, 4, 400), 300)
    model = heads()
    grid = {"recipes": ["prune:0.1+float32"], "train": {"epochs": 30, "learning_rate": 0.01}, "measure": {"skip": True}}
    study = workbench.sweep(model, data, grid, store=tmp_path / "store", study="s", engine=engine)
    trial = next(t for t in study.trials if not t.baseline)
    assert trial.state == "ok", trial.error
    assert trial.quality is not None
    kept, moved = (trial.quality.outputs[n]["sqnr_db"] for n in ("code", "kind"))
    assert kept is not None
    assert moved is not None
    assert kept > 10
    assert kept > moved + 5


def test_what_fits_no_task_is_told_before_anything_runs(engine: workbench.Engine, tmp_path: Path) -> None:
    x = np.random.default_rng(6).normal(size=(40, 10)).astype("f4")
    model = heads()

    def refused(y: Any, **options: Any) -> str:
        with pytest.raises(WorkbenchError) as error:
            workbench.sweep(model, {"x": x, "y": y}, GRID, store=tmp_path / "store", engine=engine, **options)
        return str(error.value)

    assert "no task fits both" in refused(np.arange(40))
    assert "--task" in refused(np.zeros((40, 5)))
    assert "unknown output 'plase'. Did you mean 'place'?" in refused({"plase": np.zeros((40, 2))})
    assert "unknown task 'clasification'. Did you mean 'classification'" in refused(
        np.zeros(40, int), task="clasification"
    )
    assert "does not fit output 'kind'" in refused(np.zeros(40), task="multi-label")
    only = {"recipes": ["float32"], "measure": {"skip": True}}
    study = workbench.sweep(
        model, {"x": x, "y": np.arange(40)}, only, store=tmp_path / "store", engine=engine, task="none"
    )
    assert [t.quality and t.quality.task for t in study.trials] == ["none"]

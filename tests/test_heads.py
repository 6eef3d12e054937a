"""Models of several outputs: training on the labels of one changes no other, however large its loss, and a collapse of any is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workbench
from workbench.errors import StageFailed
from workbench.techniques.base import TrainJob
from workbench.techniques.cluster import Cluster, ClusterParams
from workbench.techniques.prune import Prune, PruneParams
from workbench.techniques.qat import Qat, QatParams
from workbench.values.settings import Train
from workbench.values.task import TaskSpec

pytestmark = pytest.mark.slow
DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(256, 10)).astype("f4")
IMAGES = DRAW.normal(size=(256, 8, 8, 1)).astype("f4")
KIND = (X @ DRAW.normal(size=(10, 4))).argmax(1)
FAR = (20_000 + 3_000 * X @ DRAW.normal(size=(10, 2))).astype("f4")
TRAIN = Train(epochs=6, batch_size=32, learning_rate=5e-3)
TECHNIQUES: dict[str, tuple[Any, Any]] = {
    "prune": (Prune(), PruneParams(sparsity=0.2)),
    "cluster": (Cluster(), ClusterParams(clusters=64)),
    "qat": (Qat(), QatParams()),
}


def two() -> Any:
    import tf_keras as keras

    layers = keras.layers
    given = layers.Input((10,))
    hidden = layers.Dense(24, "relu")(given)
    return keras.Model(given, [layers.Dense(4, "softmax", name="kind")(hidden), layers.Dense(2, name="far")(hidden)])


def three() -> Any:
    import tf_keras as keras

    layers = keras.layers
    given = layers.Input((10,))
    hidden = layers.Dense(24, "relu")(given)
    small = layers.Rescaling(0.01, name="small")(layers.Dense(3, "tanh")(hidden))
    middle = layers.Dense(4, "softmax", name="kind")(hidden)
    return keras.Model(given, [small, middle, layers.Dense(2, "sigmoid", name="last")(hidden)])


def shared_trunk() -> Any:
    import tf_keras as keras

    layers = keras.layers
    parts = [
        layers.Conv2D(8, 3, strides=2, use_bias=False),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.Flatten(),
    ]
    trunk = keras.Sequential([layers.Input((8, 8, 1)), *parts], name="trunk")
    # What normalization has seen in training, as a trained model's has.
    trunk.layers[1].momentum = 0.0
    trunk(IMAGES, training=True)
    trunk.layers[1].momentum = 0.9
    given = layers.Input((8, 8, 1))
    found = trunk(given)
    return keras.Model(
        given, [layers.Dense(4, "softmax", name="kind")(found), layers.Dense(3, "tanh", name="code")(found)]
    )


def best_beside() -> Any:
    """An output of whole numbers, which has no gradient, beside the one it follows from, and one that is to stay."""
    import tensorflow as tf
    import tf_keras as keras

    layers = keras.layers
    given = layers.Input((10,))
    hidden = layers.Dense(24, "relu")(given)
    kind = layers.Dense(4, "softmax", name="kind")(hidden)
    return keras.Model(given, [kind, tf.math.argmax(kind, axis=-1), layers.Dense(3, "tanh", name="code")(hidden)])


def decibels(value: Any, before: Any) -> float:
    """Return how much of an output's spread over samples is left above what it changed by."""
    spread = float(((before - before.mean(0)) ** 2).sum())
    return float(10 * np.log10(spread / max(1e-12, float(((value - before) ** 2).sum()))))


def outputs(model: Any, x: Any) -> list[Any]:
    return [np.asarray(v, np.float64) for v in model(x, training=False)]


def trained(model: Any, x: Any, labels: dict[str, Any], technique: str) -> tuple[list[Any], list[Any]]:
    """Return all outputs before a technique's training on some labels, and after."""
    import tf_keras

    from workbench.techniques import training

    tf_keras.utils.set_random_seed(1)
    kinds = {name: "classification" if y.dtype.kind == "i" else "regression" for name, y in labels.items()}
    tasks = {name: TaskSpec(name=kinds.get(name, "none")) for name in model.output_names}
    before = outputs(model, x)
    goals = training.goals(model, x, labels, tasks)

    def fit(made: Any, callbacks: list[Any]) -> None:
        training.fit(made, x, goals, TRAIN, 1e-3, callbacks)

    chosen, params = TECHNIQUES[technique]
    made = chosen.apply(model, params, TrainJob(x, None, TRAIN, (), fit, 8))
    return before, outputs(made, x)


@pytest.mark.parametrize(
    ("make", "labels", "technique"),
    [
        (two, {"far": FAR}, "prune"),
        (two, {"far": FAR}, "qat"),
        (three, {"kind": KIND}, "cluster"),
        (shared_trunk, {"kind": KIND}, "prune"),
        (shared_trunk, {"kind": KIND}, "qat"),
        (best_beside, {"kind": KIND}, "prune"),
    ],
)
def test_training_on_one_output_leaves_the_others_as_they_were(
    make: Any, labels: dict[str, Any], technique: str
) -> None:
    import tf_keras

    tf_keras.utils.set_random_seed(0)
    model = make()
    names = list(model.output_names)
    before, after = trained(model, IMAGES if make is shared_trunk else X, labels, technique)
    for name, was, now in zip(names, before, after, strict=True):
        if name in labels:
            # It did learn.
            assert decibels(now, was) < 15
        elif was.dtype.kind == "f" and was.ndim > 1:
            assert decibels(now, was) > 12, name


def test_an_output_that_nothing_labels_cannot_be_trained_on_alone() -> None:
    from workbench.techniques import training

    model = two()
    tasks = {name: TaskSpec(name="none") for name in model.output_names}
    with pytest.raises(StageFailed, match="the train split has none for any output"):
        training.goals(model, X, {}, tasks)
    with pytest.raises(StageFailed, match="task 'none' gives the labels of the train split no meaning"):
        training.goals(model, X, {"kind": KIND}, tasks)


def test_a_loss_by_name_is_that_of_the_first_output_with_labels() -> None:
    """The output before it, which has none, keeps to what it says, of whatever loss."""
    from workbench.techniques import training

    model = three()
    tasks = {"small": TaskSpec(name="none"), "kind": TaskSpec(name="classification"), "last": TaskSpec(name="none")}
    found = training.goals(
        model,
        X,
        {"kind": KIND},
        dict(zip(model.output_names, tasks.values(), strict=True)),
        "sparse_categorical_crossentropy",
    )
    assert [type(g.loss).__name__ for g in found] == ["MeanSquaredError", "function", "MeanSquaredError"]
    np.testing.assert_array_equal(found[1].y, KIND)
    np.testing.assert_allclose(found[0].y, model.predict(X, verbose=0)[0], atol=1e-6)


def test_a_collapse_of_any_output_is_told_by_its_name(warm_engine: workbench.Engine, tmp_path: Path) -> None:
    """Nearly all weights gone, no head says what it said: the one without labels is a warning of its own."""
    model = two()
    data = {"x_train": X, "y_train": {"kind": KIND}, "x_test": X[:64], "y_test": {"kind": KIND[:64]}}
    grid = {"recipes": ["prune:0.95[schedule=constant]+float32"], "train": {"epochs": 1}, "measure": {"skip": True}}
    study = workbench.sweep(model, data, grid, store=tmp_path, engine=warm_engine)
    trial = next(t for t in study.trials if not t.baseline)
    told = [w.seen for w in trial.warnings if w.kind == "output-collapsed"]
    assert any("output 'far'" in seen for seen in told), trial.error or trial.warnings
    assert trial.quality is not None
    assert set(trial.quality.outputs) == {"kind", "far"}

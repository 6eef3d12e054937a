"""Built-in tasks: their figures against scikit-learn's on random data, their intervals by simulation, and which one is chosen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from workbench.errors import StageFailed, WorkbenchError
from workbench.tasks import intervals
from workbench.tasks.base import NoParams, Task
from workbench.tasks.choose import choose
from workbench.tasks.classification import Classification
from workbench.tasks.multilabel import MultiLabel
from workbench.tasks.regression import Regression
from workbench.tasks.scores import share
from workbench.tasks.segmentation import Segmentation
from workbench.values.labels import label_info

Array = np.ndarray[Any, Any]
NONE = NoParams()


def figures(task: Task[Any], outputs: Array, y: Array) -> dict[str, float]:
    return {s.name: s.value for s in task.scores(NONE, outputs, y)}


def softmax(logits: Array) -> Array:
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    found: Array = e / e.sum(axis=-1, keepdims=True)
    return found


# ---- figures against scikit-learn


@pytest.mark.parametrize("seed", range(5))
def test_classification_is_scikit_learns(seed: int) -> None:
    draw = np.random.default_rng(seed)
    y, scores = draw.integers(0, 9, 400), draw.normal(size=(400, 9))
    found = figures(Classification(), scores, y)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(y, scores.argmax(1)))
    assert found["top5"] == pytest.approx(metrics.top_k_accuracy_score(y, scores, k=5))


@pytest.mark.parametrize("dtype", ["int8", "int64", "float32", "float64", "bool", "uint8"])
@pytest.mark.parametrize("logits", [False, True])
def test_binary_classes_of_any_type_beside_one_number(dtype: str, logits: bool) -> None:
    draw = np.random.default_rng(1)
    y, logit = draw.integers(0, 2, 300), draw.normal(size=300)
    outputs = logit if logits else 1 / (1 + np.exp(-logit))
    found = figures(Classification(), outputs[:, None], y.astype(dtype))
    assert found == {"accuracy": pytest.approx(metrics.accuracy_score(y, logit > 0))}


@pytest.mark.parametrize("seed", range(5))
def test_multi_label_is_scikit_learns(seed: int) -> None:
    draw = np.random.default_rng(seed)
    y, p = draw.random((200, 6)) < 0.3, draw.random((200, 6))
    y[:, 5] = False
    found = figures(MultiLabel(), p, y.astype("i4"))
    assert found["accuracy"] == pytest.approx(1 - metrics.hamming_loss(y, p > 0.5))
    assert found["exact"] == pytest.approx(metrics.accuracy_score(y, p > 0.5))
    assert found["f1"] == pytest.approx(metrics.f1_score(y, p > 0.5, average="micro"))
    assert found["f1_macro"] == pytest.approx(metrics.f1_score(y, p > 0.5, average="macro", zero_division=0))


@pytest.mark.parametrize("shape", [(7,), (6, 5), (3, 4, 2)])
def test_segmentation_is_scikit_learns(shape: tuple[int, ...]) -> None:
    draw = np.random.default_rng(2)
    y, scores = draw.integers(0, 4, (30, *shape)), draw.normal(size=(30, *shape, 4))
    said = scores.argmax(-1)
    for mask in (y, y[..., None]):
        found = figures(Segmentation(), scores, mask)
        assert found["accuracy"] == pytest.approx(metrics.accuracy_score(y.ravel(), said.ravel()))
        assert found["mean_iou"] == pytest.approx(metrics.jaccard_score(y.ravel(), said.ravel(), average="macro"))


@pytest.mark.parametrize("last", [(), (1,)])
def test_segmentation_of_two_classes_by_one_number_a_place(last: tuple[int, ...]) -> None:
    draw = np.random.default_rng(3)
    y, p = draw.integers(0, 2, (20, 8, 8)), draw.random((20, 8, 8))
    found = figures(Segmentation(), p.reshape(20, 8, 8, *last), y)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(y.ravel(), p.ravel() > 0.5))
    assert found["mean_iou"] == pytest.approx(metrics.jaccard_score(y.ravel(), p.ravel() > 0.5, average="macro"))


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("offset", [0.0, 2e4])
def test_regression_is_scikit_learns(width: int, offset: float) -> None:
    draw = np.random.default_rng(4)
    y = draw.normal(size=(150, width)) * 3 + offset
    outputs = y + draw.normal(size=y.shape)
    found = figures(Regression(), outputs, y[:, 0] if width == 1 else y)
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(y, outputs))
    assert found["rmse"] == pytest.approx(metrics.root_mean_squared_error(y.ravel(), outputs.ravel()))
    assert found["r2"] == pytest.approx(metrics.r2_score(y, outputs))


@pytest.mark.parametrize(
    ("task", "outputs", "y"),
    [
        (Classification(), np.zeros((4, 3)), np.array([0, 1, 2, 3])),
        (Classification(), np.zeros((4, 1)), np.array([0, 1, 2, 0])),
        (Classification(), np.zeros((4, 3)), np.array([0, -1, 2, 0])),
        (MultiLabel(), np.zeros((4, 3)), np.zeros((4, 2))),
        (Segmentation(), np.zeros((4, 3, 3, 2)), np.zeros((4, 2, 3))),
        (Segmentation(), np.zeros((4, 3, 3, 2)), np.full((4, 3, 3), 2)),
        (Regression(), np.zeros((4, 3)), np.zeros((4, 2))),
    ],
)
def test_what_does_not_fit_is_told(task: Task[Any], outputs: Array, y: Array) -> None:
    with pytest.raises(StageFailed):
        task.scores(NONE, outputs, y)


# ---- intervals


def test_wilsons_interval_is_the_published_one() -> None:
    """81 of 263: 0.2553 to 0.3662 (Newcombe, Statistics in Medicine 17, 1998, table I, method 3)."""
    assert intervals.wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert intervals.wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    low, high = intervals.wilson(449, 449)
    assert high == 1
    assert 0.99 < low < 1


def test_one_image_more_or_less_is_no_loss() -> None:
    right = np.ones(449)
    fewer = right.copy()
    fewer[:2] = 0
    change = intervals.figures([share("accuracy", "Accuracy", fewer)], [share("accuracy", "Accuracy", right)])[0].change
    assert change is not None
    assert change.value == pytest.approx(-2 / 449)
    assert change.low < 0 < change.high


def test_equal_outputs_change_nothing_but_are_no_proof() -> None:
    score = share("accuracy", "Accuracy", np.ones(50))
    change = intervals.figures([score], [score])[0].change
    assert change is not None
    assert change.value == 0
    assert change.low < 0 < change.high


@pytest.mark.parametrize(
    "task",
    [Classification(), MultiLabel(), Segmentation(), Regression()],
    ids=lambda t: t.name,
)
def test_intervals_hold_the_truth_as_often_as_they_say(task: Task[Any]) -> None:
    """Of 120 draws about 95 % hold the figure of the whole population, for the figure and for the paired change alike."""
    draw = np.random.default_rng(5)
    count, size = 20_000, 150
    y: Array
    base: Array
    if isinstance(task, Classification):
        y, base = np.asarray(draw.integers(0, 4, count)), draw.normal(size=(count, 4))
        base[np.arange(count), y] += 2
    elif isinstance(task, MultiLabel):
        y = draw.integers(0, 2, (count, 3))
        base = y * 1.5 + draw.normal(size=y.shape) - 0.75
    elif isinstance(task, Segmentation):
        y = draw.integers(0, 3, (count, 4, 4))
        base = draw.normal(size=(*y.shape, 3)) + 2 * np.eye(3)[y]
    else:
        y = draw.normal(size=count)
        base = y[:, None] + draw.normal(size=(count, 1))
    mine = base + 0.5 * draw.normal(size=base.shape)
    truth = {s.name: s.value for s in task.scores(NONE, mine, y)}
    change = {s.name: truth[s.name] - s.value for s in task.scores(NONE, base, y)}
    held: dict[str, list[bool]] = {name: [] for name in truth}
    held_change: dict[str, list[bool]] = {name: [] for name in truth}
    for _ in range(120):
        at = draw.choice(count, size, replace=False)
        theirs = task.scores(NONE, base[at], y[at])
        for found in intervals.figures(task.scores(NONE, mine[at], y[at]), theirs):
            assert found.change is not None
            held[found.name].append(found.low <= truth[found.name] <= found.high)
            held_change[found.name].append(found.change.low <= change[found.name] <= found.change.high)
    for rates in (held, held_change):
        assert all(np.mean(h) >= 0.86 for h in rates.values()), {n: np.mean(h) for n, h in rates.items()}
    assert np.mean([np.mean(h) for h in held.values()]) < 1


def test_many_samples_are_put_into_groups_without_changing_the_interval() -> None:
    draw = np.random.default_rng(6)
    values = np.sort(draw.normal(size=40_000))
    score = Regression().scores(NONE, values[:, None], np.zeros(40_000))[0]
    (found,) = intervals.figures([score])
    exact = 1.96 * np.abs(values).std() / 200
    assert (found.high - found.low) / 2 == pytest.approx(exact, rel=0.1)


# ---- which task


@pytest.mark.parametrize(
    ("y", "output", "task"),
    [
        (np.arange(10), (10,), "classification"),
        (np.arange(10).astype("f4"), (10,), "classification"),
        (np.array([0, 1, 1]), (2,), "classification"),
        (np.array([0.0, 1.0, 1.0]), (1,), "classification"),
        (np.array([False, True]), (1,), "classification"),
        (np.arange(10), (1, 1, 10), "classification"),
        (np.arange(10), (None,), "classification"),
        (np.array([17_000, 20_000, 21_000]), (1,), "regression"),
        (np.array([17_000.0, 20_000.0]), (1,), "regression"),
        (np.array([0.5, 1.0]), (1,), "regression"),
        (np.array([[0.5, 1.0]]), (2,), "regression"),
        (np.array([[3, 4]]), (2,), "regression"),
        (np.random.default_rng(0).random((2, 4, 4, 1)), (4, 4, 1), "regression"),
        (np.array([[0, 1, 1], [0, 0, 0]]), (3,), "multi-label"),
        (np.array([[0.0, 1.0, 1.0]]), (3,), "multi-label"),
        (np.zeros((2, 4, 4), "i4"), (4, 4, 3), "segmentation"),
        (np.zeros((2, 4, 4, 1), "u1"), (4, 4, 3), "segmentation"),
        (np.zeros((2, 4, 4), "i4"), (None, None, 3), "segmentation"),
        (np.zeros((2, 4, 4), "f4"), (4, 4, 1), "segmentation"),
        (np.zeros((2, 4, 4), "f4"), (4, 4), "segmentation"),
        (np.array([[0, 1, 2, 2]]), (4, 3), "segmentation"),
    ],
)
def test_the_task_follows_from_labels_and_output(y: Array, output: tuple[int | None, ...], task: str) -> None:
    assert choose(label_info(y), output).task == task


def test_no_labels_are_a_task_too() -> None:
    assert choose(None, (10,)).task == "none"


@pytest.mark.parametrize("said", ["class", "value"])
def test_what_the_user_said_of_labels_counts(said: Any) -> None:
    task = {"class": "classification", "value": "regression"}[said]
    assert choose(label_info(np.array([0, 1]), said), (1,)).task == task


@pytest.mark.parametrize(
    ("y", "output"),
    [
        (np.arange(12), (10,)),
        (np.array([-1, 1]), (2,)),
        (np.array([0.5, 1.0]), (10,)),
        (np.zeros((2, 5)), (3,)),
        (np.zeros((2, 4, 4)), (3, 3, 2)),
        (np.arange(3), (4, 4, 3)),
    ],
)
def test_what_fits_no_task_is_told_with_the_way_on(y: Array, output: tuple[int, ...]) -> None:
    with pytest.raises(WorkbenchError, match=r"no task fits both.*--task") as error:
        choose(label_info(y), output, "scores")
    assert "'scores'" in str(error.value)

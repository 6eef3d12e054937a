"""Mistakes in what calibration is given, each by name; nothing is said of sets that are right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench.data.calibration import calibration_warnings, drawn
from workbench.data.dataset import from_arrays
from workbench.data.load import load_dataset
from workbench.data.materialize import materialize

Array = np.ndarray[Any, Any]


def kinds(root: Path, data: Any, samples: int = 200, seed: int = 0) -> dict[str, str]:
    """What is said of a dataset, by kind."""
    info = materialize(load_dataset(data) if isinstance(data, str) else from_arrays(data), root)
    return {w.kind: w.seen for w in calibration_warnings(root / info.sha256, info, samples, seed)}


def normal(n: int, scale: float = 1.0) -> Array:
    return (np.random.default_rng(n).random((n, 4)) * scale).astype(np.float32)


def pictures(n: int, seed: int = 0, classes: int = 4) -> tuple[Array, Array]:
    """Images (n, 6, 6, 1) of bytes with their classes."""
    draw = np.random.default_rng(seed)
    y = draw.integers(0, classes, n)
    x = draw.integers(0, 90, (n, 6, 6, 1)) + 30 * y[:, None, None, None]
    return x.astype(np.float32), y


def image_sets() -> dict[str, Array]:
    (a, b), (c, d) = pictures(300), pictures(150, 1)
    return {"x_train": a, "y_train": b, "x_test": c, "y_test": d}


# ---- sets that are right


@pytest.mark.parametrize("seed", range(4))
def test_right_sets_give_no_warning(tmp_path: Path, seed: int) -> None:
    draw = np.random.default_rng(seed)

    def table(n: int) -> Array:
        """Columns of all sorts: normal, of a long tail, two categories, a rare one, whole numbers, nothing but zeros."""
        columns = [
            draw.normal(50, 3, n),
            np.exp(draw.normal(0, 2, n)),
            draw.integers(0, 2, n),
            draw.random(n) < 0.02,
            draw.poisson(3, n),
            np.zeros(n),
        ]
        return np.stack(columns, 1).astype(np.float32)

    two = {"a": draw.random((200, 3)), "b": draw.random((200, 3))}
    sets: dict[str, Any] = {
        "digits": "digits",
        "small": {"x_train": normal(100), "x_test": normal(60)},
        "smallest": {"x_train": normal(50), "x_test": normal(60)},
        "table": {"x_train": table(400), "y_train": draw.random(400), "x_test": table(120), "y_test": draw.random(120)},
        "categories": {"x_train": draw.integers(0, 2, (300, 4)), "x_test": draw.integers(0, 2, (90, 4))},
        "images": image_sets(),
        "two inputs": {"x_train": two, "x_test": {k: v[:80] + 1e-3 for k, v in two.items()}},
        "mask and words": {
            "x_train": {"words": draw.integers(0, 500, (200, 9)), "mask": np.ones((200, 9), np.int64)},
            "x_test": {"words": draw.integers(0, 500, (90, 9)), "mask": np.ones((90, 9), np.int64)},
        },
        "one of many classes": {
            "x_train": draw.random((200, 3)),
            "y_train": draw.integers(0, 150, 200),
            "x_test": draw.random((300, 3)),
            "y_test": draw.integers(0, 150, 300),
        },
        "one of own": {**image_sets(), "x_calibration": pictures(80, 5)[0]},
        "series": {
            "x_train": draw.normal(0, 1, (100, 30, 2)).cumsum(1),
            "x_test": draw.normal(0, 1, (60, 30, 2)).cumsum(1),
        },
    }
    assert {name: found for name, data in sets.items() if (found := kinds(tmp_path, data, seed=seed))} == {}


# ---- mistakes


def test_few_samples(tmp_path: Path) -> None:
    one, other = {"x_train": normal(49), "x_test": normal(60)}, {"x_train": normal(100), "x_test": normal(60)}
    assert kinds(tmp_path, one) == {"calibration-few-samples": "49 calibration samples"}
    assert kinds(tmp_path, other, 20) == {"calibration-few-samples": "20 calibration samples"}


def test_one_sample_repeated(tmp_path: Path) -> None:
    found = kinds(tmp_path, {**image_sets(), "x_calibration": np.repeat(pictures(1)[0], 200, axis=0)})
    assert found["calibration-duplicates"] == "1 distinct among 200 calibration samples"
    few = kinds(tmp_path, {"x_train": np.repeat(normal(5), 40, axis=0), "x_test": normal(60)})
    assert few["calibration-duplicates"] == "5 distinct among 200 calibration samples"
    mostly_distinct = np.concatenate([normal(95), normal(95)[:5]])
    assert kinds(tmp_path, {"x_train": mostly_distinct, "x_test": normal(60)}) == {}


def test_samples_of_the_test_split(tmp_path: Path) -> None:
    sets = image_sets()
    found = kinds(tmp_path, {**sets, "x_calibration": sets["x_test"][:100]})
    assert found == {"calibration-overlap": "100 of 100 calibration samples are in the test split too"}
    leaked = np.concatenate([sets["x_train"][:70], sets["x_test"][:30]])
    assert list(kinds(tmp_path, {**sets, "x_calibration": leaked.astype(np.float64)})) == ["calibration-overlap"]


def test_no_other_split(tmp_path: Path) -> None:
    found = kinds(tmp_path, {"x_test": normal(100)})
    assert list(found) == ["calibration-from-test"]
    assert "drawn from the test split" in found["calibration-from-test"]


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x / 255,
        lambda x: x / 127.5 - 1,
        lambda x: x - x.mean(),
        lambda x: (x - x.mean()) / x.std(),
        lambda x: x * 2,
    ],
)
def test_another_scale(tmp_path: Path, change: Any) -> None:
    x, _ = pictures(100, 7)
    found = kinds(tmp_path, {**image_sets(), "x_calibration": change(x)})
    assert list(found) == ["calibration-range"]
    assert found["calibration-range"].startswith("calibration values run from ")
    # The other way round.
    sets = image_sets()
    sets |= {k: change(sets[k]) for k in ("x_train", "x_test")}
    assert list(kinds(tmp_path, {**sets, "x_calibration": x})) == ["calibration-range"]


def test_another_scale_of_one_input_or_column_is_named(tmp_path: Path) -> None:
    data = {"x_train": {"a": normal(100), "b": normal(100)}, "x_test": {"a": normal(60), "b": normal(60, 255)}}
    found = kinds(tmp_path, data)
    assert list(found) == ["calibration-range"]
    assert "of input 'b', column 0 run" in found["calibration-range"]
    off = normal(100) * [1, 1, 1000, 1]
    assert "column 2 run" in kinds(tmp_path, {"x_calibration": off, "x_test": normal(60)})["calibration-range"]


def test_another_type(tmp_path: Path) -> None:
    sets = image_sets()
    whole = {**sets, "x_calibration": pictures(100, 7)[0].astype(np.uint8)}
    assert list(kinds(tmp_path, whole)) == ["calibration-type"]
    sets |= {k: sets[k] / 255 for k in ("x_train", "x_test")}
    found = kinds(tmp_path, {**sets, "x_calibration": whole["x_calibration"]})
    assert list(found) == ["calibration-type", "calibration-range"]
    assert "whole numbers (uint8), test values numbers with a fraction (float32)" in found["calibration-type"]


def test_inputs_in_another_order(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)

    def inputs(n: int) -> dict[str, Array]:
        return {"age": draw.normal(40, 9, (n, 2)), "height": draw.normal(1.7, 0.1, (n, 2)), "c": draw.random((n, 3))}

    test, mine = inputs(90), inputs(100)
    swapped = {"age": mine["height"], "height": mine["age"], "c": mine["c"]}
    found = kinds(tmp_path, {"x_test": test, "x_calibration": swapped})
    assert found == {
        "calibration-order": "calibration samples of input 'age' look like 'height', 'height' look like 'age' of the test split"
    }
    assert kinds(tmp_path, {"x_test": test, "x_calibration": mine}) == {}
    three, again = ({n: draw.normal(10**i, 10**i / 9, (k, 2)) for i, n in enumerate("abc")} for k in (90, 60))
    turned = {"a": again["b"], "b": again["c"], "c": again["a"]}
    assert list(kinds(tmp_path, {"x_test": three, "x_calibration": turned})) == ["calibration-order"]


def test_inputs_that_look_the_same_in_another_order(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    train, test = ({n: draw.random((k, 5)) for n in ("left", "right")} for k in (200, 90))
    swapped = {"left": train["right"][:100], "right": train["left"][:100]}
    found = kinds(tmp_path, {"x_train": train, "x_test": test, "x_calibration": swapped})
    assert list(found) == ["calibration-order"]


def test_constants(tmp_path: Path) -> None:
    sets = image_sets()
    found = kinds(tmp_path, {**sets, "x_calibration": np.zeros((100, 6, 6, 1), np.float32)})
    assert found["calibration-constant"] == "calibration values: all are 0"
    blank = pictures(100, 7)[0]
    blank[:80] = np.arange(80)[:, None, None, None]
    assert (
        kinds(tmp_path, {**sets, "x_calibration": blank})["calibration-constant"]
        == "calibration values: 80 of 100 samples hold one value throughout"
    )
    filled = normal(100)
    filled[:, 2] = 0.5
    found = kinds(tmp_path, {"x_calibration": filled, "x_test": normal(60)})
    assert found == {"calibration-constant": "calibration values: column 2 is 0.5 in all 100 samples"}


def test_missing_classes(tmp_path: Path) -> None:
    sets = image_sets()
    order = np.argsort(sets["y_train"], kind="stable")
    x, y = sets["x_train"][order], sets["y_train"][order]
    first = {**sets, "x_calibration": x[:60], "y_calibration": y[:60]}
    said = "3 of 4 classes of the test split are not among 60 calibration samples: 1, 2, 3"
    assert kinds(tmp_path, first)["calibration-classes"] == said
    # Without labels of their own: found by the samples.
    first.pop("y_calibration")
    assert kinds(tmp_path, first)["calibration-classes"] == said
    # A train split that lacks a class altogether.
    some = y < 3
    found = kinds(tmp_path, {**sets, "x_train": x[some], "y_train": y[some]})
    assert found["calibration-classes"].endswith("calibration samples: 3")


def test_what_is_looked_at_is_what_is_drawn(tmp_path: Path) -> None:
    sets = image_sets()
    bad = drawn(300, 60, 1)
    sets["x_train"][bad] = sets["x_train"][bad] / 255
    assert "calibration-range" in kinds(tmp_path, sets, 60, seed=1)
    rest = np.setdiff1d(np.arange(300), bad)
    sets["x_train"][rest], sets["x_train"][bad] = sets["x_train"][rest] / 255, sets["x_train"][bad] * 255
    assert kinds(tmp_path, sets, 60, seed=1) == {}

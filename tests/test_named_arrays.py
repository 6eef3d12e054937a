"""Several inputs and outputs in one file, and labels that are words: against numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench.data.dataset import from_arrays
from workbench.data.load import load_dataset
from workbench.data.materialize import materialize, open_split
from workbench.errors import WorkbenchError

X = np.random.default_rng(0).random((8, 3))
WORDS = ["dog", "cat", "owl", "cat", "dog", "owl", "cat", "dog"]
NUMBERS = [1, 0, 2, 0, 1, 2, 0, 1]


@pytest.mark.parametrize(
    "y",
    [
        np.array(WORDS),
        WORDS,
        np.array(WORDS, dtype=object),
        np.array([w.encode() for w in WORDS]),
        np.array(WORDS)[:, None],
    ],
)
def test_words_become_classes_of_the_alphabet(y: Any) -> None:
    found = from_arrays({"x_train": X, "y_train": y, "x_test": X[:2], "y_test": y[:2]})
    assert found.class_names == ("cat", "dog", "owl")
    assert found.train is not None
    assert found.train.targets[""].tolist() == NUMBERS
    assert found.test.targets[""].tolist() == NUMBERS[:2]
    assert found.labels == "class"


def test_words_that_one_split_lacks_have_the_same_numbers() -> None:
    found = from_arrays({"x_train": X, "y_train": WORDS, "x_test": X[:1], "y_test": ["owl"]})
    assert found.test.targets[""].tolist() == [2]


def test_class_names_say_the_order() -> None:
    found = from_arrays({"x": X, "y": WORDS, "class_names": ["owl", "dog", "cat", "ant"]})
    assert found.class_names == ("owl", "dog", "cat", "ant")
    both = np.concatenate([s.targets[""] for s in found.splits().values()])
    assert sorted(both.tolist()) == [0, 0, 1, 1, 1, 2, 2, 2]


def test_a_file_of_several_inputs_and_outputs(tmp_path: Path) -> None:
    arrays = {
        "x_train.left": X,
        "x_train.right.eye": X + 1,
        "y_train.kind": np.array(WORDS),
        "y_train.size": X[:, 0],
        "x_test.left": X[:4],
        "x_test.right.eye": X[:4] + 1,
        "y_test.kind": np.array(WORDS[:4]),
        "y_test.size": X[:4, 0],
    }
    np.savez(tmp_path / "d.npz", **arrays)  # type: ignore[arg-type]  # one of them could be `allow_pickle`
    found = load_dataset(tmp_path / "d.npz")
    assert list(found.test.inputs) == ["left", "right.eye"]
    assert found.test.targets["kind"].tolist() == NUMBERS[:4]
    np.testing.assert_array_equal(found.test.targets["size"], X[:4, 0])
    assert found.class_names == ("cat", "dog", "owl")
    stored = open_split(tmp_path / materialize(found, tmp_path).sha256, "train")
    np.testing.assert_array_equal(stored.inputs["right.eye"], X + 1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"y_test": [0, 1]}, "y is words in y_train and numbers in y_test. Give both as words"),
        ({"class_names": ["cat", "dog"]}, "the word 'owl' in y_train, which is none of class_names .'cat', 'dog'."),
        ({"x_train.a": X}, "has 'x_train' and 'x_train.a'. Name all arrays"),
        ({"y_train": ["a\x07"] * 8}, "holds a control character"),
    ],
)
def test_what_does_not_fit_is_said(change: dict[str, Any], said: str) -> None:
    data = {"x_train": X, "y_train": WORDS, "x_test": X[:2], "y_test": WORDS[:2]}
    with pytest.raises(WorkbenchError, match=said):
        from_arrays({**data, **change})

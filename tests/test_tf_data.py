"""`tf.data` datasets as data: pairs, dicts, single ones; batched or not; dicts of inputs and labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from workbench.data.dataset import Dataset
from workbench.data.load import load_dataset, takes_shape
from workbench.errors import WorkbenchError

X = np.arange(80, dtype=np.float32).reshape(20, 4)
Y = np.arange(20) % 3


def made(*parts: Any, batch: int = 0, begin: int = 0, end: int = 20) -> Any:
    import tensorflow as tf

    cut = tf.nest.map_structure(lambda v: v[begin:end], parts if len(parts) > 1 else parts[0])
    found = tf.data.Dataset.from_tensor_slices(cut)
    return found.batch(batch) if batch else found


def whole(data: Dataset) -> list[float]:
    return sorted(
        v for s in data.splits().values() for v in np.asarray(s.inputs[""]).reshape(len(s), -1)[:, 0].tolist()
    )


@pytest.mark.parametrize("batch", [0, 7])
@pytest.mark.parametrize("kind", ["pair", "dict", "validation"])
def test_train_and_test(batch: int, kind: str) -> None:
    train, test = made(X, Y, batch=batch, end=15), made(X, Y, batch=batch, begin=15)
    given: Any = {"pair": (train, test), "dict": {"test": test, "train": train}, "validation": {"train": train, "validation": test}}[kind]  # fmt: skip
    assert takes_shape(given)
    found = load_dataset(given, (None, 4))
    assert found.train is not None
    np.testing.assert_array_equal(found.train.x, X[:15])
    np.testing.assert_array_equal(found.train.y, Y[:15])
    np.testing.assert_array_equal(found.test.x, X[15:])
    np.testing.assert_array_equal(found.test.y, Y[15:])


@pytest.mark.parametrize("batch", [0, 6])
def test_a_single_one_is_divided(batch: int) -> None:
    found, again = (load_dataset(made(X, Y, batch=batch)) for _ in range(2))
    assert whole(found) == X[:, 0].tolist()
    assert len(found.test) == 5
    np.testing.assert_array_equal(found.test.x, again.test.x)
    np.testing.assert_array_equal(found.test.y, np.asarray(found.test.x)[:, 0] / 4 % 3)


def test_dicts_words_and_weights() -> None:
    x = {"a": X, "b": X[:, :1]}
    y = {"kind": np.array(["cat", "dog"] * 10), "place": X[:, 0]}
    given = made(x, y, np.ones(20), batch=8)
    found = load_dataset((given, given))
    np.testing.assert_array_equal(found.test.inputs["b"], X[:, :1])
    np.testing.assert_array_equal(found.test.targets["kind"], [0, 1] * 10)
    np.testing.assert_array_equal(found.test.targets["place"], X[:, 0])
    assert found.class_names == ("cat", "dog")
    assert found.notes == ("sample weights of the tf.data dataset are left out",)


def test_without_labels_the_models_input_says_what_a_batch_is() -> None:
    assert whole(load_dataset(made(X), (None, 4))) == X[:, 0].tolist()
    assert whole(load_dataset(made(X, batch=5), (None, 4))) == X[:, 0].tolist()
    assert whole(load_dataset(made(X, batch=5))) == X[:, 0].tolist()


def test_what_cannot_be_read() -> None:
    import tensorflow as tf

    with pytest.raises(WorkbenchError, match=r"cannot be told whether elements of shape \(4,\) are batches"):
        load_dataset(made(X))
    with pytest.raises(WorkbenchError, match="have no test split"):
        load_dataset({"train": made(X, Y)})
    with pytest.raises(WorkbenchError, match=r"unknown split of tf\.data datasets 'tests'"):
        load_dataset({"tests": made(X, Y)})
    with pytest.raises(WorkbenchError, match=r"3 tf\.data datasets were given"):
        load_dataset((made(X, Y),) * 3)
    ragged = tf.data.Dataset.from_tensor_slices(tf.ragged.constant([[1.0], [2.0, 3.0]]))
    with pytest.raises(WorkbenchError, match="Expected tensors of known rank"):
        load_dataset((ragged, ragged))


@pytest.mark.slow
def test_it_sweeps(tmp_path: Any) -> None:
    import tf_keras

    import workbench

    inputs = tf_keras.layers.Input((4,), name="a")
    model = tf_keras.Model(inputs, tf_keras.layers.Dense(3, activation="softmax")(inputs))
    study = workbench.sweep(
        model, (made(X, Y, batch=4, end=15), made(X, Y, begin=15)), {"quantize": ["dynamic"], "measure": {"skip": True}},
        store=tmp_path, jobs=1,
    )  # fmt: skip
    assert [t.state for t in study.trials] == ["ok", "ok"]
    want = (model.predict(X[15:], verbose=0).argmax(1) == Y[15:]).mean()
    quality = study.trial("float32").quality
    assert quality is not None
    assert quality.accuracy == pytest.approx(want)

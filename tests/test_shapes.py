"""How samples go into files: batches of several, no batch axis, open sizes; held against a plain interpreter and numpy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workbench
from workbench.data.feeding import feeding
from workbench.errors import WorkbenchError
from workbench.evaluate.run import run_all

Array = np.ndarray[Any, Any]
DRAW = np.random.default_rng(0)
QUIET = {"measure": {"skip": True}}


@pytest.fixture(scope="module")
def engine() -> Iterator[workbench.Engine]:
    with workbench.Engine(jobs=1) as made:
        yield made


def write(path: Path, call: Any, **specs: tuple[Any, ...]) -> Path:
    import tensorflow as tf

    function = tf.function(call).get_concrete_function(**{n: tf.TensorSpec(s, name=n) for n, s in specs.items()})
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([function], tf.Module()).convert())
    return path


W = DRAW.normal(size=(48, 5)).astype(np.float32)
V = DRAW.normal(size=(7, 5)).astype(np.float32)


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


@pytest.mark.parametrize("batch", [2, 3, 8])
@pytest.mark.parametrize("count", [7, 8, 81])
def test_a_fixed_batch_is_run_in_such_batches(batch: int, count: int, tmp_path: Path) -> None:
    import tensorflow as tf

    # Its own batch is written into the graph, so that it runs at no other.
    path = write(
        tmp_path / "m.tflite",
        lambda a, b: {"y": tf.nn.softmax(tf.reshape(a, (batch, 48)) @ W + b @ V)},
        a=(batch, 4, 4, 3),
        b=(batch, 7),
    )
    a, b = DRAW.random((count, 4, 4, 3), dtype=np.float32), DRAW.random((count, 7), dtype=np.float32)
    found, size = run_all(path, {"a": a, "b": b})
    assert size == batch
    (values,) = found.values()
    np.testing.assert_allclose(values, softmax(a.reshape(count, 48) @ W + b @ V), atol=1e-5)


NO_BATCH: dict[str, tuple[tuple[int, ...], Any, Any]] = {
    "rank 1": ((48,), lambda tf, x: tf.nn.softmax(tf.reshape(x, (1, -1)) @ W), lambda x: softmax(x @ W)),
    "rank 1 to rank 1": ((48,), lambda tf, x: tf.linalg.matvec(W, x, transpose_a=True), lambda x: x @ W),
    "rank 2": ((6, 8), lambda tf, x: tf.reduce_sum(x, axis=0), lambda x: x.sum(axis=1)),
    "a scalar": ((), lambda tf, x: x * 2.0 + 1.0, lambda x: x * 2 + 1),
}


@pytest.mark.parametrize("kind", NO_BATCH)
def test_a_model_without_a_batch_axis_gets_one_sample_a_call(kind: str, tmp_path: Path) -> None:
    import tensorflow as tf

    shape, call, right = NO_BATCH[kind]
    path = write(tmp_path / "m.tflite", lambda x: {"y": call(tf, x)}, x=shape)
    x = DRAW.random((9, *shape), dtype=np.float32)
    found, size = run_all(path, {"": x})
    assert size == 1
    np.testing.assert_allclose(next(iter(found.values())), right(x), atol=1e-5)


def _conv(tf: Any) -> Any:
    kernel = DRAW.normal(size=(3, 3, 1, 4)).astype(np.float32)
    return lambda image: {"y": tf.nn.softmax(tf.reduce_mean(tf.nn.conv2d(image, kernel, 1, "VALID"), (1, 2)))}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("shapes")
    return {
        "fours": write(
            folder / "fours.tflite", lambda x: {"y": tf.nn.softmax(tf.reshape(x, (4, 48)) @ W)}, x=(4, 4, 4, 3)
        ),
        "wave": write(folder / "wave.tflite", lambda x: {"y": tf.nn.softmax(tf.reshape(x, (1, -1)) @ W)}, x=(48,)),
        "open": write(folder / "open.tflite", _conv(tf), image=(None, None, None, 1)),
    }


DATA = {"fours": (4, 4, 3), "wave": (48,), "open": (12, 16, 1)}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(DATA))
def test_sweeps_and_timing_go_by_the_files_shape(
    name: str, files: dict[str, Path], engine: workbench.Engine, tmp_path: Path
) -> None:
    x = DRAW.random((30, *DATA[name]), dtype=np.float32)
    y = DRAW.integers(0, 4, 30)
    runtimes = ["xnnpack", "builtin", "reference"]
    grid = {"quantize": ["float32", "dynamic", "int8"], "measure": {"budget": 0.6, "samples": 20}}
    study = workbench.sweep(
        files[name],
        {"x_train": x, "y_train": y, "x_test": x[:18], "y_test": y[:18]},
        grid,
        runtimes,
        store=tmp_path,
        engine=engine,
    )
    for trial in study.trials:
        assert trial.state == "ok", trial.error
        assert trial.quality is not None
        assert trial.quality.samples == 18
        assert trial.quality.sqnr_db is None or trial.quality.sqnr_db > 15
        assert trial.quality.accuracy is not None
        assert trial.quality.batch == (4 if name == "fours" else 1)
        for made in trial.measurements:
            assert made.state == "ok", made.error
            assert made.batch == (4 if name == "fours" else 1)
            assert made.inputs == ({"image": (1, 12, 16, 1)} if name == "open" else {})
        kinds = {w.kind for w in trial.warnings}
        assert ("several-a-call" in kinds) == (name == "fours")
        assert ("open-size" in kinds) == (name == "open")


def test_bench_and_compare_say_the_size(files: dict[str, Path]) -> None:
    x = {"x": DRAW.random((8, 12, 16, 1), dtype=np.float32)}
    (alone,) = workbench.bench(files["open"], ["builtin"], budget=0.1)
    # At 1x1 its kernel does not even fit: an error, or a figure that says so.
    assert alone.assumed
    assert alone.inputs == {"image": (1, 1, 1, 1)}
    (sized,) = workbench.bench(files["open"], ["builtin"], budget=0.1, data=x)
    assert sized.state == "ok", sized.error
    assert (sized.inputs, sized.assumed) == ({"image": (1, 12, 16, 1)}, False)
    compared = workbench.compare(files["open"], ["builtin", "xnnpack"], x, budget=0.2)
    assert [m.state for m in compared] == ["ok", "ok"], [m.error for m in compared]
    assert all(m.reference is not None and m.reference.max_error < 1e-4 for m in compared)
    fours = workbench.compare(
        files["fours"], ["builtin", "xnnpack"], {"x": DRAW.random((21, 4, 4, 3), dtype=np.float32)}, budget=0.2
    )
    assert [(m.state, m.batch) for m in fours] == [("ok", 4), ("ok", 4)]
    assert fours[1].reference is not None
    with pytest.raises(WorkbenchError, match=r"samples of shape \(5, 5, 1\).*takes \(4, 4, 3\)"):
        workbench.compare(files["fours"], ["builtin"], {"x": DRAW.random((21, 5, 5, 1), dtype=np.float32)})


def test_the_size_that_is_timed_is_the_datas(files: dict[str, Path]) -> None:
    small, large = ({"x": DRAW.random((4, side, side, 1), dtype=np.float32)} for side in (8, 160))
    found = [
        workbench.bench(files["open"], ["builtin"], budget=0.2, data=data)[0].latency_ms for data in (small, large)
    ]
    assert found[0] is not None
    assert found[1] is not None
    assert found[1].median > 5 * found[0].median


@pytest.mark.parametrize(
    ("takes", "has", "said"),
    [
        ({"x": (None, 8, 8, 1)}, {"x": (28, 28)}, r"samples of shape \(28, 28\).* 'x' takes \(8, 8, 1\)\. Reshape"),
        ({"x": (4, 8)}, {"x": (5,)}, r"takes \(8,\), 4 samples a call, or \(4, 8\) without a batch axis"),
        ({"x": (1600,)}, {"x": (800,)}, r"or \(1600,\) without a batch axis"),
        (
            {"x": (4, 8), "z": (2, 3)},
            {"x": (8,), "z": (3,)},
            r"different numbers of samples a call: 'x' \(4, 8\), 'z' \(2, 3\)",
        ),
        ({"x": (4, 8), "z": ()}, {"x": (8,), "z": ()}, "different numbers of samples a call"),
        ({"x": (None, None, None, 3)}, {"x": (32, 32, 1)}, r"takes \(any, any, 3\)"),
    ],
)
def test_what_does_not_fit_is_said_in_a_sentence(takes: Any, has: Any, said: str) -> None:
    with pytest.raises(WorkbenchError, match=said):
        feeding(takes, has, "the data")

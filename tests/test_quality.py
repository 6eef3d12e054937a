"""Figures of quality against their formulas, and outputs of real files against a plain interpreter loop."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from workbench.errors import StageFailed, WorkbenchError
from workbench.evaluate import run as evaluate_run
from workbench.evaluate.interpreter import dequantized, open_interpreter, quantized, signature_names
from workbench.evaluate.quality import agreement, quality
from workbench.evaluate.run import BATCH, run_all
from workbench.tasks.base import NoParams
from workbench.tasks.classification import Classification
from workbench.tasks.regression import Regression
from workbench.values.task import TaskSpec

Array = np.ndarray[Any, Any]


def classification(scores: Array, y: Array) -> dict[str, float]:
    return {s.name: s.value for s in Classification().scores(NoParams(), scores, y)}


def regression(values: Array, y: Array) -> dict[str, float]:
    return {s.name: s.value for s in Regression().scores(NoParams(), values, y)}


# ---- classification


@st.composite
def scored(draw: st.DrawFn, least: int = 2, most: int = 12) -> tuple[Array, Array]:
    """Scores (n, classes) without ties in a row, and labels."""
    n, classes = draw(st.integers(1, 20)), draw(st.integers(least, most))
    rows = [draw(st.permutations(range(classes))) for _ in range(n)]
    y = draw(hnp.arrays(np.int64, n, elements=st.integers(0, classes - 1)))
    return np.array(rows, dtype=np.float32) / 7 - 0.5, y


@given(scored())
def test_top1_and_top5_are_shares_of_samples(data: tuple[Array, Array]) -> None:
    scores, y = data
    found = classification(scores, y)
    ranks = [
        sorted(row, reverse=True).index(row[label]) for row, label in zip(scores.tolist(), y.tolist(), strict=True)
    ]
    assert found["accuracy"] == pytest.approx(sum(r == 0 for r in ranks) / len(y))
    if scores.shape[1] <= 5:
        assert "top5" not in found
    else:
        assert found["top5"] == pytest.approx(sum(r < 5 for r in ranks) / len(y))


def test_scores_of_any_shape_are_flattened() -> None:
    scores = np.eye(3)[[0, 1, 2, 2]].reshape(4, 1, 1, 3)
    assert classification(scores, np.array([0, 1, 2, 0]))["accuracy"] == 0.75


@pytest.mark.parametrize(
    ("scores", "accuracy"),
    [
        ([0.1, 0.9, 0.6, 0.4], 1.0),  # probabilities are cut at one half
        ([0.6, 0.9, 0.6, 0.4], 0.75),
        ([-3.0, 0.2, 0.3, -0.1], 1.0),  # logits at zero
        ([0.5, 0.51, 1.0, 0.0], 1.0),
    ],
)
def test_one_column_is_the_second_class(scores: list[float], accuracy: float) -> None:
    y = np.array([0, 1, 1, 0])
    for shape in ((4, 1), (4,), (4, 1, 1)):
        assert classification(np.array(scores).reshape(shape), y) == {"accuracy": accuracy}


@pytest.mark.parametrize(
    ("y", "classes", "said"),
    [
        ([0, 3], 3, "labels run from 0 to 3, but the model has 3 classes (0 to 2)"),
        ([-1, 1], 3, "labels run from -1 to 1"),
        ([1, 2], 1, "labels run from 1 to 2, but the model has 2 classes"),
        ([-1, 1], 1, "labels run from -1 to 1"),
    ],
)
def test_labels_outside_of_the_classes(y: list[int], classes: int, said: str) -> None:
    with pytest.raises(StageFailed) as caught:
        classification(np.zeros((2, classes)), np.array(y))
    assert said in str(caught.value)


# ---- regression and agreement

NUMBERS = st.floats(-100, 100, width=32)
PAIRS = hnp.array_shapes(min_dims=2, max_dims=3, max_side=6).flatmap(
    lambda shape: st.tuples(
        hnp.arrays(np.float32, shape, elements=NUMBERS), hnp.arrays(np.float32, shape, elements=NUMBERS)
    )
)


@given(PAIRS)
def test_errors_against_values(pair: tuple[Array, Array]) -> None:
    values, y = pair
    differences = [float(a) - float(b) for a, b in zip(values.ravel(), y.ravel(), strict=True)]
    found = regression(values, y)
    assert found["mae"] == pytest.approx(sum(abs(d) for d in differences) / len(differences))
    assert found["rmse"] == pytest.approx(math.sqrt(sum(d * d for d in differences) / len(differences)))


def test_a_column_of_outputs_fits_a_row_of_labels() -> None:
    found = regression(np.array([[1.0], [2.0]]), np.array([1.0, 4.0]))
    assert (found["mae"], found["rmse"]) == (1.0, math.sqrt(2))


def test_values_that_do_not_fit() -> None:
    with pytest.raises(StageFailed, match=r"labels of shape \(3,\) do not fit outputs of shape \(3, 2\)"):
        regression(np.zeros((3, 2)), np.zeros(3))


@given(PAIRS)
def test_agreement_with_the_baseline(pair: tuple[Array, Array]) -> None:
    values, baseline = (a.reshape(len(a), -1).astype(float).tolist() for a in pair)
    found = agreement(*(a.reshape(len(a), -1) for a in pair))
    cosines = []
    for a, b in zip(values, baseline, strict=True):
        norm = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(x * x for x in b))
        cosines.append(sum(x * y for x, y in zip(a, b, strict=True)) / norm if norm else float(a == b))
    assert found["cosine"] == pytest.approx(sum(cosines) / len(cosines), abs=1e-6)
    if len(values[0]) > 1:
        same = [a.index(max(a)) == b.index(max(b)) for a, b in zip(values, baseline, strict=True)]
        assert found["agreement"] == pytest.approx(sum(same) / len(same))
    else:
        assert found["agreement"] is None
    noise = sum((x - y) ** 2 for a, b in zip(values, baseline, strict=True) for x, y in zip(a, b, strict=True))
    signal = sum(y * y for b in baseline for y in b)
    if noise and signal:
        assert found["sqnr_db"] == pytest.approx(10 * math.log10(signal / noise), abs=1e-6)
    else:
        assert found["sqnr_db"] is None


@given(hnp.arrays(np.float32, (4, 3), elements=st.floats(1, 100, width=32)), st.floats(0.01, 50))
def test_agreement_does_not_depend_on_the_unit(values: Array, factor: float) -> None:
    other = values[::-1].copy()
    assume(not np.array_equal(values, other))
    one, scaled = agreement(other, values), agreement(other * factor, values * factor)
    assert scaled["sqnr_db"] == pytest.approx(one["sqnr_db"], abs=1e-2)
    assert scaled["cosine"] == pytest.approx(one["cosine"], abs=1e-5)


def test_a_map_of_scores_agrees_place_by_place() -> None:
    base = np.zeros((1, 2, 2, 3))
    base[..., 1] = 1
    other = base.copy()
    other[0, 0, 0] = (5, 0, 0)
    assert agreement(other, base)["agreement"] == 0.75
    assert agreement(other[..., :1], base[..., :1])["agreement"] is None
    assert agreement(other[:, :1, :1], base[:, :1, :1])["agreement"] == 0.0


def test_figures_of_two_heads_with_a_task_each() -> None:
    outputs = {"kind": np.eye(3)[[0, 1, 1]], "place": np.array([[1.0], [2.0], [3.0]])}
    baseline = {"kind": np.eye(3)[[0, 1, 2]], "place": np.array([[1.0], [2.0], [4.0]])}
    tasks = {"kind": TaskSpec(name="classification"), "place": TaskSpec(name="regression")}
    y = {"kind": np.array([0, 1, 2]), "place": np.array([1.0, 2.0, 4.0])}
    found = quality(outputs, baseline, y, tasks, 1)
    assert [f.key for f in found.figures] == ["accuracy", "place.mae", "place.rmse", "place.r2"]
    assert found.accuracy == pytest.approx(2 / 3)
    assert found.mae is None, "the first head has none"
    assert found.primary == found.figures[0]
    mae = found.figure("place.mae")
    assert mae is not None
    assert mae.value == pytest.approx(1 / 3)
    assert mae.loss is not None
    assert mae.loss.value == pytest.approx(1 / 3)
    assert found.figures[0].loss is not None
    assert found.figures[0].loss.value == pytest.approx(1 / 3)
    assert all(f.change is None for f in quality(baseline, baseline, y, tasks, 1).figures)


def test_equal_outputs_agree() -> None:
    values = np.random.default_rng(0).random((5, 4))
    assert agreement(values, values) == {"agreement": 1.0, "sqnr_db": None, "cosine": pytest.approx(1.0)}


def test_a_dead_output_is_unlike_a_live_one() -> None:
    live = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert agreement(np.zeros((2, 2)), live)["cosine"] == 0.0
    assert agreement(np.zeros((2, 2)), live)["sqnr_db"] == pytest.approx(0.0)
    assert agreement(np.array([[1.0, 2.0], [0.0, 0.0]]), live)["cosine"] == pytest.approx(0.5)
    assert agreement(np.zeros((2, 2)), np.zeros((2, 2)))["cosine"] == 1.0


def test_twenty_decibel_are_a_tenth_of_the_amplitude() -> None:
    baseline = np.array([[3.0, 4.0]])
    assert agreement(baseline * 1.1, baseline)["sqnr_db"] == pytest.approx(20)


# ---- all figures of a trial


def test_figures_of_a_classifier_with_two_outputs() -> None:
    baseline = {"scores": np.eye(3)[[0, 1, 2]], "code": np.ones((3, 2))}
    outputs = {"scores": np.eye(3)[[0, 1, 1]], "code": np.ones((3, 2)) * 2}
    found = quality(outputs, baseline, {"scores": np.array([0, 1, 2])}, {"scores": TaskSpec(name="classification")}, 32)
    assert (found.task, found.samples, found.batch) == ("classification", 3, 32)
    assert found.accuracy == pytest.approx(2 / 3)
    assert found.agreement == pytest.approx(2 / 3)
    assert (found.mae, found.rmse, found.top5) == (None, None, None)
    assert found.sqnr_db == found.outputs["scores"]["sqnr_db"]
    assert found.outputs["code"]["cosine"] == pytest.approx(1.0)
    assert found.outputs["code"]["sqnr_db"] == pytest.approx(0.0)


def test_figures_of_a_regression() -> None:
    outputs, baseline = {"v": np.array([[1.0], [2.0]])}, {"v": np.array([[1.0], [1.0]])}
    found = quality(outputs, baseline, {"v": np.array([1.0, 4.0])}, {"v": TaskSpec(name="regression")}, 1)
    assert (found.task, found.accuracy, found.mae) == ("regression", None, 1.0)
    assert found.agreement is None
    assert found.sqnr_db == pytest.approx(10 * math.log10(2))


def test_without_labels_the_baseline_is_the_yardstick() -> None:
    outputs = {"v": np.array([[1.0, 0.0]])}
    found = quality(outputs, outputs, {}, {}, 1)
    assert (found.task, found.accuracy, found.rmse, found.agreement) == ("none", None, None, 1.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_outputs_that_are_not_finite(bad: float) -> None:
    with pytest.raises(StageFailed, match="output 'code' holds values that are not finite"):
        quality({"scores": np.ones((1, 2)), "code": np.array([[1.0, bad]])}, {}, {}, {}, 1)


# ---- integers by scale and zero point

DTYPES = st.sampled_from([np.int8, np.uint8, np.int16])


@given(DTYPES, st.floats(1e-3, 10), st.integers(-100, 100), st.data())
def test_quantizing_is_right_within_half_a_step(dtype: Any, scale: float, zero: int, data: st.DataObject) -> None:
    limits = np.iinfo(dtype)
    zero = max(zero, int(limits.min))
    detail = {"dtype": dtype, "quantization": (scale, zero)}
    low, high = (float(limits.min) - zero) * scale, (float(limits.max) - zero) * scale
    values = data.draw(hnp.arrays(np.float64, 8, elements=st.floats(low, high)))
    stored = quantized(values, detail)
    assert stored.dtype == dtype
    steps = np.abs(values / scale).max() + 1
    np.testing.assert_allclose(dequantized(stored, detail), values, atol=scale * (0.5 + 1e-6 * steps))
    again = quantized(dequantized(stored, detail), detail)
    np.testing.assert_array_equal(again, stored)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16])
def test_values_beyond_the_range_are_clipped(dtype: Any) -> None:
    detail = {"dtype": dtype, "quantization": (0.5, 3)}
    limits = np.iinfo(dtype)
    assert quantized(np.array([-1e9, 1e9]), detail).tolist() == [limits.min, limits.max]


def test_integer_samples_are_real_values() -> None:
    detail = {"dtype": np.int8, "quantization": (1.0, -128)}
    assert quantized(np.array([0, 128, 255], dtype=np.uint8), detail).tolist() == [-128, 0, 127]


@pytest.mark.parametrize(
    ("dtype", "values"),
    [(np.float32, [0.25, -1.5]), (np.int32, [3.0, 7.0]), (np.int64, [3, 7]), (np.float16, [0.25, -1.5])],
)
def test_tensors_without_a_scale_are_cast(dtype: Any, values: list[float]) -> None:
    detail = {"dtype": dtype, "quantization": (0.0, 0)}
    stored = quantized(np.array(values), detail)
    assert (stored.dtype, stored.tolist()) == (np.dtype(dtype), values)
    assert dequantized(stored, detail) is stored


# ---- real files


def one_by_one(path: Path, inputs: dict[str, Array]) -> dict[str, Array]:
    """What a plain interpreter gives, one sample at a time; integers by the rule of the file format, in double precision."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    runner = interpreter.get_signature_runner("serving_default")
    count = len(next(iter(inputs.values())))
    found: dict[str, list[Array]] = {}
    for i in range(count):
        sample = {}
        for name, detail in runner.get_input_details().items():
            scale, zero = detail["quantization"]
            value = inputs[name][i : i + 1]
            sample[name] = np.clip(np.round(value / scale) + zero, -128, 127).astype(np.int8) if scale else value
        for name, value in runner(**sample).items():
            scale, zero = runner.get_output_details()[name]["quantization"]
            found.setdefault(name, []).append(
                ((value.astype(np.float64) - zero) * scale).astype(np.float32) if scale else value
            )
    return {n: np.concatenate(v) for n, v in found.items()}


@pytest.mark.parametrize("count", [1, 5, BATCH, 2 * BATCH, 100])
def test_float_outputs_are_those_of_a_plain_loop(small_tflite: Path, small_images: Array, count: int) -> None:
    images = small_images[:count]
    expected = one_by_one(small_tflite, {"image": images})
    for inputs in ({"image": images}, {"": images}):
        outputs, batch = run_all(small_tflite, inputs)
        assert list(outputs) == ["probabilities"]
        assert outputs["probabilities"].shape == (count, 6)
        np.testing.assert_array_equal(outputs["probabilities"], expected["probabilities"])
        assert batch in ((1, BATCH) if count >= 2 * BATCH else (1,))


@pytest.mark.parametrize("count", [3, 64, 70, 100])
@pytest.mark.parametrize("worth", [0.0, 1000.0], ids=["never", "always"])
@pytest.mark.parametrize("slow", [0.0, 1000.0], ids=["few", "many"])
def test_trying_batches_leaves_every_sample_in_its_place(
    small_tflite: Path, small_images: Array, count: int, worth: float, slow: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the clock says, and so whichever batch is chosen, each sample's outputs are its own."""
    monkeypatch.setattr(evaluate_run, "SLOW_SECONDS", slow)
    monkeypatch.setattr(evaluate_run, "WORTH", worth)
    outputs, batch = run_all(small_tflite, {"": small_images[:count]})
    tried = evaluate_run.FEW if slow == 0 else BATCH
    assert batch == (tried if worth and count >= 2 * BATCH else 1)
    expected = one_by_one(small_tflite, {"image": small_images[:count]})
    np.testing.assert_array_equal(outputs["probabilities"], expected["probabilities"])


def test_float_outputs_are_those_of_keras(small_tflite: Path, small_images: Array, small_keras_model: Any) -> None:
    outputs, _ = run_all(small_tflite, {"": small_images})
    np.testing.assert_allclose(outputs["probabilities"], small_keras_model(small_images).numpy(), atol=1e-5)


def test_integer_outputs_are_those_of_a_plain_loop(small_int8_tflite: Path, small_images: Array) -> None:
    details = open_interpreter(small_int8_tflite).get_input_details()
    assert details[0]["dtype"] is np.int8
    outputs, _ = run_all(small_int8_tflite, {"": small_images})
    np.testing.assert_array_equal(
        outputs["probabilities"], one_by_one(small_int8_tflite, {"image": small_images})["probabilities"]
    )
    assert outputs["probabilities"].dtype == np.float32


def test_bytes_are_read_as_the_values_they_stand_for(small_int8_tflite: Path, small_tflite: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 2, (20, 8, 8, 1), dtype=np.uint8)
    for path in (small_tflite, small_int8_tflite):
        as_bytes, as_floats = (run_all(path, {"": p})[0]["probabilities"] for p in (pixels, pixels.astype(np.float32)))
        np.testing.assert_array_equal(as_bytes, as_floats)


@pytest.mark.parametrize("count", [3, 70])
def test_inputs_are_found_by_name(two_input_tflite: Path, two_input_model: Any, count: int) -> None:
    draw = np.random.default_rng(0)
    zeta, alpha = draw.random((count, 4), dtype=np.float32), draw.random((count, 2, 2), dtype=np.float32)
    expected = one_by_one(two_input_tflite, {"zeta": zeta, "alpha": alpha})
    second, first = (t.numpy() for t in two_input_model([zeta, alpha]))
    for inputs in ({"zeta": zeta, "alpha": alpha}, {"alpha": alpha, "zeta": zeta, "unused": zeta}):
        outputs, _ = run_all(two_input_tflite, inputs)
        assert sorted(outputs) == ["first", "second"]
        for name, value in (("second", second), ("first", first)):
            np.testing.assert_array_equal(outputs[name], expected[name])
            np.testing.assert_allclose(outputs[name], value, atol=1e-5)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"zeta": np.zeros((3, 4))}, "input 'alpha' is not in the data, which has 'zeta'"),
        ({"": np.zeros((3, 4))}, "is not in the data, which has ''"),
        ({"zeta": np.zeros((3, 5)), "alpha": np.zeros((3, 2, 2))}, "samples of shape (5,), but the model's input 'zeta' takes (4,)"),
        ({"zeta": np.zeros((3, 4)), "alpha": np.zeros((3, 4))}, "samples of shape (4,), but the model's input 'alpha' takes (2, 2)"),
    ],
)  # fmt: skip
def test_inputs_that_do_not_fit(two_input_tflite: Path, inputs: dict[str, Array], said: str) -> None:
    with pytest.raises(StageFailed) as caught:
        run_all(two_input_tflite, inputs)
    assert said in str(caught.value)


def test_an_unnamed_input_that_does_not_fit(small_tflite: Path) -> None:
    with pytest.raises(
        StageFailed, match=r"samples of shape \(8, 8, 3\), but the model's input 'image' takes \(8, 8, 1\)"
    ):
        run_all(small_tflite, {"": np.zeros((3, 8, 8, 3), dtype=np.float32)})


@pytest.fixture(scope="module")
def one_sample_tflite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose graph holds the batch of one, so that it cannot take several samples at once."""
    import tensorflow as tf

    weights = tf.constant(np.random.default_rng(0).random((4, 3)), tf.float32)

    @tf.function(input_signature=[tf.TensorSpec((1, 2, 2), tf.float32, name="x")])  # type: ignore[untyped-decorator,unused-ignore]  # untyped
    def call(x: Any) -> dict[str, Any]:
        return {"scores": tf.matmul(tf.reshape(x, (1, 4)), weights)}

    module = tf.Module()
    folder = tmp_path_factory.mktemp("models") / "one"
    tf.saved_model.save(module, str(folder), signatures={"serving_default": call.get_concrete_function()})
    path = folder.with_suffix(".tflite")
    path.write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(folder)).convert())
    return path


def test_a_model_of_one_sample_is_run_one_by_one(one_sample_tflite: Path) -> None:
    x = np.random.default_rng(1).random((70, 2, 2), dtype=np.float32)
    outputs, batch = run_all(one_sample_tflite, {"": x})
    assert batch == 1
    np.testing.assert_array_equal(outputs["scores"], one_by_one(one_sample_tflite, {"x": x})["scores"])


def test_names_of_a_file_are_those_of_its_signature(two_input_tflite: Path) -> None:
    interpreter = open_interpreter(two_input_tflite)
    inputs, outputs = signature_names(interpreter)
    assert [(n, tuple(d["shape"][1:])) for n, d in zip(inputs, interpreter.get_input_details(), strict=True)] == [
        (n, {"zeta": (4,), "alpha": (2, 2)}[n]) for n in inputs
    ]
    assert sorted(inputs) == ["alpha", "zeta"]
    assert sorted(outputs) == ["first", "second"]


@pytest.mark.parametrize("content", [b"", b"hello", b"\x1c\x00\x00\x00TFL3" + b"\x00" * 40])
def test_files_that_are_no_model(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.tflite").write_bytes(content)
    with pytest.raises(WorkbenchError, match=rf"bad\.tflite \({len(content)} bytes\) cannot be loaded by LiteRT"):
        open_interpreter(tmp_path / "bad.tflite")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match=r"bad\.tflite' does not exist"):
        open_interpreter(tmp_path / "bad.tflite")


def test_renamed_outputs_are_compared_in_order() -> None:
    values = np.array([[0.1, 0.9], [0.8, 0.2]], dtype=np.float32)
    found = quality({"new": values}, {"old": values}, {}, {}, 1)
    assert found.agreement == 1.0
    with pytest.raises(StageFailed, match="2 outputs"):
        quality({"a": values, "b": values}, {"old": values}, {}, {}, 1)

"""Known failures, each provoked in the tool itself: recognized by name, and what is advised works."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import to_tflite
from stored import store_study
from trials import make_trial

from workbench.cli.app import run
from workbench.engine.failures import log_of, told
from workbench.engine.flights import crash_text
from workbench.engine.warn import explained
from workbench.errors import StageFailed, WorkbenchError
from workbench.evaluate.interpreter import open_interpreter
from workbench.techniques import quantizer_engine
from workbench.techniques.converter_engine import with_fallback
from workbench.values.explained import KNOWN, explain
from workbench.values.warning import warning


def recurrent(kind: str, **options: Any) -> Any:
    """A model of one recurrent layer over (6, 4)."""
    import tf_keras

    layers = tf_keras.layers
    fixed = {"batch_size": options.pop("batch_size")} if "batch_size" in options else {}
    steps = layers.Input((6, 4), name="steps", **fixed)
    return tf_keras.Model(steps, layers.Dense(3)(getattr(layers, kind)(5, **options)(steps)))


def converted(model: Any) -> bytes:
    """What the converter makes of a model by itself."""
    import tensorflow as tf

    traced = tf.function(lambda x: model(x)).get_concrete_function(tf.TensorSpec(model.inputs[0].shape, tf.float32))
    return bytes(tf.lite.TFLiteConverter.from_concrete_functions([traced], model).convert())


def quantized(path: Path, scheme: str = "int8") -> bytes:
    """A float file in a scheme, calibrated on 20 samples by the name of its input."""
    samples = [{"steps": np.random.default_rng(i).random((1, 6, 4), dtype=np.float32)} for i in range(20)]
    return quantizer_engine.quantize(path, scheme, "channel", quantizer_engine.calibrate(path, samples, 1))


def name_of(error: BaseException) -> str | None:
    known = explain(str(error))
    return known.name if known else None


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["GRU", "SimpleRNN"])
def test_a_loop_has_no_int8_and_an_unrolled_one_has(tmp_path: Path, kind: str) -> None:
    looped = to_tflite(recurrent(kind, batch_size=1), tmp_path / "loop.tflite")
    with pytest.raises(StageFailed) as raised:
        quantized(looped)
    assert name_of(raised.value) == "loop-in-int8"
    # As advised.
    assert quantized(to_tflite(recurrent(kind, batch_size=1, unroll=True), tmp_path / "flat.tflite"))
    assert quantizer_engine.quantize(looped, "dynamic", "channel", None)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["GRU", "SimpleRNN"])
def test_a_loop_with_float_ends_is_known_though_the_quantizer_writes_a_file(tmp_path: Path, kind: str) -> None:
    looped = to_tflite(recurrent(kind, batch_size=1), tmp_path / "loop.tflite")

    def run() -> None:
        (tmp_path / "made.tflite").write_bytes(quantized(looped, "int8-float-io"))
        open_interpreter(tmp_path / "made.tflite")

    with pytest.raises(WorkbenchError) as raised:
        run()
    assert name_of(raised.value) == "loop-in-int8"


@pytest.mark.slow
def test_a_list_of_steps_needs_a_batch() -> None:
    with pytest.raises(Exception, match="TensorList") as raised:
        converted(recurrent("GRU"))
    assert name_of(raised.value) == "tensor-list-without-batch"
    assert converted(recurrent("GRU", batch_size=1))


def test_qat_of_a_layer_that_tfmot_does_not_know() -> None:
    import tensorflow_model_optimization as tfmot

    with pytest.raises(Exception, match="not supported") as raised:
        tfmot.quantization.keras.quantize_model(attention())
    assert name_of(raised.value) == "qat-unsupported-layer"


def attention() -> Any:
    """A model of one attention layer over (6, 8)."""
    import tf_keras

    layers = tf_keras.layers
    words = layers.Input((6, 8))
    return tf_keras.Model(words, layers.Dense(3)(layers.MultiHeadAttention(2, 4)(words, words)))


@pytest.mark.parametrize("function", ["digamma", "erfinv"])
def test_operators_that_only_tensorflow_has(function: str) -> None:
    import tensorflow as tf
    import tf_keras

    x = tf_keras.layers.Input((8,), batch_size=1)
    with pytest.raises(Exception, match="op") as raised:
        converted(tf_keras.Model(x, getattr(tf.math, function)(x)))
    assert name_of(raised.value) in ("select-tf-operators", "custom-operators")


def test_each_one_says_cause_remedy_and_a_public_issue() -> None:
    assert len({known.name for known in KNOWN}) == len(KNOWN)
    for known in KNOWN:
        assert known.issue.startswith("https://github.com/")
        assert known.text == f"Known: {known.cause} {known.remedy} See {known.issue}"


def test_the_first_of_two_in_a_log_is_the_one() -> None:
    later = "Layer a:<class 'B'> is not supported. You can quantize this layer by passing a"
    first = "Encountered unresolved custom op: Foo"
    for log, name in ((f"{first}\n{later}", "custom-operators"), (f"{later}\n{first}", "qat-unsupported-layer")):
        known = explain(log)
        assert known is not None
        assert known.name == name
    assert explain("something else went wrong") is None


# ---- what a trial says


def test_the_first_reason_is_told_not_the_fallbacks(tmp_path: Path) -> None:
    def fails(text: str) -> Any:
        raise RuntimeError(text)

    for other in (lambda: tmp_path, lambda: fails("no export either"), lambda: None):
        with pytest.raises(StageFailed, match="conversion failed: RuntimeError: the first reason") as raised:
            with_fallback(lambda: fails("the first reason"), other, lambda _: fails("the second"), lambda _: None)
        said = told(raised.value, tmp_path)
        assert " The whole log: logs/failures/" in said
    # Of the other way even what is known is no explanation of the first reason; the log has both.
    with pytest.raises(StageFailed) as raised:
        with_fallback(lambda: fails("odd"), lambda: tmp_path, lambda _: fails("ERROR_NEEDS_FLEX_OPS"), lambda _: None)
    said = told(raised.value, tmp_path)
    assert said.startswith(
        "conversion failed: RuntimeError: odd; then, of the ordinary export: RuntimeError: ERROR_NEEDS"
    )
    assert "Known" not in said
    assert all(text in log_of(said, tmp_path) for text in ("RuntimeError: odd", "RuntimeError: ERROR_NEEDS_FLEX_OPS"))
    assert with_fallback(lambda: fails("first"), lambda: tmp_path, lambda _: b"made", lambda _: None) == b"made"


def test_what_is_not_known_keeps_its_whole_log(tmp_path: Path) -> None:
    inner = "x" * 5000
    try:
        try:
            raise ValueError(f"deep reason {inner}")
        except ValueError as error:
            raise StageFailed("it failed") from error
    except StageFailed as error:
        said = told(error, tmp_path)
    place = said.partition("The whole log: ")[2].partition(" in the store")[0]
    log = (tmp_path / place).read_text()
    assert f"deep reason {inner}" in log
    assert "test_explained.py" in log
    assert log_of(said, tmp_path) == log
    assert log_of("logs/failures/../../secret.txt", tmp_path) == ""


def test_a_known_failure_is_explained_and_keeps_no_log(tmp_path: Path) -> None:
    try:
        try:
            raise ValueError("<unknown>:0: error: 'tf.TensorListReserve' op requires element_shape to be static")
        except ValueError as error:
            raise StageFailed("conversion failed: something short") from error
    except StageFailed as error:
        said = told(error, tmp_path)
    assert said.startswith("conversion failed: something short Known: a recurrent loop")
    assert said.endswith("https://github.com/tensorflow/tensorflow/issues/62849")
    assert not (tmp_path / "logs").exists()


def test_a_users_mistake_is_as_it_was(tmp_path: Path) -> None:
    assert told(WorkbenchError("size 0 is too small"), tmp_path) == "size 0 is too small"
    assert not list(tmp_path.iterdir())


def test_a_converter_that_dies_is_explained_where_it_is_known_to() -> None:
    said = crash_text("write prune:0.5+int8[engine=converter]")
    assert "Known: TensorFlow's converter" in said
    assert "Known" not in crash_text("train prune:0.5")


def test_a_transformer_that_qat_leaves_float_is_explained() -> None:
    seen = "int8: 92% of the weights (280 of 304) are float: FULLY_CONNECTED float32 256, ADD float32 24."
    found = explained((warning("mostly-float-int8", seen),), "qat+int8")[0]
    assert "Known: quantization-aware training leaves float" in found.advice
    assert explained((warning("mostly-float-int8", seen),), "int8") == (warning("mostly-float-int8", seen),)


def test_show_prints_one_trial_with_its_whole_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise KeyError("odd")
    except KeyError as error:
        said = told(error, tmp_path)
    trials = [make_trial("float32"), make_trial("int8").model_copy(update={"state": "failed", "error": said})]
    store_study(tmp_path, "s", trials)
    assert run(["show", "s", "--trial", "int8", "--store", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "failed: KeyError: 'odd'" in shown
    assert "Traceback (most recent call last)" in shown
    assert "raise KeyError" in shown
    assert "float32" not in shown

"""One calibration serves every activation width, and blocks go where rows are long enough."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from workbench.flatbuffer import read_census
from workbench.flatbuffer.checks import check_census
from workbench.techniques import quantizer_engine

Array = np.ndarray


def test_ranges_do_not_depend_on_the_scheme(small_tflite: Path, small_images: Array) -> None:
    from litert_quantizer.calibrator import CalibrationMode, Calibrator
    from litert_quantizer.utils import qsv_utils

    samples = [{"image": image[None]} for image in small_images[:20]]
    ranges = quantizer_engine.calibrate(small_tflite, samples, 1)
    assert ranges
    for scheme in ("int8", "int8-float-io", "int16x8"):
        recipe = quantizer_engine._quantizer(small_tflite, scheme, "channel")._recipe_manager
        own = Calibrator(
            str(small_tflite),
            mode=CalibrationMode.CALIBRATION_PROFILER_BASED,
            qsv_update_func=qsv_utils.min_max_update,
        )
        own.calibrate({quantizer_engine._signature_key(small_tflite): samples}, recipe)
        found = own.get_model_qsvs()
        assert set(found) == set(ranges)
        for name, stats in found.items():
            for key, value in stats.items():
                np.testing.assert_array_equal(np.ravel(value), ranges[name][key]["values"])
        assert quantizer_engine.quantize(small_tflite, scheme, "channel", ranges)


@pytest.mark.parametrize("widths", [(10, 24, 8), (32, 24, 64), (64, 32, 8), (33, 31, 5)])
def test_rows_that_are_no_whole_number_of_blocks_get_a_scale_a_row(widths: tuple[int, ...], tmp_path: Path) -> None:
    import tf_keras
    from ai_edge_litert.interpreter import Interpreter
    from models import to_tflite

    tf_keras.utils.set_random_seed(3)
    layers = [tf_keras.layers.Dense(w) for w in widths[1:]]
    path = to_tflite(tf_keras.Sequential([tf_keras.layers.Input(widths[:1]), *layers]), tmp_path / "dense.tflite")
    made = quantizer_engine.quantize(path, "int4-block32", "channel", None)
    census = read_census(made)
    unfit = [w for w in widths[:-1] if w % 32]
    assert [t.type for t in census.tensors if t.kernel] == ["int4"] * 2
    notes = check_census(census, scheme="int4-block32")
    assert [(w.kind, w.level) for w in notes] == [("rows-without-blocks", "note")] * bool(unfit)
    assert all(f"rows of {w})" in notes[0].seen for w in unfit)
    x = np.random.default_rng(0).random((1, widths[0])).astype(np.float32)
    outputs = []
    for content in (path.read_bytes(), made):
        run = Interpreter(model_content=content)
        run.allocate_tensors()
        run.set_tensor(run.get_input_details()[0]["index"], x)
        run.invoke()
        outputs.append(run.get_tensor(run.get_output_details()[0]["index"]))
    # Four bits round a weight by 7 % of its size on average, in each of two layers; a wrong scale gives other outputs altogether.
    assert np.linalg.norm(outputs[1] - outputs[0]) < 0.35 * np.linalg.norm(outputs[0])


@pytest.mark.parametrize("scheme", ["int8", "int8-float-io", "int16x8", "dynamic"])
def test_an_output_that_the_graph_reads_as_well_keeps_its_name(scheme: str, tmp_path: Path) -> None:
    import tf_keras
    from ai_edge_litert.interpreter import Interpreter
    from models import to_tflite

    layers = tf_keras.layers
    x = layers.Input((6, 6, 3), name="x")
    first = layers.Conv2D(4, 3, activation="sigmoid", name="first")(x)
    second = layers.Conv2D(2, 3, name="second")(layers.Concatenate()([first, layers.Cropping2D(1)(x)]))
    third = layers.Flatten(name="third")(layers.Softmax()(first))
    path = to_tflite(tf_keras.Model(x, [first, second, third]), tmp_path / "several.tflite")
    samples = [{"x": v[None]} for v in np.random.default_rng(0).random((8, 6, 6, 3)).astype(np.float32)]
    ranges = quantizer_engine.calibrate(path, samples, 1) if scheme != "dynamic" else None
    made = quantizer_engine.quantize(path, scheme, "channel", ranges)
    run, plain = Interpreter(model_content=made), Interpreter(model_path=str(path))
    ends = {d["index"] for d in run.get_output_details()}
    runner, expected = run.get_signature_runner(), plain.get_signature_runner()
    details = runner.get_output_details()
    assert {d["index"] for d in details.values()} == ends
    assert set(details) == set(expected.get_output_details()) == {"first", "second", "third"}
    scale, zero = runner.get_input_details()["x"]["quantization"]
    given = (
        samples[0]["x"]
        if not scale
        else np.round(samples[0]["x"] / scale + zero).astype(runner.get_input_details()["x"]["dtype"])
    )
    for name, value in runner(x=given).items():
        scale, zero = details[name]["quantization"]
        right = expected(x=samples[0]["x"])[name]
        assert np.abs((value.astype(np.float32) - zero) * (scale or 1) - right).max() < 0.1

"""One calibration serves every activation width."""

from __future__ import annotations

from pathlib import Path

import numpy as np

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

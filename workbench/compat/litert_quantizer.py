"""litert-quantizer: calibration that keeps the whole range, which its `Quantizer` does not offer."""

from __future__ import annotations

from typing import Any

from workbench.compat.library import Library

LITERT_QUANTIZER = Library("litert-quantizer", ">=0.11,<0.12")


def ranges(quantizer: Any, model: bytearray, samples: dict[str, list[dict[str, Any]]], threads: int) -> dict[str, Any]:
    """Return the smallest and largest value of each tensor over samples by signature, `{tensor: {"min": ..., "max": ...}}`.

    `Quantizer.calibrate` takes a moving average of each sample's own extremes, which cuts off most of the range where one sample
    holds few values; the whole range is what TensorFlow's converter takes. Its parts are importable and in no documentation: the
    manager of recipes is called internal. `Quantizer.calibrate` in its `quantizer.py` shows how they are put together.
    """
    with LITERT_QUANTIZER.inside("Calibrator, RecipeManager and min_max_update"):
        from litert_quantizer.calibrator import CalibrationMode, Calibrator
        from litert_quantizer.recipe_manager import RecipeManager
        from litert_quantizer.utils.qsv_utils import min_max_update

    recipe = RecipeManager()
    recipe.load_quantization_recipe(quantizer.get_quantization_recipe())
    # Gives the same ranges as keeping all tensors alive, in a quarter of the time.
    mode = CalibrationMode.CALIBRATION_PROFILER_BASED
    calibrator = Calibrator(model, num_threads=threads, mode=mode, qsv_update_func=min_max_update)
    calibrator.calibrate(samples, recipe)
    found: dict[str, Any] = calibrator.get_model_qsvs()
    return found

"""Engine `converter`: TensorFlow's own converter, from the frozen SavedModel."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from workbench.errors import StageFailed
from workbench.techniques.base import FinishJob

SCHEMES = ("float32", "float16", "dynamic", "int8", "int8-float-io", "int16x8")
CALIBRATED = ("int8", "int8-float-io", "int16x8")


def convert(scheme: str, job: FinishJob, aware: bool) -> bytes:
    """Return the flatbuffer of the job's SavedModel in a scheme.

    `aware` models carry their ranges as fake-quantization operators and need no samples. When the
    frozen model does not convert, the ordinary export is tried, and the job notes it.
    """

    def run(folder: Path) -> bytes:
        import tensorflow as tf

        converter = tf.lite.TFLiteConverter.from_saved_model(str(folder))
        if scheme != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if scheme == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if scheme in CALIBRATED and not aware:
            samples = job.samples()

            def representative() -> Iterator[dict[str, np.ndarray[Any, Any]]]:
                yield from samples

            converter.representative_dataset = representative
            kind = (
                tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
                if scheme == "int16x8"
                else tf.lite.OpsSet.TFLITE_BUILTINS_INT8
            )
            converter.target_spec.supported_ops = [kind]
        if scheme in ("int8", "int16x8"):
            converter.inference_input_type = converter.inference_output_type = (
                tf.int16 if scheme == "int16x8" else tf.int8
            )
        return bytes(converter.convert())

    if job.saved_model is None:
        raise StageFailed("the converter was given no SavedModel")
    saved_model = job.saved_model
    return with_fallback(lambda: run(saved_model), job.ordinary, run, job.note)


def with_fallback(
    frozen: Callable[[], bytes],
    ordinary: Callable[[], Path | None],
    run: Callable[[Path], bytes],
    note: Callable[[str], None],
) -> bytes:
    """Return what converting the frozen model gives, or what `run` makes of the ordinary export when that fails.

    Raises StageFailed when both fail, with the reason of the first before that of the other.
    """
    try:
        return frozen()
    except Exception as first:  # the converter raises anything from ValueError to its own internal errors
        try:
            other = ordinary()
            made = None if other is None else run(other)
        except Exception as second:
            first.__context__ = second  # the whole log has both
            then = "" if _short(second) == _short(first) else f"; then, of the ordinary export: {_short(second)}"
            raise StageFailed(f"conversion failed: {_short(first)}{then}") from first
        if made is None:
            raise StageFailed(f"conversion failed: {_short(first)}") from first
        note(f"the frozen model did not convert ({_short(first)}); the ordinary export was used")
        return made


def _short(error: Exception) -> str:
    # Between long locations the converter says which operator it is about and what is wrong with it.
    about = re.search(r"'tfl?\.\w+' op [^\n]+", str(error))
    if about:
        return f"{type(error).__name__}: {about[0][:300]}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines[:2])[:300]}"

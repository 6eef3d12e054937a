"""Reading `.tflite` files back: what they really hold, without TensorFlow and without native code."""

from __future__ import annotations

from workbench.flatbuffer.census import read_census, read_sizes
from workbench.flatbuffer.checks import check_census

__all__ = ["check_census", "read_census", "read_sizes"]

"""Read a model's inputs and outputs from its file alone: no TensorFlow, no native code, so no worker is needed."""

from __future__ import annotations

from pathlib import Path

from workbench import registry
from workbench.values.source import ModelInfo, Signature


def glance(info: ModelInfo) -> Signature | None:
    """Return what the file says of its inputs and outputs, or None where only loading the model can tell.

    An output's shape is empty where the file does not say it. Raises WorkbenchError for a damaged `.tflite`.
    """
    with registry.sources.blamed(info.opener, info.path):
        return registry.sources.get(info.opener).glance(Path(info.path))

"""Boxes around objects, each with a class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from importlib.util import find_spec

import numpy as np

from workbench.errors import StageFailed
from workbench.tasks import average_precision as ap
from workbench.tasks.base import Array, BaseTask, Shape
from workbench.tasks.detection_outputs import DetectionParams, cleared, columns_text, read, roles
from workbench.tasks.scores import AnyScore, Redrawn
from workbench.values.boxes import there
from workbench.values.labels import LabelInfo

INSTALL = "pycocotools is not installed: pip install 'tflite-workbench[detection]'"


class Detection(BaseTask[DetectionParams]):
    """Boxes with classes, judged by COCO's mean average precision.

    Intervals are the bootstrap over images: matched detections are kept, and precision is put together again with the images drawn.
    """

    name = "detection"
    help = "boxes with classes: rows of x1 y1 x2 y2 class, filled up with -1; needs pycocotools"
    primary = "map"
    params = DetectionParams

    def available(self) -> str | None:
        """Return how to get pycocotools, or None."""
        return None if find_spec("pycocotools") else INSTALL

    def reads(self, params: DetectionParams, output: str, outputs: Mapping[str, Shape]) -> tuple[str, ...]:
        """Return the four outputs of TFLite_Detection_PostProcess, or the one that has the labels."""
        return roles(params, outputs) if params.format == "tflite" else (output,)

    def unfit(self, params: DetectionParams, labels: LabelInfo, outputs: Mapping[str, Shape]) -> str | None:
        """Refuse labels that are no boxes, and an output without boxes in its columns."""
        if not labels.boxes:
            return f"labels are {labels.text}, not rows of x1 y1 x2 y2 class (x2 >= x1, y2 >= y1, whole classes from 0, rows filled up with -1)"
        shape = next(iter(outputs.values()))
        if params.format != "tflite" and len(shape) != 2:
            return f"the output has the shape {shape}, not (boxes, {columns_text(params)}) of format {params.format!r}"
        return None

    def clear(self, params: DetectionParams, outputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Return zeros behind the count of detections, where the operator leaves what was in memory."""
        return cleared(params, outputs) if params.format == "tflite" else outputs

    def judge(self, params: DetectionParams, outputs: Mapping[str, Array], y: Array) -> Sequence[AnyScore]:
        """Return AP averaged over overlaps .5 to .95 and classes, and AP at overlaps of .5 and .75."""
        if self.available():
            raise StageFailed(INSTALL)
        y = np.asarray(y)
        classes = ap.match(read(params, outputs), y)
        if not classes:
            raise StageFailed(
                f"none of {len(y)} samples has a box ({int(there(y).sum())} are crowds), so nothing is there to find"
            )
        judged = _Judged(classes, len(y))
        whole = _figures(ap.precisions(classes, np.ones(len(y))))
        return [
            Redrawn(name, title, "share", "high", len(y), float(whole[i]), partial(judged.of, place=i))
            for i, (name, title) in enumerate(FIGURES.items())
        ]


FIGURES = {
    "map": "Mean average precision (overlaps .5 to .95)",
    "ap50": "Average precision at overlap .5",
    "ap75": "Average precision at overlap .75",
}


def _figures(precisions: Array) -> Array:
    """Return the three figures of average precision at the ten overlaps."""
    return np.array([precisions.mean(), precisions[0], precisions[5]])


class _Judged:
    """Figures of samples drawn again, worked out once for all three."""

    def __init__(self, classes: list[ap.Matched], count: int) -> None:
        self._classes, self._count = classes, count
        self._last: tuple[Array, Array] | None = None

    def of(self, draws: Array, place: int) -> Array:
        """Return one figure `(draws)` for indices `(draws, n)`, by its place in `FIGURES`."""
        if self._last is None or self._last[0] is not draws:
            weights = (np.bincount(d, minlength=self._count).astype(np.float64) for d in draws)
            self._last = draws, np.stack([_figures(ap.precisions(self._classes, w)) for w in weights])
        found: Array = self._last[1][:, place]
        return found

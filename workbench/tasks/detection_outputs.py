"""What a detector's outputs say: boxes with a score and a class, from the forms in which models give them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from workbench.errors import StageFailed, WorkbenchError, unknown
from workbench.tasks.average_precision import MOST_DETECTIONS, Detections
from workbench.values.params import Params

Array = np.ndarray[Any, Any]
Shape = tuple[int | None, ...]
Form = Literal["tflite", "xyxy-score-class", "xyxy-score-classes", "cxcywh-score-classes", "cxcywh-classes"]
ROLES = ("boxes", "classes", "scores", "count")


class DetectionParams(Params):
    """How outputs are read, and in which numbers labels are."""

    primary: ClassVar[str | None] = "format"

    format: Form = Field(
        "tflite",
        description="tflite: the four outputs of TFLite_Detection_PostProcess; else the columns of one output (n, boxes, columns): "
        "corners or centre and size, a score, and the class or a score for each class",
    )
    size: str | None = Field(
        None,
        pattern=r"^[1-9][0-9]{0,5}x[1-9][0-9]{0,5}$",
        description="height x width that outputs are in where labels are from 0 to 1; default is that both are in the same unit",
    )
    class_offset: int = Field(0, ge=-1000, le=1000, description="added to the outputs' classes to get the labels'")
    min_score: float = Field(0.0, ge=0, le=1, description="detections with a score below are left out")
    nms: float | None = Field(
        None, gt=0, lt=1, description="of boxes of one class that overlap by more, the surest stays; default keeps all"
    )
    boxes: str | None = Field(None, description="name of the output with boxes, for tflite; default is by shape")
    classes: str | None = Field(
        None, description="name of the output with classes, for tflite; default is by name, then order"
    )
    scores: str | None = Field(
        None, description="name of the output with scores, for tflite; default is by name, then order"
    )
    count: str | None = Field(None, description="name of the output with the count, for tflite; default is by shape")


def roles(params: DetectionParams, outputs: Mapping[str, Shape]) -> tuple[str, str, str, str]:
    """Return the names of the outputs with boxes, classes, scores and count among a model's, of shapes without the batch.

    What is not named by `params` is found by shape; classes and scores, which have one shape, by name, then by the operator's order. Raises
    WorkbenchError where outputs are not so.
    """
    named: dict[str, str] = {role: name for role in ROLES if (name := getattr(params, role))}
    for name in named.values():
        if name not in outputs:
            raise unknown("output", name, outputs, "Options of task `detection` name the model's outputs.")
    left = {n: s for n, s in outputs.items() if n not in named.values()}

    def one(role: str, fits: Mapping[str, Shape]) -> str:
        if role not in named:
            if len(fits) != 1:
                raise _no_roles(outputs)
            named[role] = next(iter(fits))
            left.pop(named[role])
        return named[role]

    boxes = one("boxes", {n: s for n, s in left.items() if len(s) == 2 and s[1] == 4})
    count = one("count", {n: s for n, s in left.items() if s in ((), (1,))})
    # Files have outputs in any order; their numbers are the operator's.
    lists = {n: left[n] for n in sorted(left, key=_numbered) if len(left[n]) == 1}
    for role, word in (("classes", "class"), ("scores", "score")):
        told = [n for n in lists if word in n.lower()]
        if role not in named and len(told) == 1:
            named[role] = told[0]
            lists.pop(told[0])
    for role in ("classes", "scores"):
        if role not in named:
            if not lists or len(lists) > sum(r not in named for r in ("classes", "scores")):
                raise _no_roles(outputs)
            named[role] = next(iter(lists))
            lists.pop(named[role])
    return boxes, named["classes"], named["scores"], count


def _numbered(name: str) -> tuple[tuple[str, int], ...]:
    """Return what sorts names by the numbers in them: `output_2` before `output_10`."""
    return tuple((text, int(number or 0)) for text, number in re.findall(r"(\D*)(\d{0,18})", name))


def _no_roles(outputs: Mapping[str, Shape]) -> WorkbenchError:
    listed = ", ".join(f"{n} {_text(s)}" for n, s in outputs.items())
    return WorkbenchError(
        f"the model's outputs are {listed}, which are not the four of TFLite_Detection_PostProcess: boxes (N, 4), classes (N), scores (N), count (). "
        "Name them, --task 'detection[boxes=NAME,classes=NAME,scores=NAME,count=NAME]', or say how one output is read, --task 'detection[format=xyxy-score-class]'."
    )


def _text(shape: Shape) -> str:
    return "(" + ", ".join("?" if d is None else str(d) for d in shape) + ")"


def read(params: DetectionParams, outputs: Mapping[str, Array]) -> list[Detections]:
    """Return what was found in each image, the surest first; `outputs` are those that the form reads, `(n, ...)`.

    Raises StageFailed where they are not of that form.
    """
    found = _four(params, outputs) if params.format == "tflite" else _columns(params, next(iter(outputs.values())))
    height, width = (float(v) for v in params.size.split("x")) if params.size else (1.0, 1.0)
    unit = np.array([width, height, width, height])
    return [_kept(params, d._replace(boxes=d.boxes / unit)) for d in found]


def cleared(params: DetectionParams, outputs: Mapping[str, Array]) -> dict[str, Array]:
    """Return the four outputs with zeros behind the count of each image."""
    boxes, classes, scores, count = roles(params, {n: v.shape[1:] for n, v in outputs.items()})
    found = dict(outputs)
    many = np.nan_to_num(outputs[count].reshape(-1, 1))
    for name in (boxes, classes, scores):
        values = outputs[name]
        real = np.arange(values.shape[1]) < np.round(many)
        found[name] = np.where(real.reshape(*real.shape, *(1,) * (values.ndim - 2)), values, 0)
    return found


def _four(params: DetectionParams, outputs: Mapping[str, Array]) -> list[Detections]:
    found = cleared(params, outputs)
    boxes, classes, scores, _ = (
        found[name].astype(np.float64) for name in roles(params, {n: v.shape[1:] for n, v in outputs.items()})
    )
    if not _whole(classes) and _whole(scores):
        # Exporters number outputs as they like; what is no whole number is no class.
        if params.classes or params.scores:
            raise StageFailed(
                "the output taken for scores holds whole numbers, that taken for classes does not. Name them the other way round: "
                "--task 'detection[classes=NAME,scores=NAME]'."
            )
        classes, scores = scores, classes
    # Behind the count scores are zero, which are left out.
    return [
        Detections(b[:, [1, 0, 3, 2]], s, np.round(k).astype(np.int64))
        for b, s, k in zip(boxes, scores, classes, strict=True)
    ]


def _whole(values: Array) -> bool:
    return bool((np.abs(values - np.round(values)) < 0.01).all())


def _columns(params: DetectionParams, output: Array) -> list[Detections]:
    fixed = params.format == "xyxy-score-class"
    width = output.shape[2] if output.ndim == 3 else 0
    if width != 6 if fixed else width < (6 if "score" in params.format else 5):
        raise StageFailed(
            f"an output of shape {output.shape} is not (n, boxes, {columns_text(params)}), as format {params.format!r} says"
        )
    values = output.astype(np.float64)
    place = values[..., :4]
    if params.format.startswith("cxcywh"):
        middle, half = place[..., :2], place[..., 2:] / 2
        place = np.concatenate([middle - half, middle + half], axis=-1)
    if fixed:
        scores, classes = values[..., 4], np.round(values[..., 5]).astype(np.int64)
    else:
        each = values[..., 5:] * values[..., 4:5] if "score" in params.format else values[..., 4:]
        scores, classes = each.max(axis=-1), each.argmax(axis=-1)
    return [Detections(b, s, c) for b, s, c in zip(place, scores, classes, strict=True)]


def columns_text(params: DetectionParams) -> str:
    """Return how many columns one output has, for a sentence."""
    return {"xyxy-score-class": "6", "cxcywh-classes": "4 + classes"}.get(params.format, "4 + 1 + classes")


def _kept(params: DetectionParams, found: Detections) -> Detections:
    """Return detections with a score, the surest first, those that another covers left out if so asked, at most 100 of a class."""
    some = np.flatnonzero((found.scores >= params.min_score) & (found.scores > 0))
    some = some[np.argsort(-found.scores[some], kind="mergesort")]
    kept: list[int] = []
    for kind in np.unique(found.classes[some]):
        own = some[found.classes[some] == kind]
        kept += (own[:MOST_DETECTIONS] if params.nms is None else _apart(found.boxes, own, params.nms)).tolist()
    order = np.array(sorted(kept, key=lambda i: -found.scores[i]), dtype=np.int64)
    return Detections(found.boxes[order], found.scores[order], found.classes[order] + params.class_offset)


def _apart(boxes: Array, order: Array, most: float) -> Array:
    """Return the places, of those in order, that no earlier kept one overlaps by more than `most` (greedy suppression)."""
    areas = np.maximum(boxes[:, 2:] - boxes[:, :2], 0).prod(axis=1)
    kept: list[int] = []
    while len(order) and len(kept) < MOST_DETECTIONS:
        first, order = order[0], order[1:]
        kept.append(int(first))
        low = np.maximum(boxes[first, :2], boxes[order, :2])
        high = np.minimum(boxes[first, 2:], boxes[order, 2:])
        shared = np.maximum(high - low, 0).prod(axis=1)
        union = areas[first] + areas[order] - shared
        order = order[shared <= most * union]
    return np.array(kept, dtype=np.int64)

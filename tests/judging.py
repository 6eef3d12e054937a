"""What figures are held against: outputs of a plain interpreter, and pycocotools used directly on random boxes."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from workbench.tasks import average_precision as ap

Array = np.ndarray[Any, Any]


def plain(path: str, x: Array) -> dict[str, Array]:
    """What a file gives for each sample, one at a time, as real numbers by the signature's names."""
    interpreter = Interpreter(model_path=path)
    run = interpreter.get_signature_runner("serving_default")
    (given,) = run.get_input_details().items()
    ends = run.get_output_details()
    scale, zero = given[1]["quantization"]
    found: dict[str, list[Array]] = {n: [] for n in ends}
    for sample in x:
        value = sample[None]
        if scale:
            value = np.clip(np.round(value / scale) + zero, -128, 127).astype(np.int8)
        for name, out in run(**{given[0]: value}).items():
            s, z = ends[name]["quantization"]
            found[name].append((out.astype(np.float32) - z) * s if s else out)
    return {n: np.concatenate(v) for n, v in found.items()}


def random_truth(draw: np.random.Generator, images: int, crowds: bool = False) -> list[Array]:
    found = []
    for _ in range(images):
        count = int(draw.integers(0, 6))
        low = draw.random((count, 2)) * 0.6
        boxes = [low, low + 0.1 + draw.random((count, 2)) * 0.3, draw.integers(0, 3, (count, 1))]
        if crowds:
            boxes.append((draw.random((count, 1)) < 0.2).astype("f8"))
        found.append(np.concatenate(boxes, axis=1).astype("f8"))
    return found


def random_found(draw: np.random.Generator, truth: Sequence[Array], noise: float) -> list[ap.Detections]:
    """Most true boxes moved a little, some of another class, and boxes that are nowhere."""
    found = []
    for rows in truth:
        near = rows[draw.random(len(rows)) < 0.85]
        boxes = near[:, :4] + draw.normal(size=(len(near), 4)) * noise
        low = draw.random((3, 2)) * 0.6
        boxes = np.concatenate([boxes, np.concatenate([low, low + 0.2], axis=1)])
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 0.01)
        classes = np.concatenate([near[:, 4], draw.integers(0, 4, 3)])
        classes = np.where(draw.random(len(classes)) < 0.1, (classes + 1) % 3, classes).astype(int)
        scores = np.concatenate([0.3 + 0.7 * draw.random(len(near)), 0.6 * draw.random(3)])
        found.append(ap.Detections(boxes, scores, classes))
    return found


def directly(truth: Sequence[Array], found: Sequence[ap.Detections]) -> Array:
    """AP, AP50 and AP75 of pycocotools used as its own demo does."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def xywh(box: Array) -> list[float]:
        return [float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])]

    images = [{"id": i} for i in range(1, len(truth) + 1)]
    annotations: list[dict[str, Any]] = []
    for i, rows in enumerate(truth, 1):
        for row in rows:
            box = xywh(row)
            crowd = int(row[5]) if len(row) > 5 else 0
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": i,
                    "category_id": int(row[4]) + 1,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": crowd,
                }
            )
    results = [
        {"image_id": i, "category_id": int(k) + 1, "bbox": xywh(b), "score": float(s)}
        for i, d in enumerate(found, 1)
        for b, s, k in zip(d.boxes, d.scores, d.classes, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": images,
            "annotations": annotations,
            "categories": [{"id": k} for k in range(1, 6)],
        }
        coco.createIndex()
        judged = COCOeval(coco, coco.loadRes(results), "bbox")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    return np.asarray(judged.stats[:3])

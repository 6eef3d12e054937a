"""COCO's average precision: boxes are matched by pycocotools, and precision is put together again for any weights of the images.

Sources: Lin and others, "Microsoft COCO: Common Objects in Context", ECCV 2014, and `COCOeval` of pycocotools, which defines the figure:
greedy matching by score at ten overlaps, at most 100 detections of a class per image, precision at 101 recalls under its envelope.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from workbench.compat import pycocotools
from workbench.values.boxes import CLASS, CROWD, there

Array = np.ndarray[Any, Any]
# COCO's most detections of a class in an image.
MOST_DETECTIONS = 100
EVERY_AREA = (0.0, 1e10)


class Detections(NamedTuple):
    """What was found in one image: boxes `(k, 4)` as `x1 y1 x2 y2`, scores `(k)` and whole classes `(k)`."""

    boxes: Array
    scores: Array
    classes: Array


class Matched(NamedTuple):
    """Detections of one class, the surest first: their images `(d)`, right and wrong at each overlap `(10, d)`; and true boxes by image `(n)`.

    What lies on a crowd is neither right nor wrong.
    """

    images: Array
    right: Array
    wrong: Array
    truths: Array


def match(found: Sequence[Detections], y: Array) -> list[Matched]:
    """Return the detections of each class that has true boxes, matched image by image, against labels `(n, rows, 5 or 6)`."""
    matcher = pycocotools.matcher(MOST_DETECTIONS)
    truths_of, found_of = pycocotools.truths(matcher), pycocotools.detections(matcher)
    # What COCOeval prepares from files: boxes by image and class, numbered from 1 (0 is "none").
    for image, (rows, seen) in enumerate(zip(y, found, strict=True)):
        for row in rows[there(rows)]:
            crowd = int(len(row) > CROWD and row[CROWD] > 0)
            _put(truths_of, image, int(row[CLASS]), row[:4], {"iscrowd": crowd, "ignore": crowd})
        for box, score, kind in zip(seen.boxes, seen.scores, seen.classes, strict=True):
            _put(found_of, image, int(kind), box, {"score": float(score)})
    by_class: dict[int, dict[int, dict[str, Any]]] = {}
    truths: dict[int, Array] = {}
    for (image, kind), boxes in truths_of.items():
        if any(not b["ignore"] for b in boxes):
            truths.setdefault(kind, np.zeros(len(y)))[image] = sum(not b["ignore"] for b in boxes)
    for image, kind in sorted({*truths_of, *found_of}):
        if kind in truths:
            matcher.ious[image, kind] = matcher.computeIoU(image, kind)
            by_class.setdefault(kind, {})[image] = matcher.evaluateImg(image, kind, EVERY_AREA, MOST_DETECTIONS)
    return [_matched(by_class[kind], truths[kind]) for kind in sorted(truths)]


def _put(boxes: Any, image: int, kind: int, corners: Array, more: dict[str, Any]) -> None:
    x1, y1, x2, y2 = (float(v) for v in corners)
    # Corners out of order enclose nothing; COCOeval would leave out what has less than no area.
    width, height = max(0.0, x2 - x1), max(0.0, y2 - y1)
    held = boxes[image, kind]
    held.append({"id": len(held) + 1, "bbox": [x1, y1, width, height], "area": width * height, **more})


def _matched(images: dict[int, dict[str, Any]], truths: Array) -> Matched:
    scores = np.concatenate([e["dtScores"] for e in images.values()])
    # COCOeval's own order: stable, so that of equal scores the earlier image comes first.
    order = np.argsort(-scores, kind="mergesort")
    hit = np.concatenate([e["dtMatches"] for e in images.values()], axis=1)[:, order] > 0
    ignored = np.concatenate([e["dtIgnore"] for e in images.values()], axis=1)[:, order] > 0
    where = np.concatenate([np.full(len(e["dtScores"]), image, dtype=np.int64) for image, e in images.items()])[order]
    return Matched(where, hit & ~ignored, ~hit & ~ignored, truths)


def precisions(classes: Sequence[Matched], weights: Array) -> Array:
    """Return average precision at each of the ten overlaps, the mean over classes, with each image counted `weights` `(n)` times.

    NaN where no image that counts has a true box.
    """
    found = [p for c in classes if (p := _precision(c, weights)) is not None]
    return np.mean(found, axis=0) if found else np.full(len(overlaps()), np.nan)


def _precision(matched: Matched, weights: Array) -> Array | None:
    """Return one class's average precision at each overlap, None where it has no true box."""
    boxes = float(matched.truths @ weights)
    if boxes == 0:
        return None
    counts = weights[matched.images]
    right = np.cumsum(matched.right * counts, axis=1)
    wrong = np.cumsum(matched.wrong * counts, axis=1)
    recall = right / boxes
    precision = right / (right + wrong + np.spacing(1))
    # A copy of an image adds the same detections: among them the envelope is that of the last.
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recalls = np.linspace(0.0, 1.0, 101)
    found = np.zeros(len(envelope))
    for n, (reached, best) in enumerate(zip(recall, envelope, strict=True)):
        places = np.searchsorted(reached, recalls, side="left")
        found[n] = best[places[places < len(best)]].sum() / len(recalls)
    return found


def overlaps() -> Array:
    """Return COCO's ten overlaps (intersection over union), .5 to .95."""
    return np.linspace(0.5, 0.95, 10)

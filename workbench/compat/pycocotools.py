"""pycocotools: `COCOeval` on boxes in memory, which it takes from files alone."""

from __future__ import annotations

from typing import Any

from workbench.compat.library import Library

PYCOCOTOOLS = Library("pycocotools", ">=2.0.8,<2.1")


def matcher(most_detections: int) -> Any:
    """Return a `COCOeval` for boxes, without its printing; `truths` and `detections` are where its boxes go."""
    from pycocotools.cocoeval import COCOeval

    found = COCOeval(iouType="bbox")
    found.params.maxDets = [most_detections]
    return found


def truths(matcher: Any) -> Any:
    """Return a matcher's true boxes, lists by image and class, which its `_prepare` fills from files; an unknown key is an empty list."""
    return PYCOCOTOOLS.attribute(matcher, "_gts")


def detections(matcher: Any) -> Any:
    """Return a matcher's detections, as `truths` does."""
    return PYCOCOTOOLS.attribute(matcher, "_dts")

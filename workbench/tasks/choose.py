"""Which task an output's labels are of, told from how labels and output look; what cannot be told apart is asked."""

from __future__ import annotations

import math
from typing import NamedTuple

from workbench.errors import WorkbenchError
from workbench.tasks.base import Shape
from workbench.values.labels import LabelInfo


class Choice(NamedTuple):
    """A task by name, and what it was told from, for a sentence."""

    task: str
    why: str


def choose(labels: LabelInfo | None, output: Shape, name: str = "") -> Choice:
    """Return the task of an output whose shape, without the batch, is known in rank.

    Raises WorkbenchError with the ways to go on where labels and output fit no task, or more than one.
    """
    if labels is None:
        return Choice("none", "there are no labels")
    numbers = None if None in output else math.prod(d or 1 for d in output)
    if labels.shape == () or labels.shape == (1,):
        return _single(labels, output, numbers, name)
    places = labels.shape[:-1] if labels.shape[-1] == 1 else labels.shape
    if labels.whole and labels.said != "value" and _lies_on(places, output):
        return Choice(
            "segmentation", f"labels are masks {labels.shape} of whole numbers, the output is {_text(output)}"
        )
    if _equal(labels.shape, output) or (numbers == math.prod(labels.shape)):
        if labels.binary and labels.said != "value":
            kind = "multi-label" if len(places) == 1 else "segmentation"
            return Choice(kind, f"labels are 0 and 1, one for each number of the output {_text(output)}")
        return Choice("regression", f"labels are {labels.text}, one for each number of the output {_text(output)}")
    raise _unfit(labels, output, name)


def _single(labels: LabelInfo, output: Shape, numbers: int | None, name: str) -> Choice:
    if labels.said == "value":
        return Choice("regression", "labels were said to be values")
    if not labels.whole:
        if numbers in (1, None):
            return Choice("regression", f"labels are {labels.text}")
        raise _unfit(labels, output, name)
    if numbers == 1:
        if labels.binary:
            return Choice("classification", "labels are 0 and 1 beside an output of one number")
        if labels.said == "class":
            raise _unfit(labels, output, name)
        return Choice("regression", f"labels are {labels.text}, and an output of one number cannot be so many classes")
    if len(output) == 1:
        if labels.low >= 0 and (output[0] is None or labels.high < output[0]):
            return Choice("classification", f"labels are {labels.text}, the output has {output[0] or 'open'} classes")
        raise _unfit(labels, output, name)
    if numbers is not None and labels.low >= 0 and labels.high < numbers and sum(d != 1 for d in output) == 1:
        return Choice("classification", f"labels are {labels.text}, the output has {numbers} classes")
    raise _unfit(labels, output, name)


def _lies_on(places: tuple[int, ...], output: Shape) -> bool:
    return (
        len(places) >= 1
        and len(output) == len(places) + 1
        and _equal(places, output[:-1])
        and not (len(places) == 1 and output[-1] == 1)
    )


def _equal(shape: tuple[int, ...], output: Shape) -> bool:
    return len(shape) == len(output) and all(o in (None, s) for s, o in zip(shape, output, strict=True))


def _text(output: Shape) -> str:
    return "(" + ", ".join("?" if d is None else str(d) for d in output) + ")"


def _unfit(labels: LabelInfo, output: Shape, name: str) -> WorkbenchError:
    what = f"output {name!r}" if name else "the output"
    if labels.boxes:
        return WorkbenchError(
            f"labels are {labels.text}, which can be boxes (x1 y1 x2 y2 class), and {what} has the shape {_text(output)}. "
            "Say how its columns are read, e.g. --task 'detection[format=xyxy-score-class]', or what labels are otherwise, e.g. --task none."
        )
    return WorkbenchError(
        f"labels are {labels.text}, and {what} has the shape {_text(output)}: no task fits both. "
        "Check that the labels belong to this output, or say what they are with --task (Python: task=), e.g. --task regression, --task none."
    )

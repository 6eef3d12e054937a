"""Which columns of a data set with named ones are inputs and labels, for the readers of libraries that offer such."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from workbench.data.dataset import Split
from workbench.data.images import PictureParams
from workbench.errors import WorkbenchError, unknown

NO_LABELS = "none"
LABELS = ("label", "labels", "target", "y", "class")


class ColumnParams(PictureParams):
    """How columns become arrays; written as `hf:NAME?input=image&label=label`."""

    input: str | None = Field(None, description="column or columns of samples, A,B; default is the images, else all")
    label: str | None = Field(
        None,
        description="column or columns of labels, `none` for none; default is the one of classes, else named label",
    )


Kind = Literal["image", "class", "number", "array", "word", "other"]


class ChosenColumns(NamedTuple):
    """ChosenColumns by the name of an input (several of `joined` ones are one vector) and of an output; "" where there is one."""

    inputs: dict[str, str]
    labels: dict[str, str]
    joined: tuple[str, ...] = ()

    def sample(self, value: Callable[[str], np.ndarray[Any, Any]]) -> Split:
        """Return one row as a split; `value` gives that of a column as an array."""
        x: dict[str, Any] = {name: value(column)[None] for name, column in self.inputs.items()}
        if self.joined:
            x = {"": np.asarray([[value(column) for column in self.joined]], dtype=np.float32)}
        return Split.named(x, {name: value(column)[None] for name, column in self.labels.items()})


def choose(kinds: Mapping[str, Kind], params: ColumnParams, where: str) -> ChosenColumns:
    """Return which columns are what; raises WorkbenchError for a name that is none, or where it cannot be told."""
    if params.label == NO_LABELS and NO_LABELS not in kinds:
        labels: list[str] = []
    elif params.label:
        labels = _asked(params.label, kinds, where)
    else:
        usable = [n for n, kind in kinds.items() if kind in ("class", "number", "word")]
        classes = [n for n in usable if kinds[n] == "class"]
        named = next((n for wanted in LABELS for n in usable if n.lower() == wanted), None)
        labels = [named] if named else classes[:1]
    joined: tuple[str, ...] = ()
    if params.input:
        inputs = _asked(params.input, kinds, where)
    else:
        rest = {n: kind for n, kind in kinds.items() if n not in labels}
        images = [n for n, kind in rest.items() if kind == "image"]
        arrays = [n for n, kind in rest.items() if kind == "array"]
        joined = tuple(n for n, kind in rest.items() if kind in ("number", "class"))
        inputs = images[:1] or arrays
        joined = joined if not inputs else ()
    if strange := next((n for n in inputs if kinds[n] in ("word", "other")), None):
        raise WorkbenchError(f"{where}: column {strange!r} is no image and no numbers, which inputs are.")
    if strange := next((n for n in labels if kinds[n] in ("image", "other")), None):
        raise WorkbenchError(f"{where}: column {strange!r} is no numbers, classes or words, which labels are.")
    if not inputs and not joined:
        raise WorkbenchError(
            f"{where} has no column of images or numbers among {', '.join(kinds)}. Say which with ?input=COLUMN."
        )
    return ChosenColumns(_by_name(inputs), _by_name(labels), joined)


def _asked(text: str, kinds: Mapping[str, Kind], where: str) -> list[str]:
    found = [name.strip() for name in text.split(",")]
    for name in found:
        if name not in kinds:
            raise unknown(f"column of {where}", name, kinds)
    return found


def _by_name(names: Sequence[str]) -> dict[str, str]:
    return {"": names[0]} if len(names) == 1 else {name: name for name in names}

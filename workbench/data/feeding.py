"""How samples go into a model: one or several a call, with a batch axis or without, at sizes that the model leaves open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from workbench.data.rows import Array, Values
from workbench.errors import WorkbenchError

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Feeding:
    """`size` is how many samples one call takes; where `resizable` it may take any other number.

    `axes` tells of each input whether it has a batch axis, by name; `shapes` are the inputs' shapes in such a call.
    """

    size: int
    resizable: bool
    axes: dict[str, bool]
    shapes: dict[str, tuple[int, ...]]

    @property
    def batched(self) -> bool:
        """Whether calls take and give a batch axis; else each sample is a call."""
        return all(self.axes.values())

    def given(self, name: str, values: Values, start: int, count: int) -> Array:
        """Return what an input is given of samples `values`; a call that takes more is filled up with the last one."""
        if not self.axes[name]:
            return np.asarray(values[start])
        part = np.asarray(values[start : start + count])
        if self.resizable or count == self.size:
            return part
        return np.concatenate([part, np.repeat(part[-1:], self.size - count, axis=0)])

    def taken(self, output: Array, count: int) -> Array:
        """Return the outputs `(count, *shape)` of the samples that a call was about; raises ValueError where there is no such axis."""
        if not self.batched:
            # A leading 1 before other axes is a batch axis that the model makes itself.
            return output if output.ndim > 1 and len(output) == 1 else output[None]
        if output.shape[:1] != (count if self.resizable else self.size,):
            raise ValueError(f"shape {output.shape}")
        return output[:count]

    def sample_shape(self, output: Shape) -> Shape:
        """Return the shape of one sample's output, of the shape that the model says."""
        return output[1:] if self.batched or (len(output) > 1 and output[0] == 1) else output


def feeding(takes: Mapping[str, Shape], has: Mapping[str, tuple[int, ...]], whose: str) -> Feeding:
    """Return how samples of shapes `has` go into inputs of shapes `takes`, batch first where there is one, both by name.

    Raises WorkbenchError, which calls the data `whose`, with what the model takes, what the data has and what to do.
    """
    axes: dict[str, bool] = {}
    for name, want in takes.items():
        have = has[name]
        if _fits(want[1:], have) and want:
            axes[name] = True
        elif _fits(want, have):
            axes[name] = False
        else:
            raise WorkbenchError(
                f"{whose} has samples of shape {have}, but the model's input {name!r} takes {_told(want)}. "
                "Reshape or resize the samples to that, without the batch axis."
            )
    numbers = {name: want[0] or 1 for name, want in takes.items() if axes[name]}
    fixed = set(numbers.values()) - {1}
    single = not all(axes.values()) or any(takes[n][0] == 1 for n in numbers)
    if len(fixed) > 1 or (fixed and single):
        raise _unlike(takes)
    size = next(iter(fixed), 1)
    shapes = {n: (size, *have) if axes[n] else have for n, have in ((n, has[n]) for n in takes)}
    return Feeding(size, all(axes.values()) and not fixed, axes, shapes)


def _fits(want: Shape, have: tuple[int, ...]) -> bool:
    return len(want) == len(have) and all(w is None or w == h for w, h in zip(want, have, strict=True))


def _told(want: Shape) -> str:
    """Return an input's shape as a sentence: that of one sample where its first axis can be a batch, else the whole."""
    many = want[0] if want else 0
    if many is None or many == 1:
        return _shown(want[1:])
    whole = f"{_shown(want)} without a batch axis"
    return f"{_shown(want[1:])}, {many} samples a call, or {whole}" if want else whole


def _shown(shape: Shape) -> str:
    parts = ["any" if d is None else str(d) for d in shape]
    return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"


def _unlike(takes: Mapping[str, Shape]) -> WorkbenchError:
    told = ", ".join(f"{name!r} {_shown(shape)}" for name, shape in takes.items())
    return WorkbenchError(
        f"the model's inputs take different numbers of samples a call: {told}. Convert the model again with one batch size for all inputs."
    )

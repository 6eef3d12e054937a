"""At which sizes a file is timed: the data's where the file leaves them open, and how many samples a call takes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from workbench.data.feeding import feeding
from workbench.errors import WorkbenchError
from workbench.flatbuffer.opening import read_file
from workbench.flatbuffer.reader import read_model
from workbench.flatbuffer.records import Graph


class Sizes(NamedTuple):
    """`inputs` are shapes by name where the file leaves sizes beside the batch open, else empty; `batch` is samples a call.

    `assumed`: nothing tells the open sizes, and the file's own, often 1, are taken.
    """

    inputs: dict[str, tuple[int, ...]]
    batch: int = 1
    assumed: bool = False


class SizeTeller:
    """Tells the sizes of files for samples of some shapes by input name ("" for the only one), each file once."""

    def __init__(self, samples: Mapping[str, tuple[int, ...]] | None) -> None:
        self._samples = samples
        self._known: dict[Path, Sizes] = {}

    def of(self, path: Path) -> Sizes:
        """Return the sizes of a file; none where it cannot be read or does not take the data, which others tell."""
        if path not in self._known:
            try:
                self._known[path] = _sizes(path, self._samples)
            except WorkbenchError:
                self._known[path] = Sizes({})
        return self._known[path]


def input_shapes(path: Path, begins: bool = False) -> dict[str, tuple[int | None, ...]]:
    """Return the shapes of a file's inputs by public name, None where they are open, or those that it `begins` with.

    Raises WorkbenchError for a damaged file.
    """
    graph, names = _served(path)
    tensors = [(names.get(i, graph.tensors[i].name), graph.tensors[i]) for i in graph.inputs if i >= 0]
    ends = {name: t.shape if begins else t.signature for name, t in tensors}
    return {name: tuple(None if d < 0 else d for d in shape) for name, shape in ends.items()}


def _sizes(path: Path, samples: Mapping[str, tuple[int, ...]] | None) -> Sizes:
    takes = input_shapes(path)
    begins = input_shapes(path, begins=True)
    is_open = any(None in shape[1:] for shape in takes.values())
    if samples is None:
        # Without data nothing tells whether a first axis is a batch, unless all that comes in and goes out begins with as many.
        shapes = {n: tuple(d or 1 for d in shape) for n, shape in begins.items()}
        batch = _common(path)
        return Sizes(shapes, batch, assumed=True) if is_open else Sizes({}, batch)
    has = dict.fromkeys(takes, samples[""]) if list(samples) == [""] else {n: samples[n] for n in takes if n in samples}
    if set(has) != set(takes):
        return Sizes({})
    how = feeding(takes, has, "the data")
    without = any(None in takes[n] for n, axis in how.axes.items() if not axis)
    return Sizes(how.shapes if is_open or without else {}, how.size)


def _common(path: Path) -> int:
    """Return the fixed size above 1 with which all inputs and outputs of a file begin, 1 where they do not."""
    graph, _ = _served(path)
    ends = [graph.tensors[i].signature for i in (*graph.inputs, *graph.outputs) if i >= 0]
    first = {shape[0] if len(shape) > 1 else 1 for shape in ends}
    return max(1, first.pop()) if len(first) == 1 else 1


def _served(path: Path) -> tuple[Graph, Mapping[int, str]]:
    """Return the graph of a file's first signature, or its first one, and the public names of its inputs by their tensors."""
    model = read_model(read_file(path), path.name)
    named = model.signatures[0] if model.signatures else None
    return model.graphs[named.graph if named else 0], named.inputs if named else {}

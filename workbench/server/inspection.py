"""What is shown of a `.tflite` file: what `workbench inspect` tells, each operator, and what deserves a warning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench.commands.files import Inspection
from workbench.flatbuffer.census import read_census, read_sizes
from workbench.flatbuffer.custom import told
from workbench.flatbuffer.opening import read_file
from workbench.flatbuffer.reader import read_model
from workbench.flatbuffer.records import Graph
from workbench.values.trial import Census
from workbench.views.units import size_text

# A page shows no more; the file may have any number.
MOST_OPERATORS = 5_000
MOST_ENDS = 8
_INTEGERS = ("int8", "uint8", "int4", "uint4", "int2")


def inspect_file(path: Path, name: str) -> dict[str, Any]:
    """Return file, sizes and census as `workbench inspect --format json` does, with `text`, `warnings` and `operators` of the graph.

    Raises WorkbenchError for what is no whole TensorFlow Lite model. No code of the file runs, and no interpreter opens it.
    """
    shown = Inspection(read_census(path), "json", file=name, size=read_sizes(path))
    model = read_model(read_file(path), name)
    operators = [row for n, graph in enumerate(model.graphs) for row in _operators(graph, n)]
    return {
        **shown.data(),
        "text": [block for block in shown.blocks() if isinstance(block, str)],
        "warnings": list(_warnings(shown.value)),
        "operators": operators[:MOST_OPERATORS],
        "operators_total": len(operators),
    }


def _operators(graph: Graph, number: int) -> list[dict[str, Any]]:
    def ends(indices: tuple[int, ...]) -> list[str]:
        tensors = [graph.tensors[i] for i in indices if 0 <= i < len(graph.tensors)]
        names = [f"{t.type}[{'x'.join(map(str, t.shape))}]" for t in tensors[:MOST_ENDS]]
        return names + ([f"and {len(tensors) - MOST_ENDS} more"] if len(tensors) > MOST_ENDS else [])

    def weights(indices: tuple[int, ...]) -> int:
        held = [graph.tensors[i].data for i in indices if 0 <= i < len(graph.tensors)]
        return sum(data.size for data in held if data is not None)

    return [
        {
            "graph": number,
            "index": index,
            "name": o.name,
            "inputs": ends(o.inputs),
            "outputs": ends(o.outputs),
            "weights": weights(o.inputs),
            "custom": o.custom,
        }
        for index, o in enumerate(graph.operators)
    ]


def _warnings(census: Census) -> list[str]:
    """Return what one should know of a file before it is used, in sentences."""
    found = []
    if census.custom:
        found.append(
            f"Custom operators {told(census.custom)}: only a runtime that has kernels for them runs this file."
        )
    integers = sum(census.weights.get(kind, 0) for kind in _INTEGERS)
    floats = census.weights.get("float32", 0)
    if integers and floats > integers:
        found.append(
            f"Of the weights {size_text(floats)} are float32 and {size_text(integers)} integer: most of this model was left float."
        )
    # The first size is the batch's, which is open in most files.
    if any("?" in end.partition("[")[2].partition(",")[2] for end in census.inputs):
        found.append("The file leaves sizes of its inputs open; whoever runs it has to set them.")
    if not census.tensors and not census.weights:
        found.append("The file holds no weights.")
    return found

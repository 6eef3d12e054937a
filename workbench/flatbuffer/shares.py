"""How much of a model some of its operators are: their share of the weights' bytes and of the activations' elements."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from workbench.flatbuffer.opening import read_file
from workbench.flatbuffer.reader import read_model
from workbench.flatbuffer.records import Graph, Operator

# What they do stands in other subgraphs, so that their own tensors do not tell.
_CALLERS = ("IF", "WHILE", "CALL", "CALL_ONCE", "STABLEHLO_WHILE", "STABLEHLO_COMPOSITE", "CUSTOM")


class Shares(NamedTuple):
    """Shares of a whole: bytes of constants, elements of activations that go in and out."""

    bytes: float
    elements: float

    @property
    def most(self) -> float:
        """The larger of both."""
        return max(self.bytes, self.elements)


def shares_of(path: Path, names: Collection[str]) -> Shares | None:
    """Return what all operators of these names are of the main graph, at most: some of a name may have been taken by an accelerator.

    None where a name is not in the graph, or an operator of that name runs other subgraphs. Raises WorkbenchError for a file that is no model.
    """
    graph = read_model(read_file(path), str(path)).graphs[0]
    chosen = [o for o in graph.operators if o.name in names]
    known = {o.name for o in chosen}
    if not names or not known.issuperset(names) or known.intersection(_CALLERS):
        return None
    whole, part = (_counted(graph, operators) for operators in (graph.operators, chosen))
    return Shares(*(mine / all_ if all_ else 0.0 for mine, all_ in zip(part, whole, strict=True)))


def _counted(graph: Graph, operators: Collection[Operator]) -> tuple[int, int]:
    """Return bytes of constants, each tensor once, and elements of activations, once for each operator that reads or writes them."""
    constants: dict[int, int] = {}
    elements = 0
    for operator in operators:
        for index in (*operator.inputs, *operator.outputs):
            if index < 0:
                continue
            tensor = graph.tensors[index]
            if tensor.data is not None:
                constants[index] = int(tensor.data.size)
            else:
                # A dimension that is not fixed is one until somebody sets it.
                elements += max(1, tensor.elements)
    return sum(constants.values()), elements

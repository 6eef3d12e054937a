"""Taking parts out of a flatbuffer's object, so that what stays still names what it means."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any


def drop_tensors(model: Any, graph: Any, candidates: Collection[int]) -> None:
    """Take those of the candidates out of a graph that nothing in it names any more."""
    signatures = [s for s in model.signatureDefs or () if model.subgraphs[s.subgraphIndex] is graph]
    used: set[int] = set()

    def note(index: int) -> int:
        used.add(int(index))
        return int(index)

    _visit(graph, signatures, note)
    gone = set(candidates) - used
    if not gone:
        return
    places: dict[int, int] = {-1: -1}
    kept: list[Any] = []
    for index, tensor in enumerate(graph.tensors):
        if index not in gone:
            places[index] = len(kept)
            kept.append(tensor)
    graph.tensors = kept
    _visit(graph, signatures, places.__getitem__)


def _visit(graph: Any, signatures: list[Any], place: Callable[[int], int]) -> None:
    """Put another number in each place that names a tensor of the graph."""

    def each(indices: Any) -> Any:
        return None if indices is None else [place(int(i)) for i in indices]

    graph.inputs, graph.outputs = each(graph.inputs), each(graph.outputs)
    for operator in graph.operators or ():
        operator.inputs, operator.outputs = each(operator.inputs), each(operator.outputs)
        operator.intermediates = each(operator.intermediates)
    for tensor in graph.tensors or ():
        details = getattr(tensor.quantization, "details", None)
        for name in ("scales", "zeroPoints"):
            if hasattr(details, name) and getattr(details, name) is not None:
                setattr(details, name, place(int(getattr(details, name))))
    for signature in signatures:
        for end in (*(signature.inputs or ()), *(signature.outputs or ())):
            end.tensorIndex = place(int(end.tensorIndex))

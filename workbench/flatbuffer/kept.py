"""Taking parts out of a flatbuffer's object, so that what stays still names what it means."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from workbench.errors import StageFailed


def keep_signature(content: bytes, key: str) -> bytes:
    """Return a flatbuffer with that signature alone, its graph the main one, and the graphs that it runs.

    Raises StageFailed where there is none of that name.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    keys = [text(s.signatureKey) for s in model.signatureDefs or ()]
    if key not in keys:
        raise StageFailed(f"the file has no signature {key!r}. It has: {', '.join(keys)}")
    chosen = model.signatureDefs[keys.index(key)]
    order = _reached(model, int(chosen.subgraphIndex))
    places = {old: new for new, old in enumerate(order)}
    model.subgraphs = [model.subgraphs[i] for i in order]
    for options, name, index in _called(model.subgraphs):
        setattr(options, name, places[index])
    chosen.subgraphIndex, model.signatureDefs = 0, [chosen]
    empty_buffers(model)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def empty_buffers(model: Any) -> None:
    """Let go of the data that no tensor names."""
    used = {t.buffer for graph in model.subgraphs for t in graph.tensors or ()}
    used |= {m.buffer for m in model.metadata or ()}
    for index, buffer in enumerate(model.buffers):
        if index not in used:
            buffer.data = None


def _reached(model: Any, start: int) -> list[int]:
    """Return a graph and those that it runs, at any distance."""
    found = [start]
    for index in found:
        found += sorted({i for _, _, i in _called([model.subgraphs[index]])} - set(found))
    return found


def _called(graphs: list[Any]) -> Iterator[tuple[Any, str, int]]:
    """Yield where operators name graphs: their options, the field and the graph's number."""
    for operator in (o for graph in graphs for o in graph.operators or ()):
        for options in (operator.builtinOptions, getattr(operator, "builtinOptions2", None)):
            for name, value in list(vars(options).items()) if options is not None else ():
                # All of the schema's fields that name graphs say so: `thenSubgraphIndex`, `subgraph`.
                if "subgraph" in name.lower() and isinstance(value, int) and value >= 0:
                    yield options, name, value


def text(name: Any) -> str:
    """Return a name of a flatbuffer's object as text."""
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name or "")


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

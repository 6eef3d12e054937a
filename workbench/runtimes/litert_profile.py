"""Time by operator from LiteRT's own profiler, and which operator of the file each belongs to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from workbench.compat.litert_profiler import (
    DELEGATE_OPERATOR,
    DELEGATE_PROFILED,
    OPERATOR,
    ProfiledModel,
    ProfilerEvent,
)
from workbench.flatbuffer.opening import read_file
from workbench.flatbuffer.reader import read_model
from workbench.flatbuffer.records import Graph
from workbench.values.trial import OpProfile, OpTime

WARM_UP = 5
# With which words XNNPACK's names of an operator of the file begin.
BEGINNINGS = {
    "ADD": ("Add",),
    "AVERAGE_POOL_2D": ("Average Pooling", "Global Average Pooling"),
    "CONCATENATION": ("Concatenate",),
    "CONV_2D": ("Convolution",),
    "DEPTHWISE_CONV_2D": ("Convolution",),
    "DEQUANTIZE": ("Convert",),
    "FULLY_CONNECTED": ("Fully Connected", "Convolution"),
    "HARD_SWISH": ("HardSwish",),
    "LOGISTIC": ("Sigmoid",),
    "MAX_POOL_2D": ("Max Pooling",),
    "MEAN": ("Mean",),
    "MUL": ("Multiply",),
    "PAD": ("Constant Pad",),
    "QUANTIZE": ("Convert",),
    "RELU": ("Clamp",),
    "RELU6": ("Clamp",),
    "RESHAPE": ("Static Reshape", "Copy"),
    "SOFTMAX": ("Softmax",),
    "SUB": ("Subtract",),
    "TRANSPOSE_CONV": ("Deconvolution",),
}


def profile(path: Path, resolver: str, threads: int, invocations: int) -> OpProfile:
    """Return the mean time of each operator; raises StageFailed when LiteRT's C interface refuses a step."""
    with ProfiledModel(path, resolver, threads) as model:
        model.run(WARM_UP)
        events = model.profiled(invocations)
    graph = _main_graph(path)
    return OpProfile(
        source="LiteRT's own profiler, in whole microseconds",
        invocations=invocations,
        operators=tuple(_operators(events, graph, invocations)),
    )


def _main_graph(path: Path) -> Graph:
    model = read_model(read_file(path), path.name)
    return model.graphs[model.signatures[0].graph if model.signatures else 0]


def _operators(events: list[ProfilerEvent], graph: Graph, invocations: int) -> list[OpTime]:
    """Return the mean time of each operator in order: LiteRT's by their place in the file, XNNPACK's as it names them."""
    totals: dict[tuple[str, int, int], float] = defaultdict(float)
    for tag, kind, index, elapsed in events:
        if kind in (OPERATOR, DELEGATE_OPERATOR, DELEGATE_PROFILED):
            totals[tag, kind, index] += elapsed
    own = {index for _, kind, index in totals if kind == OPERATOR and index < len(graph.operators)}
    places = _places([tag for tag, kind, _ in totals if kind != OPERATOR], graph, own)
    found = []
    for (tag, kind, index), elapsed in totals.items():
        if kind == OPERATOR and index not in own:
            continue  # a delegate as a whole, whose operators are listed one by one
        place = int(index) if kind == OPERATOR else next(places)
        operator = None if place is None else graph.operators[place]
        found.append(
            OpTime(
                index=place,
                name=operator.name if operator and kind == OPERATOR else tag,
                label=graph.tensors[operator.outputs[0]].name if operator and operator.outputs else "",
                place="LiteRT" if kind == OPERATOR else "XNNPACK",
                ms=elapsed / invocations / 1000,
            )
        )
    return found


def _places(names: list[str], graph: Graph, own: set[int]) -> Iterator[int | None]:
    """Yield the file's operator that each of XNNPACK's belongs to, None for all where the two do not go together.

    XNNPACK keeps the file's order and splits an operator into several (a sum and its clamp); what does not begin the
    next operator of the file belongs to the one before.
    """
    waiting = [i for i in range(len(graph.operators)) if i not in own]
    found: list[int | None] = []
    current: int | None = None
    for name in names:
        if waiting and name.startswith(BEGINNINGS.get(graph.operators[waiting[0]].name, (" ",))):
            current = waiting.pop(0)
        found.append(current)
    yield from found if not waiting and None not in found else [None] * len(names)

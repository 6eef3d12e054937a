"""LiteRT on the processor: XNNPACK, its own optimized kernels, and its reference kernels."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from workbench.evaluate.interpreter import open_interpreter, quantized
from workbench.runtimes.base import Runtime, Session
from workbench.values.params import Params


class LiteRTParams(Params):
    """Options of the processor runtimes."""

    threads: int = Field(1, ge=1, le=256, description="threads of one inference")


class _LiteRT(Runtime[LiteRTParams]):
    params = LiteRTParams
    resolver: ClassVar[str]

    def open(self, path: Path, params: LiteRTParams) -> Session:
        """Return a session on LiteRT's interpreter, its inputs filled with seeded random values."""
        from ai_edge_litert.interpreter import OpResolverType

        interpreter = open_interpreter(
            path, params.threads, experimental_op_resolver_type=OpResolverType[self.resolver]
        )
        draw = np.random.default_rng(0)
        for detail in interpreter.get_input_details():
            values = draw.random(tuple(detail["shape"]), dtype=np.float32)
            interpreter.set_tensor(detail["index"], quantized(values, detail))
        total, taken, partitions = _coverage(interpreter)
        return Session(interpreter.invoke, total, taken, partitions)


class Xnnpack(_LiteRT):
    """XNNPACK where it has a kernel, LiteRT's own kernels elsewhere: what an interpreter does by default."""

    name = "xnnpack"
    help = "LiteRT with XNNPACK, the default on phones and boards"
    resolver = "AUTO"


class Builtin(_LiteRT):
    """LiteRT's own optimized kernels, without XNNPACK."""

    name = "builtin"
    help = "LiteRT's own optimized kernels, without XNNPACK"
    resolver = "BUILTIN_WITHOUT_DEFAULT_DELEGATES"
    accelerated = False


class Reference(_LiteRT):
    """LiteRT's reference kernels: slow, portable, the yardstick of correctness."""

    name = "reference"
    help = "LiteRT's reference kernels: slow, the yardstick of correctness"
    resolver = "BUILTIN_REF"
    accelerated = False


def _coverage(interpreter: Any) -> tuple[int, int, int]:
    """Return operators in the file, operators that a delegate took, and the number of delegate nodes.

    The execution plan lists what will run: delegate nodes, and the operators that were left. The
    interpreter lists all nodes, those taken included, with each DELEGATE node after them.
    """
    nodes = interpreter._get_ops_details()
    delegates = [n for n in nodes if n["op_name"] == "DELEGATE"]
    total = len(nodes) - len(delegates)
    if not delegates:
        return total, 0, 0
    return total, _taken(nodes, delegates), len(delegates)


def _taken(nodes: list[dict[str, Any]], delegates: list[dict[str, Any]]) -> int:
    """Count the nodes that lie between the delegates' inputs and outputs: those whose results only delegates produce.

    A delegate node's outputs are tensors that operators of the file produce too; walking back from
    them to the delegate's inputs meets exactly the operators that it took.
    """
    producer = {int(t): i for i, n in enumerate(nodes) if n["op_name"] != "DELEGATE" for t in n["outputs"]}
    taken: set[int] = set()
    for delegate in delegates:
        inputs = {int(t) for t in delegate["inputs"]}
        stack = [int(t) for t in delegate["outputs"]]
        while stack:
            tensor = stack.pop()
            node = producer.get(tensor)
            if tensor in inputs or node is None or node in taken:
                continue
            taken.add(node)
            stack.extend(int(t) for t in nodes[node]["inputs"])
    return len(taken)

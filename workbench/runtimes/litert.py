"""LiteRT on the processor: XNNPACK, its own optimized kernels, and its reference kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from workbench.compat import litert as compat
from workbench.evaluate.interpreter import open_interpreter
from workbench.runtimes.base import Array, Coverage, Runtime, Session, seeded
from workbench.values.params import Params
from workbench.values.trial import OpProfile

Profiler = Callable[[int], OpProfile]


class LiteRTParams(Params):
    """Options of the processor runtimes."""

    threads: int = Field(1, ge=1, le=256, description="threads of one inference")


class LiteRTSession(Session):
    """LiteRT's interpreter, its inputs filled with seeded values."""

    def __init__(self, interpreter: Any, device: str | None = None, profiler: Profiler | None = None) -> None:
        self._interpreter, self._profiler = interpreter, profiler
        self.invoke = interpreter.invoke
        self.device = device
        for detail in interpreter.get_input_details():
            interpreter.set_tensor(detail["index"], seeded(detail["shape"], detail["dtype"]))

    @cached_property
    def coverage(self) -> Coverage:
        """What delegates took of the execution plan."""
        return _coverage(self._interpreter)

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """Return the outputs of one sample."""
        self._interpreter.reset_all_variables()
        for detail, value in zip(self._interpreter.get_input_details(), inputs, strict=True):
            self._interpreter.set_tensor(detail["index"], value)
        self._interpreter.invoke()
        return [np.array(self._interpreter.get_tensor(d["index"])) for d in self._interpreter.get_output_details()]

    def profile(self, invocations: int) -> OpProfile | None:
        """Return the time of each operator as LiteRT's profiler tells it, None with a delegate of a stranger."""
        return self._profiler(invocations) if self._profiler else None


class _LiteRT(Runtime[LiteRTParams]):
    params = LiteRTParams
    resolver: ClassVar[str]
    compared = False
    verifies = True
    profiled: ClassVar[bool] = True

    def open(self, path: Path, params: LiteRTParams) -> LiteRTSession:
        """Return a session on LiteRT's interpreter."""
        from ai_edge_litert.interpreter import OpResolverType

        resolver = OpResolverType[self.resolver]
        interpreter = open_interpreter(path, params.threads, experimental_op_resolver_type=resolver)

        def profiler(invocations: int) -> OpProfile:
            from workbench.runtimes.litert_profile import profile

            return profile(path, self.resolver, params.threads, invocations)

        return LiteRTSession(interpreter, profiler=profiler if self.profiled else None)


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
    # The C interface's mode of that name runs the optimized kernels (seen with ai-edge-litert 2.3.0).
    profiled = False


def _coverage(interpreter: Any) -> Coverage:
    """Return operators in the file, those that a delegate took, and the number of delegate nodes.

    The execution plan lists what will run: delegate nodes, and the operators that were left. The
    interpreter lists all nodes, those taken included, with each DELEGATE node after them.
    """
    nodes = compat.nodes(interpreter)
    delegates = [n for n in nodes if n["op_name"] == "DELEGATE"]
    own = {i: n["op_name"] for i, n in enumerate(nodes) if n["op_name"] != "DELEGATE"}
    taken = _taken(nodes, delegates)
    left = tuple(dict.fromkeys(name for i, name in own.items() if i not in taken)) if delegates else ()
    return Coverage(len(own), len(taken), len(delegates), left)


def _taken(nodes: list[dict[str, Any]], delegates: list[dict[str, Any]]) -> set[int]:
    """Return the nodes that lie between the delegates' inputs and outputs: those whose results only delegates produce.

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
    return taken

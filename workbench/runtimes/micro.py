"""`micro`: TensorFlow Lite Micro's interpreter, built for this machine."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from workbench.errors import Unfit
from workbench.runtimes.base import Array, Coverage, Runtime, Session, seeded
from workbench.runtimes.compiled import count_operators
from workbench.runtimes.nativelog import native_log
from workbench.values.params import Params

AMPLE_BYTES = 256 * 2**20
_TOTAL = re.compile(r"Arena allocation (total|head|tail) (\d+) bytes")
_PART = re.compile(r"'(.+?)' used (\d+) bytes")
_NODE = re.compile(r"Node (\w+) \(number (\d+)\) failed to prepare")
_UNKNOWN = re.compile(r"Didn't find op for builtin opcode '(\w+)'")


class MicroParams(Params):
    """Options of TensorFlow Lite Micro."""

    arena: int = Field(
        0,
        ge=0,
        description="bytes of the tensor arena; 0 gives ample room, and the figure shown is what was used",
    )


class Micro(Runtime[MicroParams]):
    """TensorFlow Lite Micro: what a microcontroller computes and how much arena it needs; its time is this machine's."""

    name = "micro"
    help = "TensorFlow Lite Micro's interpreter on this machine: arena and outputs are a device's, the time is not"
    params: ClassVar[type[Params]] = MicroParams
    clock = "host"
    accelerated = False
    own_quality = True

    def available(self) -> str | None:
        """Say how to install it."""
        return (
            None
            if find_spec("tflite_micro")
            else "TensorFlow Lite Micro is not installed: pip install 'tflite-workbench[micro]'"
        )

    def open(self, path: Path, params: MicroParams) -> MicroSession:
        """Load the file; raises Unfit that names the operator for which Micro has no kernel."""
        from tflite_micro import runtime

        with native_log() as log:
            try:
                interpreter = runtime.Interpreter.from_file(str(path), arena_size=params.arena or _ample(path))
                session = MicroSession(interpreter, path)
            except (RuntimeError, ValueError) as error:
                raise Unfit(_reason(log.text, error)) from error
            interpreter.print_allocations()
            session.memory = _arena(log.text)
        return session


class MicroSession(Session):
    """An interpreter of TensorFlow Lite Micro."""

    device = "TensorFlow Lite Micro on this machine"

    def __init__(self, interpreter: Any, path: Path) -> None:
        self._interpreter, self._path = interpreter, path
        self.invoke = interpreter.invoke
        self._inputs, self._outputs = _ends(interpreter.get_input_details), _ends(interpreter.get_output_details)
        self._fill([seeded(d["shape"], d["dtype"]) for d in self._inputs])

    @cached_property
    def coverage(self) -> Coverage:
        """All operators of the file; read from it only when asked for, after the clock for opening has stopped."""
        operators = count_operators(self._path)
        return Coverage(operators, operators, 0)

    def _fill(self, inputs: Sequence[Array]) -> None:
        for index, value in enumerate(inputs):
            self._interpreter.set_input(np.ascontiguousarray(value), index)

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """Return the outputs of one sample."""
        self._fill(inputs)
        self._interpreter.invoke()
        return [np.array(self._interpreter.get_output(i)) for i in range(len(self._outputs))]


def _ample(path: Path) -> int:
    """Return bytes enough for any activations; what is not used is never touched."""
    return AMPLE_BYTES + 10 * path.stat().st_size


def _ends(details: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        try:
            found.append(details(len(found)))
        except (ValueError, RuntimeError, IndexError):
            return found


def _arena(text: str) -> dict[str, int]:
    """Return the bytes of the arena by part, from what the recording allocator prints."""
    found = {f"arena {part}" if part != "total" else "arena": int(n) for part, n in _TOTAL.findall(text)}
    return {**found, **{f"arena: {part}": int(n) for part, n in _PART.findall(text)}}


def _reason(text: str, error: Exception) -> str:
    node, unknown = _NODE.search(text), _UNKNOWN.search(text)
    if unknown:
        return f"TensorFlow Lite Micro has no kernel for {unknown[1]}"
    said = next((line.split(" ", 1)[-1] for line in text.splitlines() if ".cc" in line), "")
    if node:
        return f"TensorFlow Lite Micro does not take {node[1]} (operator {node[2]}): {said.strip() or error}"[:300]
    return f"TensorFlow Lite Micro: {said.strip() or error}"[:300]

"""LiteRT's CompiledModel: the door to its GPU and NPU accelerators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from workbench.errors import StageFailed, Unfit
from workbench.flatbuffer.opening import read_file
from workbench.flatbuffer.reader import read_model
from workbench.runtimes.base import Array, Coverage, Session, seeded


class CompiledSession(Session):
    """A CompiledModel with its buffers. Reading the outputs is part of an inference: a GPU's run returns when enqueued."""

    def __init__(
        self, model: Any, path: Path, cover: Callable[[], Coverage], device: str | None, software: bool = False
    ) -> None:
        self.model, self.device, self.software = model, device, software
        self._path, self._cover = path, cover
        key = next(iter(model.get_signature_list()))
        self._in = _Ends(model.get_input_tensor_details(key), model.create_input_buffers(0))
        self._out = _Ends(model.get_output_tensor_details(key), model.create_output_buffers(0))
        self.invoke = self._run_and_read
        for buffer, shape, dtype in zip(self._in.buffers, self._in.shapes, self._in.types, strict=True):
            buffer.write(np.ascontiguousarray(seeded(shape, dtype)))

    # What is read from the file for our own sake is read after the clock for opening has stopped.

    @cached_property
    def coverage(self) -> Coverage:
        """How many operators the accelerator took."""
        return self._cover()

    @cached_property
    def _orders(self) -> tuple[list[int], list[int]]:
        return _file_order(self._path, self._in.names, self._out.names)

    def _run_and_read(self) -> None:
        self.model.run_by_index(0, self._in.buffers, self._out.buffers)
        for buffer, count, dtype in self._out.reads:
            buffer.read(count, dtype)

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """Return the outputs of one sample in the file's order."""
        in_order, out_order = self._orders
        for position, value in zip(in_order, inputs, strict=True):
            self._in.buffers[position].write(np.ascontiguousarray(value))
        self.model.run_by_index(0, self._in.buffers, self._out.buffers)
        found = [buffer.read(count, dtype) for buffer, count, dtype in self._out.reads]
        return [np.asarray(found[i]).reshape(self._out.shapes[i]) for i in out_order]


class _Ends:
    """The inputs or outputs of the signature, in its order."""

    def __init__(self, details: dict[str, dict[str, Any]], buffers: list[Any]) -> None:
        self.buffers = buffers
        self.names = list(details)
        self.shapes = [tuple(int(d) for d in details[n]["shape"]) for n in self.names]
        for name in self.names:
            if details[name]["dtype"] not in ("float32", "float16", "int8", "uint8", "int32", "int64", "bool"):
                raise Unfit(
                    f"tensor {name!r} is {details[name]['dtype']}, and LiteRT's Python buffers hold no such type. "
                    "Choose a scheme with float or 8-bit inputs and outputs."
                )
        self.types = [np.dtype(details[n]["dtype"]) for n in self.names]
        self.reads = [(b, int(np.prod(s)), t) for b, s, t in zip(self.buffers, self.shapes, self.types, strict=True)]


def _file_order(path: Path, inputs: list[str], outputs: list[str]) -> tuple[list[int], list[int]]:
    """Return for each input and output, in the file's order, its position in the signature."""
    model = read_model(read_file(path), path.name)
    named = model.signatures[0] if model.signatures else None
    graph = model.graphs[named.graph if named else 0]

    def positions(indices: tuple[int, ...], names: dict[int, str], listed: list[str]) -> list[int]:
        wanted = [names.get(i, graph.tensors[i].name) for i in indices]
        return [listed.index(n) for n in wanted] if sorted(wanted) == sorted(listed) else list(range(len(listed)))

    return (
        positions(graph.inputs, named.inputs if named else {}, inputs),
        positions(graph.outputs, named.outputs if named else {}, outputs),
    )


def count_operators(path: Path) -> int:
    """Return the number of operators in the file's main graph."""
    model = read_model(read_file(path), path.name)
    return len(model.graphs[model.signatures[0].graph if model.signatures else 0].operators)


def refusal(error: Exception, told: str) -> StageFailed:
    """Return the error for a model that LiteRT did not compile: what the native code said, not its stack of places."""
    lines = [line.strip("└ ").strip() for line in str(error).splitlines()]
    said = [line for line in lines if line and not line.startswith("ERROR: [")]
    return StageFailed(told or " ".join(said)[:300] or type(error).__name__)

"""Outputs of an artifact on every sample of a split: batched where that was tried and is faster and equal."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from workbench.data.feeding import feeding
from workbench.data.rows import Values
from workbench.errors import StageFailed, WorkbenchError
from workbench.evaluate.interpreter import allocate, dequantized, open_interpreter, quantized, signature_names

Array = np.ndarray[Any, Any]
BATCH = 32
# A model this slow gains little from batches, and trying a large one would cost more than it could save.
SLOW_SECONDS = 0.002
FEW = 4
# A batch is taken when a sample of it costs less than this share of one alone.
WORTH = 0.9


def run_all(path: Path, inputs: Mapping[str, Values], threads: int = 1) -> tuple[dict[str, Array], int]:
    """Return real-valued outputs `{name: (n, *shape)}` for inputs `{name: (n, *shape)}`, and the batch size used; inputs are read call by call.

    A single input may be named "". Raises StageFailed when a shape does not fit or the model cannot run.
    """
    runner = _Runner(path, open_interpreter(path, threads, allocated=False), inputs)
    count = len(next(iter(inputs.values())))
    if not runner.feeding.resizable:
        size = runner.feeding.size
        runner.resize(size)
        parts = [runner.run(i, min(size, count - i)) for i in range(0, count, size)]
        return {n: np.concatenate([p[n] for p in parts]) for n in parts[0]}, size
    batch, parts = runner.begin(count)
    done = sum(len(next(iter(p.values()))) for p in parts)
    for start in range(done, count - (count - done) % batch, batch):
        parts.append(runner.run(start, batch))
    left = (count - done) % batch
    if left:
        runner.resize(left)
        parts.append(runner.run(count - left, left))
    return {n: np.concatenate([p[n] for p in parts]) for n in parts[0]}, batch


def run_once(path: Path, inputs: dict[str, Array], threads: int = 1) -> dict[str, Array]:
    """Return the real-valued outputs of one call, as they are, for inputs by name in the shapes of a call; raises WorkbenchError."""
    interpreter = open_interpreter(path, threads, allocated=False)
    names, outputs = signature_names(interpreter)
    details = interpreter.get_input_details()
    for name, detail in zip(names, details, strict=True):
        interpreter.resize_tensor_input(detail["index"], inputs[name].shape)
    allocate(interpreter, path)
    for name, detail in zip(names, details, strict=True):
        interpreter.set_tensor(detail["index"], quantized(inputs[name], detail))
    interpreter.invoke()
    found = zip(outputs, interpreter.get_output_details(), strict=True)
    return {n: dequantized(interpreter.get_tensor(d["index"]), d) for n, d in found}


def signature_shape(detail: dict[str, Any]) -> tuple[int | None, ...]:
    """Return the shape that a file gives an input or output, None where it is open."""
    shape = detail["shape_signature"] if len(detail["shape_signature"]) else detail["shape"]
    return tuple(None if d < 0 else int(d) for d in shape)


class _Runner:
    def __init__(self, path: Path, interpreter: Any, inputs: Mapping[str, Values]) -> None:
        self.path = path
        self.interpreter = interpreter
        self.inputs = inputs
        names, self.output_names = signature_names(interpreter)
        self.details = interpreter.get_input_details()
        if list(inputs) == [""] and len(names) == 1:
            self.inputs = {names[0]: inputs[""]}
        missing = [n for n in names if n not in self.inputs]
        if missing:
            raise StageFailed(
                f"the model's input {missing[0]!r} is not in the data, which has {', '.join(map(repr, inputs))}"
            )
        self.names = names
        takes = {n: signature_shape(d) for n, d in zip(names, self.details, strict=True)}
        try:
            self.feeding = feeding(takes, {n: self.inputs[n].shape[1:] for n in names}, "the data")
        except WorkbenchError as error:
            raise StageFailed(str(error)) from error

    def resize(self, batch: int) -> None:
        for name, detail in zip(self.names, self.details, strict=True):
            shape = (batch, *self.inputs[name].shape[1:]) if self.feeding.axes[name] else self.inputs[name].shape[1:]
            if tuple(detail["shape"]) != shape or self.feeding.resizable:
                self.interpreter.resize_tensor_input(detail["index"], shape)
        allocate(self.interpreter, self.path)

    def run(self, start: int, batch: int) -> dict[str, Array]:
        # A fused recurrent operator keeps its state from one call to the next; samples know nothing of each other.
        self.interpreter.reset_all_variables()
        for name, detail in zip(self.names, self.details, strict=True):
            values = self.feeding.given(name, self.inputs[name], start, batch)
            self.interpreter.set_tensor(detail["index"], quantized(values, detail))
        self.interpreter.invoke()
        found = {}
        for name, detail in zip(self.output_names, self.interpreter.get_output_details(), strict=True):
            value = dequantized(self.interpreter.get_tensor(detail["index"]), detail)
            try:
                found[name] = self.feeding.taken(value, batch)
            except ValueError:
                size = batch if self.feeding.resizable else self.feeding.size
                raise StageFailed(
                    f"output {name!r} has shape {value.shape}, which does not begin with the batch of {size}"
                ) from None
        return found

    def begin(self, count: int) -> tuple[int, list[dict[str, Array]]]:
        """Return the batch to go on with, and the outputs of the samples that trying it has run already, one by one.

        A larger batch is taken where the model takes one, it is faster per sample, and outputs are equal bit for bit.
        """
        self.resize(1)
        # The first one prepares lazily, so it tells nothing about time.
        parts = [self.run(0, 1)]
        begin = time.perf_counter()
        parts += [self.run(i, 1) for i in range(1, min(count, FEW))]
        single = (time.perf_counter() - begin) / (FEW - 1)
        batch = BATCH if single < SLOW_SECONDS else FEW
        if count < 2 * BATCH:
            return 1, parts
        parts += [self.run(i, 1) for i in range(len(parts), batch)]
        try:
            self.resize(batch)
            together = self.run(0, batch)
            begin = time.perf_counter()
            following = self.run(batch, batch)
            batched = (time.perf_counter() - begin) / batch
        except (RuntimeError, ValueError, WorkbenchError):
            batched, together, following = float("inf"), {}, {}
        equal = all(np.array_equal(np.concatenate([p[n] for p in parts[:batch]]), v) for n, v in together.items())
        if batched < WORTH * single and equal:
            return batch, [*parts, following]
        self.resize(1)
        return 1, parts

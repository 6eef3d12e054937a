"""Outputs of an artifact on every sample of a split: batched where that was tried and is faster and equal."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from workbench.errors import StageFailed
from workbench.evaluate.interpreter import dequantized, open_interpreter, quantized, signature_names

Array = np.ndarray[Any, Any]
BATCH = 32


def run_all(path: Path, inputs: dict[str, Array], threads: int = 1) -> tuple[dict[str, Array], int]:
    """Return real-valued outputs `{name: (n, *shape)}` for inputs `{name: (n, *shape)}`, and the batch size used.

    A single input may be named "". Raises StageFailed when a shape does not fit or the model cannot run.
    """
    interpreter = open_interpreter(path, threads)
    runner = _Runner(interpreter, inputs)
    count = len(next(iter(inputs.values())))
    batch = runner.choose_batch(count)
    parts: list[dict[str, Array]] = []
    for start in range(0, count - count % batch, batch):
        parts.append(runner.run(start, batch))
    if count % batch:
        runner.resize(count % batch)
        parts.append(runner.run(count - count % batch, count % batch))
    return {n: np.concatenate([p[n] for p in parts]) for n in parts[0]}, batch


class _Runner:
    def __init__(self, interpreter: Any, inputs: dict[str, Array]) -> None:
        self.interpreter = interpreter
        self.inputs = inputs
        names, self.output_names = signature_names(interpreter)
        self.details = interpreter.get_input_details()
        if list(inputs) == [""] and len(names) == 1:
            self.names = [""]
        else:
            missing = [n for n in names if n not in inputs]
            if missing:
                raise StageFailed(
                    f"the model's input {missing[0]!r} is not in the data, which has {', '.join(map(repr, inputs))}"
                )
            self.names = names
        for name, detail in zip(self.names, self.details, strict=True):
            want, have = tuple(int(d) for d in detail["shape_signature"][1:]), inputs[name].shape[1:]
            if len(want) != len(have) or any(w not in (-1, h) for w, h in zip(want, have, strict=True)):
                raise StageFailed(
                    f"input {name or detail['name']!r} takes samples of shape {want}, but the data has {have}"
                )

    def resize(self, batch: int) -> None:
        for name, detail in zip(self.names, self.details, strict=True):
            self.interpreter.resize_tensor_input(detail["index"], (batch, *self.inputs[name].shape[1:]))
        self.interpreter.allocate_tensors()

    def run(self, start: int, batch: int) -> dict[str, Array]:
        # A fused recurrent operator keeps its state from one call to the next; samples know nothing of each other.
        self.interpreter.reset_all_variables()
        for name, detail in zip(self.names, self.details, strict=True):
            self.interpreter.set_tensor(
                detail["index"], quantized(np.asarray(self.inputs[name][start : start + batch]), detail)
            )
        self.interpreter.invoke()
        outputs = self.interpreter.get_output_details()
        found = {
            n: dequantized(self.interpreter.get_tensor(d["index"]), d)
            for n, d in zip(self.output_names, outputs, strict=True)
        }
        for name, value in found.items():
            if value.shape[:1] != (batch,):
                raise StageFailed(
                    f"output {name!r} has shape {value.shape}, which does not begin with the batch of {batch}"
                )
        return found

    def choose_batch(self, count: int) -> int:
        """Return a larger batch where the model takes one, it is faster per sample, and outputs are equal bit for bit."""
        self.resize(1)
        self.run(0, 1)
        if count < 2 * BATCH:
            return 1
        begin = time.perf_counter()
        singles = [self.run(i, 1) for i in range(BATCH)]
        single = time.perf_counter() - begin
        try:
            self.resize(BATCH)
            self.run(0, BATCH)
            begin = time.perf_counter()
            together = self.run(0, BATCH)
            batched = time.perf_counter() - begin
        except (RuntimeError, ValueError, StageFailed):
            batched, together = float("inf"), {}
        if batched < 0.9 * single and all(
            np.array_equal(np.concatenate([s[n] for s in singles]), v) for n, v in together.items()
        ):
            return BATCH
        self.resize(1)
        return 1

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
# A model this slow gains little from batches, and trying a large one would cost more than it could save.
SLOW_SECONDS = 0.002
FEW = 4
# A batch is taken when a sample of it costs less than this share of one alone.
WORTH = 0.9


def run_all(path: Path, inputs: dict[str, Array], threads: int = 1) -> tuple[dict[str, Array], int]:
    """Return real-valued outputs `{name: (n, *shape)}` for inputs `{name: (n, *shape)}`, and the batch size used.

    A single input may be named "". Raises StageFailed when a shape does not fit or the model cannot run.
    """
    runner = _Runner(open_interpreter(path, threads), inputs)
    count = len(next(iter(inputs.values())))
    batch, parts = runner.begin(count)
    done = sum(len(next(iter(p.values()))) for p in parts)
    for start in range(done, count - (count - done) % batch, batch):
        parts.append(runner.run(start, batch))
    left = (count - done) % batch
    if left:
        runner.resize(left)
        parts.append(runner.run(count - left, left))
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
        except (RuntimeError, ValueError, StageFailed):
            batched, together, following = float("inf"), {}, {}
        equal = all(np.array_equal(np.concatenate([p[n] for p in parts[:batch]]), v) for n, v in together.items())
        if batched < WORTH * single and equal:
            return batch, [*parts, following]
        self.resize(1)
        return 1, parts

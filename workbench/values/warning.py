"""Warnings: a closed, typed list; each says what was seen and what to try."""

from __future__ import annotations

from typing import Literal

from workbench.values.base import Value

WarningKind = Literal[
    "keeps-state",
    "mostly-float-int8",
    "kernels-float",
    "not-quantized",
    "rows-without-blocks",
    "not-float32",
    "unfolded-weights",
    "sparsity-lost",
    "clusters-lost",
    "layers-left",
    "output-collapsed",
    "slower-than-baseline",
    "reference-kernels",
    "partial-delegation",
    "delegate-differs",
    "software-device",
    "several-a-call",
    "open-size",
    "noisy-measurement",
    "slow-conversion",
    "accuracy-dropped",
    "input-scale",
    "calibration-few-samples",
    "calibration-duplicates",
    "calibration-range",
    "calibration-from-test",
    "calibration-overlap",
    "calibration-type",
    "calibration-order",
    "calibration-constant",
    "calibration-classes",
]
# A warning stands out and is counted; a note says what was seen and costs next to nothing.
Level = Literal["warning", "note"]

ADVICE: dict[str, str] = {
    "keeps-state": "Where each sample stands for itself, reset the interpreter before it (`reset_all_variables()`, in C++ `ResetVariableTensors()`), as `predict.py` of an export does; else it is judged after those before it.",
    "mostly-float-int8": "Some operators have no integer kernel or were left float: see the census, and replace those layers. A fused LSTM is quantized by `int8[engine=converter]`, a loop (WHILE) only where it is unrolled (`unroll=True`).",
    "not-quantized": "The scheme covers only some operators (4-bit blocks: fully connected layers). Choose a scheme that covers this model's operators.",
    "rows-without-blocks": "Rows that are a multiple of 32 values take blocks, which round finer; these are as in `int4-dynamic`.",
    "not-float32": "Read this trial as what its census says: it is no float baseline, and what others lose against it comes on top of what the source had lost. Start from the float model where there is one.",
    "unfolded-weights": "Compare sizes with the source's own, which is named here; `float16` makes a file with half-precision weights again.",
    "kernels-float": "These were left float: no integer kernel was found for them, or `qat` could not simulate them. Compare with the scheme without `qat`, or replace the layers named.",
    "sparsity-lost": "Put `prune` before `cluster` and `qat` in one recipe so that the chain keeps the zeros; a layer that a step did not reach is named in a warning of its own, and no longer training helps there.",
    "clusters-lost": "Use `quantize` with granularity `tensor` (or `auto`), or put `cluster` before `qat` in one recipe so that the chain keeps the clusters.",
    "layers-left": "More training does not change this: replace the layers named by ones that are supported, or compare with a post-training scheme, which trains nothing (a fused LSTM: `int8[engine=converter]`).",
    "output-collapsed": "Look at this output before using the file: try a scheme with float or 16-bit activations, fewer zeros, or labels for this output to train it with.",
    "slower-than-baseline": "Compare runtimes and schemes; `dynamic` and `weight-only` schemes pay in size, full `int8` in speed where the runtime has integer kernels.",
    "reference-kernels": "No optimized kernel took these operators; for speed choose a scheme that the runtime accelerates, such as `int8`.",
    "partial-delegation": "Every hand-over between accelerator and processor costs time: replace the operators named, or choose a scheme that the accelerator takes whole.",
    "delegate-differs": "The runtime computes something else than the reference kernels: evaluate quality on it, ask for its 32-bit precision, or report the operator to its maker.",
    "software-device": "The time is this processor's, not an accelerator's: it shows that the file runs there, not how fast. Measure again where the hardware is.",
    "several-a-call": "Divide by the number of samples to compare with models that take one, or convert the model again with an open batch.",
    "open-size": "The time holds for this size alone; give data of the size that the device will see.",
    "noisy-measurement": "Give measuring more time (`--measure-budget`), or measure on an idle machine.",
    "slow-conversion": "Nothing: the file is as good, it only took longer to make.",
    "accuracy-dropped": "Try a scheme of more bits, or less of what was done before it.",
    "input-scale": "Preprocess the data as the model's was when it was trained.",
    "calibration-few-samples": "Give 100 to 500 varied samples of real input.",
    "calibration-duplicates": "Draw different samples: a loop that calls `next(iter(data))` yields the first one every time.",
    "calibration-range": "Preprocess calibration data exactly as the model's input is at inference (0 to 1 is not 0 to 255).",
    "calibration-from-test": "Give a train or calibration split: figures on samples that set the ranges flatter the model.",
    "calibration-overlap": "Draw calibration samples from the train split, and keep the test split for judging: figures on samples that set the ranges flatter the model.",
    "calibration-type": "Give calibration samples in the type of number, and after the same preprocessing, as the samples of the test split.",
    "calibration-order": "Give each input its own array: check the names in `x_calibration`, or the order in which the samples were put together.",
    "calibration-constant": "Look at the samples: an image that was not read, or a column that was filled, gives a range of no width, and what lies outside of it is cut off.",
    "calibration-classes": "Draw samples of all classes, shuffled: the first ones of sorted data are all of one class.",
}


class Warning_(Value):
    """One warning on a trial: its kind, what was seen, what to try, and whether it is worth more than a note.

    `machine` is the id of the one where it was measured, `place` its title where a study has several (it is not stored).
    """

    kind: WarningKind
    seen: str
    advice: str
    level: Level = "warning"
    machine: str = ""
    place: str = ""

    @property
    def told(self) -> str:
        """What was seen, with the machine where one has to be told from others."""
        return f"{self.seen} (on {self.place})" if self.place else self.seen


def warning(kind: WarningKind, seen: str, level: Level = "warning") -> Warning_:
    """Return a warning of a known kind with its advice."""
    return Warning_(kind=kind, seen=seen, advice=ADVICE[kind], level=level)

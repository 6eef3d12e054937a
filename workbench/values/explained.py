"""Failures of the tools that are known: how they are recognized, why they happen, what to do, and where they are discussed in public."""

from __future__ import annotations

import re
from functools import lru_cache

from workbench.values.base import Value

_TF = "https://github.com/tensorflow/tensorflow/issues/"
_TFMOT = "https://github.com/tensorflow/model-optimization/issues/"


class Explained(Value):
    """A known failure; `pattern` is a regular expression that is looked for in the whole log."""

    name: str
    pattern: str
    cause: str
    remedy: str
    issue: str

    @property
    def text(self) -> str:
        """Cause, remedy and issue as what follows a reason."""
        return f"Known: {self.cause} {self.remedy} See {self.issue}"


KNOWN: tuple[Explained, ...] = (
    Explained(
        name="tensor-list-without-batch",
        pattern=r"TensorList\w*' op .*element_shape|requires element_shape to be (?:static|1D tensor)|Lowering tensor list ops is failed",
        cause="a recurrent loop keeps its steps in a list whose element has no fixed shape, as a batch that is open gives it.",
        remedy="Fix the batch to 1 where the model is made, `Input(shape, batch_size=1)`, or unroll the layer (`unroll=True`).",
        issue=f"{_TF}62849",
    ),
    Explained(
        name="loop-in-int8",
        pattern=r"Max and min for dynamic tensors should be recorded|Empty min/max for tensor|parameters for tensor: \S*while_"
        # With float inputs and outputs the quantizer writes a file, whose loops are float within and integer around, or share a buffer.
        r"|while\.cc:\d+ [^\n]*\(FLOAT32 != INT\d+\)|made \([\d,]+ bytes\) cannot be read[^\n]* needs \d+ bytes and its buffer holds \d+",
        cause="no tool records ranges within a loop (GRU, SimpleRNN, an LSTM that was not fused), so that what is in it has no integer form.",
        remedy="Use `unroll=True` in the recurrent layer, or `dynamic` or `float16`, which need no ranges.",
        issue=f"{_TF}55267",
    ),
    Explained(
        name="select-tf-operators",
        pattern=r"ERROR_NEEDS_FLEX_OPS|is neither a custom op nor a flex op|Select TensorFlow op\(s\), included in the given model",
        cause="TensorFlow Lite has no operator of its own for something in the model, and the interpreter here carries none of TensorFlow's.",
        remedy="Replace the operation that is named by others (a layer, or `tf` functions) that TensorFlow Lite has.",
        issue=f"{_TF}58635",
    ),
    Explained(
        name="custom-operators",
        pattern=r"ERROR_NEEDS_CUSTOM_OPS|Encountered unresolved custom op|need(?:s)? custom implementation",
        cause="the model holds an operator that TensorFlow Lite does not have and that only its maker's runtime can run.",
        remedy="Take it out of the model's end and compute it in the application, or run the file where the operator is registered.",
        issue=f"{_TF}59517",
    ),
    Explained(
        name="qat-unsupported-layer",
        pattern=r"Layer .{1,200} is not supported\. You can quantize this layer by passing",
        cause="TFMOT's quantization-aware training has no rule for that layer.",
        remedy="Leave `qat` out of the recipe: post-training `int8` quantizes such layers where TensorFlow Lite has integer kernels.",
        issue=f"{_TFMOT}647",
    ),
    Explained(
        name="partly-quantized",
        pattern=r"\bqat\b[^\n]*: \S+: [^\n]* of the weights [^\n]* are float",
        cause="quantization-aware training leaves float what TFMOT has no rule for: the dense layers within attention, embeddings, three-dimensional convolutions, recurrent cells, and what hands them a mask.",
        remedy="Post-training `int8` (without `qat`) quantizes them where there are integer kernels.",
        issue=f"{_TF}25563",
    ),
    Explained(
        name="converter-died",
        pattern=r"crash: the worker process died in stage `write [^`]*engine=converter",
        cause="TensorFlow's converter dies in native code on some models in int8, those with loops (GRU, SimpleRNN) among them.",
        remedy="Use `unroll=True` in recurrent layers, leave `engine=converter` out, or choose `dynamic` or `float16`.",
        issue=f"{_TF}87468",
    ),
)


@lru_cache(maxsize=1)
def _compiled() -> tuple[tuple[re.Pattern[str], Explained], ...]:
    return tuple((re.compile(known.pattern), known) for known in KNOWN)


def explain(log: str) -> Explained | None:
    """Return what is known of a failure, by the place in its log that comes first; None where nothing is."""
    found = [(match.start(), known) for pattern, known in _compiled() if (match := pattern.search(log))]
    return min(found, key=lambda pair: pair[0])[1] if found else None

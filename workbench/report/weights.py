"""What a technique does to the weights, for `technique_tour`: read from the files themselves, before and after."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from workbench.errors import WorkbenchError
from workbench.report.picture import COLOURS, canvas, shown
from workbench.report.section import Section, nothing, rendered
from workbench.report.sections import Report
from workbench.store.artifacts import intact_bytes
from workbench.values.trial import TensorCensus, Trial
from workbench.views import units
from workbench.views.card import compare
from workbench.views.columns import Columns

BINS = 101
# Past so many distinct values a histogram says more than a line for each.
FEW = 64
# Figures that say nothing of a technique that the others do not.
LEFT_OUT = ("Accuracy drop", "Top-5", "Peak memory")


def weights(report: Report, recipe: str) -> Section:
    """The weights of the largest kernel in the baseline's file and in the variant's, as real numbers: two histograms.

    Integers are scaled by their tensor's own scale and zero point.
    """
    before, after = _pair(report, recipe)
    kernel = _kernel(before) if before else None
    if before is None or after is None or kernel is None:
        return _missing(report, recipe)
    now = _counterpart(after, kernel)
    try:
        was_values, now_values = _values(before, kernel), _values(after, now) if now else None
    except WorkbenchError as error:  # a file is gone or damaged, which is said where its weights would be
        return Section(rendered("nothing", words=str(error)))
    if was_values is None or now is None or now_values is None:
        return nothing("The largest kernel cannot be found in both files.")
    figure, axes = canvas(1000, 330, 2)
    most = float(max(np.abs(was_values).max(), np.abs(now_values).max())) or 1.0
    for one, name, found, census, colour in zip(
        axes, (before.recipe, after.recipe), (was_values, now_values), (kernel, now), COLOURS, strict=False
    ):
        _draw(one, found, most, colour)
        text = f"{census.type}, {units.size_text(census.bytes)}, {census.unique:,} distinct stored values, {census.sparsity:.1%} zeros"
        one.set_title(f"{name}\n{text}", fontsize=9, loc="left", parse_math=False)
        one.set_xlabel("Weight", size=9)
    axes[0].set_ylabel("Share of weights (%)", size=9)
    shape = " × ".join(map(str, kernel.shape))
    change = float(np.sqrt(np.mean((was_values - now_values) ** 2)) / (np.sqrt(np.mean(was_values**2)) or 1.0))
    alt = f"Two histograms of the {was_values.size:,} weights of the largest kernel, in {before.recipe} and in {after.recipe}."
    layer = kernel.name.rsplit(";", 1)[-1]
    note = f"The largest kernel, `{layer}` ({shape}, {was_values.size:,} weights). Its weights moved by {units.digits(100 * change, 2)} % of their own size (root mean square)."
    return shown(figure, alt, note)


def effect(report: Report, *recipes: str) -> Section:
    """Variants beside the baseline: sizes, accuracy, latency; each with its difference and whether it is one."""
    trials = [t for t in report.trials if t.state == "ok" and (t.baseline or t.recipe in recipes)]
    if not any(t.recipe in recipes for t in trials):
        return _missing(report, recipes[0])
    found = compare(trials, Columns(report.trials))
    marks = {"better": "▲", "worse": "▼", "same": "=", "": ""}
    lines = [
        [(row.label, ""), *((c.text, f"{c.delta} {marks[c.better]}".strip()) for c in row.cells)]
        for row in found.rows
        if not row.label.startswith(LEFT_OUT)
    ]
    note = f"{found.note} ▲ is better, ▼ worse, = no difference."
    return Section(
        rendered("cells", head=("Figure", *found.recipes), lines=lines, label="Beside the baseline", note=note)
    )


def _missing(report: Report, recipe: str) -> Section:
    trial = next((t for t in report.trials if t.recipe == recipe), None)
    reason = f"it {trial.state}: {trial.error}" if trial and trial.error else "it is not in this study"
    return Section(rendered("nothing", words=f"Nothing can be shown of {recipe}: {reason}"))


def _pair(report: Report, recipe: str) -> tuple[Trial | None, Trial | None]:
    after = next((t for t in report.trials if t.recipe == recipe and t.state == "ok"), None)
    return Columns(report.trials).baseline, after


def _kernel(trial: Trial) -> TensorCensus | None:
    kernels = [t for t in trial.census.tensors if t.kernel] if trial.census else []
    return max(kernels, key=lambda t: math.prod(t.shape), default=None)


def _counterpart(trial: Trial, kernel: TensorCensus) -> TensorCensus | None:
    """Return the same kernel in another file: by its name, else the one of its shape where there is only one."""
    tensors = trial.census.tensors if trial.census else ()
    found = [t for t in tensors if t.shape == kernel.shape]
    named = [t for t in found if t.name == kernel.name]
    return named[0] if named else found[0] if len(found) == 1 else None


def _values(trial: Trial, kernel: TensorCensus) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    """Return the numbers of a kernel in a trial's file, dequantized; None where the file does not hold it in a form that can be read."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    if trial.artifact is None:
        return None
    content = intact_bytes(trial.artifact, f"trial {trial.recipe!r}")
    # No delegate: it would pack the weights, which are only read here.
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=plain)
    interpreter.allocate_tensors()
    for detail in interpreter.get_tensor_details():
        if detail["name"] == kernel.name and tuple(detail["shape"]) == kernel.shape:
            stored = interpreter.get_tensor(detail["index"]).astype(np.float64)
            scales, zeros = (detail["quantization_parameters"][k] for k in ("scales", "zero_points"))
            if len(scales):
                axis = detail["quantization_parameters"]["quantized_dimension"]
                along = [1] * stored.ndim
                along[axis if len(scales) > 1 else 0] = len(scales)
                stored = (stored - zeros.reshape(along)) * scales.astype(np.float64).reshape(along)
            found: np.ndarray[Any, np.dtype[np.float64]] = stored
            return found
    return None


def _draw(axes: Any, found: np.ndarray[Any, np.dtype[np.float64]], most: float, colour: str) -> None:
    values, counts = np.unique(found, return_counts=True)
    if len(values) <= FEW:
        axes.vlines(values, 0, 100 * counts / found.size, color=colour, linewidth=3)
        axes.set_ylim(bottom=0)
    else:
        share = np.full(found.size, 100 / found.size)
        axes.hist(found.ravel(), bins=np.linspace(-most, most, BINS + 1), weights=share, color=colour)
    axes.set_xlim(-1.05 * most, 1.05 * most)

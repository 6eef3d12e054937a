"""Quality against labels by the task of each output, and agreement with the float baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from workbench import registry
from workbench.errors import StageFailed
from workbench.tasks import intervals
from workbench.values.figure import Figure
from workbench.values.task import TaskSpec
from workbench.values.trial import Quality

Array = np.ndarray[Any, Any]
# The figures that have a field of their own in a record.
FIELDS = ("accuracy", "top5", "mae", "rmse")


def quality(
    outputs: dict[str, Array],
    baseline: dict[str, Array],
    y: Mapping[str, Array],
    tasks: Mapping[str, TaskSpec],
    batch: int,
) -> Quality:
    """Return the quality of outputs `{name: (n, *shape)}` against labels `{output: (n, ...)}` by the task of each output.

    Outputs are found by name; a file that renamed them keeps their order, which `tasks` has too. With the baseline's own outputs as
    `baseline` figures have no change. Raises StageFailed when outputs and labels do not fit, or an output is not finite.
    """
    same = baseline is outputs
    outputs = cleared(outputs, tasks)
    baseline = outputs if same else cleared(baseline, tasks)
    for name, value in outputs.items():
        if not np.isfinite(value).all():
            raise StageFailed(f"output {name!r} holds values that are not finite (NaN or infinity)")
    if len(outputs) != len(baseline):
        raise StageFailed(
            f"the file has {len(outputs)} outputs ({', '.join(outputs)}), the float baseline {len(baseline)}"
        )
    # A third party's step may have renamed the outputs; their order then tells which is which.
    other = dict(zip(outputs, outputs if set(outputs) == set(baseline) else baseline, strict=True))
    per_output = {name: agreement(outputs[name], baseline[other[name]]) for name in outputs}
    places = {name: name if name in outputs else list(outputs)[n] for n, name in enumerate(tasks) if n < len(outputs)}
    labelled = {n: s for n, s in tasks.items() if n in y and s.name != "none" and n in places}
    figures: list[Figure] = []
    for number, (name, spec) in enumerate(labelled.items()):
        task = registry.tasks.get(spec.name)
        params, reads = task.params.model_validate(spec.options), spec.reads or (name,)
        if lacking := [n for n in reads if n not in places]:
            raise StageFailed(f"the file has no output {lacking[0]!r}, which task `{spec.name}` reads")
        mine = {n: outputs[places[n]] for n in reads}
        theirs = {n: baseline[other[places[n]]] for n in reads}
        scores = task.judge(params, mine, y[name])
        before = None if same else task.judge(params, theirs, y[name])
        figures += intervals.figures(scores, before, name if number else "")
    first = next(iter(labelled), next(iter(tasks), None))
    shown = per_output[places[first]] if first in places else next(iter(per_output.values()), {})
    fields = {f.key: f.value for f in figures if f.key in FIELDS}
    return Quality(
        samples=len(next(iter(outputs.values()))),
        task=next((s.name for s in labelled.values()), "none"),
        figures=tuple(figures),
        outputs=per_output,
        batch=batch,
        **fields,
        **shown,
    )


def classes_of(values: Array) -> int:
    """Return how many scores an output `(n, ...)` has a place: a map has its classes along the last axis, anything else is one list of them."""
    is_map = sum(d != 1 for d in values.shape[1:]) > 1
    return int(values.shape[-1] if is_map else np.prod(values.shape[1:], dtype=int))


def cleared(outputs: dict[str, Array], tasks: Mapping[str, TaskSpec]) -> dict[str, Array]:
    """Return outputs, in the order of their tasks where names differ, without what their tasks say is nothing."""
    places = dict(zip(tasks, outputs, strict=False)) if set(tasks) - set(outputs) else {n: n for n in tasks}
    found = dict(outputs)
    for spec in tasks.values():
        if spec.reads and all(n in places for n in spec.reads):
            task = registry.tasks.get(spec.name)
            given = {n: outputs[places[n]] for n in spec.reads}
            clear = task.clear(task.params.model_validate(spec.options), given)
            found.update({places[n]: v for n, v in clear.items()})
    return found


def agreement(values: Array, baseline: Array) -> dict[str, float | None]:
    """Return top-1 agreement, SQNR in dB (None where the outputs are equal) and mean cosine similarity.

    Agreement is over samples, or over the places of outputs with a number per class at each place `(n, ..., classes)`; None where there is one
    number only.
    """
    flat = values.reshape(len(values), -1).astype(np.float64)
    base = baseline.reshape(len(baseline), -1).astype(np.float64)
    noise = float(((base - flat) ** 2).sum())
    signal = float((base**2).sum())
    norms = np.linalg.norm(flat, axis=1) * np.linalg.norm(base, axis=1)
    dots = (flat * base).sum(axis=1)
    # All zeros have no direction: like other zeros, unlike anything else.
    equal = (flat == base).all(axis=1).astype(np.float64)
    cosine = np.divide(dots, norms, out=equal, where=norms > 0)
    classes = classes_of(values)
    same = flat.reshape(-1, classes).argmax(axis=1) == base.reshape(-1, classes).argmax(axis=1)
    top = float(same.mean()) if classes > 1 else None
    sqnr = math.inf if noise == 0 else 10 * math.log10(signal / noise) if signal > 0 else -math.inf
    return {"agreement": top, "sqnr_db": None if math.isinf(sqnr) else sqnr, "cosine": float(cosine.mean())}

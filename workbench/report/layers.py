"""The weights of one variant, layer by layer, beside the baseline's, as text ready for the page."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from workbench.values.trial import TensorCensus, Trial
from workbench.views import units

MOST = 24


class LayerRow(NamedTuple):
    """One weight tensor in words; `was` is the baseline's size of it, where the baseline has one of the same name."""

    name: str
    operator: str
    shape: str
    type: str
    size: str
    share: str
    was: str
    zeros: str
    unique: str


class LayerTable(NamedTuple):
    """The largest tensors; `rest` tells of those left out, `note` sums them all up, `columns` says what is known."""

    rows: tuple[LayerRow, ...]
    columns: dict[str, bool]
    rest: str
    note: str


def layer_table(trial: Trial, baseline: Trial | None) -> LayerTable | None:
    """Return the largest weight tensors of a trial, or None where its file was not read."""
    if trial.census is None or not trial.census.tensors:
        return None
    tensors = sorted(trial.census.tensors, key=lambda t: -t.bytes)
    total = sum(t.bytes for t in tensors)
    before = _sizes(baseline) if baseline and baseline is not trial else {}
    names = Counter(t.name for t in tensors)
    rows = tuple(_row(t, total, before if names[t.name] == 1 else {}) for t in tensors[:MOST])
    left = tensors[MOST:]
    rest = ""
    if left:
        more = sum(t.bytes for t in left)
        rest = f"And {len(left)} smaller tensor{'' if len(left) == 1 else 's'} of {units.size_text(more)} together."
    note = f"{len(tensors)} weight tensors, {units.size_text(total)}"
    return LayerTable(rows, {"was": any(r.was for r in rows)}, rest, note)


def _sizes(baseline: Trial) -> dict[str, int]:
    tensors = baseline.census.tensors if baseline.census else ()
    names = Counter(t.name for t in tensors)
    return {t.name: t.bytes for t in tensors if names[t.name] == 1}


def _row(tensor: TensorCensus, total: int, before: dict[str, int]) -> LayerRow:
    was = before.get(tensor.name)
    return LayerRow(
        tensor.name,
        tensor.operator,
        " × ".join(map(str, tensor.shape)) or "scalar",
        tensor.type,
        units.size_text(tensor.bytes),
        f"{100 * tensor.bytes / total:.1f}%" if total else "0.0%",
        units.size_text(was) if was is not None else "",
        units.text(tensor.sparsity, "share"),
        f"{tensor.unique:,}",
    )

"""Warnings where a file is not what its recipe says."""

from __future__ import annotations

import math
from collections import Counter
from typing import NamedTuple

from workbench.flatbuffer.numbers import is_float
from workbench.values.trial import Census, TensorCensus
from workbench.values.warning import Warning_, warning

_INT8 = ("int8", "int8-float-io", "int16x8", "dynamic", "weight-only-int8")
_PROMISED = {"float16": "float16", "int4-dynamic": "int4", "int4-weight-only": "int4", "int4-block32": "int4"}
_TOO_MANY = 0.5
_TOLERANCE = 0.02
_SLACK = 4
# Schemes in which nothing but what has no integer kernel stays float.
_WHOLE = ("int8", "int8-float-io", "int16x8")
_GATED = ("UNIDIRECTIONAL_SEQUENCE_LSTM", "LSTM")
_LITTLE = 0.01
# What has a form in blocks.
_IN_BLOCKS = ("FULLY_CONNECTED", "EMBEDDING_LOOKUP")
_BLOCK = 32
_NAMED = 4


def check_census(
    census: Census, *, scheme: str, sparsity_target: float | None = None, clusters: int | None = None
) -> tuple[Warning_, ...]:
    """Return what a file does not keep of its recipe: the scheme's type, the sparsity, the number of clusters.

    `sparsity_target` is a share of zeros (0.5 for 2:4), `clusters` the distinct values per kernel; None where the
    recipe does not promise it.
    """
    found = [_types(census, scheme) or _floats(census, scheme), _rows(census, scheme)]
    if sparsity_target is not None:
        found.append(_sparsity(census, sparsity_target))
    if clusters is not None:
        found.append(_clusters(census, clusters))
    return tuple(w for w in found if w is not None)


def _types(census: Census, scheme: str) -> Warning_ | None:
    total = sum(_elements(t) for t in census.tensors)
    if scheme in _INT8:
        other = [t for t in census.tensors if is_float(t.type)]
    elif scheme in _PROMISED:
        other = [t for t in census.tensors if t.type != _PROMISED[scheme]]
    elif scheme == "float32":
        return _not_float(census)
    else:
        return None
    count = sum(_elements(t) for t in other)
    if not total or count < _TOO_MANY * total:
        return None
    operators: Counter[str] = Counter()
    for tensor in other:
        operators[f"{tensor.operator or 'no operator'} {tensor.type}"] += _elements(tensor)
    where = ", ".join(f"{name} {n:,}" for name, n in operators.most_common(3))
    if scheme in _INT8:
        return warning(
            "mostly-float-int8",
            f"{scheme}: {count / total:.0%} of the weights ({count:,} of {total:,}) are float: {where}.",
        )
    return warning(
        "not-quantized",
        f"{scheme}: {count / total:.0%} of the weights ({count:,} of {total:,}) are not {_PROMISED[scheme]}: {where}.",
    )


def _rows(census: Census, scheme: str) -> Warning_ | None:
    """Return a note on weights that have one scale a row where blocks were asked for: their rows are no whole number of blocks."""
    rows = [t for t in census.tensors if t.operator in _IN_BLOCKS and len(t.shape) > 1]
    found = [t for t in rows if t.type == "int4" and t.shape[-1] % _BLOCK]
    if scheme != "int4-block32" or not found:
        return None
    named = _listed([(t.name, f"rows of {t.shape[-1]}") for t in found])
    return warning("rows-without-blocks", f"{scheme}: one scale for each row of {named}.", "note")


def _not_float(census: Census) -> Warning_ | None:
    """Return a warning where a file that is called float32 holds weights of other types: its source did."""
    held = {k: n for k, n in census.weights.items() if k not in ("float32", "int32", "int64")}
    if not held:
        return None
    types = ", ".join(f"{k} {n:,} bytes" for k, n in held.items())
    return warning("not-float32", f"float32: the file is the source's own, whose weights are not all float32: {types}.")


def _floats(census: Census, scheme: str) -> Warning_ | None:
    """Return which kernels of a file that is to be integer are float; a note where they are few weights."""
    if scheme not in _WHOLE:
        return None
    kernels = [t for t in census.tensors if t.kernel]
    floats = [t for t in kernels if is_float(t.type)]
    if not floats:
        return None
    share = sum(map(_elements, floats)) / max(1, sum(map(_elements, census.tensors)))
    seen = f"{scheme}: {len(floats)} of {len(kernels)} kernels are float, {share:.1%} of the weights: {_listed([(t.name, t.operator) for t in floats])}."
    return warning("kernels-float", seen, "note" if share < _LITTLE else "warning")


def _listed(kernels: list[tuple[str, str]]) -> str:
    told = ", ".join(f"{name!r} ({operator})" for name, operator in kernels[:_NAMED])
    return told + (f" and {len(kernels) - _NAMED} more" if len(kernels) > _NAMED else "")


class _Pruned(NamedTuple):
    """A kernel, or the gates of recurrent ones together: a kernel is cut into four there, of which each has its own share of zeros."""

    name: str
    operator: str
    elements: int
    sparsity: float


def _whole(kernels: list[TensorCensus]) -> list[_Pruned]:
    groups: dict[tuple[str, tuple[int, ...]] | int, list[TensorCensus]] = {}
    for number, tensor in enumerate(kernels):
        gated = tensor.operator in _GATED
        groups.setdefault((tensor.operator, tensor.shape) if gated else number, []).append(tensor)
    return [
        _Pruned(
            g[0].name, g[0].operator, n := sum(map(_elements, g)), sum(t.sparsity * _elements(t) for t in g) / max(1, n)
        )
        for g in groups.values()
    ]


def _sparsity(census: Census, target: float) -> Warning_ | None:
    kernels = _whole([t for t in census.tensors if t.kernel])
    # A share of few weights cannot be met: of 9, half are 4 or 5.
    short = [k for k in kernels if k.sparsity < target - _TOLERANCE - _SLACK / max(1, k.elements)]
    if census.sparsity >= target - _TOLERANCE and not short:
        return None
    if not kernels:
        return warning(
            "sparsity-lost", f"sparsity {target:.0%} was asked for, and the file holds no kernel that pruning covers."
        )
    # The kernel that misses the most zeros, not a tiny one that happens to be dense.
    worst = max(kernels, key=lambda t: (target - t.sparsity) * t.elements)
    furthest = f"{worst.name!r} ({worst.operator}) with {worst.sparsity:.1%}"
    return warning(
        "sparsity-lost",
        f"{census.sparsity:.1%} of the kernels are zeros where {target:.0%} was asked for; {len(short)} of {len(kernels)} kernels fall short, furthest off is {furthest}.",
    )


def _clusters(census: Census, clusters: int) -> Warning_ | None:
    kernels = [t for t in census.tensors if t.kernel]
    over = [t for t in kernels if t.unique > clusters]
    if not over:
        return None
    worst = max(over, key=lambda t: t.unique)
    seen = f"{len(over)} of {len(kernels)} kernels hold more than {clusters} distinct values; most in {worst.name!r} ({worst.operator}): {worst.unique:,}."
    return warning("clusters-lost", seen)


def _elements(tensor: TensorCensus) -> int:
    return math.prod(tensor.shape)

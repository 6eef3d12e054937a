"""Stored numbers as integers: unpacking, block-sparse decoding and counting.

Floats are handled as their bit patterns, -0.0 folded into 0.0: equal patterns are equal values, and zero is 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

BITS: dict[str, int] = {
    "float64": 64, "float32": 32, "float16": 16, "bfloat16": 16, "float8_e4m3fn": 8, "float8_e5m2": 8,
    "int64": 64, "int32": 32, "int16": 16, "int8": 8, "int4": 4, "int2": 2,
    "uint64": 64, "uint32": 32, "uint16": 16, "uint8": 8, "uint4": 4,
    "bool": 8, "complex64": 64, "complex128": 128,
}  # fmt: skip
# A dense tensor this many times larger than what is stored is damage, not sparsity, and this many elements are no tensor.
_LARGEST_GROWTH = 1_000
_MOST_ELEMENTS = 1 << 28
# Rows that are shorter are sorted: a flag for each value that a byte can have would take more memory than the row.
_BYTE_VALUES = 256


@dataclass(frozen=True)
class Sparsity:
    """How a block-sparse tensor was encoded: `levels` are in traversal order, dense size or (segments, indices)."""

    order: tuple[int, ...]
    block_map: tuple[int, ...]
    levels: tuple[int | tuple[Array, Array], ...]


def is_float(type_: str) -> bool:
    """Return whether a type name is a floating-point type."""
    return type_.startswith(("float", "bfloat"))


def unpack(data: Array, type_: str, count: int) -> Array:
    """Return up to `count` stored numbers of a byte array as integers; `type_` is a real type of `BITS`."""
    bits = BITS[type_]
    if bits < 8:
        return _unpack_small(data, bits, signed=not type_.startswith("u"))[:count]
    whole = data[: data.size // (bits // 8) * (bits // 8)]
    if not is_float(type_):
        return whole.view(np.dtype(type_).newbyteorder("<"))[:count]
    patterns = whole.view(f"<u{bits // 8}")[:count]
    negative_zero = patterns == patterns.dtype.type(1 << (bits - 1))
    return np.where(negative_zero, patterns.dtype.type(0), patterns) if negative_zero.any() else patterns


def _unpack_small(data: Array, bits: int, *, signed: bool) -> Array:
    per_byte = 8 // bits
    numbers = np.empty((data.size, per_byte), np.uint8)
    for i in range(per_byte):
        numbers[:, i] = (data >> (bits * i)) & ((1 << bits) - 1)
    flat = numbers.reshape(-1)
    if not signed:
        return flat
    sign = 1 << (bits - 1)
    return (flat ^ sign).view(np.int8) - np.int8(sign)


def densify(stored: Array, sparsity: Sparsity, shape: tuple[int, ...]) -> Array | None:
    """Return the dense tensor of a block-sparse one, flat; None where its description does not add up."""
    size = int(np.prod(shape, dtype=object))
    if size > min(_LARGEST_GROWTH * max(stored.size, 1), _MOST_ELEMENTS):
        return None
    try:
        positions = _positions(sparsity, shape, stored.size)
    except (ValueError, IndexError):
        return None
    if positions.size != stored.size:
        return None
    dense = np.zeros(size, stored.dtype)
    dense[positions] = stored
    return dense


def _positions(sparsity: Sparsity, shape: tuple[int, ...], stored: int) -> Array:
    rank, blocks = len(shape), sparsity.block_map
    if sorted(sparsity.order) != list(range(rank + len(blocks))) or len(sparsity.levels) != len(sparsity.order):
        raise ValueError("traversal order")
    # Positions that are no element of the end are those before a level that drops some, which lists them all.
    most = max(stored, *(len(level[0]) for level in sparsity.levels if not isinstance(level, int)), 1)
    coordinates: dict[int, Array] = {}
    block_sizes = [1] * rank
    count = 1
    for dimension, level in zip(sparsity.order, sparsity.levels, strict=True):
        if isinstance(level, int):
            if not 0 <= count * level <= most:
                raise ValueError("more positions than elements")
            parent, own = np.repeat(np.arange(count), level), np.tile(np.arange(level), count)
            if dimension >= rank:
                block_sizes[blocks[dimension - rank]] *= level
        else:
            segments, own = level
            if dimension >= rank or segments.size != count + 1 or own.size > most:
                raise ValueError("segments")
            lengths = np.diff(segments)
            if (lengths < 0).any() or int(lengths.sum()) != own.size:
                raise ValueError("indices")
            parent = np.repeat(np.arange(count), lengths)
        coordinates = {d: c[parent] for d, c in coordinates.items()}
        coordinates[dimension] = own
        count = own.size
    outer = [coordinates[d] * block_sizes[d] for d in range(rank)]
    for i, dimension in enumerate(blocks):
        outer[dimension] = outer[dimension] + coordinates[rank + i]
    return np.ravel_multi_index(tuple(outer), shape)


def count_zeros(values: Array, zero_points: Array, axis: int) -> int:
    """Return how many elements equal the zero point, one for all or one per slice along `axis`."""
    points = set(zero_points.tolist()) or {0}
    if len(points) == 1:
        point = points.pop()
        return int(values.size - np.count_nonzero(values)) if point == 0 else int(np.count_nonzero(values == point))
    along = [1] * values.ndim
    along[axis] = -1
    return int(np.count_nonzero(values == zero_points.reshape(along)))


def count_distinct(values: Array, axis: int) -> tuple[int, int]:
    """Return the number of distinct values in all and the largest number in one slice along `axis`."""
    if values.size == 0:
        return 0, 0
    rows = np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)
    if rows.itemsize == 1 and rows.shape[1] >= _BYTE_VALUES:
        # One flag per row and value: no sorting for the types that most files are made of.
        seen = np.zeros((rows.shape[0], _BYTE_VALUES), np.bool_)
        for flags, row in zip(seen, np.ascontiguousarray(rows).view(np.uint8), strict=True):
            flags[row] = True
        return int(seen.any(axis=0).sum()), int(seen.sum(axis=1).max())
    ordered = np.sort(rows, axis=1)
    per_row = 1 + np.count_nonzero(ordered[:, 1:] != ordered[:, :-1], axis=1)
    flat = np.sort(ordered, axis=None)
    return 1 + int(np.count_nonzero(flat[1:] != flat[:-1])), int(per_row.max())

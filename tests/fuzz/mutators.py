"""Seeded damage: what any file can suffer, and what a flatbuffer can be made to say by one who knows its format."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

Mutator = Callable[[bytes, random.Random, list[bytes]], bytes]

INTERESTING = (
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    127,
    128,
    255,
    256,
    65535,
    65536,
    2**24,
    2**31 - 1,
    2**31,
    2**31 + 1,
    2**32 - 4,
    2**32 - 1,
)
_LARGEST_VTABLE = 200


# ---- any file


def flip_bits(data: bytes, draw: random.Random, _: list[bytes]) -> bytes:
    out = bytearray(data)
    for _count in range(draw.choice((1, 1, 2, 4, 16))):
        out[draw.randrange(len(out))] ^= 1 << draw.randrange(8)
    return bytes(out)


def byte_run(data: bytes, draw: random.Random, _: list[bytes]) -> bytes:
    start, length = draw.randrange(len(data)), draw.choice((1, 2, 4, 8, 64, 512))
    fill = draw.choice((b"\0" * length, b"\xff" * length, draw.randbytes(length)))
    return (data[:start] + fill + data[start + length :])[: len(data)]


def truncate(data: bytes, draw: random.Random, _: list[bytes]) -> bytes:
    return data[: draw.randrange(len(data))]


def splice(data: bytes, draw: random.Random, others: list[bytes]) -> bytes:
    other = draw.choice(others)
    return data[: draw.randrange(len(data))] + other[draw.randrange(len(other)) :]


def move_range(data: bytes, draw: random.Random, _: list[bytes]) -> bytes:
    """Duplicate, remove or overwrite with a range from elsewhere."""
    start, to = draw.randrange(len(data)), draw.randrange(len(data))
    piece = data[start : start + draw.choice((4, 8, 32, 256))]
    kind = draw.randrange(3)
    if kind == 0:
        return data[:to] + piece + data[to:]
    if kind == 1:
        return data[:start] + data[start + len(piece) :]
    return (data[:to] + piece + data[to + len(piece) :])[: len(data)]


def interesting_number(data: bytes, draw: random.Random, _: list[bytes]) -> bytes:
    out = bytearray(data)
    for _count in range(draw.choice((1, 1, 3))):
        width = draw.choice((1, 2, 4, 4, 4, 8))
        at = draw.randrange(max(1, len(out) - width)) // min(width, 4) * min(width, 4)
        value = draw.choice((*INTERESTING, len(data), len(data) - at, draw.randrange(2**32)))
        out[at : at + width] = (value % (1 << 8 * width)).to_bytes(width, "little")
    return bytes(out[: len(data)])


def digits(data: bytes, draw: random.Random, _: list[bytes]) -> bytes:
    """Replace a piece of text by a word that parsers stumble over."""
    words = (
        b"nan",
        b"1e999",
        b"-1",
        b"9" * 400,
        b'"',
        b"\n",
        b",",
        b"\0",
        b"{",
        b"[" * 5000,
        "\u202e\U0001f600".encode(),
        b"null",
        b"",
    )
    at = draw.randrange(len(data))
    return data[:at] + draw.choice(words) + data[at + draw.choice((0, 1, 4)) :]


# ---- flatbuffers


def _number(data: bytes, at: int, form: str = "<I") -> int:
    return int(struct.unpack_from(form, data, at)[0])


def _is_table(data: bytes, at: int) -> bool:
    if at < 4 or at + 4 > len(data):
        return False
    fields = at - _number(data, at, "<i")
    if not 0 <= fields <= len(data) - 4:
        return False
    size, inline = _number(data, fields, "<H"), _number(data, fields + 2, "<H")
    return (
        size % 2 == 0
        and 4 <= size <= _LARGEST_VTABLE
        and 4 <= inline <= 4 * _LARGEST_VTABLE
        and fields + size <= len(data)
    )


def _offsets(data: bytes) -> list[int]:
    """Return the places that look like offsets to tables."""
    return [
        at
        for at in range(0, len(data) - 4, 4)
        if 0 < _number(data, at) < len(data) and _is_table(data, at + _number(data, at))
    ]


def _vectors(data: bytes) -> list[int]:
    """Return the places that look like the length of a vector of tables."""
    found = set(_offsets(data))
    return [at - 4 for at in found if at - 4 not in found and at >= 8 and 0 < _number(data, at - 4) <= 1000]


def _put(data: bytes, places: dict[int, int], form: str = "<I") -> bytes:
    out = bytearray(data)
    for at, value in places.items():
        struct.pack_into(form, out, at, value % (1 << 8 * struct.calcsize(form)))
    return bytes(out)


def rewire_offsets(data: bytes, draw: random.Random, others: list[bytes]) -> bytes:
    """Point some offsets to other tables, to themselves, or backwards (where an unsigned offset wraps)."""
    found = _offsets(data)
    if len(found) < 2:
        return flip_bits(data, draw, others)
    places = {}
    for at in draw.sample(found, min(len(found), draw.choice((1, 2, 5)))):
        other = draw.choice(found)
        places[at] = draw.choice((other + _number(data, other) - at, 0, 4, at - other))
    return _put(data, places)


def rewire_fields(data: bytes, draw: random.Random, others: list[bytes]) -> bytes:
    """Give a table the field list of another, or exchange fields within one."""
    found = _offsets(data)
    if not found:
        return flip_bits(data, draw, others)
    at = draw.choice(found)
    table = at + _number(data, at)
    fields = table - _number(data, table, "<i")
    if draw.random() < 0.4:
        other = draw.choice(found)
        other += _number(data, other)
        return _put(data, {table: table - (other - _number(data, other, "<i"))})
    count = (_number(data, fields, "<H") - 4) // 2
    if count < 1:
        return flip_bits(data, draw, others)
    slots = [fields + 4 + 2 * draw.randrange(count) for _ in range(2)]
    value = draw.choice((_number(data, slots[0], "<H"), 0, 4, 8, 65535, draw.randrange(64)))
    return _put(data, {slots[1]: value}, "<H")


def longer_vector(data: bytes, draw: random.Random, others: list[bytes]) -> bytes:
    """Claim a vector of tables to be longer than it is, or let all its entries be one."""
    found = _vectors(data)
    if not found:
        return interesting_number(data, draw, others)
    at = draw.choice(found)
    count = _number(data, at)
    if draw.random() < 0.5:
        return _put(data, {at: draw.choice((count + 1, 2 * count, 1000, len(data) // 4, 2**31 - 1, 2**32 - 1))})
    target = at + 4 + _number(data, at + 4)
    places = {at + 4 + 4 * i: target - at - 4 - 4 * i for i in range(min(count, (len(data) - at - 4) // 4))}
    return _put(data, {p: v for p, v in places.items() if v > 0})


def shared_vector(data: bytes, draw: random.Random, others: list[bytes]) -> bytes:
    """Put a long vector in front, all of whose entries are one table, and let an offset of the file point to it."""
    found, vectors = _offsets(data), _vectors(data)
    if not found or not vectors:
        return flip_bits(data, draw, others)
    # In front of its tables, since offsets are unsigned: between the file's head and what follows it.
    count, cut = draw.choice((10, 1000, 5000)), 8
    inserted = 4 + 4 * count
    table = draw.choice(found)
    target = table + _number(data, table) + inserted
    vector = struct.pack("<I", count) + b"".join(struct.pack("<I", target - (cut + 4 + 4 * i)) for i in range(count))
    out = bytearray(data[:cut] + vector + data[cut:])
    struct.pack_into("<I", out, 0, _number(data, 0) + inserted)
    places = [at for at in range(cut, len(data) - 4, 4) if at + _number(data, at) in vectors]
    for at in draw.sample(places, min(len(places), draw.choice((1, 2, 10)))):
        # Backwards, as a reader that wraps around would follow it.
        struct.pack_into("<I", out, at + inserted, (cut - at - inserted) % 2**32)
    return bytes(out)


GENERAL: tuple[Mutator, ...] = (flip_bits, byte_run, truncate, splice, move_range, interesting_number, digits)
FLATBUFFER: tuple[Mutator, ...] = (rewire_offsets, rewire_fields, longer_vector, shared_vector)

"""Mutations of what a `.tflite` says, written as a whole file again: these stay loadable where flipped bits do not."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
from mutators import INTERESTING

_TRIES = 20
_LONG = 300


def rewrite(data: bytes, draw: random.Random, _: list[bytes]) -> bytes:
    """Change some values anywhere in the model: numbers, lists, names, indices, whole parts exchanged or shared."""
    from ai_edge_litert import schema_py_generated as schema

    for _try in range(_TRIES):
        model = schema.ModelT.InitFromPackedBuf(data, 0)
        for _count in range(draw.choice((1, 1, 2, 4))):
            _change(model, draw)
        builder = schema.flatbuffers.Builder()
        try:
            builder.Finish(model.Pack(builder), b"TFL3")
        except Exception:  # the writer takes no such value; another is tried
            continue
        return bytes(builder.Output())
    return data


def _change(model: Any, draw: random.Random) -> None:
    places = list(_places(model))
    kinds = sorted({kind for _, kind, _ in places})
    # Each kind of field as often as another: most of a file's fields are those of tensors.
    kind = draw.choice(kinds)
    owner, _, name = draw.choice([p for p in places if p[1] == kind])
    before = getattr(owner, name)
    others = [p for p in places if p[1] == kind and getattr(p[0], p[2]) is not None]
    setattr(owner, name, _other(before, draw, [getattr(o, n) for o, _, n in others]))


def _other(value: Any, draw: random.Random, others: list[Any]) -> Any:
    if others and draw.random() < 0.25:
        return draw.choice(others)
    if isinstance(value, (bool, np.bool_)):
        return not value
    if isinstance(value, (int, np.integer)):
        number = draw.choice((int(value) + 1, int(value) - 1, -1, *INTERESTING, draw.randrange(40)))
        return number if number < 2**31 else number - 2**32
    if isinstance(value, float):
        return draw.choice((0.0, -1.0, float("nan"), float("inf"), 1e-38))
    if isinstance(value, (bytes, str)):
        return draw.choice(("", "x" * draw.choice((1, _LONG, 100 * _LONG)), "a/b;c\n\0", "\U0001f600\u202e", "../../x"))
    if isinstance(value, (list, np.ndarray)) and len(value):
        return _list(value, draw)
    if value is None:
        return draw.choice(others) if others else None
    return None


def _list(value: Any, draw: random.Random) -> Any:
    items = list(value)
    kind = draw.randrange(5)
    at = draw.randrange(len(items))
    if kind == 0:
        items = items[:at] + items[at + 1 :]
    elif kind == 1:
        items = items * draw.choice((2, 3, 50 if len(items) < _LONG else 2))
    elif kind == 2:
        draw.shuffle(items)
    elif kind == 3:
        items = [items[at]] * len(items)
    elif isinstance(items[at], (int, float, np.number)):
        items[at] = _other(items[at].item() if isinstance(items[at], np.number) else items[at], draw, [])
    if isinstance(value, np.ndarray):
        info = np.iinfo(value.dtype) if np.issubdtype(value.dtype, np.integer) else None
        return np.array([min(max(i, info.min), info.max) if info else i for i in items]).astype(value.dtype)
    return items


def _places(part: Any, kind: str = "model", depth: int = 0) -> Iterator[tuple[Any, str, str]]:
    """Yield every field below as (owner, kind, name); the kind is the path without numbers."""
    for name, value in vars(part).items():
        yield part, f"{kind}.{name}", name
        for item in value if isinstance(value, list) else (value,):
            if hasattr(item, "Pack") and depth < 6:
                yield from _places(item, f"{kind}.{name}", depth + 1)

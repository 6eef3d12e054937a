"""Which layers of a graph a mask reaches (`Embedding(mask_zero=True)`, `Masking`), and whether a layer behind them takes it.

TFMOT's wrappers hand a mask to layers that do not take one, and pass none on.
"""

from __future__ import annotations

import inspect
from typing import Any

from workbench.compat.tf_keras import Call, has_mask


def is_masked(call: Call) -> bool:
    """Whether what a layer is called with carries a mask."""
    import tensorflow as tf

    return any(has_mask(t) for t in tf.nest.flatten(call.args))


def takers(calls: list[Call]) -> dict[str, str]:
    """Return for each layer of a graph through which a mask goes to one that takes it, by name, the name of that one (its own, where it does).

    Outputs of the model take none: labels of masked steps are compared as all others are.
    """
    import tensorflow as tf

    users: dict[int, list[Call]] = {}
    for call in calls:
        for tensor in tf.nest.flatten(call.args):
            users.setdefault(id(tensor), []).append(call)
    found: dict[str, str] = {}
    for call in reversed(calls):
        if not is_masked(call):
            continue
        behind = [u for t in tf.nest.flatten(call.outputs) if has_mask(t) for u in users.get(id(t), ())]
        taker = next((found[u.layer.name] for u in behind if u.layer.name in found), None)
        if _takes(call.layer) or taker:
            found.setdefault(call.layer.name, call.layer.name if _takes(call.layer) else str(taker))
    return found


def _takes(layer: Any) -> bool:
    """Whether a layer does something with a mask; one of a stranger that knows masks may."""
    import tf_keras

    known = type(layer).__module__.startswith("tf_keras.")
    return (
        "mask" in inspect.signature(layer.call).parameters
        # It reads the masks of its inputs itself.
        or isinstance(layer, tf_keras.layers.MultiHeadAttention)
        or (layer.supports_masking and not known)
    )

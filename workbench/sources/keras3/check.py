"""Compare a rebuilt model with the original on random inputs of fitting type and shape."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.compat.keras import graph_of, import_keras, run_through
from workbench.errors import StageFailed

Array = np.ndarray[Any, Any]

# Of the largest value that an output has for a sample.
TOLERANCE = 1e-4
# Sizes of open axes, the first that the model takes.
_SIZES = (8, 16, 32, 64, 96, 128, 224, 299)
_SAMPLES = 3
# Values of integers that index nothing.
_INTEGERS = 10


class _Tensor:
    """Stands for a tensor while a graph is run through to see where its inputs go."""


def draw(model: Any) -> tuple[list[Array], list[Array]]:
    """Return seeded inputs for a Keras 3 model, in order, and its outputs for them.

    Samples take turns between 0 to 1, 0 to 255 and a normal distribution; what an Embedding reads are indexes that it has.
    Raises StageFailed where the model takes none of them.
    """
    keras, graph = import_keras(), graph_of(model)
    indexes = _indexes(graph)
    said = ""
    for size in _SIZES:
        inputs = [_values(t, size, indexes.get(i), i) for i, t in enumerate(graph.inputs)]
        try:
            outputs = model(keras.tree.pack_sequence_as(graph.input, inputs), training=False)
        except Exception as error:  # TensorFlow raises anything for a size that leaves nothing of a feature map
            said = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')[:200]}"
            if all(d is not None for t in graph.inputs for d in t.shape[1:]):
                break
            continue
        return inputs, [keras.ops.convert_to_numpy(v) for v in keras.tree.flatten(outputs)]
    raise StageFailed(f"the model itself does not run on random inputs ({said})")


def outputs_of(model: Any, inputs: list[Array]) -> list[Array]:
    """Return a tf_keras model's outputs in order."""
    import tensorflow as tf

    found = model(inputs if len(inputs) > 1 else inputs[0], training=False)
    return [np.asarray(v) for v in tf.nest.flatten(found)]


def difference(names: list[str], expected: list[Array], got: list[Array]) -> float:
    """Return the largest difference as a share of an output's scale in a sample; raises StageFailed for one above `TOLERANCE`."""
    if len(expected) != len(got):
        raise StageFailed(f"it has {len(got)} outputs, the original {len(expected)}")
    worst = 0.0
    for name, wanted, found in zip(names, expected, got, strict=True):
        if wanted.shape != found.shape:
            raise StageFailed(f"output {name!r} has the shape {found.shape}, the original's {wanted.shape}")
        share = _share(wanted.astype(np.float64), found.astype(np.float64))
        if not share <= TOLERANCE:
            raise StageFailed(f"output {name!r} differs by {share:.2g} of its scale, more than {TOLERANCE:g}")
        worst = max(worst, share)
    return worst


def _share(wanted: Array, found: Array) -> float:
    finite = np.isfinite(wanted)
    if (np.isfinite(found) != finite).any():
        return float("inf")
    rows = wanted.shape[0] if wanted.ndim else 1
    apart = np.where(finite, np.abs(np.where(finite, wanted, 0) - np.where(finite, found, 0)), 0).reshape(rows, -1)
    sizes = np.where(finite, np.abs(np.where(finite, wanted, 0)), 0).reshape(rows, -1)
    scale = np.maximum(sizes.max(axis=1, initial=0.0), max(1e-3 * sizes.max(initial=0.0), 1e-30))
    return float((apart.max(axis=1, initial=0.0) / scale).max(initial=0.0))


def _values(tensor: Any, size: int, most: int | None, seed: int) -> Array:
    shape = tuple(tensor.shape)
    whole = (shape[0] or _SAMPLES, *(d or size for d in shape[1:]))
    generator, kind = np.random.default_rng(seed), str(tensor.dtype)
    if kind == "bool":
        return generator.random(whole) < 0.5
    if most is not None or "int" in kind:
        return generator.integers(0, most or _INTEGERS, whole).astype(kind)
    rows = [
        (generator.random(whole[1:]), generator.random(whole[1:]) * 255, generator.standard_normal(whole[1:]))[i % 3]
        for i in range(whole[0])
    ]
    return np.stack(rows).astype("float32" if kind == "bfloat16" else kind)


def _indexes(graph: Any) -> dict[int, int]:
    """Return how many entries the tables have that an input reads as indexes, the fewest, by the place of the input."""
    keras = import_keras()
    tokens = [_Tensor() for _ in graph.inputs]
    places = {id(t): i for i, t in enumerate(tokens)}
    found: dict[int, int] = {}

    def operation(op: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            inner = graph_of(op) if isinstance(op, keras.Model) else None
            values = [v for v in keras.tree.flatten((args, options)) if isinstance(v, _Tensor)]
            if inner is not None:
                return run_through(inner, values[: len(inner.inputs)], operation)
            if isinstance(op, keras.layers.Embedding):
                for place in (places[id(v)] for v in values if id(v) in places):
                    found[place] = min(int(op.input_dim), found.get(place, int(op.input_dim)))
            return [_Tensor() for _ in keras.tree.flatten(op.output)]

        return call

    run_through(graph, tokens, operation)
    return found

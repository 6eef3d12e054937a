"""The layers of a tf_keras model at any depth, and which of their weights are kernels; imports no TensorFlow of its own.

TFMOT's registries know the same kernels by the class of a layer, and neither look into models within models nor into wrappers.
Here they are found by the names that Keras gives them, in a layer and all that it holds: cells, projections of attention, what a wrapper wraps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

# What Keras calls the weights that TFMOT's registries prune and cluster.
KERNELS = ("kernel", "recurrent_kernel", "pointwise_kernel", "embeddings")
# Few weights, and each counts: both of TFMOT's registries list their layers with nothing to do.
DEPTHWISE = "depthwise_kernel"


def is_kernel(weight: Any) -> bool:
    """Whether a variable has a kernel's name and two axes or more."""
    return len(weight.shape) > 1 and _name(weight) in KERNELS


def _name(weight: Any) -> str:
    return str(weight.name.partition(":")[0].rpartition("/")[2])


class Left(NamedTuple):
    """A weight, or a layer, that stays as it is: its name, why, and how many numbers it is."""

    name: str
    why: str
    size: int


class ModelLayer(NamedTuple):
    """A layer that is no model of layers: its path (`base/conv2d`), itself, its kernels, and what other weights of two axes or more it has."""

    path: str
    layer: Any
    kernels: tuple[Any, ...]
    left: tuple[Left, ...]


def places(model: Any) -> list[ModelLayer]:
    """Return the layers of a model and of the models within it, each once, in their order; a kernel that two share is the first one's."""
    seen: set[int] = set()
    return [_place(path, layer, seen) for path, layer in _leaves(model, "", set())]


def layer_paths(model: Any) -> dict[int, str]:
    """Return the path of each layer that is no model of layers, by its id."""
    return {id(layer): path for path, layer in _leaves(model, "", set())}


def kernels(model: Any) -> list[Any]:
    """Return all kernels of a model, each once."""
    return [kernel for place in places(model) for kernel in place.kernels]


def _leaves(model: Any, prefix: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    import tf_keras

    for layer in model.layers:
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        path = f"{prefix}{layer.name}"
        if isinstance(layer, tf_keras.Model) and layer.layers:
            yield from _leaves(layer, f"{path}/", seen)
        else:
            yield path, layer


def _place(path: str, layer: Any, seen: set[int]) -> ModelLayer:
    import tensorflow as tf

    found: list[Any] = []
    left: list[Left] = []
    for part in (layer, *layer.submodules):
        for name in KERNELS:
            weight = getattr(part, name, None)
            if isinstance(weight, tf.Variable) and len(weight.shape) > 1 and id(weight) not in seen:
                seen.add(id(weight))
                found.append(weight)
    for weight in layer.weights:
        name = _name(weight)
        if id(weight) in seen or len(weight.shape) < 2 or "bias" in name or not weight.dtype.is_floating:
            continue
        if name == DEPTHWISE:
            why = "a depthwise kernel, which TFMOT leaves as it is: few weights, and each counts"
        elif any(weight is w for w in layer.trainable_weights):
            why = f"not called {' or '.join(KERNELS)}, so not known to be a kernel"
        else:
            continue
        left.append(Left(name, why, weight.shape.num_elements()))
    return ModelLayer(path, layer, tuple(found), tuple(left))

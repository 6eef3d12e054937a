"""tf_keras: safe mode for files of any format, layers without public names, and how layers of a model hang together."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from workbench.compat.library import Library

TF_KERAS = Library("tf-keras", ">=2.21,<2.22")


def safe_mode(on: bool) -> contextlib.AbstractContextManager[Any]:
    """Return the scope in which no code of a file is loaded, whatever its format.

    The public option `safe_mode` is for `.keras` files alone. If `SafeModeScope` goes, look whether `load_model` has the option
    for `.h5` files, and that `tests/test_sources.py` still refuses them.
    """
    with TF_KERAS.inside("SafeModeScope"):
        from tf_keras.src.saving.serialization_lib import SafeModeScope

    scope: contextlib.AbstractContextManager[Any] = SafeModeScope(on)
    return scope


def unlisted_layers() -> dict[str, Any]:
    """Return tf_keras's own layers that its loader of `.h5` files does not know by name, by that name.

    Two of ConvNeXt lie in a private module; where the loader knows them itself, they can be left out here.
    """
    import tf_keras

    with TF_KERAS.inside("convnext.LayerScale and StochasticDepth"):
        from tf_keras.src.applications.convnext import LayerScale, StochasticDepth

    own = (LayerScale, StochasticDepth, tf_keras.layers.SpectralNormalization)
    return {layer.__name__: layer for layer in (*own, tf_keras.layers.experimental.RandomFourierFeatures)}


def rename(model: Any, name: str) -> None:
    """Give a model another name, which has no public setter; `tf_keras.Model.name` reads `_name`."""
    TF_KERAS.attribute(model, "_name")
    model._name = name


def is_graph(model: Any) -> bool:
    """Whether a model is made of layers whose calls it knows: a functional one, or a Sequential with its input known.

    False for what is no model of tf_keras. `_is_graph_network` is what `Model.get_config` and saving look at.
    """
    return bool(getattr(model, "_is_graph_network", False))


def only_before(layer: Any) -> Any:
    """Return the layer before, where each of the two is the other's only neighbour and is called once; else None.

    Nodes are in no documentation: `inbound_nodes` and `outbound_nodes` hold a call each, and `inbound_layers` of one is a layer,
    or a list of several.
    """
    calls = TF_KERAS.attribute(layer, "inbound_nodes")
    if len(calls) != 1:
        return None
    before = TF_KERAS.attribute(calls[0], "inbound_layers")
    if isinstance(before, list):
        return None
    uses = len(TF_KERAS.attribute(before, "inbound_nodes")), len(TF_KERAS.attribute(before, "outbound_nodes"))
    return before if uses == (1, 1) else None


@contextlib.contextmanager
def countable_axes() -> Iterator[None]:
    """Give symbolic tensors `ndim`, as all other tensors have it, for as long as operations of Keras 3 are called on them.

    Their class has no public name.
    """
    kind = _symbolic_class()
    if hasattr(kind, "ndim"):
        yield
        return
    kind.ndim = property(lambda tensor: tensor.shape.rank)
    try:
        yield
    finally:
        del kind.ndim


def is_symbolic(value: Any) -> bool:
    """Whether a value is a symbolic tensor; the public `is_keras_tensor` raises for what is no tensor at all."""
    return isinstance(value, _symbolic_class())


def _symbolic_class() -> Any:
    with TF_KERAS.inside("KerasTensor"):
        from tf_keras.src.engine.keras_tensor import KerasTensor

    return KerasTensor


class Call(NamedTuple):
    """A layer, what it is called with (tensors of the graph, and constants), and the tensors that come out."""

    layer: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: Any


def graph_calls(model: Any) -> list[Call]:
    """Return the calls of layers that a graph is made of, each after those that it takes tensors from.

    `Functional` runs itself so: by `_nodes_by_depth`, the deepest first, where nodes of its inputs have nothing to call.
    """
    depths = TF_KERAS.attribute(model, "_nodes_by_depth")
    nodes = [
        n for depth in sorted(depths, reverse=True) for n in depths[depth] if not TF_KERAS.attribute(n, "is_input")
    ]
    return [
        Call(n.layer, TF_KERAS.attribute(n, "call_args"), TF_KERAS.attribute(n, "call_kwargs"), n.outputs)
        for n in nodes
    ]


def maker(tensor: Any) -> tuple[Any, int]:
    """Return the layer that a tensor of a graph comes from, and which of its outputs it is."""
    history = TF_KERAS.attribute(tensor, "_keras_history")
    return history.layer, history.tensor_index


def has_mask(tensor: Any) -> bool:
    """Whether a tensor of a graph carries a mask, which layers take from it without being told to.

    Where it has none, it has no `_keras_mask` either. `Layer.get_output_mask_at` reads the same of whole calls.
    """
    return getattr(tensor, "_keras_mask", None) is not None

"""A graph as TFMOT can simulate more of it in 8 bits: the same outputs of the same weights, from other layers.

Layers over one axis become layers over images of height 1 (`turning`), a separable convolution becomes the two that it is, an activation that TFMOT does not know becomes a layer of its own,
and a mask ends before layers that TFMOT wraps where no layer behind them takes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from workbench.compat.tf_keras import Call, graph_calls, has_mask
from workbench.techniques.annotate import calls_by_layer, is_to_be_split, why_float, without_activation
from workbench.techniques.flatten import Stand, flatten
from workbench.techniques.masks import takers
from workbench.techniques.turning import Turned, turned

# Of an output's scale: the same sums, in another order.
CLOSE = 1e-4


class Images(NamedTuple):
    """A graph, whose layer an activation was within, by the name of its own layer, and the names of layers that only shape what others take and give."""

    model: Any
    activations: dict[str, str]
    shaping: frozenset[str]


def as_images(model: Any) -> Images:
    """Return a flat tf_keras graph with layers that TFMOT simulates in place of those that it does not, where the same weights do; kernels keep their layers' names.

    Raises StageFailed where outputs differ by more than 1e-4 of their scale.
    """
    calls = graph_calls(model)
    kept = takers(calls)
    uses = calls_by_layer(calls)
    beside: dict[str, tuple[str, str]] = {}

    def around(layer: Any, copy: Any, free: Callable[[str], str]) -> Stand:
        def named(what: str) -> dict[str, str]:
            name = free(f"{copy.name}_{what}")
            beside[name] = (what, copy.name)
            return {"name": name}

        if layer.name in kept:
            return Stand(copy)
        return _stand(copy, layer, uses[layer.name], named)

    made = flatten(model, around, CLOSE)
    activations = {name: whose for name, (what, whose) in beside.items() if what == "activation"}
    return Images(made, activations, frozenset(beside.keys() - activations.keys()))


def _stand(copy: Any, layer: Any, calls: list[Call], named: Callable[[str], dict[str, str]]) -> Stand:
    import tf_keras

    layers = tf_keras.layers
    as_image = turned(layer, calls)
    before: tuple[tuple[Any, ...], ...] = ()
    after: tuple[Any, ...] = ()
    if isinstance(as_image, Turned):
        copy = getattr(layers, as_image.kind).from_config({**as_image.config, "name": copy.name})
        if as_image.into:
            before = ((layers.Reshape(as_image.into, **named("image")),),)
        if as_image.pad:
            before = ((*before[0], layers.ZeroPadding2D(((0, 0), (as_image.pad, 0)), **named("padded"))),)
        if as_image.back:
            after = (layers.Reshape(as_image.back, **named("back")),)
    if type(copy) is layers.SeparableConv2D:
        depthwise, copy = _apart(copy, named)
        before = ((*(before[0] if before else ()), depthwise),)
    if is_to_be_split(copy):
        copy, after = without_activation(copy), (*after, _activation(copy, named))
    if not before and why_float(copy) is None:
        before = _without_masks(calls, named)
    return Stand(copy, before, after)


def _apart(layer: Any, named: Callable[[str], dict[str, str]]) -> tuple[Any, Any]:
    """Return the two convolutions that a separable one is, the second with its name.

    TFMOT makes them too, but loses its place in graphs where such layers and sums follow one another, as in Xception.
    """
    import tf_keras

    config = layer.get_config()
    both = {k: config[k] for k in ("dtype", "data_format")}
    first = {k: config[k] for k in ("kernel_size", "strides", "padding", "dilation_rate", "depth_multiplier")}
    first |= {k: config[k] for k in ("depthwise_regularizer", "depthwise_constraint")}
    second = {
        k: config[k] for k in ("filters", "use_bias", "activation", "bias_regularizer", "bias_constraint", "name")
    }
    second |= {f"kernel_{k}": config[f"pointwise_{k}"] for k in ("regularizer", "constraint")}
    depthwise = tf_keras.layers.DepthwiseConv2D.from_config({**both, **first, "use_bias": False, **named("depthwise")})
    return depthwise, tf_keras.layers.Conv2D.from_config({**both, **second, "kernel_size": 1})


def _activation(layer: Any, named: Callable[[str], dict[str, str]]) -> Any:
    """Return a layer that does what a kernel's layer does last."""
    import tf_keras

    if not isinstance(layer.activation, tf_keras.layers.Layer):
        return tf_keras.layers.Activation(layer.activation, dtype=layer.get_config()["dtype"], **named("activation"))
    return type(layer.activation).from_config({**layer.activation.get_config(), **named("activation")})


def _without_masks(calls: list[Call], named: Callable[[str], dict[str, str]]) -> tuple[tuple[Any, ...], ...]:
    """Return a layer that passes on no mask for each input that has one; none where their shapes are several, or more than one axis is open."""
    import tensorflow as tf
    import tf_keras

    given = [tf.nest.flatten(call.args[0]) for call in calls]
    if not any(has_mask(t) for tensors in given for t in tensors):
        return ()
    places: list[tuple[Any, ...]] = []
    for tensors in zip(*given, strict=True):
        shapes = {tuple(d or -1 for d in t.shape[1:]) for t in tensors}
        if len(shapes) > 1 or sum(d == -1 for d in min(shapes)) > 1:
            return ()
        masked = any(has_mask(t) for t in tensors)
        places.append((tf_keras.layers.Reshape(min(shapes), **named("unmasked")),) if masked else ())
    return tuple(places)

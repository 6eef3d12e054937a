"""What layers over one axis are as layers over images of height 1, of which TFMOT simulates the rounding.

TFMOT has no rule for `Conv1D`, and one for `Dense` that does not hold over a sequence: there TensorFlow puts a reshape between the
product and its bias, and the converter leaves all of it float. Kernels have the same numbers in the same order in both.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from workbench.compat.tf_keras import Call

# By the class of a layer over one axis: the class of the layer over two.
IMAGE = {
    "Conv1D": "Conv2D",
    "DepthwiseConv1D": "DepthwiseConv2D",
    "SeparableConv1D": "SeparableConv2D",
    "Conv1DTranspose": "Conv2DTranspose",
    "MaxPooling1D": "MaxPooling2D",
}
# What of a configuration has a value for each axis, and what it is for the height.
ALONG = {"kernel_size": 1, "pool_size": 1, "strides": 1, "dilation_rate": 1, "output_padding": 0}
# TensorFlow moves depthwise kernels by the same step along both axes.
SQUARE_STEPS = ("DepthwiseConv1D", "SeparableConv1D")


class Turned(NamedTuple):
    """The class and the configuration of the layer that another is as an image, the shape `(height, width, channels)` of its input and that of its output.

    Shapes are None where they are as they were; `pad` is how many zeros come before the input's width.
    """

    kind: str
    config: dict[str, Any]
    into: tuple[int, ...] | None = None
    back: tuple[int, ...] | None = None
    pad: int = 0


def turned(layer: Any, calls: list[Call]) -> Turned | str | None:
    """Return what a layer that is called so is as an image, why it cannot be one, None where it need not be."""
    import tf_keras

    layers = tf_keras.layers
    # It calls a dense layer for each step; a dense layer does the same with all of them.
    inner = layer.layer if type(layer) is layers.TimeDistributed and type(layer.layer) is layers.Dense else layer
    shapes = [tuple(call.args[0].shape) for call in calls if hasattr(call.args[0], "shape")]
    is_dense = type(inner) is layers.Dense and any(len(s) > 2 for s in shapes)
    if not is_dense and type(layer) not in [getattr(layers, name) for name in IMAGE]:
        return None
    config = {
        k: v for k, v in inner.get_config().items() if not k.endswith("_initializer") and k != "batch_input_shape"
    }
    if why := _bound_to_its_shape(config):
        return why
    return _dense(config, shapes) if is_dense else _along(type(layer).__name__, config, shapes, layer)


def _bound_to_its_shape(config: dict[str, Any]) -> str | None:
    if config.get("data_format") == "channels_first":
        return "its channels come first"
    for part in ("kernel", "depthwise", "pointwise"):
        if config.get(f"{part}_constraint") is not None:
            return "the constraint of its kernel is for the shape that it has"
        regularizer = config.get(f"{part}_regularizer")
        if regularizer is not None and regularizer.get("class_name") not in ("L1", "L2", "L1L2"):
            return "the regularizer of its kernel is for the shape that it has"
    return None


def _dense(config: dict[str, Any], shapes: list[tuple[Any, ...]]) -> Turned | str:
    units = config.pop("units")
    config = {**config, "filters": units, "kernel_size": (1, 1)}
    ranks, rows = {len(s) for s in shapes}, {s[1:-1] for s in shapes}
    if ranks == {4}:
        return Turned("Conv2D", config)
    into = (1, -1, shapes[0][-1])
    if ranks == {3}:
        return Turned("Conv2D", config, into, (-1, units))
    if len(rows) > 1 or sum(d is None for d in next(iter(rows))) > 1:
        return "it is called with tensors of several shapes, or with more than one open axis"
    return Turned("Conv2D", config, into, (*(d or -1 for d in next(iter(rows))), units))


def _along(name: str, config: dict[str, Any], shapes: list[tuple[Any, ...]], layer: Any) -> Turned | str:
    if any(len(s) != 3 for s in shapes):
        return "it is called with tensors of more than two axes and channels"
    pad = config["dilation_rate"][0] * (config["kernel_size"][0] - 1) if config["padding"] == "causal" else 0
    step = config["strides"][0] if name in SQUARE_STEPS else 1
    height = {**ALONG, "strides": step}
    config = {
        k: (height[k], *(v if isinstance(v, (tuple, list)) else (v,))) if k in height and v is not None else v
        for k, v in config.items()
    }
    if config["padding"] == "causal":
        config["padding"] = "valid"
    return Turned(IMAGE[name], config, (1, -1, shapes[0][-1]), (-1, layer.get_output_at(0).shape[-1]), pad)

"""Folding batch normalization, and ReLU layers, into the linear layer before them.

The converter folds batch normalization anyway, after training: kernel times gamma / sqrt(variance + epsilon)
per channel. Done before clustering instead, a kernel's clusters are still the same few values in the
file. TFMOT leaves a convolution that is followed by a separate ReLU layer without simulated rounding;
with the ReLU inside it, the convolution gets it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.compat.tf_keras import is_graph, only_before

Pair = tuple[Any, Any]
# Layers of which a factor for each output channel can be part of the kernel.
LINEAR = (
    *("Dense", "Conv1D", "Conv2D", "DepthwiseConv1D", "DepthwiseConv2D"),
    *("Conv1DTranspose", "Conv2DTranspose", "SeparableConv1D", "SeparableConv2D"),
)


def fold_batch_norms(model: Any) -> Any:
    """Return the tf_keras model without the BatchNormalization layers that directly follow a linear layer.

    Only where the pair is unambiguous (one input, one consumer, linear activation, used once); other
    layers stay, and so does one that names an output. A subclassed model is returned as it is.
    """
    pairs = [
        (layer, bn)
        for layer, bn in _pairs(model, "BatchNormalization")
        if _on_channels(layer, bn) and bn.name not in model.output_names
    ]
    return _merged(
        model,
        pairs,
        {layer.name: {"use_bias": True} for layer, _ in pairs},
        {layer.name: _fused(layer, bn) for layer, bn in pairs},
    )


def fuse_relus(model: Any) -> Any:
    """Return the tf_keras model with plain ReLU and ReLU6, of layers and of `Activation`, as the activation of the layer before them."""
    followers = [*_pairs(model, "ReLU"), *_pairs(model, "Activation")]
    pairs = [(layer, relu) for layer, relu in followers if _relu_name(relu)]
    return _merged(model, pairs, {layer.name: {"activation": _relu_name(relu)} for layer, relu in pairs}, {})


def _merged(model: Any, pairs: list[Pair], updates: dict[str, dict[str, Any]], weights: dict[str, list[Any]]) -> Any:
    """Return the model without the second layer of each pair; the first has updated configuration and weights."""
    if not pairs:
        return model
    config = model.get_config()
    renamed = {second.name: first.name for first, second in pairs}
    config["layers"] = [
        _rewired(entry, renamed, updates) for entry in config["layers"] if entry["config"]["name"] not in renamed
    ]
    for key in ("output_layers", "input_layers"):
        if key in config:
            config[key] = _rename(config[key], renamed)
    merged = model.__class__.from_config(config)
    if not merged.built:
        merged.build(model.input_shape)
    for layer in merged.layers:
        layer.set_weights(weights.get(layer.name) or model.get_layer(layer.name).get_weights())
    return merged


def _pairs(model: Any, follower: str) -> list[Pair]:
    """Return (linear layer, layer of that class after it) where each is the other's only neighbour."""
    import tf_keras

    kinds = tuple(getattr(tf_keras.layers, name) for name in LINEAR)
    if not (is_graph(model) or isinstance(model, tf_keras.Sequential)):
        return []
    # By identity: the names of tensors are not their own.
    outputs = {id(t) for t in model.outputs}
    pairs = []
    for layer in model.layers:
        if type(layer) is not getattr(tf_keras.layers, follower):
            continue
        before = only_before(layer)
        if type(before) not in kinds or before.activation is not tf_keras.activations.linear:
            continue
        if id(before.output) not in outputs:
            pairs.append((before, layer))
    return pairs


def _on_channels(layer: Any, bn: Any) -> bool:
    return (
        bn.axis in ([layer.output.shape.rank - 1], [-1])
        and getattr(layer, "data_format", "channels_last") == "channels_last"
    )


def _relu_name(relu: Any) -> str | None:
    if hasattr(relu, "activation"):
        name = getattr(relu.activation, "__name__", None)
        return name if name in ("relu", "relu6") else None
    if relu.negative_slope or relu.threshold:
        return None
    if relu.max_value is None:
        return "relu"
    # An array without axes, as the layer keeps it.
    return "relu6" if float(relu.max_value) == 6.0 else None


def _fused(layer: Any, bn: Any) -> list[Any]:
    """Return the weights of a layer with those of the batch normalization after it in them.

    Output channels are a kernel's last axis, but the last two together where it is depthwise, and the last but one where it is transposed.
    """
    *first, kernel = layer.get_weights()[: -1 if layer.use_bias else None]
    rest = layer.get_weights()[-1:] if layer.use_bias else []
    kind = type(layer).__name__
    moving_mean, variance = bn.moving_mean.numpy(), bn.moving_variance.numpy()
    factor: Any = (bn.gamma.numpy() if bn.scale else 1.0) / np.sqrt(variance + bn.epsilon)
    bias = rest[0] if rest else np.zeros_like(moving_mean)
    if kind.startswith("Depthwise"):
        kernel = kernel * factor.reshape(kernel.shape[-2:])
    else:
        kernel = kernel * (factor[:, None] if kind.endswith("Transpose") else factor)
    return [*first, kernel, (bias - moving_mean) * factor + (bn.beta.numpy() if bn.center else 0.0)]


def _rewired(entry: dict[str, Any], renamed: dict[str, str], updates: dict[str, dict[str, Any]]) -> dict[str, Any]:
    entry = {**entry, "config": {**entry["config"], **updates.get(entry["config"]["name"], {})}}
    if "inbound_nodes" in entry:
        entry["inbound_nodes"] = _rename(entry["inbound_nodes"], renamed)
    return entry


def _rename(data: Any, renamed: dict[str, str]) -> Any:
    """Return a structure of tensors with other layers' names; each is `[layer, node, tensor, ...]`, and other text is none."""
    if isinstance(data, (list, tuple)):
        parts = [_rename(d, renamed) for d in data]
        is_tensor = len(data) > 2 and isinstance(data[0], str) and all(type(d) is int for d in data[1:3])
        return [renamed.get(data[0], data[0]), *parts[1:]] if is_tensor else parts
    if isinstance(data, dict):
        return {k: _rename(v, renamed) for k, v in data.items()}
    return data

"""Models within models as one graph of the same layers, which folding and TFMOT's quantization need.

Both look at the layers of one graph and enter none within it. Layers whose state lies in variables that a copy of the layer
does not take over (`Normalization` after `adapt`) get it as part of their configuration.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from workbench.compat.tf_keras import Call, graph_calls, is_graph, maker
from workbench.errors import StageFailed
from workbench.techniques.layers import layer_paths

# Of an output's scale: the same operations in the same order.
CLOSE = 1e-5
# Where an axis of the input is open, what the comparison takes.
OPEN = 32


class Stand(NamedTuple):
    """What stands for a layer: a copy, or a layer with the same weights in the same order, those of layers `before` it first, each in whatever shape.

    What is in `before` is called on its inputs, the nth on the nth of them, and what is in `after` on its output, one after another.
    """

    layer: Any
    before: tuple[tuple[Any, ...], ...] = ()
    after: tuple[Any, ...] = ()


# Takes a layer, its copy that nothing has called, and what makes a name that is free of a wish.
Around = Callable[[Any, Any, Callable[[str], str]], Stand]


class Flattened(NamedTuple):
    """A model without models within it, and where its layers, by name, stand in the one that it was made of (`base/conv2d`)."""

    model: Any
    paths: dict[str, str]

    def path(self, name: str) -> str:
        """Return where a layer stands in the model that the flat one was made of."""
        return self.paths.get(name, name)


def flatten(model: Any, around: Around | None = None, close: float = CLOSE) -> Any:
    """Return a tf_keras model without models within it, as `flattened` does."""
    return flattened(model, around, close).model


def flattened(model: Any, around: Around | None = None, close: float = CLOSE) -> Flattened:
    """Return a tf_keras model without models within it: new layers with the same weights; inputs and outputs keep their names.

    What is called several times, a layer or a model, keeps its one set of weights. `around` says what stands for a layer, and has the outputs named
    otherwise where that ends in another layer; `close` is how near outputs must be, of their scale. A model that is no graph (subclassed) is returned as it is, and one within another stays. Raises StageFailed where the flat model gives other outputs.
    """
    import tf_keras

    if not is_graph(model):
        return Flattened(model, {})
    inputs = [
        tf_keras.Input(batch_shape=tuple(t.shape), dtype=t.dtype, name=n)
        for t, n in zip(model.inputs, model.input_names, strict=True)
    ]
    builder = _Builder(model, around)
    outputs = builder.run(model, inputs, "", None)
    one = [values[0] if len(values) == 1 else values for values in (inputs, outputs)]
    flat = tf_keras.Model(*one, name=model.name)
    builder.fill()
    _compare(model, flat, close)
    paths = layer_paths(model)
    return Flattened(flat, {stand.layer.name: paths[i] for i, (_, stand) in builder.copies.items() if i in paths})


class _Builder:
    """Calls copies of layers in the order of a graph, each copy made once."""

    def __init__(self, model: Any, around: Around | None) -> None:
        self.around = around
        self.copies: dict[int, tuple[Any, Stand]] = {}
        self.wanted = {id(_innermost(t)): n for t, n in zip(model.outputs, model.output_names, strict=True)}
        self.taken = {*model.input_names, *model.output_names}

    def run(self, graph: Any, inputs: list[Any], prefix: str, training: Any) -> list[Any]:
        """Return a graph's outputs for `inputs`; `training` is what it was called with."""
        import tensorflow as tf

        known = {id(t): value for t, value in zip(graph.inputs, inputs, strict=True)}
        for call in graph_calls(graph):
            args, kwargs = tf.nest.map_structure(lambda t: known.get(id(t), t), (call.args, call.kwargs))
            mode = kwargs.get("training", training) if training is None else training
            if _nested(call):
                given = args[0] if args else kwargs["inputs"]
                ordered = (
                    [given[n] for n in call.layer.input_names] if isinstance(given, dict) else tf.nest.flatten(given)
                )
                found = self.run(call.layer, ordered, f"{prefix}{call.layer.name}_", mode)
            else:
                found = _called(self._stand(call.layer, prefix), args, kwargs, mode)
            known.update({id(t): v for t, v in zip(tf.nest.flatten(call.outputs), found, strict=True)})
        return [known[id(t)] for t in graph.outputs]

    def fill(self) -> None:
        """Give the copies the weights of the layers that they stand for."""
        for layer, (copy, before, _) in self.copies.values():
            given = iter(layer.get_weights())
            for made in (*(m for place in before for m in place), copy):
                if made.weights:
                    made.set_weights([next(given).reshape(w.shape) for w in made.get_weights()])
                made.trainable = layer.trainable

    def _stand(self, layer: Any, prefix: str) -> Stand:
        if id(layer) not in self.copies:
            copy = type(layer).from_config({**_config(layer), "name": self._name(layer, prefix)})
            self.copies[id(layer)] = (layer, self.around(layer, copy, self._free) if self.around else Stand(copy))
        return self.copies[id(layer)][1]

    def _name(self, layer: Any, prefix: str) -> str:
        if id(layer) in self.wanted:
            return str(self.wanted[id(layer)])
        return self._free(layer.name if layer.name not in self.taken else f"{prefix}{layer.name}")

    def _free(self, name: str) -> str:
        number, free = 0, name
        while free in self.taken:
            number += 1
            free = f"{name}_{number}"
        self.taken.add(free)
        return free


def _called(stand: Stand, args: tuple[Any, ...], kwargs: dict[str, Any], training: Any) -> list[Any]:
    """Return the tensors that come out of what stands for a layer."""
    import tensorflow as tf

    if training is not None and "training" in inspect.signature(stand.layer.call).parameters:
        kwargs["training"] = training
    if stand.before:
        given = tf.nest.flatten(args[0])
        given = [_through(t, stand.before[n] if n < len(stand.before) else ()) for n, t in enumerate(given)]
        args = (tf.nest.pack_sequence_as(args[0], given), *args[1:])
    found = tf.nest.flatten(stand.layer(*args, **kwargs))
    return [_through(found[0], stand.after)] if len(found) == 1 else found


def _through(tensor: Any, layers: tuple[Any, ...]) -> Any:
    for layer in layers:
        tensor = layer(tensor)
    return tensor


def _nested(call: Call) -> bool:
    import tf_keras

    return isinstance(call.layer, tf_keras.Model) and is_graph(call.layer)


def _innermost(tensor: Any) -> Any:
    """Return the layer that an output comes from, in the model within a model where it is one."""
    layer, number = maker(tensor)
    while is_graph(layer):
        layer, number = maker(layer.outputs[number])
    return layer


def _config(layer: Any) -> dict[str, Any]:
    """Return a layer's configuration, with the state that it has learned from data where a copy would lose it."""
    import tf_keras

    config: dict[str, Any] = layer.get_config()
    if type(layer) is tf_keras.layers.Normalization and layer.input_mean is None and layer.built:
        mean, variance, _ = layer.get_weights()
        config.update(mean=mean.tolist(), variance=variance.tolist())
    return config


def _compare(model: Any, flat: Any, close: float) -> None:
    import tensorflow as tf

    if any(not (t.dtype.is_floating or t.dtype.is_integer) for t in model.inputs):
        # Text has no numbers to draw.
        return
    draw = np.random.default_rng(0)
    shapes = [(t.shape[0] or 2, *(d or OPEN for d in t.shape[1:])) for t in model.inputs]
    sample = [tf.cast(draw.random(s) * 2, t.dtype) for s, t in zip(shapes, model.inputs, strict=True)]
    sample = sample[0] if len(sample) == 1 else sample
    pairs = zip(model.output_names, tf.nest.flatten(model(sample)), tf.nest.flatten(flat(sample)), strict=True)
    for name, value, other in pairs:
        value, other = np.asarray(value, np.float64), np.asarray(other, np.float64)
        off = float(np.abs(value - other).max(initial=0.0))
        if not off <= close * max(1.0, float(np.abs(value).max(initial=0.0))):
            raise StageFailed(
                f"the layers of {model.name!r} and of the models within it, put into one graph as the step needs them, give output {name!r} other values (by up to {off:.3g}). "
                "Use post-training schemes, or build the model without models within it."
            )

"""Walk the graph of a Keras 3 model with symbolic tensors of tf_keras, so that an equal graph comes of it.

Models within the model are walked as well: their layers become layers of the one graph, which clone_model and the trained
techniques go through.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
from collections.abc import Callable
from typing import Any

from workbench.compat.keras import graph_of, import_keras, producer, run_through
from workbench.compat.tf_keras import countable_axes, maker
from workbench.sources.keras3 import layers as known
from workbench.sources.keras3.layers import NotRebuilt
from workbench.sources.keras3.operations import operation
from workbench.sources.trust import shown

Call = Callable[..., Any]
WRAPPERS = ("Bidirectional", "TimeDistributed", "SpectralNormalization")
# Those that use the very layer that they are given; another one makes two of it.
WITHIN = ("TimeDistributed", "SpectralNormalization")
CELLS = ("RNN", "StackedRNNCells")


def rebuild(model: Any) -> Any:
    """Return a Keras 3 model as a functional model of tf_keras, its inputs and outputs in order and by the names that data has.

    Raises NotRebuilt for the first layer or operation that tf_keras cannot have.
    """
    builder = Rebuilder()
    with countable_axes():
        built = builder.model(model)
    builder.copy()
    return built


def names_of(structure: Any, tensors: list[Any]) -> list[str]:
    """Return the names by which data goes with inputs or outputs: the keys of a dict, else the names of layers."""
    keras = import_keras()
    if isinstance(structure, dict) and all(not isinstance(v, (dict, list, tuple)) for v in structure.values()):
        found = {id(tensor): str(key) for key, tensor in structure.items()}
        return [found[id(t)] for t in tensors]
    if len(keras.tree.flatten(structure)) != len(tensors):
        raise ValueError("inputs or outputs of the model do not agree with its structure")
    return [producer(t).name for t in tensors]


class Rebuilder:
    """What has been made so far: by the identity of a layer of Keras 3, what calls its tf_keras twin, and pairs whose weights agree."""

    def __init__(self) -> None:
        self.calls: dict[int, Call] = {}
        self.pairs: list[tuple[Any, Any]] = []
        self.taken: set[str] = set()
        # Names that data has for outputs, and the identity of the one operation that may have it, 0 for none.
        self.outputs: dict[str, int] = {}

    def unique(self, name: str, op: Any = None) -> str:
        """Return a name that no layer of the model has yet; submodels may use the same ones, and outputs keep theirs."""
        candidates = itertools.chain([name], (f"{name}_{i}" for i in itertools.count(1)))
        free = (n for n in candidates if n not in self.taken and self.outputs.get(n, id(op)) == id(op))
        found = next(free)
        self.taken.add(found)
        return found

    def model(self, model: Any) -> Any:
        """Return a model with the same graph."""
        import tf_keras

        graph = graph_of(model)
        if graph is None:
            raise NotRebuilt(
                model.name, type(model).__name__, "only its Python code knows what it does with its layers"
            )
        sources = names_of(graph.input, graph.inputs)
        ends = names_of(graph.output, graph.outputs)
        makers = [producer(t) for t in graph.outputs]
        self.outputs = {n: id(op) if op.name == n else 0 for n, op in zip(ends, makers, strict=True)}
        inputs = [
            tf_keras.layers.Input(batch_shape=tuple(t.shape), dtype=self._dtype(t), name=self.unique(n))
            for n, t in zip(sources, graph.inputs, strict=True)
        ]
        outputs = run_through(graph, inputs, self.call)
        named = [self._ending(t, n, outputs[:i]) for i, (t, n) in enumerate(zip(outputs, ends, strict=True))]
        return tf_keras.Model(inputs, named, name=model.name)

    def call(self, op: Any) -> Call:
        """Return what calls the twin of a layer, model or operation."""
        keras = import_keras()
        if id(op) not in self.calls:
            if isinstance(op, keras.Model):
                made = self._inlined(op)
            elif isinstance(op, keras.Layer):
                made = _calling(op, self._layer(op))
            else:
                made = operation(op, lambda name: self.unique(name, op))
            self.calls[id(op)] = made
        return self.calls[id(op)]

    def copy(self) -> None:
        """Set the weights of every twin."""
        for old, new in self.pairs:
            known.copy_weights(old, new)

    def twin(self, layer: Any, name: str) -> Any:
        """Return a layer of tf_keras that does the same, with weights to be copied; raises NotRebuilt."""
        kind = known.kind_of_layer(layer)
        cls = known.twin_class(kind)
        if kind in WRAPPERS:
            return self._wrapper(layer, cls, name)
        if kind in CELLS:
            cells = layer.cells if kind == "StackedRNNCells" else layer.cell
            made = [self.twin(c, c.name) for c in cells] if kind == "StackedRNNCells" else self.twin(cells, cells.name)
            config = known.configured(layer, cls, {"name": name})
            return known.made(layer, cls, {**config, "cells" if kind == "StackedRNNCells" else "cell": made})
        if kind == "Normalization":
            return known.normalization(layer, cls, name)
        if cls is None or kind not in known.ALIKE:
            why = (
                "tf_keras has no such layer"
                if cls is None
                else "tf_keras's layer of that name is not known to do the same"
            )
            raise NotRebuilt(layer.name, kind, why)
        return known.made(layer, cls, known.configured(layer, cls, {"name": name}))

    def _dtype(self, tensor: Any) -> str:
        name = str(tensor.dtype)
        if name == "string":
            raise NotRebuilt(tensor.name, "input", "text cannot be compared on random values")
        return name

    def _layer(self, layer: Any) -> Any:
        """Return a tf_keras layer, or a function that calls one and the activation that it lacks after it."""
        import tf_keras

        kind, name = known.kind_of_layer(layer), self.unique(layer.name, layer)
        if kind in known.AUGMENTING:
            return self._augmenting(layer, kind, name)
        if kind == "RMSNormalization":
            return self._rms(layer, name)
        after = self._activation_apart(layer, kind)
        if after is None:
            made = self.twin(layer, name)
            if kind not in WITHIN:
                self.pairs.append((layer, made))
            return made
        if kind == "Activation":
            inner: Any = lambda x: x  # noqa: E731
        else:
            cls = known.twin_class(kind)
            config = known.configured(layer, cls, {"name": self.unique(f"{name}_linear"), "activation": "linear"})
            inner = known.made(layer, cls, config)
            self.pairs.append((layer, inner))
        # It carries the name that data may go by.
        last = tf_keras.layers.Activation("linear", name=name)
        return lambda *args, **options: last(after(inner(*args, **options)))

    def _activation_apart(self, layer: Any, kind: str) -> Call | None:
        """Return the activation of a layer where tf_keras has none that computes the same, to be called after it."""
        keras = import_keras()
        activation = getattr(layer, "activation", None)
        if activation is None or kind in known.RECURRENT or kind not in known.ALIKE:
            return None
        if isinstance(activation, keras.Layer):
            return self.call(activation)
        name = getattr(activation, "__name__", "")
        if name in known.ACTIVATIONS or getattr(activation, "__module__", "").split(".")[0] != "keras":
            return None
        return lambda x: activation(x)

    def _wrapper(self, layer: Any, cls: Any, name: str) -> Any:
        kind = type(layer).__name__
        if kind == "Bidirectional":
            inner = layer.forward_layer
            config = known.configured(layer, cls, {"layer": None, "backward_layer": None, "name": name})
            config["backward_layer"] = self._backward(layer)
        else:
            inner = layer.layer
            config = known.configured(layer, cls, {"layer": None, "name": name})
        config["layer"] = self._within(inner, inner.name.removeprefix("forward_"), kind in WITHIN)
        return known.made(layer, cls, config)

    def _within(self, layer: Any, name: str, copied: bool) -> Any:
        """Return the twin of a wrapped layer, or of a wrapped model; unless `copied`, its weights are with the wrapper's."""
        keras = import_keras()
        if isinstance(layer, keras.Model):
            inner = Rebuilder()
            made = inner.model(layer)
            self.pairs.extend(inner.pairs)
            return made
        if self._activation_apart(layer, known.kind_of_layer(layer)) is not None:
            raise NotRebuilt(
                layer.name,
                type(layer).__name__,
                f"tf_keras has no activation {shown(layer.activation.__name__)} in a wrapped layer",
            )
        made = self.twin(layer, name)
        if copied:
            self.pairs.append((layer, made))
        return made

    def _backward(self, layer: Any) -> Any:
        """Return the twin of a backward layer that is another than the forward one turned around, else None."""
        configs = [lay.get_config() for lay in (layer.forward_layer, layer.backward_layer)]
        same = [{k: v for k, v in c.items() if k not in ("name", "go_backwards")} for c in configs]
        if same[0] == same[1] and configs[0].get("go_backwards") != configs[1].get("go_backwards"):
            return None
        return self._within(layer.backward_layer, layer.backward_layer.name, copied=False)

    def _augmenting(self, layer: Any, kind: str, name: str) -> Any:
        """Return the augmentation of that name, or one that passes on what it gets, as all do at inference."""
        import tf_keras

        cls = known.twin_class(kind)
        # tf_keras crops at inference too; Keras 3 does not.
        if cls is not None and kind != "RandomCrop":
            with contextlib.suppress(NotRebuilt):
                return known.made(layer, cls, known.configured(layer, cls, {"name": name}, lenient=True))
        return tf_keras.layers.Activation("linear", name=name)

    def _rms(self, layer: Any, name: str) -> Call:
        """Return RMSNormalization as a division by the root of the mean square and a LayerScale, which holds its weights."""
        import tensorflow as tf

        axes = layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
        scale = known.twin_class("LayerScale")(1.0, int(layer.scale.shape[0]), name=name)
        self.pairs.append((layer, scale))

        def call(x: Any) -> Any:
            if list(axes) not in ([-1], [x.shape.rank - 1]):
                raise NotRebuilt(
                    layer.name, "RMSNormalization", f"it normalizes the axes {list(axes)}, not the last one"
                )
            return scale(x * tf.math.rsqrt(tf.reduce_mean(tf.square(x), axis=-1, keepdims=True) + layer.epsilon))

        return call

    def _inlined(self, model: Any) -> Call:
        """Return what walks a model within the model; where it was called with `training=False`, so are its layers."""
        keras, graph = import_keras(), graph_of(model)
        if graph is None:
            raise NotRebuilt(
                model.name, type(model).__name__, "only its Python code knows what it does with its layers"
            )

        def call(*args: Any, training: Any = None, frozen: bool = False, **options: Any) -> Any:
            training = False if frozen else training
            flat = keras.tree.flatten((args, {k: v for k, v in options.items() if k != "mask"}))

            def inner(op: Any) -> Call:
                made = self.call(op)
                if training is not False or not isinstance(op, keras.Layer):
                    return made
                return lambda *a, **k: made(*a, **k, frozen=True)

            outputs = run_through(graph, flat, inner)
            return keras.tree.pack_sequence_as(graph.output, outputs)

        return call

    def _ending(self, tensor: Any, name: str, before: list[Any]) -> Any:
        """Return an output under the name that data has for it, and as a tensor of its own where another output is the same."""
        import tf_keras

        if maker(tensor)[0].name == name and all(tensor is not other for other in before):
            return tensor
        self.outputs.pop(name, None)
        return tf_keras.layers.Activation("linear", name=self.unique(name))(tensor)


def _calling(layer: Any, made: Any) -> Call:
    """Return a call of a twin with those keywords of the original's call that say anything.

    `training` is not among them: Keras 3 writes the defaults of layers there, and overrules them in each call of the model.
    """
    import tf_keras

    takes = isinstance(made, tf_keras.layers.Layer) and "training" in inspect.signature(made.call).parameters

    def call(*args: Any, training: Any = None, frozen: bool = False, **options: Any) -> Any:
        said = {k: v for k, v in options.items() if v is not None}
        try:
            return made(*args, **said, **({"training": False} if frozen and takes else {}))
        except (TypeError, ValueError) as error:
            why = " ".join(str(error).split())[:200]
            raise NotRebuilt(layer.name, type(layer).__name__, f"tf_keras cannot call it so: {why}") from error

    return call

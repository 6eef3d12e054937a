"""Which layers of a model TFMOT simulates in 8 bits, and with which ranges it begins."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from workbench.compat.tf_keras import Call, graph_calls, maker
from workbench.compat.tfmot import measuring_ranges, simulated_activations
from workbench.errors import StageFailed
from workbench.techniques.flatten import Stand, flatten
from workbench.techniques.masks import is_masked, takers
from workbench.techniques.turning import turned

# TFMOT simulates it inside of a layer, but for the file it is two operators, and without a range between them the converter leaves the layer before them float.
SEVERAL_OPERATORS = frozenset({"swish", "silu"})
# Samples that the first ranges are taken from.
SAMPLES = 256
BATCH = 32


def why_float(layer: Any) -> str | None:
    """Return why TFMOT does not simulate a layer in 8 bits, None where it does."""
    from tensorflow_model_optimization.quantization.keras import default_8bit

    if not default_8bit.Default8BitQuantizeRegistry().supports(layer):
        return f"TFMOT has no 8-bit scheme for {type(layer).__name__}"
    if activation := unknown_activation(layer):
        return f"TFMOT has no 8-bit scheme for the activation {activation!r}"
    return None


def unknown_activation(layer: Any) -> str | None:
    """Return the name of the activation inside of a layer, or of its class, where TFMOT does not simulate it."""
    name = _activation_name(layer)
    return None if name is None or name in simulated_activations() else name


def is_to_be_split(layer: Any) -> bool:
    """Whether TFMOT simulates a layer in 8 bits only where its activation is a layer of its own."""
    import tf_keras

    if type(layer) is tf_keras.layers.Activation or not (
        unknown_activation(layer) or _activation_name(layer) in SEVERAL_OPERATORS
    ):
        return False
    return why_float(without_activation(layer)) is None


def without_activation(layer: Any) -> Any:
    """Return a copy of a layer that is linear, to be called anew."""
    return type(layer).from_config({**layer.get_config(), "activation": "linear"})


def _activation_name(layer: Any) -> str | None:
    activation = getattr(layer, "activation", None)
    return None if activation is None else getattr(activation, "__name__", type(activation).__name__)


def calls_by_layer(calls: list[Call]) -> dict[str, list[Call]]:
    """Return the calls of each layer, by its name."""
    found: dict[str, list[Call]] = {}
    for call in calls:
        found.setdefault(call.layer.name, []).append(call)
    return found


def _why_float_here(calls: list[Call], takers: dict[str, str]) -> str | None:
    """Return why a layer that is called so is not simulated in 8 bits, None where it is."""
    layer = calls[0].layer
    if layer.name in takers and why_float(layer) is None:
        taker = takers[layer.name]
        whose = "it takes a mask" if taker == layer.name else f"a mask passes through it to {taker}"
        return f"{whose}, which TFMOT's wrapper would lose"
    why = why_float(layer)
    # What could be turned has been by now.
    obstacle = turned(layer, calls)
    if isinstance(obstacle, str):
        return f"{why or 'its product and its bias stay float where there is an axis between samples and channels'}; {obstacle}"
    if why is None and any(is_masked(call) for call in calls):
        return "a mask reaches it, which TFMOT's wrapper cannot take"
    if why is None and _is_dilated(layer) and any(tensor.shape[0] is None for tensor in _given(calls)):
        return "it is dilated, which the converter leaves float where the batch is open: fix it where the model is made, `Input(shape, batch_size=1)`"
    return why


def _is_dilated(layer: Any) -> bool:
    """Whether TensorFlow puts operators around a convolution that spread its input over the batch."""
    rates = getattr(layer, "dilation_rate", 1)
    return any(rate != 1 for rate in (rates if isinstance(rates, (list, tuple)) else [rates]))


def _given(calls: list[Call]) -> list[Any]:
    import tensorflow as tf

    return [t for call in calls for t in tf.nest.flatten(call.args) if tf.is_tensor(t) or hasattr(t, "shape")]


def reasons_to_stay_float(model: Any) -> dict[str, str | None]:
    """Return for each layer of a flat graph, by name, why TFMOT does not simulate it, None where it does.

    Raises StageFailed where it simulates none.
    """
    calls = graph_calls(model)
    masks = takers(calls)
    reasons = {name: _why_float_here(made, masks) for name, made in calls_by_layer(calls).items()}
    if all(reasons.values()):
        kinds = sorted({type(c.layer).__name__ for c in calls})
        raise StageFailed(
            f"qat has nothing to do: TFMOT simulates none of this model's layers ({', '.join(kinds)}). Use post-training schemes such as `int8` or `dynamic`."
        )
    return reasons


def annotate(model: Any) -> Any:
    """Return a flat graph with its supported layers annotated.

    Where a float layer feeds an 8-bit one, its output gets a range: without one, the converter leaves both float. Raises StageFailed where nothing is supported.
    """
    import tensorflow as tf
    import tf_keras
    from tensorflow_model_optimization.quantization.keras import quantize_annotate_layer

    reasons = reasons_to_stay_float(model)
    feeds: dict[str, set[str]] = {}
    for call in graph_calls(model):
        for tensor in tf.nest.flatten((call.args, call.kwargs)):
            if tf.is_tensor(tensor) and tf_keras.backend.is_keras_tensor(tensor):
                feeds.setdefault(maker(tensor)[0].name, set()).add(call.layer.name)
    bounds: set[str] = set()

    def bound(layer: Any, copy: Any, free: Callable[[str], str]) -> Stand:
        if reasons.get(layer.name) is None or not any(reasons[n] is None for n in feeds.get(layer.name, ())):
            return Stand(copy)
        name = free(f"{copy.name}_range")
        bounds.add(name)
        return Stand(copy, after=(tf_keras.layers.Activation("linear", name=name),))

    def wrap(layer: Any) -> Any:
        if layer.name in bounds:
            return quantize_annotate_layer(layer, ranges_scope()["OutputRange"]())
        # The integer kernel divides by a count: what it gives has the scale of what it got, and the converter refuses another range.
        if isinstance(layer, (tf_keras.layers.AveragePooling1D, tf_keras.layers.AveragePooling2D)):
            return quantize_annotate_layer(layer, ranges_scope()["SameRange"]())
        if layer.name in reasons and reasons[layer.name] is None:
            return quantize_annotate_layer(layer)
        return layer

    return tf_keras.models.clone_model(flatten(model, bound), clone_function=wrap)


@cache
def ranges_scope() -> dict[str, Any]:
    """Return the class, by its name, that says: only the output of this layer has a range."""
    from tensorflow_model_optimization.quantization.keras import QuantizeConfig, quantizers

    class OutputRange(QuantizeConfig):  # type: ignore[misc]  # TFMOT is untyped
        def get_weights_and_quantizers(self, layer: Any) -> list[Any]:
            return []

        def get_activations_and_quantizers(self, layer: Any) -> list[Any]:
            return []

        def set_quantize_weights(self, layer: Any, quantize_weights: list[Any]) -> None:
            pass

        def set_quantize_activations(self, layer: Any, quantize_activations: list[Any]) -> None:
            pass

        def get_output_quantizers(self, layer: Any) -> list[Any]:
            return [quantizers.MovingAverageQuantizer(num_bits=8, per_axis=False, symmetric=False, narrow_range=False)]

        def get_config(self) -> dict[str, Any]:
            return {}

    class SameRange(OutputRange):
        def get_output_quantizers(self, layer: Any) -> list[Any]:
            return []

    return {"OutputRange": OutputRange, "SameRange": SameRange}


def measure_ranges(aware: Any, x: Any) -> None:
    """Set the ranges of a quantization-aware model to what the first samples of `x` `(n, ...)`, or a dict of such, give."""
    import tensorflow as tf

    with measuring_ranges():
        for start in range(0, SAMPLES, BATCH):
            batch = tf.nest.map_structure(lambda v: tf.convert_to_tensor(v[start : start + BATCH]), x)  # noqa: B023  # used at once
            if not len(tf.nest.flatten(batch)[0]):
                return
            aware(batch, training=False)

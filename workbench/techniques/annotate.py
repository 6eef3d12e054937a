"""Which layers of a model TFMOT simulates in 8 bits, and with which ranges it begins."""

from __future__ import annotations

from functools import cache
from typing import Any

from workbench.compat.tf_keras import graph_calls, maker
from workbench.compat.tfmot import measuring_ranges, simulated_activations
from workbench.errors import StageFailed
from workbench.techniques.flatten import flatten

# Samples that the first ranges are taken from.
SAMPLES = 256
BATCH = 32


def why_float(layer: Any) -> str | None:
    """Return why TFMOT does not simulate a layer in 8 bits, None where it does."""
    import tf_keras
    from tensorflow_model_optimization.quantization.keras import default_8bit

    layers = tf_keras.layers
    # These become a depthwise and an ordinary convolution first.
    supported = default_8bit.Default8BitQuantizeRegistry().supports(layer) or type(layer) in (
        layers.SeparableConv1D,
        layers.SeparableConv2D,
    )
    if not supported:
        return f"TFMOT has no 8-bit scheme for {type(layer).__name__}"
    activation = getattr(getattr(layer, "activation", None), "__name__", None)
    if activation is not None and activation not in simulated_activations():
        return f"TFMOT has no 8-bit scheme for the activation {activation!r}"
    return None


def reasons_to_stay_float(model: Any) -> dict[str, str | None]:
    """Return for each layer of a flat graph, by name, why TFMOT does not simulate it, None where it does.

    Raises StageFailed where it simulates none.
    """
    reasons = {call.layer.name: why_float(call.layer) for call in graph_calls(model)}
    if all(reasons.values()):
        kinds = sorted({type(c.layer).__name__ for c in graph_calls(model)})
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

    def bound(layer: Any, name: str) -> Any:
        if reasons.get(layer.name) is None or not any(reasons[n] is None for n in feeds.get(layer.name, ())):
            return None
        bounds.add(name)
        return tf_keras.layers.Activation("linear", name=name)

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

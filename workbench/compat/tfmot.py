"""tensorflow-model-optimization: which layers it takes, and what it does with ReLU6, sparsity and clusters."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any

from workbench.compat.library import Library

TFMOT = Library("tensorflow-model-optimization", ">=0.8.1,<0.9")


def import_tfmot() -> None:
    """Import TFMOT, TensorFlow and tf_keras, and none of Keras 3, which they would bring along: a quarter of the time, and scikit-learn and matplotlib.

    TensorFlow imports Keras 3 unless it is told to serve tf_keras as `tf.keras`, which TFMOT tells it later in any case. TFMOT
    looks there for a package that Keras 3 does not have, and does without it. Whoever needs Keras 3 imports it afterwards.
    """
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import tensorflow  # noqa: F401
    import tf_keras  # noqa: F401

    hidden = "keras" not in sys.modules
    if hidden:
        # As Python's reference has it: the import of a name that stands for None fails.
        sys.modules["keras"] = None  # type: ignore[assignment]
    try:
        import tensorflow_model_optimization  # noqa: F401
    finally:
        if hidden:
            del sys.modules["keras"]


class Pruner:
    """TFMOT's magnitude pruning of variables in place, without the wrappers that its public functions put around layers.

    Wrappers reach no layer within a model, a wrapper or a cell, and call attention with its arguments in the wrong places. `schedule` is one
    of its public ones; `options` are `block_size`, or `sparsity_m_by_n` for weights of 2 or 4 axes.
    """

    def __init__(self, weights: list[Any], schedule: Any, **options: Any) -> None:
        import tensorflow as tf

        with TFMOT.inside("Pruning"):
            from tensorflow_model_optimization.python.core.sparsity.keras.pruning_impl import Pruning

        self._step = tf.Variable(0, dtype=tf.int64, trainable=False)
        found = [(w, tf.Variable(tf.ones_like(w), trainable=False), tf.Variable(0.0, trainable=False)) for w in weights]
        options = {"block_size": (1, 1), "block_pooling_type": "AVG", **options}
        pruning = Pruning(lambda: self._step, found, schedule, **options)

        def step(number: Any) -> None:
            self._step.assign(number)
            pruning.conditional_mask_update()
            pruning.weight_mask_op()

        def hold() -> None:
            pruning.weight_mask_op()

        # Conditions and loops on tensors are written out there: rewriting its source for them would take a fifth of a small training.
        self._run = tf.function(step, input_signature=[tf.TensorSpec((), tf.int64)], autograph=False)
        self._hold = tf.function(hold, autograph=False)

    def step(self, number: int) -> None:
        """Choose what is zero, where the schedule wants that at the step (the first is 1), and make it zero."""
        self._run(number)

    def hold(self) -> None:
        """Make zero again what an optimizer has moved."""
        self._hold()


def centroids(weight: Any, number: int, init: str, preserve_sparsity: bool) -> Any:
    """Return the values `(at most number,)` that the clusters of a weight begin with; one is 0 with `preserve_sparsity`.

    `init` is one of TFMOT's `CentroidInitialization`. The public wrappers choose them when a layer is built, and reach neither a layer within
    a model nor one within a wrapper.
    """
    with TFMOT.inside("CentroidsInitializerFactory"):
        from tensorflow_model_optimization.clustering.keras import CentroidInitialization
        from tensorflow_model_optimization.python.core.clustering.keras.clustering_centroids import (
            CentroidsInitializerFactory,
        )

    made = CentroidsInitializerFactory.get_centroid_initializer(CentroidInitialization[init])
    return made(weight, number, preserve_sparsity=preserve_sparsity).get_cluster_centroids()


def simulate_relu6() -> None:
    """Have TFMOT simulate the rounding of a ReLU6 inside of a layer, as it does for any other activation.

    It refuses one, though it simulates a layer of its own; `_POST_QUANT_ACTIVATIONS` is its list of those that it takes.
    """
    known = TFMOT.attribute(_activation(), "_POST_QUANT_ACTIVATIONS")
    _activation()._POST_QUANT_ACTIVATIONS = known | {"relu6"}


def simulated_activations() -> frozenset[str]:
    """Return the activations inside of a layer of which TFMOT simulates the rounding; it raises for others, once the model is called."""
    names = ("_PRE_QUANT_ACTIVATIONS", "_POST_QUANT_ACTIVATIONS")
    return frozenset().union(*(TFMOT.attribute(_activation(), name) for name in names))


def _activation() -> Any:
    with TFMOT.inside("QuantizeAwareActivation"):
        from tensorflow_model_optimization.python.core.quantization.keras.quantize_aware_activation import (
            QuantizeAwareActivation,
        )

    return QuantizeAwareActivation


@cache
def one_scale_scheme() -> Any:
    """Return the class of TFMOT's 8-bit scheme with one weight scale per kernel, depthwise ones apart.

    With one scale per channel, one centroid becomes another integer in every channel: at most 16 values per channel, but over 100 in the kernel.
    The public `disable_per_axis` would take depthwise kernels too. `_layer_quantize_map` is where the registry says how weights are rounded.
    """
    import tf_keras
    from tensorflow_model_optimization.quantization.keras import default_8bit

    with TFMOT.inside("Default8BitQuantizeConfig"):
        from tensorflow_model_optimization.python.core.quantization.keras.default_8bit.default_8bit_quantize_registry import (
            Default8BitQuantizeConfig,
        )

    class OneScaleRegistry(default_8bit.Default8BitQuantizeRegistry):  # type: ignore[misc]  # TFMOT is untyped
        def __init__(self) -> None:
            super().__init__()
            known = TFMOT.attribute(self, "_layer_quantize_map")
            known[tf_keras.layers.Conv2D] = Default8BitQuantizeConfig(["kernel"], ["activation"], False)

    class OneScaleScheme(default_8bit.Default8BitQuantizeScheme):  # type: ignore[misc]  # TFMOT is untyped
        def get_quantize_registry(self) -> Any:
            return OneScaleRegistry()

    return OneScaleScheme


@contextlib.contextmanager
def measuring_ranges() -> Iterator[None]:
    """For so long, what a quantization-aware model is called with widens its ranges, which begin with the first call.

    TFMOT starts at -6 to 6 and moves by a thousandth a step: what lies outside is cut off for hundreds of steps. Its
    quantizers call functions of `quant_ops`, which have no other door.
    """
    import tensorflow as tf

    with TFMOT.inside("quant_ops"):
        from tensorflow_model_optimization.python.core.quantization.keras import quant_ops

    names = ("MovingAvgQuantize", "AllValuesQuantize", "LastValueQuantize")
    moving, every, last = (TFMOT.attribute(quant_ops, name) for name in names)
    seen: set[int] = set()

    def widen(original: Any) -> Any:
        def quantize(inputs: Any, min_var: Any, max_var: Any, **options: Any) -> Any:
            low, high = tf.minimum(tf.reduce_min(inputs), 0.0), tf.maximum(tf.reduce_max(inputs), 0.0)
            if id(min_var) in seen:
                low, high = tf.minimum(low, min_var), tf.maximum(high, max_var)
            seen.add(id(min_var))
            min_var.assign(low)
            # Where all is zero, a range of nothing has no scale.
            max_var.assign(tf.maximum(high, low + 1e-6))
            return original(inputs, min_var, max_var, **{**options, "is_training": False})

        return quantize

    def from_weights(inputs: Any, min_var: Any, max_var: Any, **options: Any) -> Any:
        return last(inputs, min_var, max_var, **{**options, "is_training": True})

    try:
        quant_ops.MovingAvgQuantize, quant_ops.AllValuesQuantize = widen(moving), widen(every)
        quant_ops.LastValueQuantize = from_weights
        yield
    finally:
        quant_ops.MovingAvgQuantize, quant_ops.AllValuesQuantize, quant_ops.LastValueQuantize = moving, every, last

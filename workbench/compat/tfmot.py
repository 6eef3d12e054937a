"""tensorflow-model-optimization: which layers it takes, and what it does with ReLU6, sparsity and clusters."""

from __future__ import annotations

import os
import sys
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


def can_prune(layer: Any) -> bool:
    """Whether TFMOT knows which weights of a layer to prune; it raises for others where it is asked to."""
    with TFMOT.inside("PruneRegistry"):
        from tensorflow_model_optimization.python.core.sparsity.keras.prune_registry import PruneRegistry

    return bool(PruneRegistry.supports(layer))


def can_cluster(layer: Any) -> bool:
    """Whether TFMOT knows which weights of a layer to cluster; it raises for others where it is asked to."""
    with TFMOT.inside("ClusteringRegistry"):
        from tensorflow_model_optimization.python.core.clustering.keras.clustering_registry import ClusteringRegistry

    return bool(ClusteringRegistry.supports(layer))


def cluster_weights(layer: Any, preserve_sparsity: bool, **options: Any) -> Any:
    """Return a layer whose weights are clustered; with `preserve_sparsity` its zeros stay.

    The public function lacks `preserve_sparsity`, and this one's module is not among what its package imports. Where the
    public one has it, use that.
    """
    with TFMOT.inside("the experimental cluster_weights"):
        from tensorflow_model_optimization.python.core.clustering.keras.experimental.cluster import cluster_weights

    return cluster_weights(layer, preserve_sparsity=preserve_sparsity, **options)


def simulate_relu6() -> None:
    """Have TFMOT simulate the rounding of a ReLU6 inside of a layer, as it does for any other activation.

    It refuses one, though it simulates a layer of its own; `_POST_QUANT_ACTIVATIONS` is its list of those that it takes.
    """
    with TFMOT.inside("QuantizeAwareActivation"):
        from tensorflow_model_optimization.python.core.quantization.keras.quantize_aware_activation import (
            QuantizeAwareActivation,
        )

    known = TFMOT.attribute(QuantizeAwareActivation, "_POST_QUANT_ACTIVATIONS")
    QuantizeAwareActivation._POST_QUANT_ACTIVATIONS = known | {"relu6"}


@cache
def one_scale_scheme() -> Any:
    """Return the class of the cluster-preserving scheme with one weight scale per kernel; it takes `preserve_sparsity`.

    TFMOT gives convolutions one scale per channel, which maps one centroid to another integer in every
    channel: at most 16 values per channel, but over 100 in the kernel. One scale keeps 16 in the file.
    `_config_quantizer_map` is where its registry says how the weights of each kind of layer are rounded.
    """
    with TFMOT.inside("cluster_preserve_quantize_registry"):
        from tensorflow_model_optimization.experimental.combine import Default8BitClusterPreserveQuantizeScheme
        from tensorflow_model_optimization.python.core.quantization.keras.collab_opts.cluster_preserve.cluster_preserve_quantize_registry import (
            ClusterPreserveDefault8BitWeightsQuantizer,
            Default8bitClusterPreserveQuantizeRegistry,
        )

    class OneScaleRegistry(Default8bitClusterPreserveQuantizeRegistry):  # type: ignore[misc]  # TFMOT is untyped
        def __init__(self, preserve_sparsity: bool) -> None:
            super().__init__(preserve_sparsity)
            quantizers = TFMOT.attribute(self, "_config_quantizer_map")
            quantizers["Default8BitConvQuantizeConfig"] = ClusterPreserveDefault8BitWeightsQuantizer(preserve_sparsity)

    class OneScaleScheme(Default8BitClusterPreserveQuantizeScheme):  # type: ignore[misc]  # TFMOT is untyped
        def get_quantize_registry(self) -> Any:
            return OneScaleRegistry(self.preserve_sparsity)

    return OneScaleScheme

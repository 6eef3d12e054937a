"""8-bit quantization-aware training with tensorflow-model-optimization."""

from __future__ import annotations

import contextlib
from functools import cache
from typing import Any

from pydantic import Field

from workbench.techniques.base import KerasTechnique, TrainJob
from workbench.techniques.fold import fold_batch_norms, fuse_relus
from workbench.values.params import Params


class QatParams(Params):
    """What is done to the model before its rounding is simulated."""

    fold: bool = Field(
        True,
        description="fold batch normalization and ReLU into the layers before them first; otherwise TFMOT leaves some convolutions without simulated rounding",
    )


class Qat(KerasTechnique[QatParams]):
    """Fine-tune with 8-bit rounding simulated; the scheme after it is `int8` or `int8-float-io`.

    Zeros of an earlier `prune` and clusters of an earlier `cluster` are kept with TFMOT's collaborative
    schemes (PQAT, CQAT, PCQAT).
    """

    name = "qat"
    help = "fine-tune with 8-bit rounding simulated; keeps earlier zeros and clusters"
    tools = ("tensorflow", "tf-keras", "tensorflow-model-optimization")
    order = 30
    params = QatParams
    quantization_aware = True

    def apply(self, model: Any, params: QatParams, job: TrainJob) -> Any:
        """Return the quantization-aware model; layers without an 8-bit scheme stay float."""
        import tf_keras
        from tensorflow_model_optimization.python.core.quantization.keras import quantize, quantize_aware_activation
        from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
            default_8bit_quantize_registry,
        )

        registry = default_8bit_quantize_registry.Default8BitQuantizeRegistry()
        # TFMOT refuses a ReLU6 inside of a layer, though it simulates one like any other activation.
        quantize_aware_activation.QuantizeAwareActivation._POST_QUANT_ACTIVATIONS |= {"relu6"}

        def annotate(layer: Any) -> Any:
            if registry.supports(layer) and not isinstance(layer, tf_keras.layers.InputLayer):
                return quantize.quantize_annotate_layer(layer)
            return layer

        if params.fold:
            model = fuse_relus(fold_batch_norms(model))
        annotated = tf_keras.models.clone_model(model, clone_function=annotate)
        aware = quantize.quantize_apply(annotated, _scheme({s.technique for s in job.before}))
        job.fit(aware, [])
        return aware

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Return TFMOT's scope of custom objects."""
        import tensorflow_model_optimization as tfmot

        scope: contextlib.AbstractContextManager[Any] = tfmot.quantization.keras.quantize_scope()
        return scope


def _scheme(before: set[str]) -> Any:
    from tensorflow_model_optimization.python.core.quantization.keras.collab_opts.prune_preserve import (
        default_8bit_prune_preserve_quantize_scheme as pruned,
    )
    from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
        default_8bit_quantize_scheme as plain,
    )

    if "cluster" in before:
        return _cluster_scheme()(preserve_sparsity="prune" in before)
    if "prune" in before:
        return pruned.Default8BitPrunePreserveQuantizeScheme()
    return plain.Default8BitQuantizeScheme()


@cache
def _cluster_scheme() -> Any:
    """Return the cluster-preserving scheme with one weight scale per kernel.

    TFMOT gives convolutions one scale per channel, which maps one centroid to another integer in every
    channel: at most 16 values per channel, but over 100 in the kernel. One scale keeps 16 in the file.
    """
    from tensorflow_model_optimization.python.core.quantization.keras.collab_opts.cluster_preserve import (
        cluster_preserve_quantize_registry as registry,
    )
    from tensorflow_model_optimization.python.core.quantization.keras.collab_opts.cluster_preserve import (
        default_8bit_cluster_preserve_quantize_scheme as scheme,
    )

    class OneScaleRegistry(registry.Default8bitClusterPreserveQuantizeRegistry):  # type: ignore[misc]  # TFMOT is untyped
        def __init__(self, preserve_sparsity: bool) -> None:
            super().__init__(preserve_sparsity)
            self._config_quantizer_map["Default8BitConvQuantizeConfig"] = (
                registry.ClusterPreserveDefault8BitWeightsQuantizer(preserve_sparsity)
            )

    class OneScaleScheme(scheme.Default8BitClusterPreserveQuantizeScheme):  # type: ignore[misc]  # TFMOT is untyped
        def get_quantize_registry(self) -> Any:
            return OneScaleRegistry(self.preserve_sparsity)

    return OneScaleScheme

"""8-bit quantization-aware training with tensorflow-model-optimization."""

from __future__ import annotations

import contextlib
from typing import Any

from pydantic import Field

from workbench.compat.tfmot import one_scale_scheme, simulate_relu6
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
        from tensorflow_model_optimization.quantization.keras import (
            default_8bit,
            quantize_annotate_layer,
            quantize_apply,
        )

        registry = default_8bit.Default8BitQuantizeRegistry()
        simulate_relu6()

        def annotate(layer: Any) -> Any:
            if registry.supports(layer) and not isinstance(layer, tf_keras.layers.InputLayer):
                return quantize_annotate_layer(layer)
            return layer

        if params.fold:
            model = fuse_relus(fold_batch_norms(model))
        annotated = tf_keras.models.clone_model(model, clone_function=annotate)
        aware = quantize_apply(annotated, _scheme({s.technique for s in job.before}))
        job.fit(aware, [])
        return aware

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Return TFMOT's scope of custom objects."""
        import tensorflow_model_optimization as tfmot

        scope: contextlib.AbstractContextManager[Any] = tfmot.quantization.keras.quantize_scope()
        return scope


def _scheme(before: set[str]) -> Any:
    from tensorflow_model_optimization.quantization.keras import collab_opts, default_8bit

    if "cluster" in before:
        return one_scale_scheme()(preserve_sparsity="prune" in before)
    if "prune" in before:
        return collab_opts.Default8BitPrunePreserveQuantizeScheme()
    return default_8bit.Default8BitQuantizeScheme()

"""8-bit quantization-aware training with tensorflow-model-optimization."""

from __future__ import annotations

import contextlib
from typing import Any

from pydantic import Field

from workbench.compat.tf_keras import is_graph
from workbench.compat.tfmot import one_scale_scheme, simulate_relu6
from workbench.errors import StageFailed
from workbench.techniques.annotate import annotate, measure_ranges, ranges_scope
from workbench.techniques.base import KerasTechnique, TrainJob
from workbench.techniques.clusters import Shared, holding
from workbench.techniques.flatten import flatten
from workbench.techniques.fold import fold_batch_norms, fuse_relus
from workbench.techniques.layers import is_kernel
from workbench.values.params import Params
from workbench.values.recipe import Step


class QatParams(Params):
    """What is done to the model before its rounding is simulated."""

    fold: bool = Field(
        True,
        description="fold batch normalization and ReLU into the layers before them first; otherwise TFMOT leaves some convolutions without simulated rounding",
    )


class Qat(KerasTechnique[QatParams]):
    """Fine-tune with 8-bit rounding simulated; the scheme after it is `int8` or `int8-float-io`.

    Zeros of an earlier `prune` and clusters of an earlier `cluster` are kept (PQAT, CQAT, PCQAT), in all layers: TFMOT's
    collaborative schemes know convolutions and dense layers, and refuse a model with `Rescaling` in it.
    """

    name = "qat"
    help = "fine-tune with 8-bit rounding simulated; keeps earlier zeros and clusters"
    tools = ("tensorflow", "tf-keras", "tensorflow-model-optimization")
    version = 2
    order = 30
    params = QatParams
    quantization_aware = True

    def apply(self, model: Any, params: QatParams, job: TrainJob) -> Any:
        """Return the quantization-aware model; layers that TFMOT cannot simulate stay float, and the job is told which."""
        from tensorflow_model_optimization.quantization.keras import quantize_apply, quantize_scope

        simulate_relu6()
        model = flatten(model)
        if not is_graph(model):
            raise StageFailed(
                "qat works on functional and Sequential models, and this is neither. Use post-training schemes."
            )
        if params.fold:
            model = fuse_relus(fold_batch_norms(model))
        earlier = {s.technique for s in job.before}
        annotated, left = annotate(model)
        for name, why in left.items():
            job.left(name, why, model.get_layer(name).count_params())
        try:
            with quantize_scope(ranges_scope()):
                aware = quantize_apply(annotated, _scheme(earlier))
        except (ValueError, RuntimeError, TypeError, KeyError, IndexError) as error:
            raise StageFailed(
                f"TFMOT cannot simulate this model in 8 bits: {' '.join(str(error).split())[:500]}. Use post-training schemes such as `int8`."
            ) from error
        measure_ranges(aware, job.x)
        kept = _kept(aware, job.before) if earlier & {"prune", "cluster"} else []
        job.fit(aware, kept)
        return aware

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Return TFMOT's scope of custom objects."""
        import tensorflow_model_optimization as tfmot

        scope: contextlib.AbstractContextManager[Any] = tfmot.quantization.keras.quantize_scope()
        return scope


def _scheme(before: set[str]) -> Any:
    from tensorflow_model_optimization.quantization.keras import default_8bit

    return one_scale_scheme()() if "cluster" in before else default_8bit.Default8BitQuantizeScheme()


def _kept(aware: Any, before: tuple[Step, ...]) -> list[Any]:
    """Return what keeps the zeros and the clusters of every kernel while it is trained, of layers that stay float too."""
    found = {id(w): w for w in aware.weights if is_kernel(w)}
    clusters = any(s.technique == "cluster" for s in before)
    zeros = any(s.technique == "prune" for s in before)
    return [holding([Shared.as_it_is(w, clusters, zeros) for w in found.values()])]

"""8-bit quantization-aware training with tensorflow-model-optimization."""

from __future__ import annotations

import contextlib
from typing import Any

from pydantic import Field

from workbench.compat.tf_keras import is_graph, unlisted_layers
from workbench.compat.tfmot import one_scale_scheme, simulate_relu6
from workbench.errors import StageFailed
from workbench.techniques.annotate import annotate, measure_ranges, ranges_scope, reasons_to_stay_float
from workbench.techniques.as_images import as_images
from workbench.techniques.base import KerasTechnique, Reach, TrainJob, Untouched
from workbench.techniques.clusters import Shared, holding
from workbench.techniques.flatten import flattened
from workbench.techniques.fold import fold_batch_norms, fuse_relus
from workbench.techniques.layers import is_kernel
from workbench.values.params import Params
from workbench.values.recipe import Step

# What is said of a layer that is none of its own any more.
FOLDED = "folded into the layer before it"


class QatParams(Params):
    """What is done to the model before its rounding is simulated."""

    fold: bool = Field(
        True,
        description="fold batch normalization and ReLU into the layers before them first; otherwise TFMOT leaves some convolutions without simulated rounding",
    )


class Qat(KerasTechnique[QatParams]):
    """Fine-tune with 8-bit rounding simulated; the scheme after it is `int8` or `int8-float-io`.

    Layers over one axis (`Conv1D`, `Dense` over a sequence, ...) are made layers over images of height 1 first, which TFMOT knows.

    Zeros of an earlier `prune` and clusters of an earlier `cluster` are kept (PQAT, CQAT, PCQAT), in all layers: TFMOT's
    collaborative schemes know convolutions and dense layers, and refuse a model with `Rescaling` in it.
    """

    name = "qat"
    help = "fine-tune with 8-bit rounding simulated; keeps earlier zeros and clusters"
    tools = ("tensorflow", "tf-keras", "tensorflow-model-optimization")
    version = 4
    order = 30
    params = QatParams
    quantization_aware = True

    def apply(self, model: Any, params: QatParams, job: TrainJob) -> Any:
        """Return the quantization-aware model; layers that TFMOT cannot simulate stay float, and the job is told which."""
        from tensorflow_model_optimization.quantization.keras import quantize_apply, quantize_scope

        reach = self.reach(model, params)
        reach.tell(job)
        earlier = {s.technique for s in job.before}
        annotated = annotate(reach.model)
        try:
            with quantize_scope({**ranges_scope(), **unlisted_layers()}):
                aware = quantize_apply(annotated, _scheme(earlier, annotated))
        except (ValueError, RuntimeError, TypeError, KeyError, IndexError) as error:
            raise StageFailed(
                f"TFMOT cannot simulate this model in 8 bits: {' '.join(str(error).split())[:500]}. Use post-training schemes such as `int8`."
            ) from error
        measure_ranges(aware, job.x)
        kept = _kept(aware, job.before) if earlier & {"prune", "cluster"} else []
        job.fit(aware, kept)
        return aware

    def reach(self, model: Any, params: QatParams) -> Reach:
        """Return the model as one graph, with what can be folded within the layers before it, and which layers TFMOT simulates."""
        simulate_relu6()
        flat = flattened(model)
        if not is_graph(flat.model):
            raise StageFailed(
                "qat works on functional and Sequential models, and this is neither. Use post-training schemes."
            )
        folded = fuse_relus(fold_batch_norms(flat.model)) if params.fold else flat.model
        made, activations, shaping = as_images(folded)
        reasons = {name: why for name, why in reasons_to_stay_float(made).items() if name not in shaping}
        left = tuple(
            Untouched(flat.path(activations.get(name, name)), why, made.get_layer(name).count_params())
            for name, why in reasons.items()
            if why
        )
        within = {layer.name for layer in made.layers}
        reached = {flat.path(name): "" for name, why in reasons.items() if why is None and name not in activations}
        reached |= {path: FOLDED for name, path in flat.paths.items() if name not in within}
        return Reach(made, left, reached)

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Return TFMOT's scope of custom objects."""
        import tensorflow_model_optimization as tfmot

        scope: contextlib.AbstractContextManager[Any] = tfmot.quantization.keras.quantize_scope()
        return scope


def _scheme(before: set[str], annotated: Any) -> Any:
    """Return TFMOT's scheme, which else gives the output of a float layer of a class that it knows a range where an annotated one takes it, without looking at its activation or masks."""
    from tensorflow_model_optimization.quantization.keras import default_8bit

    scheme = one_scale_scheme()() if "cluster" in before else default_8bit.Default8BitQuantizeScheme()
    # An annotation has a name of its own, and hides that of its layer.
    left = {layer.name for layer in annotated.layers}
    known = scheme.get_quantize_registry()
    supports = known.supports
    known.supports = lambda layer: layer.name not in left and supports(layer)
    scheme.get_quantize_registry = lambda: known
    return scheme


def _kept(aware: Any, before: tuple[Step, ...]) -> list[Any]:
    """Return what keeps the zeros and the clusters of every kernel while it is trained, of layers that stay float too."""
    found = {id(w): w for w in aware.weights if is_kernel(w)}
    clusters = any(s.technique == "cluster" for s in before)
    zeros = any(s.technique == "prune" for s in before)
    return [holding([Shared.as_it_is(w, clusters, zeros) for w in found.values()])]

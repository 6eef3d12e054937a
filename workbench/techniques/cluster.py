"""Weight clustering with tensorflow-model-optimization."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from workbench.errors import StageFailed
from workbench.techniques.base import KerasTechnique, Promise, TrainJob
from workbench.techniques.clusters import Shared, holding
from workbench.techniques.flatten import flatten
from workbench.techniques.fold import fold_batch_norms
from workbench.techniques.layers import kernels, places
from workbench.values.params import Params

# TFMOT's names of them.
INIT = {"kmeans++": "KMEANS_PLUS_PLUS", "linear": "LINEAR", "density": "DENSITY_BASED", "random": "RANDOM"}


class ClusterParams(Params):
    """How many distinct weights a kernel keeps and where their values start."""

    primary: ClassVar[str] = "clusters"

    clusters: int = Field(16, ge=2, le=1024, description="distinct weights per kernel")
    init: Literal["kmeans++", "linear", "density", "random"] = Field(
        "kmeans++", description="where the centroids start"
    )
    fold: bool = Field(
        True,
        description="fold batch normalization into the kernels first; otherwise conversion does it later and multiplies the clusters by channel",
    )


class Cluster(KerasTechnique[ClusterParams]):
    """Let the weights of a kernel share a few values; pays in the compressed size."""

    name = "cluster"
    help = "let the weights of a kernel share a few values; pays in the compressed size"
    tools = ("tensorflow", "tf-keras", "tensorflow-model-optimization")
    version = 2
    order = 20
    params = ClusterParams

    def apply(self, model: Any, params: ClusterParams, job: TrainJob) -> Any:
        """Return the model with at most `clusters` distinct weights per kernel, those of layers within layers included; zeros of an earlier `prune` stay."""
        if params.fold:
            model = fold_batch_norms(flatten(model))
        for place in places(model):
            for left in place.left:
                job.left(place.path, left.why, left.size)
        pruned = any(s.technique == "prune" for s in job.before)
        shared = [Shared.few(k, params.clusters, INIT[params.init], pruned) for k in kernels(model)]
        if not shared:
            raise StageFailed("cluster finds no kernel to cluster in this model")
        job.fit(model, [holding(shared)])
        return model

    def promise(self, params: ClusterParams) -> Promise:
        """Return what the kernels in the file are checked for."""
        return Promise(clusters=params.clusters)

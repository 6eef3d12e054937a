"""Weight clustering with tensorflow-model-optimization."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from workbench.errors import StageFailed
from workbench.techniques.base import KerasTechnique, Promise, Reach, TrainJob, Untouched
from workbench.techniques.clusters import Shared, holding
from workbench.techniques.flatten import Flattened, flattened
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
    version = 4
    order = 20
    params = ClusterParams

    def apply(self, model: Any, params: ClusterParams, job: TrainJob) -> Any:
        """Return the model with at most `clusters` distinct weights per kernel, those of layers within layers included; zeros of an earlier `prune` stay."""
        reach = self.reach(model, params)
        reach.tell(job)
        pruned = any(s.technique == "prune" for s in job.before)
        shared = [Shared.few(k, params.clusters, INIT[params.init], pruned) for k in kernels(reach.model)]
        job.fit(reach.model, [holding(shared)])
        return reach.model

    def reach(self, model: Any, params: ClusterParams) -> Reach:
        """Return the model with batch normalization folded, which of its layers have kernels, and what is left."""
        flat = flattened(model) if params.fold else Flattened(model, {})
        folded = fold_batch_norms(flat.model) if params.fold else model
        found = [(flat.path(place.path), place) for place in places(folded)]
        left = tuple(Untouched(path, item.why, item.size) for path, place in found for item in place.left)
        reached = {path: "" for path, place in found if place.kernels}
        if not reached:
            raise StageFailed("cluster finds no kernel to cluster in this model")
        return Reach(folded, left, reached)

    def deciding(self, params: ClusterParams) -> ClusterParams:
        """Return whether batch normalization is folded, alone."""
        return ClusterParams(fold=params.fold)

    def promise(self, params: ClusterParams) -> Promise:
        """Return what the kernels in the file are checked for."""
        return Promise(clusters=params.clusters)

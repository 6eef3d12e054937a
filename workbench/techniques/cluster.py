"""Weight clustering with tensorflow-model-optimization."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from workbench.compat.tfmot import can_cluster, cluster_weights
from workbench.techniques.base import KerasTechnique, Promise, TrainJob
from workbench.techniques.fold import fold_batch_norms
from workbench.values.params import Params


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
    order = 20
    params = ClusterParams

    def apply(self, model: Any, params: ClusterParams, job: TrainJob) -> Any:
        """Return the model with at most `clusters` distinct weights per kernel; zeros of an earlier `prune` stay."""
        import tf_keras
        from tensorflow_model_optimization.clustering.keras import CentroidInitialization, strip_clustering

        if params.fold:
            model = fold_batch_norms(model)
        options = {
            "number_of_clusters": params.clusters,
            "cluster_centroids_init": {
                "kmeans++": CentroidInitialization.KMEANS_PLUS_PLUS,
                "linear": CentroidInitialization.LINEAR,
                "density": CentroidInitialization.DENSITY_BASED,
                "random": CentroidInitialization.RANDOM,
            }[params.init],
            "preserve_sparsity": any(s.technique == "prune" for s in job.before),
        }

        def wrap(layer: Any) -> Any:
            supported = can_cluster(layer) and layer.trainable_weights
            if supported and hasattr(layer, "kernel") and not isinstance(layer, tf_keras.layers.DepthwiseConv2D):
                return cluster_weights(layer, **options)
            return layer

        wrapped = tf_keras.models.clone_model(model, clone_function=wrap)
        job.fit(wrapped, [])
        return strip_clustering(wrapped)

    def promise(self, params: ClusterParams) -> Promise:
        """Return what the kernels in the file are checked for."""
        return Promise(clusters=params.clusters)

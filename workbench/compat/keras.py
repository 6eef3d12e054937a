"""Keras 3: the graph behind a model, and how to run through it with other operations."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from workbench.compat.library import Library

KERAS = Library("keras", ">=3.15,<3.16")


def import_keras() -> Any:
    """Return Keras 3, computing with TensorFlow unless the user's own process has chosen otherwise.

    TensorFlow serves tf_keras as `tf.keras` to whoever set TF_USE_LEGACY_KERAS, and Keras 3 does not look there.
    """
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras  # type: ignore[import-untyped,unused-ignore]

    return keras


def graph_of(model: Any) -> Any:
    """Return what knows the calls of a model's layers: itself, what a built Sequential has inside, or None.

    `_functional` of a Sequential has no public name; without it a Sequential would be taken for a subclass.
    """
    keras = import_keras()
    if isinstance(model, keras.Sequential):
        return KERAS.attribute(model, "_functional")
    return model if hasattr(model, "_run_through_graph") else None


def run_through(graph: Any, inputs: list[Any], operation: Callable[[Any], Callable[..., Any]]) -> list[Any]:
    """Return the flat outputs of a graph for flat inputs, each of its operations replaced by what `operation` returns for it.

    `Function._run_through_graph` is what Keras 3 itself computes functional models with.
    """
    keras = import_keras()
    run = KERAS.attribute(graph, "_run_through_graph")
    found: list[Any] = keras.tree.flatten(run(inputs, operation_fn=operation))
    return found


def producer(tensor: Any) -> Any:
    """Return the layer or operation that a symbolic tensor of Keras 3 comes from; `_keras_history` names it."""
    return KERAS.attribute(tensor, "_keras_history").operation

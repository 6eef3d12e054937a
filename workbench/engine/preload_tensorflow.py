"""Loaded by workers whose plan needs TensorFlow: they import it while they wait for their first stage."""

from __future__ import annotations

import threading


def import_all() -> None:
    """Import what trained stages and conversion need."""
    import tensorflow  # noqa: F401
    import tensorflow_model_optimization  # noqa: F401
    import tf_keras  # noqa: F401


def dask_setup(_worker: object) -> None:
    """Called by dask as a worker starts; the import must not hold up its registration."""
    threading.Thread(target=import_all, daemon=True, name="import-tensorflow").start()

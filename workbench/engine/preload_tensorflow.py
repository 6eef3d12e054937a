"""Loaded by workers whose plan needs TensorFlow: they import it while they wait for their first stage."""

from __future__ import annotations

import threading

_done = False
_importing: threading.Thread | None = None


def wait_for_import() -> None:
    """Return when the import that began with the worker has ended.

    Of two threads that import the same packages at once, one can meet a package half initialized and fail.
    """
    if _importing is not None:
        _importing.join()


def set_up_tensorflow(threads: int) -> None:
    """Fix thread counts and determinism once per process, before the first operation."""
    import tensorflow as tf

    global _done
    if _done:
        return
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    # With a single inter-op thread, fitting was seen to wait for itself for ever; operators stay deterministic.
    tf.config.threading.set_inter_op_parallelism_threads(2)
    tf.keras.utils.set_random_seed(0)
    tf.config.experimental.enable_op_determinism()
    _done = True


def import_all() -> None:
    """Import what trained stages and conversion need."""
    import tensorflow  # noqa: F401
    import tensorflow_model_optimization  # noqa: F401
    import tf_keras  # noqa: F401


def warm_up(threads: int) -> None:
    """Import everything and convert one operator, so that the converter's own start is behind it too."""
    wait_for_import()
    import_all()
    set_up_tensorflow(threads)
    import tensorflow as tf

    module = tf.Module()
    module.serve = tf.function(
        lambda x: {"y": tf.nn.relu(x)}, input_signature=[tf.TensorSpec([1, 4], tf.float32, name="x")]
    )
    tf.lite.TFLiteConverter.from_concrete_functions([module.serve.get_concrete_function()], module).convert()


def dask_setup(_worker: object) -> None:
    """Called by dask as a worker starts; the import must not hold up its registration."""
    global _importing
    _importing = threading.Thread(target=import_all, daemon=True, name="import-tensorflow")
    _importing.start()

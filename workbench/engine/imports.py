"""What workers import: all at once before they are forked, since a package that is imported once is in all of them."""

from __future__ import annotations

import sys

from workbench.engine.residue import importing

_done = False


def set_up_tensorflow(threads: int) -> None:
    """Fix thread counts and determinism once per process, before the first operation."""
    import tensorflow as tf
    import tf_keras

    global _done
    if _done:
        return
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    # With a single inter-op thread, fitting was seen to wait for itself for ever; operators stay deterministic.
    tf.config.threading.set_inter_op_parallelism_threads(2)
    tf_keras.utils.set_random_seed(0)
    tf.config.experimental.enable_op_determinism()
    _done = True


def import_all() -> None:
    """Import what trained stages and conversion need."""
    from workbench.compat.tfmot import import_tfmot

    with importing():
        import_tfmot()

    # TensorFlow's lazy modules set themselves up on the first look at any of their attributes. Two threads that look at
    # once, as `inspect` does at every module there is, were seen to recurse without end in one of them.
    for module in list(sys.modules.values()):
        getattr(module, "__file__", None)


def warm_up(threads: int) -> None:
    """Import everything and take a model of one layer all the way, so that each part's own start is behind it."""
    import_all()
    set_up_tensorflow(threads)
    import tempfile
    from pathlib import Path

    import numpy as np
    import tf_keras

    from workbench.evaluate.run import run_all
    from workbench.sources.freeze import keras_inference
    from workbench.techniques import quantizer_engine

    x = tf_keras.layers.Input((4,), name="x")
    model = tf_keras.Model(x, tf_keras.layers.Dense(2)(x))
    samples = np.zeros((1, 4), np.float32)
    with tempfile.TemporaryDirectory(prefix="workbench-warm-") as folder:
        path = Path(folder) / "float.tflite"
        path.write_bytes(keras_inference(model).flatbuffer())
        ranges = quantizer_engine.calibrate(path, [{"x": samples}], threads)
        path.write_bytes(quantizer_engine.quantize(path, "int8", "channel", ranges))
        run_all(path, {"": samples}, threads)

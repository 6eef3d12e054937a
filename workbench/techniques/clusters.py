"""Training with shared weights: after each step of the optimizer every kernel is again made of a few values.

What the optimizer does to a weight moves the weight itself, which decides what value it takes, and that value by the average of
all that share it. So do TFMOT's wrappers, with a gradient for each; they reach no layer within a model or a wrapper, and call
attention with its arguments in the wrong places.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.compat.tfmot import centroids


class Shared:
    """A kernel of few values, `(k,)`, of which each weight has the nearest; where `zeros` it keeps its zeros, and one value is 0.

    Without `values` each weight has its own: only zeros are kept.
    """

    def __init__(self, kernel: Any, values: Any, zeros: bool) -> None:
        import tensorflow as tf

        start = tf.convert_to_tensor(kernel)
        self.kernel, self.zeros = kernel, zeros
        self.values = None if values is None else tf.Variable(tf.sort(tf.cast(values, start.dtype)), trainable=False)
        self.free = tf.Variable(start, trainable=False)
        self.mask = tf.cast(tf.not_equal(start, 0), start.dtype) if zeros else tf.ones_like(start)

    @classmethod
    def few(cls, kernel: Any, number: int, init: str, zeros: bool) -> Shared:
        """Return a kernel that is to have at most `number` values, which TFMOT chooses by `init`."""
        import tensorflow as tf

        start = tf.convert_to_tensor(kernel)
        distinct = np.unique(start.numpy())
        return cls(kernel, distinct if len(distinct) <= number else centroids(start, number, init, zeros), zeros)

    @classmethod
    def as_it_is(cls, kernel: Any, clusters: bool, zeros: bool) -> Shared:
        """Return a kernel that keeps the number of its values, or its zeros, or both."""
        return cls(kernel, np.unique(kernel.numpy()) if clusters else None, zeros)

    def share(self) -> None:
        """Give each weight of the kernel the nearest of the values, and zero where it was zero."""
        import tensorflow as tf

        if self.values is None:
            self.kernel.assign(self.kernel * self.mask)
            return
        self.kernel.assign(tf.gather(self.values, self._places()) * self.mask)

    def follow(self) -> None:
        """Take over what an optimizer has done to the kernel, and share again."""
        import tensorflow as tf

        if self.values is None:
            self.share()
            return
        places, count = self._places(), tf.shape(self.values)[0]
        moved = (self.kernel - tf.gather(self.values, places) * self.mask) * self.mask
        self.free.assign_add(moved)
        flat = tf.reshape(places, [-1])
        total = tf.math.unsorted_segment_sum(tf.reshape(moved, [-1]), flat, count)
        members = tf.math.unsorted_segment_sum(tf.reshape(self.mask, [-1]), flat, count)
        values = self.values + total / tf.maximum(members, 1)
        if self.zeros:
            nearest = tf.argmin(tf.abs(values), output_type=tf.int32)
            values = tf.where(tf.range(count) == nearest, tf.zeros_like(values), values)
        self.values.assign(tf.sort(values))
        self.share()

    def _places(self) -> Any:
        import tensorflow as tf

        assert self.values is not None
        between = (self.values[1:] + self.values[:-1]) / 2
        return tf.reshape(tf.searchsorted(between, tf.reshape(self.free, [-1])), tf.shape(self.free))


def holding(kernels: list[Shared]) -> Any:
    """Return the Keras callback that shares the values of kernels before training and after each of its steps."""
    import tensorflow as tf
    import tf_keras

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]  # TensorFlow is untyped
    def share() -> None:
        for kernel in kernels:
            kernel.share()

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]  # TensorFlow is untyped
    def follow() -> None:
        for kernel in kernels:
            kernel.follow()

    # No class of its own: tf_keras keeps the class of every callback for ever, and the graphs that it knows with it.
    return tf_keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: share(), on_batch_end=lambda batch, logs: follow()
    )

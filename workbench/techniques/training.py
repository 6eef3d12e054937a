"""Fine-tuning shared by the trained steps; TensorFlow is imported only when it runs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from workbench.errors import StageFailed
from workbench.values.settings import Train


def steps_per_epoch(samples: int, train: Train) -> int:
    """Return optimizer steps in one pass over `samples`."""
    return math.ceil(samples / train.batch_size)


def fit(model: Any, x: Any, y: Any, train: Train, learning_rate: float, callbacks: list[Any]) -> None:
    """Compile and fit a tf_keras model in place with Adam and cosine decay; shuffling is seeded.

    Raises StageFailed when the loss is not finite at the end.
    """
    import tf_keras

    if y is None:
        raise StageFailed(
            "fine-tuning needs labels, and the train split has none. Give y_train, or use post-training schemes only."
        )
    tf_keras.utils.set_random_seed(train.seed)
    loss = loss_for(model, x, y) if train.loss == "auto" else tf_keras.losses.get(train.loss)
    rate = train.learning_rate or learning_rate
    schedule = tf_keras.optimizers.schedules.CosineDecay(rate, train.epochs * steps_per_epoch(len(y), train))
    model.compile(optimizer=tf_keras.optimizers.Adam(schedule), loss=loss)
    history = model.fit(
        x, y, batch_size=train.batch_size, epochs=train.epochs, verbose=0, shuffle=True, callbacks=callbacks
    )
    last = float(history.history["loss"][-1])
    if not math.isfinite(last):
        raise StageFailed(
            f"fine-tuning diverged: the loss became {last} with learning rate {rate:g}. Try a smaller one."
        )


def loss_for(model: Any, x: Any, y: Any) -> Any:
    """Return the loss that labels and outputs suggest: cross-entropy for classes, mean squared error for values."""
    import tf_keras

    labels = np.asarray(y)
    few = {k: v[:8] for k, v in x.items()} if isinstance(x, dict) else x[:8]
    outputs = np.asarray(model(few, training=False))
    if not np.issubdtype(labels.dtype, np.integer):
        return tf_keras.losses.MeanSquaredError()
    classes = outputs.shape[-1]
    if classes > 1 and (labels.min() < 0 or labels.max() >= classes):
        raise StageFailed(
            f"train labels run from {labels.min()} to {labels.max()}, but the model has {classes} classes (0 to {classes - 1})"
        )
    # Probabilities are not negative and sum to one; anything else that is trained on classes is logits.
    from_logits = not (outputs.min() >= 0 and np.allclose(outputs.sum(axis=-1), 1, atol=1e-3))
    if outputs.shape[-1] == 1:
        return tf_keras.losses.BinaryCrossentropy(from_logits=bool(outputs.min() < 0 or outputs.max() > 1))
    return tf_keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits)

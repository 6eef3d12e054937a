"""Fine-tuning shared by the trained steps; TensorFlow is imported only when it runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench import registry
from workbench.errors import StageFailed
from workbench.techniques.batches import batches, held
from workbench.values.settings import Train
from workbench.values.task import TaskSpec

Array = np.ndarray[Any, Any]


def steps_per_epoch(samples: int, train: Train) -> int:
    """Return optimizer steps in one pass over `samples`."""
    return math.ceil(samples / train.batch_size)


@dataclass(frozen=True)
class Goal:
    """What one output is trained towards: labels `(n, ...)`, an array or rows of a file, and the loss."""

    y: Any
    loss: Any


def goals(model: Any, x: Any, labels: Mapping[str, Any], tasks: Mapping[str, TaskSpec]) -> list[Goal]:
    """Return what each output of a tf_keras model is trained towards, in the model's order, before it is changed.

    An output without labels, or whose task has no loss, keeps to what it gives now (distillation): training the others would carry it anywhere.
    Raises StageFailed when no output has labels, or they do not fit.
    """
    import tf_keras

    names = list(model.output_names)
    # The plan knows outputs by the order in which the model has them; a file may have renamed them.
    by_name = dict(zip(names, tasks, strict=False))
    given = {n: labels[o] for n, o in by_name.items() if o in labels and tasks[o].name != "none"}
    if not given:
        raise StageFailed(
            "fine-tuning needs labels, and the train split has none for any output. Give y_train, or use post-training schemes only."
        )
    few = {k: v[:8] for k, v in x.items()} if isinstance(x, dict) else x[:8]
    seen = _by_name(model, model(few, training=False))
    losses = {}
    for name in given:
        spec = tasks[by_name[name]]
        task = registry.tasks.get(spec.name)
        # Of labels in a file as many as tell what they look like.
        y = given[name] if held(given[name]) else given[name][:64]
        losses[name] = task.loss(task.params.model_validate(spec.options), seen[name], y)
    kept = [n for n in names if losses.get(n) is None]
    now = _by_name(model, _predicted(model, x)) if kept else {}
    keep = tf_keras.losses.MeanSquaredError()
    return [Goal(now[n], keep) if n in kept else Goal(given[n], losses[n]) for n in names]


def _predicted(model: Any, x: Any) -> Any:
    if held(x):
        return model.predict(x, batch_size=64, verbose=0)
    return model.predict(batches(x, None, 64), verbose=0)


def _by_name(model: Any, outputs: Any) -> dict[str, Array]:
    listed = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    return {n: np.asarray(v) for n, v in zip(model.output_names, listed, strict=True)}


def fit(model: Any, x: Any, towards: Sequence[Goal], train: Train, learning_rate: float, callbacks: list[Any]) -> None:
    """Compile and fit a tf_keras model in place with Adam and cosine decay; shuffling is seeded.

    `train.loss` names the loss of the first output instead of its task's. Raises StageFailed when the loss is not finite at the end.
    """
    import tf_keras

    tf_keras.utils.set_random_seed(train.seed)
    losses = [t.loss for t in towards]
    if train.loss != "auto":
        losses[0] = tf_keras.losses.get(train.loss)
    labels = [t.y for t in towards]
    rate = train.learning_rate or learning_rate
    schedule = tf_keras.optimizers.schedules.CosineDecay(rate, train.epochs * steps_per_epoch(len(labels[0]), train))
    model.compile(optimizer=tf_keras.optimizers.Adam(schedule), loss=losses[0] if len(losses) == 1 else losses)
    y = labels[0] if len(labels) == 1 else labels
    _build(model, x, y)
    told = {"epochs": train.epochs, "verbose": 0, "callbacks": callbacks}
    if held(x) and held(y):
        history = model.fit(x, y, batch_size=train.batch_size, shuffle=True, **told)
    else:
        history = model.fit(batches(x, y, train.batch_size, train.seed), shuffle=False, **told)
    last = float(history.history["loss"][-1])
    if not math.isfinite(last):
        raise StageFailed(
            f"fine-tuning diverged: the loss became {last} with learning rate {rate:g}. Try a smaller one."
        )


def _build(model: Any, x: Any, y: Any) -> None:
    """Make the variables of a compiled model's optimizer and losses.

    TensorFlow traces the step twice where the first time makes variables, and for small models tracing is most of the training.
    """
    import tensorflow as tf

    few = tf.nest.map_structure(lambda a: tf.convert_to_tensor(a[:1]), (x, y))
    model.optimizer.build(model.trainable_variables)
    model.compute_loss(few[0], few[1], model(few[0], training=False))
    model.reset_metrics()

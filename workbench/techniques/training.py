"""Fine-tuning shared by the trained steps; TensorFlow is imported only when it runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from workbench import registry
from workbench.errors import StageFailed
from workbench.techniques.batches import batches, held
from workbench.values.settings import Train
from workbench.values.task import TaskSpec

Array = np.ndarray[Any, Any]
# Samples that tell what outputs look like, and how large a loss is.
FEW = 64
# How many times the loss of an output that is to stay counts: others have layers of their own to learn with.
STAYS = 10.0
# Below this a loss is rounding.
LEAST_SCALE = 1e-8


def steps_per_epoch(samples: int, train: Train) -> int:
    """Return optimizer steps in one pass over `samples`."""
    return math.ceil(samples / train.batch_size)


@dataclass(frozen=True)
class Goal:
    """What one output is trained towards: labels `(n, ...)`, an array or rows of a file, the loss, and its weight beside other outputs' losses.

    Of an output that only follows from others (whole numbers, such as the best class) there is no loss.
    """

    y: Any
    loss: Any
    weight: float = 1.0


def goals(
    model: Any, x: Any, labels: Mapping[str, Any], tasks: Mapping[str, TaskSpec], loss: str = "auto"
) -> list[Goal]:
    """Return what each output of a tf_keras model is trained towards, in the model's order, before it is changed.

    An output without labels, or whose task has no loss, keeps to what it gives now (distillation): training the others would carry it anywhere.
    `loss` names the loss of the first output with labels instead of its task's. Losses of several outputs are weighed so that none drowns the others:
    each by what it is where outputs and labels of different samples meet, and what is kept counts `STAYS` times. Raises StageFailed when no output has labels, or they do not fit.
    """
    import tf_keras

    names = list(model.output_names)
    # The plan knows outputs by the order in which the model has them; a file may have renamed them.
    by_name = dict(zip(names, tasks, strict=False))
    given = {n: labels[o] for n, o in by_name.items() if o in labels and tasks[o].name != "none"}
    if not given:
        missing = (
            "task 'none' gives the labels of the train split no meaning. Leave the task out, name another"
            if labels
            else "the train split has none for any output. Give y_train"
        )
        raise StageFailed(f"fine-tuning needs labels, and {missing}, or use post-training schemes only.")
    places = np.unique(np.linspace(0, len(next(iter(given.values()))) - 1, FEW if len(names) > 1 else 8).astype(int))
    few = {k: v[places] for k, v in x.items()} if isinstance(x, dict) else x[places]
    seen = _by_name(model, model(few, training=False))
    losses = {}
    for name in given:
        spec = tasks[by_name[name]]
        task = registry.tasks.get(spec.name)
        # Of labels in a file as many as tell what they look like.
        y = given[name] if held(given[name]) else given[name][:64]
        losses[name] = task.loss(task.params.model_validate(spec.options), seen[name], y)
    if loss != "auto":
        losses[next(iter(given))] = tf_keras.losses.get(loss)
    kept = [n for n in names if losses.get(n) is None]
    now = _by_name(model, _predicted(model, x)) if kept else {}
    keep = {n: tf_keras.losses.MeanSquaredError() if now[n].dtype.kind == "f" else None for n in kept}
    found = [Goal(now[n], keep[n]) if n in kept else Goal(given[n], losses[n]) for n in names]
    if len(found) == 1:
        return found
    return [
        replace(g, weight=_weight(g, seen[n], places) * (STAYS if n in kept else 1.0))
        for n, g in zip(names, found, strict=True)
    ]


def _weight(goal: Goal, outputs: Array, places: Array) -> float:
    """Return one over the loss of some samples' outputs against the labels of others; 1 where that is nothing."""
    import tensorflow as tf

    if goal.loss is None:
        return 1.0
    other = tf.convert_to_tensor(np.roll(np.asarray(goal.y[places]), len(places) // 2, axis=0))
    scale = float(tf.reduce_mean(goal.loss(other, tf.convert_to_tensor(outputs))))
    return 1 / scale if math.isfinite(scale) and scale > LEAST_SCALE else 1.0


def _predicted(model: Any, x: Any) -> Any:
    if held(x):
        return model.predict(x, batch_size=64, verbose=0)
    return model.predict(batches(x, None, 64), verbose=0)


def _by_name(model: Any, outputs: Any) -> dict[str, Array]:
    listed = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    return {n: np.asarray(v) for n, v in zip(model.output_names, listed, strict=True)}


def fit(model: Any, x: Any, towards: Sequence[Goal], train: Train, learning_rate: float, callbacks: list[Any]) -> None:
    """Compile and fit a tf_keras model in place with Adam and cosine decay; shuffling is seeded.

    Raises StageFailed when the loss is not finite at the end.
    """
    import tf_keras

    tf_keras.utils.set_random_seed(train.seed)
    losses = [t.loss for t in towards]
    labels = [t.y for t in towards]
    rate = train.learning_rate or learning_rate
    schedule = tf_keras.optimizers.schedules.CosineDecay(rate, train.epochs * steps_per_epoch(len(labels[0]), train))
    model.compile(
        optimizer=tf_keras.optimizers.Adam(schedule),
        loss=losses[0] if len(losses) == 1 else losses,
        loss_weights=None if len(losses) == 1 else [t.weight for t in towards],
    )
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

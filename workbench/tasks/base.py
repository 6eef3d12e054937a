"""What a task is: what labels of an output mean, how they are checked and trained on, and which figures come out.

A third party subclasses `Task`, gives it `name`, `help` and two methods, and declares an entry point `workbench.tasks`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from workbench.tasks.scores import Score
from workbench.values.labels import LabelInfo
from workbench.values.params import Params

Array = np.ndarray[Any, Any]
P = TypeVar("P", bound=Params)
# The shape of one sample's output; None where it is open.
Shape = tuple[int | None, ...]


class NoParams(Params):
    """For a task without parameters."""


class Task(ABC, Generic[P]):
    """What labels of one output mean.

    `primary` names the figure that is charted, searched by and limited first. `version` goes up when the same outputs give other figures.
    """

    name: ClassVar[str]
    help: ClassVar[str]
    primary: ClassVar[str]
    version: ClassVar[int] = 1
    params: ClassVar[type[Params]] = NoParams

    def misfit(self, labels: LabelInfo, output: Shape) -> str | None:
        """Return why labels that look so cannot be of this task for an output of that shape (without the batch), or None."""
        return None

    @abstractmethod
    def scores(self, params: P, outputs: Array, y: Array) -> list[Score]:
        """Return the figures of outputs `(n, *shape)` against labels `(n, ...)`, the primary one first.

        Raises StageFailed when they do not fit.
        """

    def loss(self, params: P, outputs: Array, y: Array) -> Any:
        """Return the tf_keras loss that trains the output on such labels; `outputs` are a few of the model's own.

        Raises StageFailed where the task cannot be trained.
        """
        from workbench.errors import StageFailed

        raise StageFailed(f"task `{self.name}` says no loss to train with. Give one by name, --train-loss.")

    def available(self) -> str | None:
        """Return what is missing here and how to get it, or None."""
        return None


def looks_like_probabilities(outputs: Array) -> bool:
    """Whether outputs are not negative and sum to one over their last axis."""
    return bool(outputs.min() >= 0 and np.allclose(outputs.sum(axis=-1), 1, atol=1e-3))


def cut(outputs: Array) -> float:
    """Return where a yes begins: a half for probabilities, zero for logits."""
    return 0.5 if outputs.min() >= 0 and outputs.max() <= 1 else 0.0

"""What a task is: what labels of an output mean, how they are checked and trained on, and which figures come out.

A third party subclasses `Task` (`BaseTask` where one output is not enough), gives it `name`, `help` and two methods, and declares an entry
point `workbench.tasks`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from workbench.tasks.scores import AnyScore, Score
from workbench.values.labels import LabelInfo
from workbench.values.params import NoParams as NoParams
from workbench.values.params import Params

Array = np.ndarray[Any, Any]
P = TypeVar("P", bound=Params)
# The shape of one sample's output; None where it is open.
Shape = tuple[int | None, ...]


class BaseTask(ABC, Generic[P]):
    """What labels mean, for outputs as many as it says that it reads.

    `primary` names the figure that is charted, searched by and limited first. `classes` says that a dataset's class names are those of the numbers
    along the labelled output's last axis. `version` goes up when the same outputs give other figures.
    """

    name: ClassVar[str]
    help: ClassVar[str]
    primary: ClassVar[str]
    classes: ClassVar[bool] = False
    version: ClassVar[int] = 1
    params: ClassVar[type[Params]] = NoParams

    def reads(self, params: P, output: str, outputs: Mapping[str, Shape]) -> tuple[str, ...]:
        """Return the outputs that are judged when `output` has the labels; `outputs` are the model's shapes, without the batch.

        Raises WorkbenchError where they are not there.
        """
        return (output,)

    def unfit(self, params: P, labels: LabelInfo, outputs: Mapping[str, Shape]) -> str | None:
        """Return why labels that look so cannot be of this task for the outputs that it reads, or None."""
        return None

    def clear(self, params: P, outputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Return the outputs that it reads without what in them says nothing, such as memory that an operator left as it was."""
        return outputs

    @abstractmethod
    def judge(self, params: P, outputs: Mapping[str, Array], y: Array) -> Sequence[AnyScore]:
        """Return the figures of the outputs that it reads, `{name: (n, *shape)}`, against labels `(n, ...)`, the primary one first.

        Raises StageFailed when they do not fit.
        """

    def loss(self, params: P, outputs: Array, y: Array) -> Any:
        """Return the tf_keras loss that trains the labelled output on such labels; `outputs` are a few of the model's own.

        None keeps the output to what the model says before it is changed (distillation). Raises StageFailed where it cannot be trained.
        """
        return None

    def available(self) -> str | None:
        """Return what is missing here and how to get it, or None."""
        return None

    def pack(self, params: P) -> bytes | None:
        """Return what another process needs beside `params`, or None; it goes with the work, never into a file."""
        return None

    def unpack(self, params: P, packed: bytes) -> None:
        """Take what `pack` returned in the process that asks for the work."""


class Task(BaseTask[P]):
    """What labels of one output mean."""

    def misfit(self, labels: LabelInfo, output: Shape) -> str | None:
        """Return why labels that look so cannot be of this task for an output of that shape (without the batch), or None."""
        return None

    @abstractmethod
    def scores(self, params: P, outputs: Array, y: Array) -> list[Score]:
        """Return the figures of outputs `(n, *shape)` against labels `(n, ...)`, the primary one first.

        Raises StageFailed when they do not fit.
        """

    def unfit(self, params: P, labels: LabelInfo, outputs: Mapping[str, Shape]) -> str | None:
        """Return why labels and the one output do not go together, or None."""
        return self.misfit(labels, next(iter(outputs.values())))

    def judge(self, params: P, outputs: Mapping[str, Array], y: Array) -> Sequence[AnyScore]:
        """Return the figures of the one output."""
        return self.scores(params, next(iter(outputs.values())), y)

    def loss(self, params: P, outputs: Array, y: Array) -> Any:
        """Return the tf_keras loss that trains the output on such labels; raises StageFailed, unless a task has one."""
        from workbench.errors import StageFailed

        raise StageFailed(f"task `{self.name}` says no loss to train with. Give one by name, --train-loss.")


def looks_like_probabilities(outputs: Array) -> bool:
    """Whether outputs are not negative and sum to one over their last axis."""
    return bool(outputs.min() >= 0 and np.allclose(outputs.sum(axis=-1), 1, atol=1e-3))


def cut(outputs: Array) -> float:
    """Return where a yes begins: a half for probabilities, zero for logits."""
    return 0.5 if outputs.min() >= 0 and outputs.max() <= 1 else 0.0

"""What a technique is: a name, typed `Params`, and one method that does the work.

Two kinds share the base. A `KerasTechnique` turns a tf_keras model into another (prune, cluster,
qat); a `Finisher` ends the chain and returns the bytes of a flatbuffer (quantize). Both are found by
name in the registry; a third party subclasses one and declares an entry point `workbench.techniques`.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

from workbench.values.params import NoParams as NoParams
from workbench.values.params import Params
from workbench.values.recipe import Step
from workbench.values.settings import Train
from workbench.values.source import SourceKind

if TYPE_CHECKING:
    import numpy as np

P = TypeVar("P", bound=Params)


@dataclass(frozen=True)
class TrainJob:
    """What a Keras technique may use: train arrays `x` `(n, *input_shape)` (or a dict), `y`, settings, the steps before.

    Where they are more than memory should hold they are rows of a file: an index, slice or array of indexes reads an array, `len` and `shape` are known.

    `left` takes what it does not reach: the name of a layer, why, and how many weights that are.
    """

    x: Any
    y: Any
    train: Train
    before: tuple[Step, ...]
    fit: Callable[[Any, list[Any]], None]
    steps_per_epoch: int
    left: Callable[[str, str, int], None] = field(default=lambda layer, why, weights: None)


@dataclass(frozen=True)
class Untouched:
    """A layer that a step leaves as it is, or some of its weights: its path in the model (`base/conv2d`), why, and how many weights that are."""

    layer: str
    why: str
    weights: int


@dataclass(frozen=True)
class Reach:
    """What a step works on: the model as it is put before it is trained, what stays untouched, and what does not.

    `reached` has the path of each layer with something for the step to do that it does, and a remark where there is one to make.
    """

    model: Any
    left: tuple[Untouched, ...]
    reached: dict[str, str]

    def tell(self, job: TrainJob) -> None:
        """Tell a job what is left."""
        for item in self.left:
            job.left(item.layer, item.why, item.weights)


@dataclass(frozen=True)
class Needs:
    """What a finisher starts from: the float flatbuffer, the SavedModel, activation ranges, calibration samples."""

    float_model: bool = False
    saved_model: bool = False
    calibration: bool = False
    samples: bool = False


@dataclass(frozen=True)
class FinishJob:
    """What a finisher may use; paths are None unless asked for in `Needs`.

    `samples` yields input dicts of one sample each, `(1, *input_shape)` per name in the signature of the SavedModel that
    was handed out last. These names are not the public ones, which take their place in what is returned.
    """

    before: tuple[Step, ...]
    float_model: Path | None
    saved_model: Path | None
    calibration: dict[str, Any] | None
    samples: Callable[[], list[dict[str, np.ndarray[Any, Any]]]]
    ordinary: Callable[[], Path | None]
    note: Callable[[str], None]


@dataclass(frozen=True)
class Promise:
    """What a step says the kernels in the file will have: a share of zeros, at most so many distinct weights."""

    sparsity: float | None = None
    clusters: int | None = None


class Technique(ABC, Generic[P]):
    """A named optimization step. `version` goes up when the same parameters give another result.

    `tools` names the installed packages whose versions may change what it makes: another version makes another trial.
    """

    name: ClassVar[str]
    help: ClassVar[str]
    version: ClassVar[int] = 1
    tools: ClassVar[tuple[str, ...]] = ()
    order: ClassVar[int] = 50
    level: ClassVar[Literal["keras", "flatbuffer"]]
    params: ClassVar[type[Params]] = NoParams

    def check(self, params: P, before: tuple[Step, ...], source: SourceKind) -> str | None:
        """Return why this step cannot follow those steps on that kind of source, or None."""
        return None

    def available(self) -> str | None:
        """Return what is missing here and how to get it, or None."""
        return None


class KerasTechnique(Technique[P]):
    """A step from a tf_keras model to a tf_keras model; it gets a fresh copy that it may change."""

    level = "keras"
    tools: ClassVar[tuple[str, ...]] = ("tensorflow", "tf-keras")
    quantization_aware: ClassVar[bool] = False
    learning_rate: ClassVar[float] = 1e-4

    def check(self, params: P, before: tuple[Step, ...], source: SourceKind) -> str | None:
        """Refuse a source that is not a Keras model."""
        if source != "keras":
            return f"`{self.name}` needs a Keras model (.keras, .h5 or a tf_keras model object); a {source} source takes post-training schemes only"
        return None

    @abstractmethod
    def apply(self, model: Any, params: P, job: TrainJob) -> Any:
        """Return the optimized tf_keras model, ready to be saved."""

    def reach(self, model: Any, params: P) -> Reach | None:
        """Return what the step will work on of a tf_keras model, which it leaves as it is; None where only running it tells.

        `apply` uses the same, so that what is said before training and what is done never differ. Raises StageFailed where it can do nothing.
        """
        return None

    def deciding(self, params: P) -> P:
        """Return parameters that are equal wherever `reach` is: those that do not decide it at their default."""
        return params

    def promise(self, params: P) -> Promise:
        """Return what the file is checked for after conversion."""
        return Promise()

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Return the scope in which the result can be loaded again (custom objects)."""
        return contextlib.nullcontext()


class Finisher(Technique[P]):
    """The last step of a recipe: makes the flatbuffer."""

    level = "flatbuffer"
    order = 100

    def tools_of(self, params: P, before: tuple[Step, ...]) -> tuple[str, ...]:
        """Return which of `tools` a file with these parameters is made with."""
        return self.tools

    @abstractmethod
    def needs(self, params: P, before: tuple[Step, ...]) -> Needs:
        """Return what `finish` starts from."""

    @abstractmethod
    def finish(self, params: P, job: FinishJob) -> bytes:
        """Return the bytes of the `.tflite` file."""

"""Magnitude pruning with tensorflow-model-optimization."""

from __future__ import annotations

import itertools
import re
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from workbench.compat.tfmot import Pruner
from workbench.errors import StageFailed
from workbench.techniques.base import KerasTechnique, Promise, Reach, TrainJob, Untouched
from workbench.techniques.layers import places
from workbench.values.params import Params


class PruneParams(Params):
    """How many weights become zero, in what pattern, and when."""

    primary: ClassVar[str] = "sparsity"

    sparsity: float | str = Field(0.5, description="share of zero weights per kernel (0.5), or N:M such as 2:4")
    schedule: Literal["polynomial", "constant"] = Field(
        "polynomial", description="raise the sparsity gradually, or prune at once and hold"
    )
    begin: float = Field(0.0, ge=0, lt=1, description="share of the training after which pruning begins")
    end: float = Field(
        0.6, gt=0, le=1, description="share of the training at which the polynomial schedule reaches its target"
    )
    block: str = Field("1x1", description="block of weights pruned together, height x width, e.g. 1x4")

    @field_validator("sparsity")
    @classmethod
    def _sparsity(cls, value: float | str) -> float | str:
        if isinstance(value, str):
            pattern = re.fullmatch(r"(\d+):(\d+)", value)
            if pattern:
                if not 0 < int(pattern[1]) < int(pattern[2]):
                    raise ValueError("the pattern N:M means N zeros in M weights, so 0 < N < M, e.g. 2:4")
                return value
            try:
                value = float(value)
            except ValueError:
                raise ValueError("a number between 0 and 1 such as 0.5, or N:M such as 2:4") from None
        if not 0 < value < 1:
            raise ValueError("the sparsity lies between 0 and 1, both excluded, e.g. 0.5")
        return float(value)

    @field_validator("block")
    @classmethod
    def _block(cls, value: str) -> str:
        if not re.fullmatch(r"[1-9]\d*x[1-9]\d*", value):
            raise ValueError("a block is height x width, e.g. 1x4")
        return value

    @model_validator(mode="after")
    def _together(self) -> PruneParams:
        if isinstance(self.sparsity, str) and self.block != "1x1":
            raise ValueError("N:M sparsity and block pruning exclude each other")
        if self.schedule == "polynomial" and self.end <= self.begin:
            raise ValueError(f"begin ({self.begin:g}) lies before end ({self.end:g})")
        return self

    @property
    def target(self) -> float:
        """The share of zeros that the pruned kernels should have."""
        if isinstance(self.sparsity, str):
            zeros, size = self.sparsity.split(":")
            return int(zeros) / int(size)
        return self.sparsity


class Prune(KerasTechnique[PruneParams]):
    """Set the smallest weights to zero while fine-tuning; pays in the compressed size."""

    name = "prune"
    help = "set the smallest weights to zero while fine-tuning; pays in the compressed size"
    tools = ("tensorflow", "tf-keras", "tensorflow-model-optimization")
    version = 3
    order = 10
    params = PruneParams
    # Removing most of the weights takes larger steps to recover from than rounding them does.
    learning_rate = 1e-3

    def apply(self, model: Any, params: PruneParams, job: TrainJob) -> Any:
        """Return the model with zeros in its kernels, those of layers within layers included."""
        import tf_keras
        from tensorflow_model_optimization.sparsity import keras as sparsity

        total = job.steps_per_epoch * job.train.epochs
        begin = int(params.begin * total)
        # Masks are renewed every few steps; TFMOT's default of 100 would never fire in a short run.
        frequency = max(1, total // 40)
        if params.schedule == "constant" or isinstance(params.sparsity, str):
            schedule = sparsity.ConstantSparsity(params.target, begin_step=begin, frequency=frequency)
        else:
            end = max(begin + 1, int(params.end * total))
            schedule = sparsity.PolynomialDecay(0.0, params.target, begin, end, frequency=frequency)
        self.reach(model, params).tell(job)
        options = _options(params)
        chosen = [k for place in places(model) for k in place.kernels if _unfit(k, options) is None]
        pruner = Pruner(chosen, schedule, **options)

        steps = itertools.count(1)
        # No class of its own: tf_keras keeps the class of every callback for ever, and the graphs that it knows with it.
        callback = tf_keras.callbacks.LambdaCallback(
            on_batch_begin=lambda batch, logs: pruner.step(next(steps)), on_train_end=lambda logs: pruner.hold()
        )
        job.fit(model, [callback])
        return model

    def reach(self, model: Any, params: PruneParams) -> Reach:
        """Return which layers have kernels that can be pruned, and what is left; the model itself stays as it is."""
        options = _options(params)
        left: list[Untouched] = []
        reached: dict[str, str] = {}
        for place in places(model):
            left += [Untouched(place.path, item.why, item.size) for item in place.left]
            for kernel in place.kernels:
                if why := _unfit(kernel, options):
                    left.append(Untouched(place.path, why, kernel.shape.num_elements()))
                else:
                    reached[place.path] = ""
        if not reached:
            raise StageFailed(f"prune finds no kernel to prune in this model{_why(options)}")
        return Reach(model, tuple(left), reached)

    def deciding(self, params: PruneParams) -> PruneParams:
        """Return the pattern alone, of which the numbers do not matter."""
        if isinstance(params.sparsity, str):
            return PruneParams(sparsity="2:4")
        return PruneParams() if params.block == "1x1" else PruneParams(block="1x4")

    def promise(self, params: PruneParams) -> Promise:
        """Return what the kernels in the file are checked for."""
        return Promise(sparsity=params.target)


def _options(params: PruneParams) -> dict[str, Any]:
    """Return the pattern that is laid over kernels as TFMOT takes it."""
    if isinstance(params.sparsity, str):
        return {"sparsity_m_by_n": tuple(int(n) for n in params.sparsity.split(":"))}
    return {} if params.block == "1x1" else {"block_size": tuple(int(n) for n in params.block.split("x"))}


def _unfit(kernel: Any, options: dict[str, Any]) -> str | None:
    """Return why TFMOT cannot lay a pattern over a kernel, None where it can."""
    axes = len(kernel.shape)
    if "block_size" in options and axes != 2:
        return f"a kernel of {axes} axes; blocks are for kernels of 2"
    if "sparsity_m_by_n" in options and axes not in (2, 4):
        return f"a kernel of {axes} axes; N:M is for kernels of 2 or 4"
    return None


def _why(options: dict[str, Any]) -> str:
    return f" that takes {', '.join(options)}; leave the pattern out" if options else ""

"""Settings that a sweep has beside its recipes, each described by its `Params`."""

from __future__ import annotations

import math
import re
from typing import Any

from pydantic import Field, field_validator

from workbench.errors import WorkbenchError, shown
from workbench.values.params import Params

_UNITS = {"": 1, "b": 1, "kb": 1000, "kib": 1024, "mb": 1000**2, "mib": 1024**2, "gb": 1000**3, "gib": 1024**3}

MOST_SIZE = 2**63
# What NumPy and TensorFlow take.
MOST_SEED = 2**32 - 1
MOST_COUNT = 2**31 - 1


def parse_size(value: int | float | str) -> int:
    """Return bytes from `100000`, `100KB` (1,000) or `100KiB` (1,024).

    Raises WorkbenchError for anything else.
    """
    size: Any = value
    if isinstance(value, str):
        match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z]*)\s*", value)
        unit = _UNITS.get(match[2].lower()) if match else None
        size = float(match[1]) * unit if match and unit else math.nan
    # NaN and infinity are not smaller.
    if not isinstance(size, (int, float)) or not abs(size) < MOST_SIZE:
        raise WorkbenchError(
            f"size {shown(value)} is not understood. Allowed: a number of bytes, or one with KB, KiB, MB, MiB, GB, GiB, e.g. 100KB."
        )
    return int(size)


class Train(Params):
    """Fine-tuning of the trained steps (prune, cluster, qat)."""

    epochs: int = Field(3, ge=1, le=1000, description="passes over the train split per trained step")
    batch_size: int = Field(64, ge=1, le=MOST_COUNT, description="samples per optimizer step")
    learning_rate: float | None = Field(
        None,
        gt=0,
        description="Adam's first learning rate, cosine decay to zero; default is the technique's own (prune 1e-3, cluster and qat 1e-4)",
    )
    seed: int = Field(0, ge=0, le=MOST_SEED, description="seed of shuffling, initial centroids and calibration draw")
    loss: str = Field("auto", description="auto (from labels and output), or the name of a Keras loss")


class Calibration(Params):
    """Samples that set the activation ranges of full-integer schemes."""

    samples: int = Field(200, ge=1, le=MOST_COUNT, description="samples drawn from the calibration (or train) split")


class Measure(Params):
    """How long and how precisely latency is measured."""

    half_width: float = Field(
        0.02, gt=0, lt=1, description="stop when the interval's half-width is below this share of the median"
    )
    samples: int = Field(
        50,
        ge=10,
        description="smallest number of timed invocations per trial and runtime, where the budget allows them",
    )
    budget: float | None = Field(
        None, ge=0, description="seconds of timing on each runtime, three invocations excepted; default 1 s per trial"
    )
    wait: float = Field(
        1800.0, ge=0, description="longest wait, in seconds, for one other measurement on this machine to end"
    )
    profile: bool = Field(False, description="time each operator too, in a process of its own, where the runtime tells")
    skip: bool = Field(False, description="build and evaluate only, measure nothing")


class Search(Params):
    """Which recipes are tried; `strategy` is the text form of a proposer with its options, `tpe[startup=5]`."""

    strategy: str = Field(
        "grid",
        description="who proposes the recipes: grid tries all",
        json_schema_extra={"registry": "proposers"},
    )
    trials: int | None = Field(
        None,
        ge=1,
        le=MOST_COUNT,
        description="most recipes to try beside the baseline; default as the proposer has it, all of a grid or a quarter",
    )
    timeout: float | None = Field(None, gt=0, description="seconds after which no further recipe is asked for")
    seed: int = Field(0, ge=0, le=MOST_SEED, description="seed of the choice")


class StageLimits(Params):
    """What a stage may take before it is ended."""

    stage_seconds: float = Field(900.0, gt=0, description="time limit of one stage in seconds")
    memory: str = Field("auto", description="memory limit of one worker, e.g. 4GiB; auto divides the machine's")

    @field_validator("memory")
    @classmethod
    def _memory(cls, value: str) -> str:
        if value != "auto":
            parse_size(value)
        return value

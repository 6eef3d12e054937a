"""What is known of one recipe in one study: its file, census, quality and measurements."""

from __future__ import annotations

from typing import Any, Literal

from workbench.values.base import Count, Value
from workbench.values.figure import Figure
from workbench.values.graph import Artifact
from workbench.values.recipe import Step
from workbench.values.settings import Calibration, Train
from workbench.values.warning import Warning_

# From so few processes no interval can be drawn that holds the median in 95 % of cases (see `measure/stats.py`).
PROCESSES_OF_AN_INTERVAL = 5

State = Literal["pending", "running", "ok", "failed", "skipped"]


class Size(Value):
    """Bytes of a file as it is and compressed (gzip, level 9)."""

    file: Count
    gzip: Count


class TensorCensus(Value):
    """One weight tensor as read from the flatbuffer.

    `sparsity` is the share of zeros; `unique` counts distinct stored values in the whole tensor,
    `unique_per_channel` the largest count in one output channel.
    """

    name: str
    operator: str
    type: str
    shape: tuple[Count, ...]
    bytes: Count
    sparsity: float
    unique: Count
    unique_per_channel: Count
    channels_quantized: bool
    kernel: bool


class Census(Value):
    """What a flatbuffer holds.

    `weights` maps type to bytes of constant tensors; `sparsity` is over all kernels; `unique_weights`
    is the largest number of distinct values in a kernel (depthwise kernels left out, as pruning and
    clustering leave them out). `custom` are the operators that LiteRT does not define, with how often they are there.
    """

    weights: dict[str, Count]
    operators: dict[str, Count]
    sparsity: float
    unique_weights: Count
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    tensors: tuple[TensorCensus, ...]
    custom: dict[str, Count] = {}


class Quality(Value):
    """How good the outputs are on the test split, and how close to the float baseline.

    `figures` are what the task of each labelled output gives, with intervals, the primary one first; `accuracy`, `top5`, `mae` and
    `rmse` repeat the first output's. `task` names its task. `agreement` is a share of samples; `sqnr_db` is the
    signal-to-quantization-noise ratio 10 log10(sum(b^2) / sum((b - v)^2)) in decibel; `cosine` the mean cosine similarity.
    """

    samples: Count
    task: str
    figures: tuple[Figure, ...] = ()
    accuracy: float | None = None
    top5: float | None = None
    mae: float | None = None
    rmse: float | None = None
    agreement: float | None = None
    sqnr_db: float | None = None
    cosine: float | None = None
    outputs: dict[str, dict[str, float | None]] = {}
    batch: Count = 1

    def figure(self, name: str) -> Figure | None:
        """Return a task's figure by its key, None where there is none of that name."""
        return next((f for f in self.figures if f.key == name), None)

    @property
    def primary(self) -> Figure | None:
        """The figure that is charted and limited first, None where there are no labels."""
        return self.figures[0] if self.figures else None


class Latency(Value):
    """Milliseconds of one invocation: median, 95 % bootstrap interval, 90th percentile, number of raw samples.

    `processes` is how many fresh processes the samples come from. `budget_s` is there where the budget, so many seconds of
    it, ended timing before there were as many samples as asked for, or as many processes as an interval needs.
    """

    median: float
    low: float
    high: float
    p90: float
    samples: Count
    processes: Count | None = None
    budget_s: float | None = None

    @property
    def cut_short(self) -> str | None:
        """What the budget allowed, and what `low` and `high` are then, in words; None where it did not bind."""
        if self.budget_s is None or self.processes is None:
            return None
        counted = [
            f"{n} {word}{'' if n == 1 else suffix}"
            for n, word, suffix in ((self.samples, "invocation", "s"), (self.processes, "process", "es"))
        ]
        said = f"the budget of {self.budget_s:.3g} s allowed {counted[0]} in {counted[1]}"
        if self.processes >= PROCESSES_OF_AN_INTERVAL:
            return said
        return f"{said}; {self.low:.4g} to {self.high:.4g} ms is from the smallest to the largest, no 95 % interval"


class Ratio(Value):
    """Latency over the baseline's, paired round by round, with a 95 % bootstrap interval."""

    median: float
    low: float
    high: float
    rounds: Count


class RuntimeSpec(Value):
    """A runtime by name with its options, as asked for."""

    name: str
    options: dict[str, Any] = {}


class Agreement(Value):
    """How close a runtime's outputs are to those of LiteRT's reference kernels on the same `samples` inputs.

    The worst of all outputs. `agreement` is the share of samples with the same top class, `sqnr_db` the signal-to-noise
    ratio in decibel (None where the outputs are equal), `max_error` the largest difference of a value.
    """

    samples: Count
    agreement: float | None = None
    sqnr_db: float | None = None
    cosine: float | None = None
    max_error: float = 0.0


class OpTime(Value):
    """Time of one operator in one inference; `index` is its place in the file's main graph, None where it has none there.

    `ms` is a mean in milliseconds; `cycles` an estimate of the device's, where a compiler gives one.
    """

    index: Count | None
    name: str
    label: str
    place: str
    ms: float
    cycles: Count | None = None


class OpProfile(Value):
    """Where the time of an inference goes, operator by operator; `source` says who tells, and what telling disturbs."""

    source: str
    kind: Literal["measured", "estimated"] = "measured"
    invocations: Count | None = None
    operators: tuple[OpTime, ...] = ()

    @property
    def total_ms(self) -> float:
        """The sum over all operators in milliseconds."""
        return sum(o.ms for o in self.operators)


class Measurement(Value):
    """One trial on one runtime of one machine; `state` failed or skipped carries the reason in `error` instead of figures.

    `machine` is its id; `place` says which one it is, in words, where a study was measured on several, and `elsewhere`
    whether it is another than the study's last one (neither is stored).

    `left` names the operators that an accelerating runtime did not take, `memory` holds bytes by part, `cycles` an
    estimate's cycles by part, `device` what really ran it, `software` whether that is a processor standing in for an
    accelerator. `profile` is there when it was asked for; the store keeps it apart. `clock` is `host` where the time is that of this machine
    standing in for a device. One invocation takes `batch` samples. `inputs` are the shapes at which it ran where the file leaves sizes beside the
    batch open: the data's, or with `assumed` ones, because nothing told them.
    """

    runtime: str
    options: dict[str, Any] = {}
    machine: str = ""
    place: str = ""
    elsewhere: bool = False
    kind: Literal["measured", "estimated"] = "measured"
    state: Literal["ok", "failed", "skipped"] = "ok"
    error: str | None = None
    clock: Literal["device", "host"] = "device"
    device: str | None = None
    software: bool = False
    latency_ms: Latency | None = None
    ratio: Ratio | None = None
    init_ms: float | None = None
    first_ms: float | None = None
    peak_bytes: Count | None = None
    ops_total: Count | None = None
    ops_delegated: Count | None = None
    partitions: Count | None = None
    left: tuple[str, ...] = ()
    memory: dict[str, Count] = {}
    cycles: dict[str, Count] = {}
    reference: Agreement | None = None
    quality: Quality | None = None
    profile: OpProfile | None = None
    batch: Count = 1
    inputs: dict[str, tuple[Count, ...]] = {}
    assumed: bool = False
    environment: dict[str, Any] = {}


class TrialSettings(Value):
    """What beside its recipe a trial's file hangs on; None where it does not.

    `train` where a step was trained, `calibration` with its `seed` where ranges were drawn, `threads` where their number changes
    bits, `tools` the versions of the packages that made it.
    """

    train: Train | None = None
    calibration: Calibration | None = None
    seed: Count | None = None
    threads: Count | None = None
    tools: dict[str, str] = {}


class Trial(Value):
    """One recipe with its settings in one study, with everything that is known of it.

    `id` is the beginning of the key of the execution that made its file, which covers recipe, settings, tools and model. `recipe` ends
    in what differs from the study's settings of today, ` @ epochs=3`, where something does; `differs` is that end (neither is stored).
    `settings` is None where layout 1 did not record them. `against` is the id of the baseline that it was evaluated and timed beside.
    """

    id: str
    recipe: str
    differs: str = ""
    settings: TrialSettings | None = None
    steps: tuple[Step, ...]
    baseline: bool = False
    against: str = ""
    state: State = "pending"
    error: str | None = None
    warnings: tuple[Warning_, ...] = ()
    artifact: Artifact | None = None
    size: Size | None = None
    census: Census | None = None
    quality: Quality | None = None
    conversion: str | None = None
    measurements: tuple[Measurement, ...] = ()

    @property
    def warned(self) -> tuple[Warning_, ...]:
        """The warnings that count: those that are more than a note."""
        return tuple(w for w in self.warnings if w.level == "warning")

    @property
    def noted(self) -> tuple[Warning_, ...]:
        """The notes: what was seen and costs next to nothing."""
        return tuple(w for w in self.warnings if w.level == "note")

"""What is looked at beside time: outputs against the reference kernels, quality on a runtime, time by operator.

Each look happens in a process of its own, after timing has ended, so that it disturbs nothing.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from workbench import registry
from workbench.data.rows import HELD, Values
from workbench.errors import StageFailed, WorkbenchError
from workbench.evaluate import quality as q
from workbench.evaluate.arrays import save_arrays
from workbench.measure.hosts import HostProcess, Hosts
from workbench.measure.sizes import SizeTeller
from workbench.measure.watch import Watch
from workbench.values.task import TaskSpec
from workbench.values.trial import Agreement, OpProfile, Quality, RuntimeSpec

Array = np.ndarray[Any, Any]
REFERENCE = RuntimeSpec(name="reference", options={"threads": 1})
# Enough to see that a runtime computes something else; reference kernels may take seconds for one.
COMPARED = 16
COMPARED_SECONDS = 10.0
QUALITY_SECONDS = 60.0
PROFILED = 30


@dataclass(frozen=True)
class Samples:
    """Real inputs by name, `(n, *shape)`, labels and their tasks by output, and the float baseline's outputs, where there are any."""

    inputs: Mapping[str, Values]
    labels: Mapping[str, Values] = field(default_factory=dict)
    tasks: Mapping[str, TaskSpec] = field(default_factory=dict)
    baseline: dict[str, Array] = field(default_factory=dict)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of one sample, by input."""
        return {name: v.shape[1:] for name, v in self.inputs.items()}

    @property
    def count(self) -> int:
        """The number of samples."""
        return len(next(iter(self.inputs.values())))


class Look(NamedTuple):
    """What was seen of one artifact on one runtime."""

    reference: Agreement | None = None
    quality: Quality | None = None
    profile: OpProfile | None = None


class Looks:
    """Looks at artifacts on runtimes; keeps what the reference kernels gave, which serves every runtime."""

    def __init__(
        self,
        hosts: Hosts,
        samples: Samples | None,
        everywhere: bool,
        profile: bool,
        watch: Watch | None = None,
        sizes: SizeTeller | None = None,
    ) -> None:
        self._sizes = sizes or SizeTeller(samples.shapes if samples else None)
        self._hosts, self._samples, self._watch = hosts, samples, watch or Watch()
        self._everywhere, self._profile = everywhere, profile
        self._references: dict[Path, dict[str, Array]] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="wb-inputs-")
        self._files: dict[int, Path] = {}

    def close(self) -> None:
        """Remove the inputs that were written for the hosts."""
        self._folder.cleanup()

    def at(self, path: Path, runtime: RuntimeSpec) -> Look:
        """Return what is seen of an artifact on a runtime; raises StageFailed when it breaks on the way."""
        backend = registry.runtimes.get(runtime.name)
        if backend.kind == "estimated":
            return Look()
        compared = backend.compared or self._everywhere
        reference = quality = None
        if compared or backend.own_quality:
            with self._open(path, runtime) as host:
                reference = self._compare(host, path) if compared else None
                quality = self._quality(host) if backend.own_quality and self._samples else None
        return Look(reference, quality, self._profiled(path, runtime) if self._profile else None)

    def _profiled(self, path: Path, runtime: RuntimeSpec) -> OpProfile | None:
        """Return the time of operators; a profiler that breaks costs its own figures only."""
        try:
            with self._open(path, runtime) as host:
                return host.profile(PROFILED)
        except WorkbenchError:
            return None

    @contextlib.contextmanager
    def _open(self, path: Path, runtime: RuntimeSpec) -> Iterator[HostProcess]:
        host = self._hosts.open(path, runtime, self._watch, inputs=self._sizes.of(path).inputs)
        try:
            yield host
        finally:
            host.close()

    def _compare(self, host: HostProcess, path: Path) -> Agreement | None:
        if path not in self._references:
            try:
                with self._open(path, REFERENCE) as reference:
                    self._references[path] = reference.outputs(self._inputs(COMPARED), COMPARED, COMPARED_SECONDS)
            except WorkbenchError:
                # A file made for an accelerator (a custom operator) has no reference.
                self._references[path] = {}
        expected = self._references[path]
        if not expected:
            return None
        tasks = self._samples.tasks if self._samples else {}
        found = host.outputs(self._inputs(COMPARED), COMPARED, COMPARED_SECONDS)
        return compare(q.cleared(found, tasks), q.cleared(expected, tasks))

    def _quality(self, host: HostProcess) -> Quality:
        assert self._samples is not None
        s = self._samples
        # Inputs go to the host as one file, which it reads whole.
        size = sum(v.nbytes for v in s.inputs.values()) // s.count
        most = min(s.count, max(COMPARED, HELD // max(1, size)))
        found = host.outputs(self._inputs(most), most, QUALITY_SECONDS)
        count = len(next(iter(found.values())))
        base = {n: v[:count] for n, v in s.baseline.items()} or found
        return q.quality(found, base, {o: np.asarray(y[:count]) for o, y in s.labels.items()}, s.tasks, 1)

    def _inputs(self, count: int) -> Path | None:
        """Return a file of the first samples, or None where there are none and seeded ones have to do."""
        if self._samples is None:
            return None
        if count not in self._files:
            path = Path(self._folder.name) / f"{count}.npz"
            save_arrays(path, {n: np.asarray(v[:count]) for n, v in self._samples.inputs.items()})
            self._files[count] = path
        return self._files[count]


def compare(outputs: dict[str, Array], reference: dict[str, Array]) -> Agreement:
    """Return how close outputs are to the reference's on the samples that both have; the worst of all outputs.

    Raises StageFailed when the runtime gives other outputs than the file has.
    """
    if set(outputs) != set(reference):
        raise StageFailed(f"the runtime gives outputs {', '.join(outputs)}, the file has {', '.join(reference)}")
    for name, values in outputs.items():
        if values.shape[1:] != reference[name].shape[1:]:
            raise StageFailed(
                f"the runtime gives {name} in the shape {values.shape[1:]}, the file has {reference[name].shape[1:]}"
            )
    count = min(len(next(iter(values.values()))) for values in (outputs, reference))
    pairs = [(outputs[n][:count].astype(np.float64), reference[n][:count].astype(np.float64)) for n in reference]
    found = [q.agreement(mine, theirs) for mine, theirs in pairs]

    def worst(key: str) -> float | None:
        return min((f[key] for f in found if f[key] is not None), default=None)  # type: ignore[type-var]  # None is left out

    return Agreement(
        samples=count,
        agreement=worst("agreement"),
        sqnr_db=worst("sqnr_db"),
        cosine=worst("cosine"),
        max_error=max(float(np.abs(a - b).max(initial=0.0)) for a, b in pairs),
    )

"""Measure a list of artifacts on a list of runtimes: one at a time, with the baseline always among them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from workbench import registry
from workbench.errors import StageFailed, Unfit, WorkbenchError
from workbench.measure import stats
from workbench.measure.environment import environment
from workbench.measure.hosts import Host, Hosts
from workbench.measure.interleave import Variant, run_rounds
from workbench.measure.looks import Looks, Samples
from workbench.values.settings import Measure
from workbench.values.trial import Latency, Measurement, OpProfile, RuntimeSpec

# Hosts that are alive at once; more are measured in waves, each with the baseline.
WAVE = 64


@dataclass(frozen=True)
class Subject:
    """One artifact to measure, by a name of the caller's."""

    name: str
    path: Path


@dataclass(frozen=True)
class Measured:
    """What came out for one pair; `samples_ns` are all raw samples in order of rounds."""

    subject: str
    measurement: Measurement
    samples_ns: np.ndarray[Any, np.dtype[np.int64]] | None
    narrow: bool = True


@dataclass(frozen=True)
class Pair:
    """One artifact on one runtime, by a name of its own."""

    name: str
    path: Path
    runtime: RuntimeSpec


@dataclass(frozen=True)
class Asked:
    """How to measure: settings, which name is the baseline, real samples to look at outputs with (see `looks.py`).

    With `everywhere` outputs are held against the reference kernels on every runtime, not only on accelerators.
    """

    settings: Measure
    baseline: str | None = None
    samples: Samples | None = None
    everywhere: bool = False
    seed: int = 0


def measure(
    subjects: list[Subject],
    runtimes: list[RuntimeSpec],
    asked: Asked,
    on_measured: Callable[[Measured], None],
    cancel: threading.Event | None = None,
    on_progress: Callable[[str, int, int], None] = lambda label, done, total: None,
    hosts: Hosts | None = None,
) -> None:
    """Measure every subject on every runtime and hand each result over as soon as it is final.

    Variants of one runtime are timed side by side. A subject named as the baseline is timed in every round. One that
    cannot run gives a failed measurement, one that the runtime does not take a skipped one.
    """
    for runtime in runtimes:
        rest = [Pair(s.name, s.path, runtime) for s in subjects if s.name != asked.baseline]
        base = [Pair(s.name, s.path, runtime) for s in subjects if s.name == asked.baseline]
        side_by_side(base, rest, asked, on_measured, cancel, on_progress, hosts)


def side_by_side(
    base: list[Pair],
    rest: list[Pair],
    asked: Asked,
    on_measured: Callable[[Measured], None],
    cancel: threading.Event | None = None,
    on_progress: Callable[[str, int, int], None] = lambda label, done, total: None,
    hosts: Hosts | None = None,
) -> None:
    """Time pairs in interleaved rounds, in waves that each hold the baseline; `hosts` that are given are left open."""
    if not (base or rest):
        return
    count = len(base) + len(rest)
    with machine_lock(cancel), contextlib.nullcontext(hosts) if hosts else contextlib.closing(Hosts()) as used:
        looks = Looks(used, asked.samples, asked.everywhere, asked.settings.profile)
        with contextlib.closing(looks):
            for start in range(0, max(1, len(rest)), WAVE):
                if cancel and cancel.is_set():
                    return
                wave = _Wave(used, looks, asked, environment(), cancel)
                names = [] if start == 0 else [p.name for p in base]
                for measured in wave.run([*base, *rest[start : start + WAVE]], count, on_progress):
                    if measured.subject not in names:
                        on_measured(measured)


class _Wave:
    """Pairs whose processes are alive at the same time."""

    def __init__(
        self, hosts: Hosts, looks: Looks, asked: Asked, facts: dict[str, Any], cancel: threading.Event | None
    ) -> None:
        self.hosts, self.looks, self.asked, self.environment, self.cancel = hosts, looks, asked, facts, cancel
        self.facts: dict[str, list[dict[str, Any]]] = defaultdict(list)

    def run(
        self, pairs: list[Pair], all_count: int, on_progress: Callable[[str, int, int], None]
    ) -> Iterator[Measured]:
        """Yield the result of each pair as it becomes final: estimates at once, the timed ones when timing has ended."""
        estimated = [p for p in pairs if registry.runtimes.get(p.runtime.name).kind == "estimated"]
        for number, pair in enumerate(estimated):
            if self._stopped():
                return
            on_progress(f"estimating on {pair.runtime.name}", number, len(estimated))
            yield self._estimate(pair)
        timed = [p for p in pairs if p not in estimated]
        if not timed:
            return
        baseline, settings = self.asked.baseline, self.asked.settings
        variants = {p.name: Variant(p.name, self._opener(p), baseline if p.name != baseline else None) for p in timed}
        # Seconds of the whole budget that fall to this wave; by default one second for each of its members.
        budget = float(len(timed)) if settings.budget is None else settings.budget * len(timed) / max(1, all_count)
        where = " and ".join(dict.fromkeys(p.runtime.name for p in timed))
        block = run_rounds(
            list(variants.values()),
            settings.half_width,
            budget,
            settings.samples,
            self.asked.seed,
            self.cancel,
            lambda label, done, total: on_progress(f"{label} on {where}", done, total),
        )
        base = variants.get(baseline or "")
        for number, pair in enumerate(timed):
            if self._stopped():
                return
            on_progress(f"checking outputs on {pair.runtime.name}", number, len(timed))
            yield self._result(pair, variants[pair.name], base, block)

    def _stopped(self) -> bool:
        return bool(self.cancel and self.cancel.is_set())

    def _opener(self, pair: Pair) -> Callable[[], Host]:
        def open_host() -> Host:
            host = self.hosts.open(pair.path, pair.runtime)
            self.facts[pair.name].append(host.facts)
            return host

        return open_host

    def _estimate(self, pair: Pair) -> Measured:
        try:
            host = self.hosts.open(pair.path, pair.runtime)
        except WorkbenchError as error:
            return Measured(pair.name, self._without(pair, error), None)
        host.close()
        facts = dict(host.facts)
        latency, profile = facts.pop("latency"), facts.pop("profile")
        made = self._made(
            pair,
            latency_ms=None if latency is None else _exact(latency),
            profile=OpProfile.model_validate(profile) if profile and self.asked.settings.profile else None,
            **facts,
        )
        return Measured(pair.name, made, None)

    def _result(self, pair: Pair, variant: Variant, base: Variant | None, block: int) -> Measured:
        if variant.error or not variant.rounds:
            kind = Unfit if variant.unfit else StageFailed
            return Measured(pair.name, self._without(pair, kind(variant.error or "no round was timed")), None)
        try:
            look = self.looks.at(pair.path, pair.runtime)
        except WorkbenchError as error:
            return Measured(pair.name, self._without(pair, error), None)
        made = self._made(
            pair,
            latency_ms=stats.latency(variant.rounds, block),
            ratio=stats.ratio(variant.rounds, base.rounds, block) if base and not base.error else None,
            reference=look.reference,
            quality=look.quality,
            profile=look.profile,
            **_together(self.facts[pair.name]),
        )
        samples = np.concatenate([np.asarray(r, dtype=np.int64) for r in variant.rounds.values()])
        return Measured(pair.name, made, samples, variant.narrow)

    def _made(self, pair: Pair, **figures: Any) -> Measurement:
        backend = registry.runtimes.get(pair.runtime.name)
        return Measurement(
            runtime=pair.runtime.name,
            options=pair.runtime.options,
            kind=backend.kind,
            clock=backend.clock,
            environment=dict(self.environment),
            **figures,
        )

    def _without(self, pair: Pair, error: WorkbenchError) -> Measurement:
        """Return the measurement of a pair that has none, with the reason."""
        return self._made(pair, state="skipped" if isinstance(error, Unfit) else "failed", error=str(error))


def _exact(milliseconds: float) -> Latency:
    """Return an estimate as a latency: it has no spread and no samples."""
    return Latency(median=milliseconds, low=milliseconds, high=milliseconds, p90=milliseconds, samples=0)


def _together(facts: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the facts of all processes that held a variant: median times, the largest memory."""
    times = {k: float(np.median([f[k] for f in facts])) for k in ("init_ms", "first_ms")}
    return {**facts[0], **times, "peak_bytes": max(f["peak_bytes"] for f in facts)}


@contextlib.contextmanager
def machine_lock(cancel: threading.Event | None = None) -> Iterator[None]:
    """Hold the one lock of this machine under which Workbench measures, so that two sweeps never time at once.

    Waiting for it ends, without the lock, when asked to stop.
    """
    path = Path(tempfile.gettempdir()) / f"workbench-measure-{os.getuid() if hasattr(os, 'getuid') else 0}.lock"
    with path.open("w") as file:
        while not (cancel and cancel.is_set()):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.1)
        yield

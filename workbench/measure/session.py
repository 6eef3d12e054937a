"""Measure a list of artifacts on a list of runtimes: one at a time, with the baseline always among them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from workbench.errors import StageFailed
from workbench.measure import stats
from workbench.measure.environment import environment
from workbench.measure.hosts import Host, Hosts
from workbench.measure.interleave import Variant, run_rounds
from workbench.values.settings import Measure
from workbench.values.trial import Measurement, RuntimeSpec

# Hosts that are alive at once; more are measured in waves, each with the baseline.
WAVE = 64


@dataclass(frozen=True)
class Subject:
    """One artifact to measure, by a name of the caller's."""

    name: str
    path: Path


@dataclass(frozen=True)
class Measured:
    """What came out for one subject on one runtime; `samples_ns` are all raw samples in order of rounds."""

    subject: str
    measurement: Measurement
    samples_ns: np.ndarray[Any, np.dtype[np.int64]] | None
    narrow: bool = True


def measure(
    subjects: list[Subject],
    runtimes: list[RuntimeSpec],
    settings: Measure,
    baseline: str | None,
    on_measured: Callable[[Measured], None],
    cancel: threading.Event | None = None,
    on_progress: Callable[[str, int, int], None] = lambda label, done, total: None,
    seed: int = 0,
) -> None:
    """Measure every subject on every runtime and hand each result over as soon as it is final.

    A subject named `baseline` is timed in every round. One that cannot run gives a failed measurement.
    """
    if not subjects:
        return
    with machine_lock(), contextlib.closing(Hosts()) as hosts:
        facts = environment()
        for runtime in runtimes:
            rest = [s for s in subjects if s.name != baseline]
            base = [s for s in subjects if s.name == baseline]
            for start in range(0, max(1, len(rest)), WAVE):
                wave = [*base, *rest[start : start + WAVE]]
                if cancel and cancel.is_set():
                    return
                _wave(hosts, wave, runtime, settings, baseline, facts, on_measured if start == 0 else _without(baseline, on_measured), cancel, on_progress, seed, len(subjects) * len(runtimes))


def _wave(
    hosts: Hosts,
    subjects: list[Subject],
    runtime: RuntimeSpec,
    settings: Measure,
    baseline: str | None,
    facts: dict[str, object],
    on_measured: Callable[[Measured], None],
    cancel: threading.Event | None,
    on_progress: Callable[[str, int, int], None],
    seed: int,
    all_count: int,
) -> None:
    variants: list[Variant] = []
    opened: dict[str, Host] = {}
    for number, subject in enumerate(subjects):
        on_progress(f"opening on {runtime.name}", number, len(subjects))
        try:
            host = hosts.open(subject.path, runtime)
        except StageFailed as error:
            on_measured(Measured(subject.name, _failed(runtime, str(error), facts), None))
            continue
        opened[subject.name] = host
        variants.append(Variant(subject.name, host, baseline=baseline if subject.name != baseline else None))
    # Seconds of the whole budget that fall to this wave; by default one second for each of its members.
    budget = float(len(variants)) if settings.budget is None else settings.budget * len(subjects) / max(1, all_count)
    try:
        run_rounds(variants, settings.half_width, budget, seed, cancel, lambda done, total: on_progress(f"timing on {runtime.name}", done, total))
    finally:
        for host in opened.values():
            host.close()
    if cancel and cancel.is_set():
        return
    base = next((v for v in variants if v.name == baseline and v.error is None), None)
    for variant in variants:
        if variant.error or not variant.rounds:
            on_measured(Measured(variant.name, _failed(runtime, variant.error or "no round was timed", facts), None))
            continue
        rounds = list(variant.rounds.values())
        made = Measurement(
            runtime=runtime.name,
            options=runtime.options,
            latency_ms=stats.latency(rounds),
            ratio=stats.ratio(variant.rounds, base.rounds) if base else None,
            environment=dict(facts),
            **opened[variant.name].facts,
        )
        on_measured(Measured(variant.name, made, np.concatenate([np.asarray(r, dtype=np.int64) for r in rounds]), variant.narrow))


@contextlib.contextmanager
def machine_lock() -> Iterator[None]:
    """Hold the one lock of this machine under which Workbench measures, so that two sweeps never time at once."""
    path = Path(tempfile.gettempdir()) / f"workbench-measure-{os.getuid() if hasattr(os, 'getuid') else 0}.lock"
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _failed(runtime: RuntimeSpec, reason: str, facts: dict[str, object]) -> Measurement:
    return Measurement(runtime=runtime.name, options=runtime.options, state="failed", error=reason, environment=dict(facts))


def _without(name: str | None, then: Callable[[Measured], None]) -> Callable[[Measured], None]:
    return lambda measured: None if measured.subject == name else then(measured)

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
    hosts: Hosts | None = None,
) -> None:
    """Measure every subject on every runtime and hand each result over as soon as it is final.

    A subject named `baseline` is timed in every round. One that cannot run gives a failed measurement. `hosts` that are
    given are left open.
    """
    if not subjects:
        return
    with machine_lock(cancel), contextlib.nullcontext(hosts) if hosts else contextlib.closing(Hosts()) as hosts:
        facts = environment()
        for runtime in runtimes:
            rest = [s for s in subjects if s.name != baseline]
            base = [s for s in subjects if s.name == baseline]
            for start in range(0, max(1, len(rest)), WAVE):
                wave = [*base, *rest[start : start + WAVE]]
                if cancel and cancel.is_set():
                    return
                _wave(
                    hosts,
                    wave,
                    runtime,
                    settings,
                    baseline,
                    facts,
                    on_measured if start == 0 else _without(baseline, on_measured),
                    cancel,
                    on_progress,
                    seed,
                    len(subjects),
                )


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
    facts_of: dict[str, list[dict[str, Any]]] = defaultdict(list)

    def opener(subject: Subject) -> Callable[[], Host]:
        def open_host() -> Host:
            host = hosts.open(subject.path, runtime)
            facts_of[subject.name].append(host.facts)
            return host

        return open_host

    variants = [Variant(s.name, opener(s), baseline=baseline if s.name != baseline else None) for s in subjects]
    # Seconds of the whole budget that fall to this wave; by default one second for each of its members.
    budget = float(len(variants)) if settings.budget is None else settings.budget * len(subjects) / max(1, all_count)

    def progress(label: str, done: int, total: int) -> None:
        on_progress(f"{label} on {runtime.name}", done, total)

    block = run_rounds(variants, settings.half_width, budget, settings.samples, seed, cancel, progress)
    if cancel and cancel.is_set():
        return
    base = next((v for v in variants if v.name == baseline and v.error is None), None)
    for variant in variants:
        if variant.error or not variant.rounds:
            on_measured(Measured(variant.name, _failed(runtime, variant.error or "no round was timed", facts), None))
            continue
        made = Measurement(
            runtime=runtime.name,
            options=runtime.options,
            latency_ms=stats.latency(variant.rounds, block),
            ratio=stats.ratio(variant.rounds, base.rounds, block) if base else None,
            environment=dict(facts),
            **_together(facts_of[variant.name]),
        )
        samples = np.concatenate([np.asarray(r, dtype=np.int64) for r in variant.rounds.values()])
        on_measured(Measured(variant.name, made, samples, variant.narrow))


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


def _failed(runtime: RuntimeSpec, reason: str, facts: dict[str, object]) -> Measurement:
    return Measurement(
        runtime=runtime.name, options=runtime.options, state="failed", error=reason, environment=dict(facts)
    )


def _without(name: str | None, then: Callable[[Measured], None]) -> Callable[[Measured], None]:
    return lambda measured: None if measured.subject == name else then(measured)

"""Measure a list of artifacts on a list of runtimes: one at a time, with the baseline always among them."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from workbench import registry
from workbench.errors import Cancelled, StageFailed, Unfit, WorkbenchError
from workbench.flatbuffer.opening import read_file
from workbench.flatbuffer.reader import read_model
from workbench.measure import stats
from workbench.measure.environment import environment
from workbench.measure.hosts import OPEN_SECONDS, HostProcess, Hosts
from workbench.measure.interleave import Variant, close_all, open_all, run_rounds
from workbench.measure.lock import machine_lock
from workbench.measure.looks import Looks, Samples
from workbench.measure.protocol import Estimated, Opened
from workbench.measure.sizes import SizeTeller
from workbench.measure.watch import Watch
from workbench.values.settings import Measure
from workbench.values.trial import Latency, Measurement, RuntimeSpec

# Hosts that are alive at once; more are measured in waves, each with the baseline.
WAVE = 64
# One that was opened before is opened again, with the machine's lock held, in about the same time.
AGAIN_SECONDS = 30.0
AGAIN_SHARE = 5.0


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
class MeasureOptions:
    """How to measure: settings, which name is the baseline, real samples to look at outputs with (see `looks.py`).

    With `everywhere` outputs are held against the reference kernels on every runtime, not only on accelerators. `what` is what
    others who wait are told to be measured. `shapes` are those of one sample by input, where sizes that files leave open have to be known and there are no samples.
    """

    settings: Measure
    baseline: str | None = None
    samples: Samples | None = None
    everywhere: bool = False
    seed: int = 0
    what: str = ""
    shapes: Mapping[str, tuple[int, ...]] | None = None


def measure(
    subjects: list[Subject],
    runtimes: list[RuntimeSpec],
    asked: MeasureOptions,
    on_measured: Callable[[Measured], None],
    watch: Watch | None = None,
    hosts: Hosts | None = None,
) -> None:
    """Measure every subject on every runtime and hand each result over as soon as it is final.

    Variants of one runtime are timed side by side. A subject named as the baseline is timed in every round. One that
    cannot run gives a failed measurement, one that the runtime does not take a skipped one. Nothing more is handed over
    when the watch is asked to stop.
    """
    for runtime in runtimes:
        rest = [Pair(s.name, s.path, runtime) for s in subjects if s.name != asked.baseline]
        base = [Pair(s.name, s.path, runtime) for s in subjects if s.name == asked.baseline]
        side_by_side(base, rest, asked, on_measured, watch, hosts)


def side_by_side(
    base: list[Pair],
    rest: list[Pair],
    asked: MeasureOptions,
    on_measured: Callable[[Measured], None],
    watch: Watch | None = None,
    hosts: Hosts | None = None,
) -> None:
    """Time pairs in interleaved rounds, in waves that each hold the baseline; `hosts` that are given are left open.

    Raises WorkbenchError where another measurement has the machine for longer than is to be waited.
    """
    watch, count = watch or Watch(), len(base) + len(rest)
    if not count or watch.stopped:
        return
    with contextlib.nullcontext(hosts) if hosts else contextlib.closing(Hosts()) as used:
        shapes = asked.shapes if asked.samples is None else asked.samples.shapes
        sizes = SizeTeller(shapes)
        looks = Looks(used, asked.samples, asked.everywhere, asked.settings.profile, watch, sizes)
        # Who asked to stop knows it.
        with contextlib.closing(looks), contextlib.suppress(Cancelled):
            for start in range(0, max(1, len(rest)), WAVE):
                known = () if start == 0 else tuple(p.name for p in base)
                wave = _Wave(used, looks, sizes, asked, watch, on_measured, known)
                wave.run([*base, *rest[start : start + WAVE]], count)


class _Wave:
    """Pairs whose processes are alive at the same time."""

    def __init__(
        self,
        hosts: Hosts,
        looks: Looks,
        sizes: SizeTeller,
        asked: MeasureOptions,
        watch: Watch,
        on_measured: Callable[[Measured], None],
        known: tuple[str, ...],
    ) -> None:
        self.hosts, self.looks, self.sizes, self.asked, self.watch = hosts, looks, sizes, asked, watch
        self._on_measured, self._known = on_measured, known
        self.environment = environment()
        self.facts: dict[str, list[Opened]] = defaultdict(list)

    def run(self, pairs: list[Pair], all_count: int) -> None:
        """Hand over the result of each pair as it becomes final: estimates at once, the timed ones when timing has ended.

        Compilers work before the machine's lock is taken, as they do when a sweep builds: estimates, and the first opening of
        each file, which may take minutes or never end. What runs files is under the lock: timing, and looking at outputs.
        """
        estimated = [p for p in pairs if registry.runtimes.get(p.runtime.name).kind == "estimated"]
        for number, pair in enumerate(estimated):
            self.watch.check()
            self.watch.on_progress(f"estimating on {pair.runtime.name}", number, len(estimated))
            self.on_measured(self._estimate(pair))
        timed = [p for p in pairs if p not in estimated]
        if timed:
            self._time(timed, all_count)

    def on_measured(self, measured: Measured) -> None:
        """Hand a result over, unless an earlier wave did so."""
        if measured.subject not in self._known:
            self._on_measured(measured)

    def _time(self, timed: list[Pair], all_count: int) -> None:
        baseline, settings = self.asked.baseline, self.asked.settings
        by_name = {p.name: Variant(p.name, self._opener(p), baseline if p.name != baseline else None) for p in timed}
        variants = list(by_name.values())
        # Seconds of the whole budget that fall to each of this wave; by default one second.
        each_s = 1.0 if settings.budget is None else settings.budget / max(1, all_count)
        where = " and ".join(dict.fromkeys(p.runtime.name for p in timed))
        told = Watch(
            self.watch.cancel,
            lambda label, done, total: self.watch.on_progress(f"{label} on {where}", done, total),
            self.watch.on_wait,
        )
        for runtime in {p.runtime.name: p.runtime for p in timed}.values():
            # Its time is not that of opening. Where it fails, each opening tells so.
            with contextlib.suppress(StageFailed):
                self.hosts.prepare(runtime, told)
        try:
            open_all(variants, told)
            # Whoever waits gives the memory back meanwhile, and opens anew.
            with machine_lock(self.asked.what, settings.wait, self.watch, lambda: close_all(variants)):
                budget_s = each_s * len(timed)
                block = run_rounds(variants, settings.half_width, budget_s, settings.samples, self.asked.seed, told)
                for number, pair in enumerate(timed):
                    self.watch.check()
                    self.watch.on_progress(f"checking outputs on {pair.runtime.name}", number, len(timed))
                    base = by_name.get(baseline or "")
                    self.on_measured(self._result(pair, by_name[pair.name], base, block, each_s))
        finally:
            close_all(variants)

    def _opener(self, pair: Pair) -> Callable[[], HostProcess]:
        known = self.facts[pair.name]

        def open_host() -> HostProcess:
            if not known:
                check_file(pair)
            limit = again_seconds((known[0].init_ms + known[0].first_ms) / 1e3) if known else OPEN_SECONDS
            host = self.hosts.open(pair.path, pair.runtime, self.watch, limit, self.sizes.of(pair.path).inputs)
            if not isinstance(host.facts, Opened):
                host.close()
                raise StageFailed(f"runtime {pair.runtime.name!r} gave an estimate where it was to run the file")
            known.append(host.facts)
            return host

        return open_host

    def _estimate(self, pair: Pair) -> Measured:
        try:
            check_file(pair)
            host = self.hosts.open(pair.path, pair.runtime, self.watch, inputs=self.sizes.of(pair.path).inputs)
        except WorkbenchError as error:
            return Measured(pair.name, self._without(pair, error), None)
        host.close()
        found = host.facts
        if not isinstance(found, Estimated):
            ran = StageFailed(f"runtime {pair.runtime.name!r} ran the file where it was to give an estimate")
            return Measured(pair.name, self._without(pair, ran), None)
        made = self._made(
            pair,
            latency_ms=None if found.latency is None else _exact(found.latency),
            profile=found.profile if self.asked.settings.profile else None,
            **found.model_dump(exclude={"answer", "latency", "profile"}),
        )
        return Measured(pair.name, made, None)

    def _result(self, pair: Pair, variant: Variant, base: Variant | None, block: int, each_s: float) -> Measured:
        if variant.error or not variant.rounds:
            kind = Unfit if variant.unfit else StageFailed
            return Measured(pair.name, self._without(pair, kind(variant.error or "no round was timed")), None)
        try:
            look = self.looks.at(pair.path, pair.runtime)
        except WorkbenchError as error:
            return Measured(pair.name, self._without(pair, error), None)
        made = self._made(
            pair,
            latency_ms=self._latency(variant, block, each_s),
            ratio=stats.ratio(variant.rounds, base.rounds, block) if base and not base.error else None,
            reference=look.reference,
            quality=look.quality,
            profile=look.profile,
            **_together(self.facts[pair.name]),
        )
        samples = np.concatenate([np.asarray(r, dtype=np.int64) for r in variant.rounds.values()])
        return Measured(pair.name, made, samples, variant.narrow)

    def _latency(self, variant: Variant, block: int, each_s: float) -> Latency:
        found = stats.latency(variant.rounds, block)
        short = found.samples < self.asked.settings.samples or (found.processes or 0) < stats.LEAST
        return found.model_copy(update={"budget_s": each_s}) if short else found

    def _made(self, pair: Pair, **figures: Any) -> Measurement:
        backend, sizes = registry.runtimes.get(pair.runtime.name), self.sizes.of(pair.path)
        return Measurement(
            runtime=pair.runtime.name,
            options=pair.runtime.options,
            kind=backend.kind,
            clock=backend.clock,
            machine=str(self.environment["machine"]),
            environment=dict(self.environment),
            batch=sizes.batch,
            inputs=sizes.inputs,
            assumed=sizes.assumed,
            **figures,
        )

    def _without(self, pair: Pair, error: WorkbenchError) -> Measurement:
        """Return the measurement of a pair that has none, with the reason."""
        return self._made(pair, state="skipped" if isinstance(error, Unfit) else "failed", error=str(error))


def again_seconds(first_s: float) -> float:
    """Return how long an opening may take, with the lock held, of what took `first_s` the first time."""
    return min(OPEN_SECONDS, max(AGAIN_SECONDS, AGAIN_SHARE * first_s))


def _exact(milliseconds: float) -> Latency:
    """Return an estimate as a latency: it has no spread and no samples."""
    return Latency(median=milliseconds, low=milliseconds, high=milliseconds, p90=milliseconds, samples=0)


def _together(facts: list[Opened]) -> dict[str, Any]:
    """Return the facts of all processes that held a variant: median times, the largest memory."""
    # The first was opened while others may have measured.
    alone = facts[1:] or facts
    times = {k: float(np.median([getattr(f, k) for f in alone])) for k in ("init_ms", "first_ms")}
    return {**facts[0].model_dump(exclude={"answer"}), **times, "peak_bytes": max(f.peak_bytes for f in facts)}


def check_file(pair: Pair) -> None:
    """Read a file in bounds before native code does that goes where a damaged one sends it; raises StageFailed."""
    if registry.runtimes.get(pair.runtime.name).verifies:
        return
    try:
        read_model(read_file(pair.path), pair.path.name)
    except WorkbenchError as error:
        raise StageFailed(str(error)) from error

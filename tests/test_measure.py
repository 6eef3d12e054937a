"""Statistics of samples, the order of rounds, real host processes, and a whole measurement."""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from timed import MS, Clock, Fake, FakeHost, noisy, steady

from workbench.errors import Cancelled, StageFailed
from workbench.flatbuffer.census import read_census
from workbench.measure import interleave, session, stats
from workbench.measure.environment import environment, fingerprint
from workbench.measure.host import WARM_NS, settle, time_invocations
from workbench.measure.hosts import HostProcess, Hosts
from workbench.measure.interleave import LEAST_BLOCKS, MIN_BLOCKS, Variant, rounds_per_block, run_rounds
from workbench.measure.protocol import Opened
from workbench.measure.session import Measured, MeasureOptions, Subject, measure
from workbench.measure.watch import Watch
from workbench.recipes.grammar import parse_runtime
from workbench.values.settings import Measure
from workbench.values.trial import RuntimeSpec

# ---- statistics


def test_the_median_is_of_all_samples_in_milliseconds() -> None:
    found = stats.latency({0: [1 * MS, 2 * MS, 9 * MS], 1: [3 * MS], 2: [4 * MS]})
    assert (found.median, found.samples) == (3.0, 5)
    assert (found.low, found.high) == (2.0, 4.0)
    assert found.p90 == pytest.approx(4 + 0.6 * 5)


def test_one_round_has_no_width() -> None:
    found = stats.latency({0: [2 * MS]})
    assert (found.median, found.low, found.high, found.p90, found.samples) == (2.0, 2.0, 2.0, 2.0, 1)


def test_blocks_are_drawn_again_not_rounds() -> None:
    """Twenty rounds in four processes tell of four processes, however alike the rounds of one are."""
    rounds = {i: [(1 + i // 5) * MS + i] for i in range(20)}
    by_block, by_round = stats.latency(rounds, block=5), stats.latency(rounds, block=1)
    assert (round(by_block.low, 3), round(by_block.median, 3), round(by_block.high, 3)) == (1.0, 2.5, 4.0)
    assert by_round.high - by_round.low < 0.8 * (by_block.high - by_block.low)
    assert stats.half_width(rounds, 5) > 1.2 * stats.half_width(rounds, 1)
    one = stats.ratio(rounds, {i: [MS] for i in rounds}, 5)
    assert one is not None
    assert (round(one.low, 3), round(one.high, 3), one.rounds) == (1.0, 4.0, 20)


def test_ratios_are_paired_round_by_round() -> None:
    baseline = {i: [(10 + i) * MS] for i in range(8)}
    found = stats.ratio({i: [(10 + i) * 3 * MS] for i in (1, 3, 5, 99)}, baseline)
    assert found is not None
    assert (found.median, found.low, found.high, found.rounds) == (3.0, 3.0, 3.0, 3)
    assert stats.ratio({9: [1]}, baseline) is None


ROUNDS = st.lists(st.lists(st.integers(1_000, 10**9), min_size=1, max_size=5), min_size=1, max_size=20).map(
    lambda rounds: dict(enumerate(rounds))
)


@given(ROUNDS, st.integers(1, 3))
def test_the_interval_holds_the_median_and_stays_within_the_samples(rounds: dict[int, list[int]], block: int) -> None:
    found = stats.latency(rounds, block)
    samples = [s / MS for r in rounds.values() for s in r]
    assert min(samples) <= found.low <= found.median <= found.high <= max(samples)
    assert found.median <= found.p90 <= max(samples)
    low, high = stats.interval(np.array([np.median(r) for r in rounds.values()]))
    assert low <= high
    assert stats.half_width(rounds, block) >= 0


@given(ROUNDS, st.integers(2, 1000))
def test_another_unit_gives_the_same_figures(rounds: dict[int, list[int]], factor: int) -> None:
    scaled = {i: [s * factor for s in r] for i, r in rounds.items()}
    one, other = stats.latency(rounds), stats.latency(scaled)
    for name in ("median", "low", "high", "p90"):
        assert getattr(other, name) == pytest.approx(getattr(one, name) * factor, rel=1e-9)
    assert stats.half_width(scaled) == pytest.approx(stats.half_width(rounds), rel=1e-6, abs=1e-9)
    ratio = stats.ratio(scaled, rounds)
    assert ratio is not None
    assert ratio.median == pytest.approx(factor)


@given(ROUNDS)
def test_the_same_samples_give_the_same_interval(rounds: dict[int, list[int]]) -> None:
    assert stats.latency(rounds) == stats.latency(rounds)


@pytest.mark.parametrize("blocks", [LEAST_BLOCKS, MIN_BLOCKS, 30])
def test_the_interval_covers_the_truth_as_often_as_it_says(blocks: int) -> None:
    """95 % is the aim; the percentile bootstrap of a median is known to be a little off."""
    draw = np.random.default_rng(1)
    hits, ratio_hits, runs = 0, 0, 300
    for _ in range(runs):
        weather = 1 + 0.05 * draw.standard_normal(blocks)
        noise = 1 + 0.01 * draw.standard_normal((2, blocks, 1)) + 0.005 * draw.standard_normal((2, blocks, 4))
        mine = {i: (2.0 * MS * noise[0, i]).astype(int).tolist() for i in range(blocks)}
        found = stats.latency(mine)
        hits += found.low <= 2.0 <= found.high
        shared = {i: (2.4 * MS * weather[i] * noise[0, i]).astype(int).tolist() for i in range(blocks)}
        base = {i: (2.0 * MS * weather[i] * noise[1, i]).astype(int).tolist() for i in range(blocks)}
        ratio = stats.ratio(shared, base)
        assert ratio is not None
        ratio_hits += ratio.low <= 1.2 <= ratio.high
    assert 0.90 <= hits / runs <= 0.99
    assert 0.90 <= ratio_hits / runs <= 0.99


def test_pairing_cancels_what_the_machine_does_to_both() -> None:
    draw = np.random.default_rng(2)
    weather = 1 + 0.3 * draw.random(30)
    base = {i: [int(MS * weather[i] * (1 + 0.001 * draw.standard_normal()))] for i in range(30)}
    mine = {i: [int(1.05 * MS * weather[i] * (1 + 0.001 * draw.standard_normal()))] for i in range(30)}
    ratio = stats.ratio(mine, base)
    assert ratio is not None
    assert 1.04 < ratio.low <= ratio.high < 1.06
    latency = stats.latency(mine)
    assert latency.low < 1.05 * stats.latency(base).high


# ---- timing with a clock of our own


def test_warm_up_is_not_recorded() -> None:
    clock = Clock()
    calls = []

    def invoke() -> None:
        calls.append(clock.now)
        clock.now += 300 if len(calls) <= 4 else 100

    samples = time_invocations(invoke, 5, 1000, clock)
    assert samples == [100] * 5
    assert len(calls) == 4 + 5
    assert time_invocations(invoke, 2, 0, clock) == [100, 100]
    assert len(calls) == 9 + 2


@pytest.mark.parametrize(("took_ms", "expected"), [(1, 5), (4, 5), (8, 3), (100, 1)])
def test_a_fresh_process_settles_first(took_ms: int, expected: int) -> None:
    clock = Clock()

    def invoke() -> None:
        clock.now += took_ms * MS

    assert settle(invoke, clock) == expected


# ---- rounds


def run(machine: Fake, variants: list[Variant], half_width: float = 0.02, budget: float = 1e9, seed: int = 0) -> int:
    return run_rounds(variants, half_width, budget, seed=seed, clock=machine.clock)


def test_every_variant_is_timed_once_a_round_in_shuffled_order() -> None:
    machine = Fake({n: steady(MS) for n in "abcde"})
    run(machine, machine.variants())
    rounds = machine.rounds()
    assert len(rounds) == MIN_BLOCKS
    assert all(sorted(r) == list("abcde") for r in rounds)
    assert len({tuple(r) for r in rounds}) > MIN_BLOCKS / 2


def test_the_seed_decides_the_order() -> None:
    orders = []
    for seed in (0, 0, 1):
        machine = Fake({n: steady(MS) for n in "abcde"})
        run(machine, machine.variants(), seed=seed)
        orders.append(machine.turns)
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]


def test_each_block_has_a_fresh_process_and_all_are_closed() -> None:
    machine = Fake({n: steady(MS) for n in "ab"})
    assert run(machine, machine.variants()) == 1
    assert machine.opened == machine.closed == Counter(a=MIN_BLOCKS, b=MIN_BLOCKS)


def test_rounds_share_a_process_where_opening_is_slow() -> None:
    machine = Fake({n: steady(MS) for n in "ab"}, open_s=0.12)
    variants = machine.variants()
    block = run(machine, variants)
    turn = variants[0].turn_s
    assert block == math.ceil(0.12 / turn / interleave.OPEN_SHARE) > 1
    assert machine.opened == machine.closed == Counter(a=MIN_BLOCKS, b=MIN_BLOCKS)
    assert len(variants[0].rounds) == MIN_BLOCKS * block
    machine = Fake({"a": steady(MS)}, open_s=1000.0)
    assert run(machine, machine.variants()) == interleave.MAX_ROUNDS_PER_BLOCK


def test_a_small_budget_is_not_spent_on_more_rounds_of_a_block() -> None:
    variant = Variant("a", lambda: FakeHost(Fake({}), "a"), open_s=99.0, turn_s=1.0)
    least = interleave.LEAST_BLOCKS
    assert rounds_per_block([variant], least * 104.0) == 5
    assert rounds_per_block([variant], least * 102.0) == 3
    assert rounds_per_block([variant], 0.0) == 1


@pytest.mark.parametrize(
    ("open_s", "turn_s", "error", "expected"),
    [(0.0, 1.0, None, 1), (4.0, 1.0, None, 1), (4.1, 1.0, None, 2), (99.0, 1.0, None, 5), (99.0, 1.0, "broke", 1), (99.0, 0.0, None, 1)],
)  # fmt: skip
def test_rounds_of_a_block(open_s: float, turn_s: float, error: str | None, expected: int) -> None:
    variant = Variant("a", lambda: FakeHost(Fake({}), "a"), open_s=open_s, turn_s=turn_s, error=error)
    assert rounds_per_block([variant]) == expected


def test_a_steady_variant_is_narrow_when_the_budget_ends() -> None:
    machine = Fake({"calm": steady(MS), "wild": noisy(MS)})
    calm, wild = variants = machine.variants()
    run(machine, variants, budget=0.2)
    assert LEAST_BLOCKS <= len(calm.rounds) < MIN_BLOCKS
    assert (calm.narrow, wild.narrow) == (True, False)


def test_narrow_variants_stop_and_the_others_go_on() -> None:
    machine = Fake({"calm": steady(MS), "wild": noisy(MS)})
    calm, wild = variants = machine.variants()
    run(machine, variants, budget=2.0)
    assert calm.narrow
    assert not wild.narrow
    assert len(calm.rounds) == MIN_BLOCKS
    assert len(wild.rounds) > 3 * MIN_BLOCKS


def test_the_baseline_goes_on_while_others_need_it() -> None:
    machine = Fake({"base": steady(MS), "calm": steady(MS), "wild": noisy(MS)})
    base, calm, wild = variants = machine.variants("base")
    run(machine, variants, budget=2.0)
    assert base.narrow
    assert base.rounds.keys() == wild.rounds.keys() > calm.rounds.keys()
    assert len(calm.rounds) == MIN_BLOCKS
    assert all(set(r) == {"base", "wild"} for r in machine.rounds()[MIN_BLOCKS:])


def test_noise_within_bounds_becomes_narrow_with_time() -> None:
    machine = Fake({"a": noisy(MS)})
    (variant,) = variants = machine.variants()
    run(machine, variants, half_width=0.1)
    assert variant.narrow
    assert stats.half_width(variant.rounds) <= 0.1
    assert len(variant.rounds) > MIN_BLOCKS


def test_the_budget_ends_it() -> None:
    machine = Fake({"a": noisy(MS), "b": noisy(MS)})
    variants = machine.variants()
    run(machine, variants, half_width=1e-6, budget=1.0)
    # The first opening of each does not count, and no round is begun that would outlast the budget.
    assert 0.9 < machine.clock.now - 2 * machine.open_s <= 1.0
    assert all(len(v.rounds) > MIN_BLOCKS for v in variants)
    assert not any(v.narrow for v in variants)


def test_slow_models_take_few_invocations_and_no_second_warm_up() -> None:
    machine = Fake({"slow": noisy(1000 * MS), "fast": steady(1000)})
    slow, fast = variants = machine.variants()
    run_rounds(variants, 0.001, 40.0, samples=20, clock=machine.clock)
    assert (slow.per_turn, slow.warm_ns) == (20 / LEAST_BLOCKS, 0)
    assert (fast.per_turn, fast.warm_ns) == (interleave.MAX_PER_TURN, WARM_NS)
    assert 20 <= slow.samples <= 40


@pytest.mark.parametrize("turn", [0, 1, 2, 5])
def test_one_that_breaks_leaves_the_others(turn: int) -> None:
    def break_one(name: str, number: int) -> None:
        if name == "bad" and number == turn:
            raise StageFailed("crash: it died")

    machine = Fake({"bad": steady(MS), "good": steady(MS), "fine": noisy(MS)}, on_turn=break_one)
    bad, good, fine = variants = machine.variants("good")
    run(machine, variants, budget=1.0)
    assert bad.error == "crash: it died"
    assert machine.turns.count("bad") == turn + 1
    assert (good.error, fine.error) == (None, None)
    assert len(fine.rounds) > len(good.rounds) - 1 >= MIN_BLOCKS - 1
    assert machine.opened == machine.closed


@pytest.mark.parametrize("opening", [0, 3])
def test_one_that_does_not_open_leaves_the_others(opening: int) -> None:
    def refuse(name: str, number: int) -> None:
        if name == "bad" and number == opening:
            raise StageFailed("cannot be loaded")

    machine = Fake({"bad": steady(MS), "good": steady(MS)}, on_open=refuse)
    bad, good = variants = machine.variants()
    run(machine, variants)
    assert bad.error == "cannot be loaded"
    assert len(bad.rounds) == opening
    assert (good.error, len(good.rounds)) == (None, MIN_BLOCKS)
    assert machine.opened == machine.closed


def test_a_broken_baseline_leaves_the_others() -> None:
    def break_base(name: str, number: int) -> None:
        if name == "base" and number == 4:
            raise StageFailed("crash")

    machine = Fake({"base": steady(MS), "a": steady(MS)}, on_turn=break_base)
    base, a = variants = machine.variants("base")
    run(machine, variants)
    assert (base.error, a.error, len(a.rounds)) == ("crash", None, MIN_BLOCKS)


def test_a_bug_closes_what_was_opened() -> None:
    def raise_bug(name: str, number: int) -> None:
        if number == 4:
            raise ZeroDivisionError

    machine = Fake({n: steady(MS) for n in "abc"}, on_turn=raise_bug)
    with pytest.raises(ZeroDivisionError):
        run(machine, machine.variants())
    assert machine.opened == machine.closed
    assert machine.opened.total() > 0


def test_cancelling_ends_the_round_at_once() -> None:
    cancel = threading.Event()

    def stop(name: str, number: int) -> None:
        if number == 5:
            cancel.set()

    machine = Fake({n: noisy(MS) for n in "abcd"}, on_turn=stop)
    with pytest.raises(Cancelled):
        run_rounds(machine.variants(), 0.02, 1e9, watch=Watch(cancel), clock=machine.clock)
    assert max(Counter(machine.turns).values()) == 6
    assert sum(machine.turns.count(n) == 6 for n in "abcd") == 1
    assert machine.opened == machine.closed


def test_cancelling_while_opening_opens_no_more() -> None:
    cancel = threading.Event()
    machine = Fake(
        {n: steady(MS) for n in "abcdef"}, on_open=lambda name, number: cancel.set() if name == "b" else None
    )
    with pytest.raises(Cancelled):
        run_rounds(machine.variants(), 0.02, 1e9, watch=Watch(cancel), clock=machine.clock)
    assert set(machine.opened) == {"a", "b"}
    assert machine.opened == machine.closed


def test_progress_counts_what_is_final() -> None:
    told: list[tuple[str, int, int]] = []
    machine = Fake({"calm": steady(MS), "wild": noisy(MS)})
    watch = Watch(on_progress=lambda *step: told.append(step))
    run_rounds(machine.variants(), 0.02, 1.0, watch=watch, clock=machine.clock)
    assert told[:2] == [("opening", 0, 2), ("opening", 1, 2)]
    timing = [done for label, done, total in told if (label, total) == ("timing", 2)]
    assert timing == sorted(timing)
    assert (timing[0], timing[-1]) == (0, 1)


# ---- real processes

XNNPACK, BUILTIN, REFERENCE = (parse_runtime(n) for n in ("xnnpack", "builtin", "reference"))


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    with contextlib.closing(Hosts()) as opened:
        yield opened


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 60
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not alive(pid)


@pytest.mark.parametrize("runtime", [XNNPACK, BUILTIN, REFERENCE, parse_runtime("xnnpack[threads=2]")], ids=str)
def test_a_host_tells_what_it_holds(hosts: Hosts, small_tflite: Path, runtime: RuntimeSpec) -> None:
    with contextlib.closing(hosts.open(small_tflite, runtime)) as host:
        facts = host.facts
        operators = sum(read_census(small_tflite).operators.values())
        assert isinstance(facts, Opened)
        assert facts.ops_total == operators > 2
        taken = operators if runtime.name == "xnnpack" else 0
        assert (facts.ops_delegated, facts.partitions) == (taken, 1 if taken else 0)
        assert facts.peak_bytes > 0
        assert facts.first_ms > 0
        assert facts.init_ms > 0
        samples = host.time(7, 0, 60)
        assert len(samples) == 7
        assert all(s > 0 for s in samples)
        pid = host.pid
        assert pid != os.getpid()
        assert alive(pid)
    assert gone(pid)


def test_hosts_are_processes_of_their_own(hosts: Hosts, small_tflite: Path) -> None:
    opened = [hosts.open(small_tflite, XNNPACK) for _ in range(3)]
    assert len({h.pid for h in opened}) == 3
    for host in opened:
        host.close()
    assert all(gone(h.pid) for h in opened)


def test_a_killed_host_is_a_failure_with_a_reason(hosts: Hosts, small_tflite: Path) -> None:
    victim, other = hosts.open(small_tflite, XNNPACK), hosts.open(small_tflite, BUILTIN)
    os.kill(victim.pid, 9)
    with pytest.raises(StageFailed, match=r"crash: the process of small\.tflite on xnnpack died"):
        victim.time(5, 0, 60)
    assert len(other.time(5, 0, 60)) == 5
    other.close()
    with contextlib.closing(hosts.open(small_tflite, XNNPACK)) as again:
        assert len(again.time(3, 0, 60)) == 3


def test_a_host_that_hangs_is_ended(hosts: Hosts, small_tflite: Path) -> None:
    host = hosts.open(small_tflite, REFERENCE)
    with pytest.raises(StageFailed, match=r"time limit: small\.tflite on reference gave no answer within 0\.3 s"):
        host.time(10**9, 0, 0.3)
    assert gone(host.pid)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "broken.tflite (0 bytes) cannot be loaded by LiteRT"),
        (b"hello", "broken.tflite (5 bytes) cannot be loaded by LiteRT"),
        (None, "does not exist"),
    ],
)
def test_files_that_cannot_be_loaded(hosts: Hosts, tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "broken.tflite"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StageFailed) as caught:
        hosts.open(path, XNNPACK)
    assert said in str(caught.value)


def test_a_lost_parent_process_is_started_again(small_tflite: Path) -> None:
    with contextlib.closing(Hosts()) as own:
        own.open(small_tflite, XNNPACK).close()
        ((parent, _),) = own._parents.values()
        parent.kill()
        parent.wait()
        with contextlib.closing(own.open(small_tflite, XNNPACK)) as host:
            assert len(host.time(2, 0, 60)) == 2
        ((second, _),) = own._parents.values()
        assert second.pid != parent.pid
    assert second.poll() is not None


def test_rounds_go_on_when_a_real_process_dies(
    hosts: Hosts, small_tflite: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: dict[str, HostProcess] = {}

    def opener(name: str) -> Callable[[], HostProcess]:
        def open_host() -> HostProcess:
            opened[name] = hosts.open(small_tflite, BUILTIN)
            return opened[name]

        return open_host

    def kill(label: str, done: int, total: int) -> None:
        if label == "timing" and len(victim.rounds) == 4 and victim.error is None:
            os.kill(opened["victim"].pid, 9)

    victim, other = Variant("victim", opener("victim")), Variant("other", opener("other"))
    # The process of a block is ended with it, so a block has to outlast the blow.
    monkeypatch.setattr(interleave, "OPEN_SHARE", 1e-9)
    assert run_rounds([victim, other], 0.9, 60.0, watch=Watch(on_progress=kill)) == interleave.MAX_ROUNDS_PER_BLOCK
    assert victim.error is not None
    assert victim.error.startswith("crash: the process of small.tflite on builtin died")
    assert (other.error, len(victim.rounds)) == (None, 4)
    assert len(other.rounds) > 4


def collect(
    subjects: list[Subject], runtimes: list[RuntimeSpec], baseline: str | None = None, budget: float = 60.0
) -> dict[tuple[str, str], Measured]:
    found: dict[tuple[str, str], Measured] = {}

    def keep(measured: Measured) -> None:
        key = (measured.subject, measured.measurement.runtime)
        assert key not in found
        found[key] = measured

    measure(subjects, runtimes, MeasureOptions(Measure(budget=budget, half_width=0.5, samples=20), baseline), keep)
    return found


def test_two_files_on_two_runtimes(small_tflite: Path, small_int8_tflite: Path) -> None:
    subjects = [Subject("float", small_tflite), Subject("int8", small_int8_tflite)]
    found = collect(subjects, [XNNPACK, REFERENCE], "float")
    assert set(found) == {(s, r) for s in ("float", "int8") for r in ("xnnpack", "reference")}
    for (subject, runtime), measured in found.items():
        made = measured.measurement
        assert (made.state, made.kind, made.error, made.options) == ("ok", "measured", None, {"threads": 1})
        assert made.latency_ms is not None
        assert measured.samples_ns is not None
        assert made.latency_ms.samples == len(measured.samples_ns) >= 20
        assert made.latency_ms.median == pytest.approx(float(np.median(measured.samples_ns)) / MS)
        assert 0 < made.latency_ms.low <= made.latency_ms.median <= made.latency_ms.high
        assert made.ratio is not None
        if subject == "float":
            assert (made.ratio.median, made.ratio.low, made.ratio.high) == (1.0, 1.0, 1.0)
        assert made.environment["processor"]
        assert None not in (made.init_ms, made.first_ms, made.peak_bytes, made.ops_total, made.partitions)
        assert bool(made.ops_delegated) == (runtime == "xnnpack")


def test_without_a_baseline_there_is_no_ratio(small_tflite: Path) -> None:
    ((_, measured),) = collect([Subject("float", small_tflite)], [XNNPACK], budget=0.2).items()
    assert measured.measurement.ratio is None
    assert measured.measurement.latency_ms is not None


def test_a_file_that_cannot_run_is_one_failed_measurement(small_tflite: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.tflite").write_bytes(b"no model")
    found = collect(
        [Subject("float", small_tflite), Subject("bad", tmp_path / "bad.tflite")], [BUILTIN], "float", budget=0.3
    )
    bad, good = found["bad", "builtin"], found["float", "builtin"].measurement
    assert bad.samples_ns is None
    assert (bad.measurement.state, bad.measurement.latency_ms, bad.measurement.ratio) == ("failed", None, None)
    assert "bad.tflite (8 bytes) cannot be loaded by LiteRT" in (bad.measurement.error or "")
    assert bad.measurement.environment["cores"] > 0
    assert good.latency_ms is not None


def test_a_baseline_that_cannot_run_leaves_latencies_without_ratios(small_tflite: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.tflite").write_bytes(b"no model")
    found = collect(
        [Subject("base", tmp_path / "bad.tflite"), Subject("a", small_tflite)], [BUILTIN], "base", budget=0.2
    )
    assert found["base", "builtin"].measurement.state == "failed"
    made = found["a", "builtin"].measurement
    assert (made.state, made.ratio) == ("ok", None)


def test_nothing_is_told_of_a_measurement_that_was_cancelled(small_tflite: Path) -> None:
    cancel = threading.Event()
    told: list[Measured] = []

    def stop(label: str, done: int, total: int) -> None:
        assert label in ("opening on xnnpack", "timing on xnnpack")
        if label.startswith("timing"):
            cancel.set()

    subjects = [Subject("a", small_tflite), Subject("b", small_tflite)]
    measure(subjects, [XNNPACK, BUILTIN], MeasureOptions(Measure(budget=60)), told.append, Watch(cancel, stop))
    assert told == []


def test_no_subject_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[object] = []
    monkeypatch.setattr(session, "Hosts", lambda: started.append("hosts"))
    monkeypatch.setattr(session, "machine_lock", lambda *arguments: started.append("lock"))
    measure([], [XNNPACK], MeasureOptions(Measure()), lambda measured: None)
    assert started == []


def test_the_machine_is_described() -> None:
    facts = environment()
    assert facts["processor"]
    assert facts["cores"] == os.cpu_count()
    assert facts["versions"]["ai-edge-litert"]
    assert "tensorflow" in facts["versions"]
    assert fingerprint() == {
        "machine": facts["machine"],
        "litert": facts["versions"]["ai-edge-litert"],
    }

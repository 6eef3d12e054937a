"""How long a dashboard over many stored trials takes to show and to answer, without a browser.

    python tests/benchmarks/dashboard.py [--trials 10000] [--repeat 3]

A store is filled with trials made through the value classes (a census of ten tensors each, measured on two runtimes);
what is timed is what the widget asks of the library, each in a process of its own as a user's notebook is, and the best of
`--repeat`. Beside the seconds stands what they are per 1,000 trials, and as a multiple of the plainest way to read the same
rows in the same process (`sqlite3` and `json.loads`), which a slow or busy machine slows as much.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from stored import store_study  # noqa: E402  # the path above is needed for it
from trials import make_many  # noqa: E402  # as above

from workbench.store.store import Store  # noqa: E402  # as above
from workbench.values.trial import Trial  # noqa: E402  # as above

TENSORS = 10
RAW_SAMPLES = 400


def fill(folder: Path, count: int) -> None:
    """Write a store with so many trials of the study "many", and their measurements."""
    store_study(folder, "many", [_with_tensors(t) for t in make_many(count)], RAW_SAMPLES)


def _with_tensors(trial: Trial) -> Trial:
    if trial.census is None:
        return trial
    kernel = trial.census.tensors[0]
    tensors = tuple(kernel.model_copy(update={"name": f"block_{i}/conv/kernel"}) for i in range(TENSORS))
    return trial.model_copy(update={"census": trial.census.model_copy(update={"tensors": tensors})})


def once(folder: Path) -> dict[str, tuple[float, float, int]]:
    """Open the store, show everything and answer; returns seconds, seconds of writing JSON, and its bytes, by step."""
    from workbench.dashboard.state import DashboardState

    found: dict[str, tuple[float, float, int]] = {}

    def timed(name: str, ask: Callable[[], Any]) -> Any:
        begin = time.perf_counter()
        answer = ask()
        seconds = time.perf_counter() - begin
        begin = time.perf_counter()
        size = len(json.dumps(answer, allow_nan=False)) if isinstance(answer, dict) else 0
        found[name] = (seconds, time.perf_counter() - begin if size else 0.0, size)
        return answer

    timed("rows as plain JSON", lambda: len(_plain(folder)))
    begin = time.perf_counter()
    store = Store(folder)
    trials = timed("read", lambda: store.trials("many"))
    source: Any = _Stored(store, trials)
    state = timed("state", lambda: DashboardState(source))
    timed("first figure", lambda: {"header": state.header(), "figure": state.figure(), "limits": state.limits()})
    found["from call to messages"] = (time.perf_counter() - begin, 0.0, 0)

    def axis() -> Any:
        state.choose(x="latency@reference", y="compressed")
        return state.figure()

    def slide() -> Any:
        state.limit({"size": 120_000, "accuracy_drop": 0.02, "latency_ms": 5.0})
        return state.limits()

    def arrange() -> Any:
        state.arrange(sort="latency_ms@xnnpack", filter="int8 prune", page=2)
        return state.table()

    timed("axis change", axis)
    timed("slider", slide)
    timed("table", state.table)
    timed("table sorted", arrange)
    timed("parallel", state.parallel)
    timed("failures", state.failures)

    def spread() -> Any:
        state.choose(symbol="runtime")
        return state.figure()

    timed("by runtime", spread)
    state.select([t.id for t in trials[1:9]])
    timed("comparison", state.selection)
    return found


def _plain(folder: Path) -> list[Any]:
    with contextlib.closing(sqlite3.connect(folder / "store.db")) as db:
        texts = [*db.execute("SELECT trial FROM trials"), *db.execute("SELECT measurement FROM measurements")]
    return [json.loads(text) for (text,) in texts]


class _Stored:
    """A study in a store, whose trials were read already so that reading is timed apart."""

    running = False
    error = None
    name = "many"

    def __init__(self, store: Store, trials: list[Trial]) -> None:
        self.record = store.study("many")
        self.trials = trials


def main() -> None:
    """Fill a store, time each step in fresh processes, and print the best."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--once", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        print(json.dumps(once(options.once)))
        return
    with tempfile.TemporaryDirectory(prefix="dashboard-") as temporary:
        folder = Path(temporary) / "store"
        fill(folder, options.trials)
        runs = []
        for _ in range(options.repeat):
            command = [sys.executable, __file__, "--once", str(folder)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            runs.append(json.loads(done.stdout))
    print(f"{options.trials:,} trials, best of {options.repeat}")
    print(f"{'':>22} {'s':>7} {'ms per 1,000':>13} {'x plain':>8} {'JSON s':>7} {'kB':>7}")
    plain = min(run["rows as plain JSON"][0] for run in runs)
    for name in runs[0]:
        seconds, written, size = min(tuple(run[name]) for run in runs)
        thousand = 1e6 * seconds / options.trials
        print(f"{name:>22} {seconds:7.3f} {thousand:13.1f} {seconds / plain:8.2f} {written:7.3f} {size / 1000:7.0f}")


if __name__ == "__main__":
    main()

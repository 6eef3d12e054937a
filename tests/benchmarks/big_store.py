"""What the verbs take on large stores: 100,000 trials in 50 studies, and one study of 10,000.

    python tests/benchmarks/big_store.py [--trials 10000] [--studies 50] [--of 2000]

The trials are made through the value classes (`tests/trials.py`), each with a measurement; nothing is built. Prints seconds with
process start, and the peak memory of the command.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from trials import make_record, make_trial  # noqa: E402  # the tests' own

from workbench.store.reader import runtime_key  # noqa: E402
from workbench.store.store import Store  # noqa: E402
from workbench.store.tables import MEASUREMENTS  # noqa: E402

SCHEMES = ["float32", "float16", "dynamic", "weight-only-int8", "int8", "int8-float-io", "int4-dynamic", "int4-block32"]


def fill(store: Store, study: str, count: int) -> None:
    """Write a study of so many trials."""
    store.save_study(make_record(study))
    trials = []
    for i in range(count):
        scheme = SCHEMES[i % len(SCHEMES)]
        recipe = scheme if i < len(SCHEMES) else f"prune:{round(0.1 + 0.8 * i / count, 6)}+{scheme}"
        trials.append((make_trial(recipe), f"{i:064d}", i))
    store.save_trials(study, trials)
    rows = [
        {
            "study": study,
            "trial": t.id,
            "runtime": runtime_key(m.runtime, m.options),
            "machine": m.machine,
            "at": 1.0,
            "key": "k",
            "measurement": m.to_json(),
            "samples_ns": None,
        }
        for t, _, _ in trials
        for m in t.measurements
    ]
    with store.database.writing() as db:
        db.execute(MEASUREMENTS.insert(), rows)


def run(name: str, *arguments: str) -> None:
    """Run a command and print what it took."""
    code = (
        "import resource, sys; from workbench.cli.app import run; found = run(sys.argv[1:]);"
        "print('PEAK', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, file=sys.stderr); sys.exit(found)"
    )
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - begin
    peak = next((line.split()[1] for line in done.stderr.splitlines() if line.startswith("PEAK")), "?")
    said = f", exit {done.returncode}: {done.stderr.strip()[-200:]}" if done.returncode else ""
    print(f"{name:>28}: {seconds:6.2f} s, {peak:>5} MB, {len(done.stdout) / 1e6:6.1f} MB printed{said}", flush=True)


def main() -> None:
    """Fill two stores and time the verbs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--studies", type=int, default=50)
    parser.add_argument("--of", type=int, default=2_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="big-store-") as temporary:
        one, many = Path(temporary, "one"), Path(temporary, "many")
        for place, names, count in (
            (one, ["big"], options.trials),
            (many, [f"study-{i}" for i in range(options.studies)], options.of),
        ):
            store = Store(place)
            for name in names:
                fill(store, name, count)
            store.close()
        print(f"{options.studies * options.of:,} trials in {options.studies} studies")
        run("studies", "studies", "--store", str(many))
        print(f"one study of {options.trials:,}")
        run("show --format json", "show", "big", "--format", "json", "--store", str(one))
        run("pareto", "pareto", "big", "--format", "csv", "--store", str(one))
        run("best", "best", "big", "--format", "csv", "--store", str(one))
        page = Path(temporary, "page.html")
        run("report", "report", "big", "--out", str(page), "--store", str(one))
        print(f"{'page':>28}: {page.stat().st_size / 1e6:.1f} MB" if page.exists() else "no page")
    print(f"filling took up to {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")


if __name__ == "__main__":
    main()

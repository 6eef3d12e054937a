"""How much of a grid's hypervolume a search with a quarter of its trials reaches.

    python tests/benchmarks/search_vs_grid.py [--store DIR] [--json FILE]

Sweeps a 96-recipe grid over the bundled model once (about five minutes on 2 cores, or found in the store), then searches
it anew with 24 trials for five seeds and each strategy. The store gives the finished stages, so a search
costs seconds; which recipes it chooses does not depend on that. Hypervolume is over file size (to the largest of the grid)
and accuracy (to the lowest of the grid), both scaled to the grid's range.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import workbench
from workbench.data.load import bundled
from workbench.values.trial import Trial

GRID: dict[str, Any] = {
    "prune": ["none", 0.3, 0.5, 0.8],
    "cluster": ["none", 16],
    "qat": [False, True],
    "quantize": [
        "float32",
        "float16",
        "dynamic",
        "weight-only-int8",
        "int8",
        "int8-float-io",
        "int16x8",
        "int4-dynamic",
        "int4-weight-only",
        "int4-block32",
    ],
    "train": {"epochs": 2},
    "measure": {"skip": True},
}
SEEDS = range(5)
STRATEGIES = ("random", "tpe", "nsga2")


def hypervolume(trials: list[Trial], every: list[Trial]) -> float:
    """Return the share of the box between the grid's worst and best figures that the trials dominate."""
    sizes, goods = zip(*(_figures(t) for t in every), strict=True)
    worst_size, span = max(sizes), max(sizes) - min(sizes)
    worst_good, rise = min(goods), max(goods) - min(goods)
    points = sorted(((worst_size - s) / span, (g - worst_good) / rise) for s, g in map(_figures, trials))
    area, reached = 0.0, 0.0
    for x, y in reversed(points):
        area += x * max(0.0, y - reached)
        reached = max(reached, y)
    return area


def _figures(trial: Trial) -> tuple[float, float]:
    assert trial.size is not None
    assert trial.quality is not None
    assert trial.quality.accuracy is not None
    return float(trial.size.file), trial.quality.accuracy


def main() -> None:
    """Run the comparison and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    store = options.store or Path(tempfile.mkdtemp(prefix="search-vs-grid-"))
    begin = time.monotonic()
    model = bundled("digits_cnn.h5")
    whole = [t for t in workbench.sweep(model, "digits", GRID, study="grid", store=store).trials if t.state == "ok"]
    best = hypervolume(whole, whole)
    print(f"grid: {len(whole)} recipes, hypervolume {best:.4f}, {time.monotonic() - begin:.0f} s")
    found: dict[str, list[float]] = {}
    with workbench.Engine() as engine:
        for strategy in STRATEGIES:
            for seed in SEEDS:
                grid = {**GRID, "search": {"strategy": strategy, "trials": len(whole) // 4, "seed": seed}}
                chosen = workbench.sweep(model, "digits", grid, study=f"{strategy}-{seed}", store=store, engine=engine)
                tried = [t for t in chosen.trials if t.state == "ok"]
                found.setdefault(strategy, []).append(hypervolume(tried, whole) / best)
    for strategy, shares in found.items():
        listed = " ".join(f"{s:.3f}" for s in shares)
        print(
            f"{strategy:>7}: {len(whole) // 4} trials, {statistics.mean(shares):.1%} of the grid's hypervolume (seeds: {listed})"
        )
    if options.json:
        options.json.write_text(json.dumps({"recipes": len(whole), "hypervolume": best, "share": found}, indent=2))


if __name__ == "__main__":
    main()

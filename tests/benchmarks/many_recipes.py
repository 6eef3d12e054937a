"""How long 500 recipes that are in the store already take to list, sweep again, and report.

    python tests/benchmarks/many_recipes.py [--recipes 500]

One recipe is really made and measured; its rows are then written for all the others, so that the store has the size of a
real one. What is timed are the commands as a user calls them, process start included.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

import workbench
from workbench.data.load import bundled
from workbench.engine.measuring import measurement_key
from workbench.engine.planning import make_plan
from workbench.engine.request import make_grid
from workbench.measure.environment import fingerprint
from workbench.recipes import grammar
from workbench.recipes.grid import expand
from workbench.store.store import Store


def fill(folder: Path, count: int) -> None:
    """Write a store with `count` finished trials of the study "many", and `grid.yaml` that asks for them."""
    schemes = ["float32", "float16", "dynamic", "int8", "int8-float-io"]
    sparsities = [round(0.001 * (i + 1), 3) for i in range(count // len(schemes))]
    (folder / "grid.yaml").write_text(
        yaml.safe_dump({"prune": sparsities, "quantize": schemes, "measure": {"budget": 0}})
    )
    store = Store(folder / "store")
    workbench.sweep(
        bundled("digits_cnn.h5"),
        "digits",
        {"quantize": ["float32"], "measure": {"budget": 0}},
        study="many",
        store=store,
    )
    record, real = store.study("many"), store.trials("many")[0]
    grid = make_grid(yaml.safe_load((folder / "grid.yaml").read_text()), None, None)
    plan = make_plan(
        expand(grid, "keras").recipes, record.model, record.dataset, grid, record.tasks, record.threads or 1
    )
    trials = []
    for position, (trial_id, recipe) in enumerate(plan.recipes.items()):
        copy = real.model_copy(
            update={
                "id": trial_id,
                "recipe": grammar.recipe_text(recipe),
                "steps": recipe.steps,
                "baseline": trial_id == plan.baseline,
            }
        )
        trials.append((copy, plan.ends[trial_id], position))
    store.save_trials("many", trials)
    for trial, _, _ in trials:
        for measurement in real.measurements:
            assert trial.artifact is not None
            key = measurement_key(trial.artifact.sha256, grid.runtimes[0], fingerprint(), grid.measure, False)
            store.save_measurement("many", trial.id, measurement, key, None)


def main() -> None:
    """Fill a store and time the commands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", type=int, default=500)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="many-recipes-") as temporary:
        folder = Path(temporary)
        fill(folder, options.recipes)
        store = ["--store", str(folder / "store")]
        again = [
            "sweep",
            str(bundled("digits_cnn.h5")),
            "--data",
            "digits",
            "--grid",
            str(folder / "grid.yaml"),
            "--study",
            "many",
            *store,
        ]
        total = 0.0
        for name, arguments in {
            "studies": ["studies", *store],
            "show": ["show", "many", "--format", "csv", *store],
            "sweep again": again,
            "report": ["report", "many", "--out", str(folder / "r.html"), *store],
        }.items():
            begin = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-m", "workbench", *arguments], capture_output=True, text=True, check=False
            )
            seconds = time.perf_counter() - begin
            total += seconds
            print(
                f"{name:>12}: {seconds:.2f} s, exit {done.returncode} {done.stderr.strip()[-100:] if done.returncode else ''}"
            )
        print(f"{'all':>12}: {total:.2f} s for {options.recipes} recipes")


if __name__ == "__main__":
    main()

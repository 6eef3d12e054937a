"""What a long sweep takes from the machine: descriptors and memory of the caller and each worker as it goes on, and what is left at its end.

    python tests/benchmarks/growth.py [--recipes 500] [--jobs 2]

Half of the recipes are pruned, half pruned and clustered, each in five schemes; some are trained with simulated rounding
besides. The model has a few hundred parameters, so that what is seen is what a stage leaves behind, not what it needs.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

import workbench
from workbench.engine.events import Event

SCHEMES = ["float32", "float16", "dynamic", "int8", "int8-float-io"]
# Counted in stages of all workers: the first is the level that the others are held against.
MARKS = (50, 100, 250, 500, 750, 1000)


def grid(recipes: int) -> dict[str, Any]:
    """Return a grid of about so many recipes."""
    levels = max(1, recipes // (2 * len(SCHEMES)))
    sparsities = [round(0.2 + 0.7 * (i + 1) / (levels + 1), 4) for i in range(levels)]
    return {
        "prune": sparsities,
        "cluster": ["none", 8],
        "quantize": SCHEMES,
        "recipes": [f"prune:{s}+qat+int8" for s in sparsities[::5]],
        "train": {"epochs": 1, "batch_size": 128},
        "calibration": {"samples": 20},
        "measure": {"skip": True},
    }


def small_model(path: Path) -> None:
    """Write a tf_keras classifier of 558 parameters, images (8, 8, 1) to 6 classes."""
    import tf_keras

    tf_keras.utils.set_random_seed(1)
    layers = tf_keras.layers
    image = layers.Input((8, 8, 1), name="image")
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(image)
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(24, activation="relu")(x)
    tf_keras.Model(image, layers.Dense(6, activation="softmax")(x)).save(path, include_optimizer=False)


def images() -> dict[str, Any]:
    """Return random images with labels."""
    draw = np.random.default_rng(0)
    return {
        "x_train": draw.random((256, 8, 8, 1), dtype=np.float32),
        "y_train": draw.integers(0, 6, 256),
        "x_test": draw.random((100, 8, 8, 1), dtype=np.float32),
        "y_test": draw.integers(0, 6, 100),
    }


def figures(process: psutil.Process) -> str:
    """Return what a process has open and holds, in words."""
    return f"{process.num_fds():4d} files {process.memory_info().rss / 1e6:6.0f} MB"


class Watch:
    """A sweep's listener that looks at the workers at every mark."""

    def __init__(self) -> None:
        self.stages = 0
        self.begin = time.monotonic()
        self.semaphores: set[Path] = set()

    def __call__(self, event: Event) -> None:
        if event.kind in ("stage-done", "stage-failed"):
            self.stages += 1
            if self.stages in MARKS or event.done == event.total:
                self.look()

    def look(self) -> None:
        """Print what this process and each worker have open and hold, and note their semaphores."""
        seen = [figures(psutil.Process())]
        for process in sorted(psutil.Process().children(recursive=True), key=lambda p: p.pid):
            with contextlib.suppress(psutil.Error, OSError):  # it ended meanwhile
                self.semaphores |= {Path(m.path) for m in process.memory_maps() if m.path.startswith("/dev/shm/")}
                if "workbench.engine.nursery" in process.cmdline() and not process.children():
                    seen.append(figures(process))
        print(f"{self.stages:6d} stages {time.monotonic() - self.begin:7.0f} s   {'   '.join(seen)}", flush=True)


def main() -> None:
    """Run the sweep and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", type=int, default=500)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="growth-") as outer:
        # A temporary folder of its own: other programs write into the machine's.
        temporary = Path(outer, "tmp")
        temporary.mkdir()
        os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
        small_model(Path(outer, "model.h5"))
        watch = Watch()
        study = workbench.sweep(
            Path(outer, "model.h5"),
            images(),
            grid(options.recipes),
            store=Path(outer, "store"),
            jobs=options.jobs,
            listener=watch,
        )
        failed = [t for t in study.trials if t.state != "ok"]
        print(f"{len(study.trials)} trials, {len(failed)} not ok")
        for trial in failed[:5]:
            print(f"  {trial.recipe}: {trial.error}")
        shared = sorted(p.name for p in watch.semaphores if p.exists())
        print(f"left in shared memory: {len(shared)} of {len(watch.semaphores)} {' '.join(shared[:5])}")
        kept = sorted(p.name for p in temporary.iterdir())
        print(f"left in the temporary folder: {len(kept)} {' '.join(kept[:5])}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

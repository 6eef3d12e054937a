"""A worker that has done the same stage many times: `python long_worker.py FOLDER SOURCE ROUNDS`, for test_leaks.py.

SOURCE is a float `.tflite` or an `.h5`. Prints, as JSON by name of the work, what the process held before and after the rounds.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from workbench.data.dataset import Dataset
from workbench.data.load import load_dataset
from workbench.data.materialize import materialize
from workbench.engine.plan import Plan, Stage
from workbench.engine.planning import make_plan
from workbench.engine.request import make_grid
from workbench.engine.stages import run_stage
from workbench.recipes.grid import expand
from workbench.sources.identify import identify
from workbench.values.task import TaskSpec

FILES = ["float32", "float16", "dynamic", "weight-only-int8", "int8", "int8-float-io", "int16x8", "int4-dynamic"]
TRAINED = ["prune:0.5+float32", "cluster:4+float32", "qat+int8", "prune:0.5+cluster:4+qat+int8"]
CONVERTED = ["dynamic[engine=converter]", "int8[engine=converter]"]
WARM = 3
TASKS = {"probabilities": TaskSpec(name="classification")}


def held() -> dict[str, int]:
    """Return what this process holds: descriptors, objects, bytes of memory, files in its temporary folder, loaded modules."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):  # glibc only
        ctypes.CDLL(None).malloc_trim(0)
    return {
        "descriptors": len(os.listdir("/proc/self/fd")),
        "objects": len(gc.get_objects()) + gc.get_freeze_count(),
        "memory": int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"),
        "temporary": len(os.listdir(os.environ["TMPDIR"])),
        "modules": len(sys.modules),
    }


def images(count: int) -> Dataset:
    """Return random images (8, 8, 1) with six classes; with 100 and more in the test split, batches are tried."""
    draw = np.random.default_rng(0)
    sizes = {"train": 96, "test": count}
    x = {f"x_{k}": draw.random((n, 8, 8, 1), dtype=np.float32) for k, n in sizes.items()}
    y = {f"y_{k}": draw.integers(0, 6, n) for k, n in sizes.items()}
    found: Dataset = load_dataset({**x, **y})
    return found


class Worker:
    """Plans for a source, the results so far, and the means to run a stage of them again."""

    def __init__(self, folder: Path, source: Path) -> None:
        self.root = folder
        self.model = identify(source, folder)
        self.info = {n: materialize(images(n), folder / "data") for n in (20, 128)}
        self.results: dict[str, dict[str, Any]] = {}

    def plan(self, recipes: list[str], samples: int = 128) -> Plan:
        """Return the plan of recipes; `samples` are in the test split."""
        settings = {"recipes": recipes, "train": {"epochs": 1, "batch_size": 48}, "calibration": {"samples": 10}}
        grid = make_grid(settings, None, None)
        return make_plan(expand(grid, self.model.kind).recipes, self.model, self.info[samples], grid, TASKS, 1)

    def run(self, stage: Stage) -> dict[str, Any]:
        """Run a stage in this process, as a worker does."""
        inputs = {role: self.results[parent]["artifact"] for role, parent in stage.parents.items()}
        self.results[stage.key] = run_stage(stage.kind, stage.payload, inputs, str(self.root), 1)
        return self.results[stage.key]

    def work(self, recipes: list[str], samples: int = 128) -> dict[str, Callable[[], dict[str, Any]]]:
        """Run all stages of the recipes once, and return what runs each again, by its label."""
        plan = self.plan(recipes, samples)
        for stage in plan.stages.values():
            result = self.run(stage)
            assert "error" not in result, (stage.label, result)
        return {s.label: partial(self.run, s) for s in plan.stages.values()}

    def failing(self, kind: str, payload: dict[str, Any], **inputs: str) -> dict[str, Any]:
        """Run a stage that has to fail; inputs by role are artifacts of the store, `HASH.KIND`."""
        given = {}
        for role, name in inputs.items():
            sha256, _, suffix = name.partition(".")
            given[role] = {"path": name, "sha256": sha256, "kind": suffix}
        result = run_stage(kind, {"source": self.model.to_json(), **payload}, given, str(self.root), 1)
        assert "error" in result, (kind, result)
        return result


def failures(worker: Worker, content: bytes) -> dict[str, Callable[[], dict[str, Any]]]:
    """Return stages that fail, each for another reason."""
    artifacts = worker.root / "artifacts"
    broken = {"garbage": b"no model at all", "cut": content[: len(content) // 2], "empty": b"", "whole": content}
    for name, data in broken.items():
        (artifacts / f"{name}.tflite").write_bytes(data)
    judged: dict[str, Any] = {
        "dataset": worker.info[20].sha256,
        "tasks": [{"output": "probabilities", "name": "classification", "options": {}, "version": 1}],
        "scheme": "float32",
        "sparsity": None,
        "clusters": None,
    }
    samples = {"before": [], "samples": 5, "seed": 0, "dataset": worker.info[20].sha256}
    int8 = {"before": [], "step": {"technique": "quantize", "params": {"scheme": "int8"}}}
    gone = {**judged, "dataset": "0" * 64}
    again = worker.failing
    return {
        **{
            f"evaluate a file: {n}": partial(again, "evaluate", judged, file=f"{n}.tflite")
            for n in broken
            if n != "whole"
        },
        "calibrate: cut": partial(again, "calibrate", samples, float_model="cut.tflite"),
        "quantize without ranges": partial(again, "finish", int8, float_model="whole.tflite"),
        "data that is not there": partial(again, "evaluate", gone, file="whole.tflite"),
    }


def main() -> None:
    """Do every work again and again, one after the other, and print what each has left."""
    folder, source, rounds = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    worker = Worker(folder, source)
    if source.suffix == ".tflite":
        work = worker.work(FILES)
        work |= {f"{n}, one by one": run for n, run in worker.work(["int8"], 20).items() if n.startswith("evaluate")}
        work |= failures(worker, source.read_bytes())
    else:
        every = worker.work([*TRAINED, *CONVERTED])
        # What needs no TensorFlow is looked at in the other kind of source, where it takes a fraction of the time.
        work = {n: run for n, run in every.items() if n.startswith(("train", "convert", "freeze")) or "=" in n}
        bad = folder / "bad.h5"
        bad.write_bytes(b"no model at all")
        gone = {"before": [], "source": {**worker.model.to_json(), "path": str(bad)}}
        work |= {f"{kind}: no model": partial(worker.failing, kind, gone) for kind in ("convert", "freeze")}
    found = {}
    for name, run in work.items():
        for _ in range(WARM):
            run()
        before = held()
        for _ in range(rounds):
            run()
        found[name] = {"before": before, "after": held()}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()

"""Workbench against the loop of the public guides, on the same model, data and recipes, in one run.

    python tests/benchmarks/sweep_vs_loop.py [mn96] [mn224] [digits] [--json FILE] [--again N]

(a) the loop (`loop.py`), a process of its own; (b) `workbench sweep` as a user calls it, process start included; (c) the
same in an engine that is already running. All three evaluate 200 samples and time each artifact: (a) 50 runs, (b) and (c) at least 100 in ten processes.
Prints the times, the ratios, and whether (a) and (b) agree on file sizes (within 2 %) and accuracy (within 1 point).
MobileNetV2 has random weights, which is fine for time; its normalization is settled on the data so that it has ranges
to calibrate, and its labels are its own float predictions.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

HERE = Path(__file__).resolve().parent
SAMPLES = 200
TEN = [
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
]


@dataclass(frozen=True)
class Case:
    """A model, its data, and the recipes: as the loop names them, and as Workbench's grid."""

    name: str
    model: Path
    data: Path
    loop: list[str]
    grid: dict[str, Any]
    epochs: int = 2


def make_case(name: str, folder: Path) -> Case:
    """Make the model and data files of a case; TensorFlow is imported in a process of its own."""
    subprocess.run([sys.executable, __file__, "--make", name, str(folder)], check=True, env=_quiet())
    model, data = folder / f"{name}.h5", folder / f"{name}.npz"
    if name != "digits":
        return Case(name, model, data, TEN, {"quantize": TEN})
    # The loop neither folds batch normalization nor shares a scale after clustering; the same is asked of Workbench.
    schemes = ["float32", "float16", "dynamic", "int8", "int8-float-io"]
    grid = {
        "prune": [0.5, 0.8],
        "cluster": ["none", {"clusters": 16, "fold": False}],
        "qat": ["none", {"fold": False}],
        "quantize": [{"scheme": s, "granularity": "channel"} for s in schemes],
    }
    prefixes = [p + c for p in ("prune:0.5+", "prune:0.8+") for c in ("", "cluster:16+")]
    loop = [p + s for p in prefixes for s in schemes] + [
        p + "qat+" + s for p in prefixes for s in ("int8", "int8-float-io")
    ]
    return Case(name, model, data, loop, grid)


def make_files(name: str, folder: Path) -> None:
    """Write `name.h5` and `name.npz`."""
    import tf_keras

    if name == "digits":
        import shutil

        from workbench.data.load import bundled

        shutil.copy(bundled("digits_cnn.h5"), folder / "digits.h5")
        digits = dict(np.load(bundled("digits.npz")))
        x_train, x_test = (digits[k].astype(np.float32) / np.float32(255) for k in ("x_train", "x_test"))
        np.savez(
            folder / "digits.npz",
            x_train=x_train,
            y_train=digits["y_train"],
            x_test=x_test[:SAMPLES],
            y_test=digits["y_test"][:SAMPLES],
        )
        return
    size, alpha = {"mn96": (96, 0.35), "mn224": (224, 1.0)}[name]
    tf_keras.utils.set_random_seed(0)
    model = tf_keras.applications.MobileNetV2(weights=None, input_shape=(size, size, 3), alpha=alpha)
    draw = np.random.default_rng(0)
    # Smooth images of different colours: noise alone looks the same to every layer.
    colour = draw.random((2 * SAMPLES, 1, 1, 3)) * np.linspace(0, 1, size)[None, :, None, None] + draw.random(
        (2 * SAMPLES, 1, 1, 3)
    )
    x = (np.clip(colour / 2 + 0.1 * draw.standard_normal((2 * SAMPLES, size, size, 3)), 0, 1)).astype(np.float32)
    for layer in model.layers:
        if isinstance(layer, tf_keras.layers.BatchNormalization):
            layer.momentum = 0.5
    for start in range(0, SAMPLES, 20):
        model(x[start : start + 20], training=True)
    y = model.predict(x[SAMPLES:], verbose=0).argmax(axis=1)
    model.save(folder / f"{name}.h5", include_optimizer=False)
    np.savez(
        folder / f"{name}.npz", x_train=x[:SAMPLES], y_train=np.zeros(SAMPLES, np.int64), x_test=x[SAMPLES:], y_test=y
    )


def run_loop(case: Case, folder: Path) -> tuple[float, dict[str, dict[str, Any]]]:
    """Return (a): seconds and outcomes by recipe."""
    out = folder / "loop.json"
    begin = time.perf_counter()
    subprocess.run(
        [
            sys.executable,
            str(HERE / "loop.py"),
            str(case.model),
            str(case.data),
            str(out),
            str(case.epochs),
            *case.loop,
        ],
        check=True,
        env=_quiet(),
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - begin, {o["recipe"]: o for o in json.loads(out.read_text())}


def run_command(case: Case, folder: Path, number: int) -> tuple[float, dict[str, Any]]:
    """Return (b): seconds of the command, and what `workbench show` says."""
    grid = folder / "grid.yaml"
    grid.write_text(yaml.safe_dump(_grid(case)))
    store = folder / f"store-b{number}"
    command = [sys.executable, "-m", "workbench"]
    begin = time.perf_counter()
    subprocess.run(
        [
            *command,
            "sweep",
            str(case.model),
            "--data",
            str(case.data),
            "--grid",
            str(grid),
            "--store",
            str(store),
            "--study",
            "b",
        ],
        check=False,
        env=_quiet(),
        capture_output=True,
    )
    seconds = time.perf_counter() - begin
    shown = subprocess.run(
        [*command, "show", "b", "--store", str(store), "--format", "json"],
        check=True,
        env=_quiet(),
        capture_output=True,
        text=True,
    )
    return seconds, json.loads(shown.stdout)


def run_warm(case: Case, folder: Path, number: int) -> tuple[float, Any]:
    """Return (c): seconds of the sweep in a running engine, and its profile."""
    import workbench

    with workbench.Engine() as engine:
        engine.warm()
        begin = time.perf_counter()
        study = workbench.sweep(
            str(case.model), str(case.data), _grid(case), study="c", store=folder / f"store-c{number}", engine=engine
        )
        return time.perf_counter() - begin, study.profiles[-1]


def compare(loop: dict[str, dict[str, Any]], shown: dict[str, Any], names: list[str]) -> list[dict[str, Any]]:
    """Return a row per recipe that both made: sizes and accuracies, and whether they agree."""
    from workbench.recipes.grammar import parse_recipe, step_text

    trials = {_plain(t["recipe"]): t for t in shown["trials"]}
    rows = []
    for name in names:
        mine, theirs = trials.get("+".join(step_text(s) for s in parse_recipe(name).steps)), loop[name]
        if mine is None or mine["state"] != "ok":
            rows.append({"recipe": name, "agree": False, "error": mine["error"] if mine else "not made"})
            continue
        size, accuracy = mine["size"]["file"], mine["quality"]["accuracy"]
        agree = abs(size / theirs["size"] - 1) <= 0.02 and abs(accuracy - theirs["accuracy"]) <= 0.01
        rows.append(
            {
                "recipe": name,
                "size": size,
                "loop size": theirs["size"],
                "accuracy": accuracy,
                "loop accuracy": theirs["accuracy"],
                "agree": agree,
            }
        )
    return rows


def _plain(recipe: str) -> str:
    import re

    return re.sub(r"\[[^\]]*\]", "", recipe)


def _grid(case: Case) -> dict[str, Any]:
    # A wide interval ends timing as soon as it is looked at, which no budget forestalls.
    return {
        **case.grid,
        "train": {"epochs": case.epochs},
        "calibration": {"samples": SAMPLES},
        "measure": {"samples": 50, "half_width": 0.5, "budget": 600},
    }


def _quiet() -> dict[str, str]:
    path = os.pathsep.join([str(HERE.parent.parent), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "PYTHONPATH": path}


def main() -> None:
    """Run the cases asked for and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=["mn96", "mn224", "digits"])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--again", type=int, default=1, help="how often (b) and (c) run; medians are printed")
    parser.add_argument("--make", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        make_files(options.make[0], Path(options.make[1]))
        return
    from workbench.cli.output import print_table
    from workbench.measure.environment import environment

    results = []
    for name in options.cases:
        with tempfile.TemporaryDirectory(prefix="sweep-vs-loop-") as temporary:
            folder = Path(temporary)
            case = make_case(name, folder)
            a, loop = run_loop(case, folder)
            runs = [run_command(case, folder, n) for n in range(options.again)]
            warm = [run_warm(case, folder, n) for n in range(options.again)]
            b, c = statistics.median(r[0] for r in runs), statistics.median(r[0] for r in warm)
            profile = warm[-1][1]
            rows = compare(loop, runs[-1][1], case.loop)
            print_table(rows, f"{name}: the same files?")
            row = {
                "case": name,
                "recipes": len(case.loop),
                "(a) loop s": a,
                "(b) command s": b,
                "(c) warm s": c,
                "a/b": a / b,
                "a/c": a / c,
                "utilisation": profile.utilisation,
            }
            print_table([row])
            print_table(profile.rows(), "Stages of (c)")
            print(f"stages that ran twice: {profile.repeated() or 'none'}")
            results.append({**row, "rows": rows, "profile": profile.to_json()})
    print_table([{k: v for k, v in r.items() if k not in ("rows", "profile")} for r in results], "Sweep against loop")
    if options.json:
        options.json.write_text(json.dumps({"environment": environment(), "results": results}, indent=2))


if __name__ == "__main__":
    main()

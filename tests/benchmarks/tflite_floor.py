"""A float `.tflite` of MobileNetV2 224 swept with eight schemes, against the sum of the parts that cannot be left out.

    python tests/benchmarks/tflite_floor.py [--json FILE]

200 test samples, a measuring budget of 10 s. The floor: imports (the command's own and a worker's, each timed in a process
of its own), one calibration per activation width, the evaluation's invocations, and the measuring budget; `spread` has calibration and
evaluation divided by the workers, as if they were spread without a gap. TensorFlow must not be imported: the sweep runs
with it blocked.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import workbench
from workbench.cli.output import print_table
from workbench.evaluate.run import run_all
from workbench.measure.environment import environment

HERE = Path(__file__).resolve().parent
SCHEMES = [
    "float32",
    "float16",
    "dynamic",
    "weight-only-int8",
    "int8",
    "int8-float-io",
    "int4-dynamic",
    "int4-weight-only",
]
BUDGET = 10.0
BLOCKER = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "tf_keras", "keras"):
            raise ImportError(f"{name} must not be imported")
sys.meta_path.insert(0, Blocked())
"""


def seconds(code: str, environ: dict[str, str]) -> float:
    """Return how long a fresh interpreter takes for some code."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, env=environ, capture_output=True)
    return time.perf_counter() - begin


def main() -> None:
    """Make the file, sweep it, print the sweep beside its floor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tflite-floor-") as temporary:
        folder = Path(temporary)
        subprocess.run(
            [sys.executable, str(HERE / "sweep_vs_loop.py"), "--make", "mn224", str(folder)],
            check=True,
            capture_output=True,
        )
        made = workbench.sweep(
            folder / "mn224.h5",
            str(folder / "mn224.npz"),
            {"quantize": ["float32"], "measure": {"skip": True}},
            store=folder / "make",
        )
        artifact = made.trials[0].artifact
        assert artifact is not None
        source = folder / "mobilenet.tflite"
        source.write_bytes(Path(artifact.path).read_bytes())
        (folder / "site").mkdir()
        (folder / "site" / "sitecustomize.py").write_text(BLOCKER)
        environ = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(
                [str(folder / "site"), str(HERE.parent.parent), os.environ.get("PYTHONPATH", "")]
            ),
        }
        command = [
            sys.executable,
            "-m",
            "workbench",
            "sweep",
            str(source),
            "--data",
            str(folder / "mn224.npz"),
            "--quantize",
            ",".join(SCHEMES),
        ]
        command += ["--measure-budget", str(BUDGET), "--store", str(folder / "store"), "--study", "floor"]
        begin = time.perf_counter()
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        total = time.perf_counter() - begin
        if done.returncode:
            sys.exit(f"the sweep failed:\n{done.stdout}{done.stderr}")
        study = workbench.open_study("floor", folder / "store")
        profile = study.profiles[-1]
        imports = seconds("import workbench.commands.sweeping, workbench.api, distributed", environ) + seconds(
            "import distributed, workbench.engine.stages, litert_quantizer, ai_edge_litert.interpreter", environ
        )
        calibration = sum(s.busy_s for s in profile.stages if s.kind == "calibrate")
        x = np.load(folder / "mn224.npz")["x_test"]
        evaluation = 0.0
        for trial in study.trials:
            assert trial.artifact is not None
            begin = time.perf_counter()
            run_all(Path(trial.artifact.path), {"": x})
            evaluation += time.perf_counter() - begin
    floor = imports + calibration + evaluation + BUDGET
    spread = imports + (calibration + evaluation) / profile.workers + BUDGET
    row = {
        "sweep s": total,
        "imports s": imports,
        "calibration s": calibration,
        "evaluation s": evaluation,
        "budget s": BUDGET,
        "floor s": floor,
        "sweep / floor": total / floor,
        "sweep / spread": total / spread,
    }
    print_table([row], "MobileNetV2 224, float .tflite, eight schemes")
    print_table(profile.rows(), "Stages")
    print(f"prepare {profile.prepare_s:.1f} s, build {profile.build_s:.1f} s, measure {profile.measure_s:.1f} s")
    if options.json:
        options.json.write_text(json.dumps({"environment": environment(), **row}, indent=2))


if __name__ == "__main__":
    main()

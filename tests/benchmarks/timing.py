"""Is the timing right? An A/A test, and LiteRT's own benchmark tool on the same files in the same run.

    python tests/benchmarks/timing.py [--pairs 20] [--json FILE]

A/A: the same file entered many times beside the baseline; the paired ratio's 95 % interval should hold 1 in at least 19 of 20
pairs and be at most 3 % wide to either side. LiteRT: `python -m ai_edge_litert.tools.benchmark_litert_model` five times
(its own defaults: 5 warm-ups, 50 runs, one thread), medians compared for files of 0.2 ms or more.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import workbench
from workbench.cli.output import print_table
from workbench.data.load import bundled
from workbench.measure.environment import environment
from workbench.measure.session import Measured, MeasureOptions, Subject, measure
from workbench.values.settings import Measure
from workbench.values.trial import RuntimeSpec

HERE = Path(__file__).resolve().parent
ONE_THREAD = RuntimeSpec(name="xnnpack", options={"threads": 1})


def same_file(path: Path, pairs: int) -> dict[str, Any]:
    """Measure a file `pairs` times beside itself and return how often the interval of the ratio held 1."""
    found: list[Measured] = []
    measure(
        [Subject("base", path), *(Subject(f"again {i}", path) for i in range(pairs))],
        [ONE_THREAD],
        MeasureOptions(Measure(), "base"),
        found.append,
    )
    base = next(m.measurement for m in found if m.subject == "base")
    ratios = [m.measurement.ratio for m in found if m.subject != "base" and m.measurement.ratio]
    assert base.latency_ms is not None
    return {
        "file": path.parent.name + "/" + path.name[:8],
        "ms": base.latency_ms.median,
        "pairs": len(ratios),
        "hold 1": sum(r.low <= 1 <= r.high for r in ratios),
        "widest half-width": max((r.high - r.low) / 2 / r.median for r in ratios),
    }


def own_tool(path: Path, times: int = 5) -> float:
    """Return the median milliseconds that LiteRT's own tool gives, over several runs of it."""
    medians = []
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "result.json"
        for _ in range(times):
            command = [
                sys.executable,
                "-m",
                "ai_edge_litert.tools.benchmark_litert_model",
                f"--model={path}",
                f"--result_json={out}",
            ]
            subprocess.run(command, check=True, capture_output=True)
            medians.append(_median(json.loads(out.read_text())))
    return statistics.median(medians)


def _median(data: Any) -> float:
    """Find the median in the tool's JSON, whose nesting differs between versions."""
    if isinstance(data, dict):
        for key, value in data.items():
            if "median" in key and isinstance(value, (int, float)):
                return float(value)
        for value in data.values():
            found = _median(value)
            if found:
                return found
    return 0.0


def main() -> None:
    """Make the files, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="timing-") as temporary:
        folder = Path(temporary)
        files: dict[str, Path] = {}
        for name in ("digits", "mn96", "mn224"):
            if name != "digits":
                subprocess.run(
                    [sys.executable, str(HERE / "sweep_vs_loop.py"), "--make", name, str(folder)],
                    check=True,
                    capture_output=True,
                )
            model, data = (
                (bundled("digits_cnn.h5"), "digits")
                if name == "digits"
                else (folder / f"{name}.h5", str(folder / f"{name}.npz"))
            )
            study = workbench.sweep(
                model,
                data,
                {"quantize": ["float32", "int8"], "measure": {"skip": True}},
                study=name,
                store=folder / "store",
            )
            for trial in study.trials:
                assert trial.artifact is not None
                files[f"{name} {trial.recipe}"] = Path(trial.artifact.path)
        aa = [{**same_file(files[n], options.pairs), "file": n} for n in ("digits float32", "mn96 float32")]
        print_table(aa, "A/A: the same file beside itself")
        rows = []
        for name, path in files.items():
            found: list[Measured] = []
            measure([Subject(name, path)], [ONE_THREAD], MeasureOptions(Measure(budget=5)), found.append)
            latency = found[0].measurement.latency_ms
            assert latency is not None
            theirs = own_tool(path)
            rows.append(
                {
                    "file": name,
                    "Workbench ms": latency.median,
                    "LiteRT tool ms": theirs,
                    "ratio": latency.median / theirs,
                    "counts": latency.median >= 0.2,
                }
            )
        print_table(rows, "Against LiteRT's own tool (counts: 0.2 ms or more)")
    if options.json:
        options.json.write_text(json.dumps({"environment": environment(), "aa": aa, "litert": rows}, indent=2))


if __name__ == "__main__":
    main()

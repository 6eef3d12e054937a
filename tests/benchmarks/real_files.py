"""Print a table of published `.tflite` files through a sweep: sizes and signal to noise by scheme, or why not.

python tests/benchmarks/real_files.py
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

SCHEMES = ("float32", "dynamic", "int8")
SAMPLES = 24


def main() -> None:
    """Download, sweep and print."""
    from ai_edge_litert.interpreter import Interpreter
    from published import download

    import workbench

    print("| file | source kB | " + " | ".join(f"{s} kB, dB" for s in SCHEMES) + " |")
    print("| --- |" + " --- |" * (1 + len(SCHEMES)))
    with tempfile.TemporaryDirectory() as folder, workbench.Engine(jobs=1) as engine:
        for name, path in download(Path(folder)).items():
            (detail,) = Interpreter(model_path=str(path)).get_input_details()
            x = np.random.default_rng(0).random([SAMPLES, *detail["shape"][1:]], dtype=np.float32)
            grid = {"quantize": list(SCHEMES), "measure": {"skip": True}}
            data = {"x_train": x, "x_test": x[:8]}
            study = workbench.sweep(path, data, grid, store=Path(folder) / "store", engine=engine)
            found = {t.recipe: t for t in study.trials}
            cells = [_cell(found[s]) for s in SCHEMES]
            print(f"| {name} | {path.stat().st_size / 1e3:.0f} | {' | '.join(cells)} |", flush=True)


def _cell(trial: object) -> str:
    from workbench.values.trial import Trial

    assert isinstance(trial, Trial)
    if trial.size is None or trial.quality is None:
        return "quantized already" if "quantized already" in (trial.error or "") else f"failed: {trial.error}"
    noise = "equal" if trial.quality.sqnr_db is None else f"{trial.quality.sqnr_db:.1f}"
    told = {w.kind for w in trial.warnings} & {"not-float32", "unfolded-weights"}
    return f"{trial.size.file / 1e3:.0f}, {noise}{' (' + ', '.join(sorted(told)) + ')' if told else ''}"


if __name__ == "__main__":
    main()

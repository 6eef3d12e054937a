"""Print a table of published models through a sweep: sizes and signal to noise by scheme, or why not.

python tests/benchmarks/real_files.py [NAME...]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]

from cells import cell  # noqa: E402

SCHEMES = ("float32", "dynamic", "int8")
SAMPLES = 40
SHAPES = {
    "emotion_model.hdf5": (64, 64, 1),
    "image_example1.h5": (96, 96, 1),
    "ws-gru-mesa.keras": (20, 36),
    "icassp_2022": (43844, 1),
}
_FOLDER = tempfile.TemporaryDirectory(prefix="workbench-published-")


def names() -> list[str]:
    """Return the names of all files."""
    from published import MODELS, PACKAGES

    return [*(n for found in PACKAGES.values() for n in found), *(n for n in MODELS if n in SHAPES)]


def row(name: str, engine: Any) -> dict[str, str]:
    """Sweep a model, and return its cells."""
    from published import MODELS, download, drawn, model, samples

    import workbench

    folder = Path(_FOLDER.name)
    if name in MODELS:
        path = model(name, folder)
        x = drawn(SHAPES[name], SAMPLES)
        size = sum(f.stat().st_size for f in ([path] if path.is_file() else path.rglob("*")) if f.is_file())
    else:
        path = folder / f"{name}.tflite"
        path = path if path.exists() else download(folder)[name]
        x, size = samples(path, SAMPLES), path.stat().st_size
    grid = {"quantize": list(SCHEMES), "measure": {"skip": True}}
    with tempfile.TemporaryDirectory() as store:
        study = workbench.sweep(path, {"x_train": x[8:], "x_test": x[:8]}, grid, store=store, engine=engine)
        found = {t.recipe: t for t in study.trials}
    return {"source kB": f"{size / 1e3:.0f}", **{s: _cell(found[s]) for s in SCHEMES}}


def _cell(trial: Any) -> str:
    if trial.size is None or trial.quality is None:
        return "quantized already" if "quantized already" in (trial.error or "") else cell(trial)
    noise = "equal" if trial.quality.sqnr_db is None else f"{trial.quality.sqnr_db:.1f}"
    told = {w.kind for w in trial.warnings} - {"calibration-few-samples"}
    return f"{trial.size.file / 1e3:.0f}, {noise}{' (' + ', '.join(sorted(told)) + ')' if told else ''}"


def main(arguments: list[str]) -> None:
    """Download, sweep and print."""
    import workbench

    columns = ["source kB", *(f"{s} kB, dB" for s in SCHEMES)]
    print(f"| {' | '.join(['file', *columns])} |\n| {' | '.join(['---'] * (len(columns) + 1))} |")
    with workbench.Engine(jobs=1) as engine:
        for name in arguments or names():
            print(f"| {' | '.join([name, *row(name, engine).values()])} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

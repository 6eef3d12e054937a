"""How far each of `keras.applications` is off when it is rebuilt in tf_keras, and what trained techniques make of it; prints a table.

    python tests/benchmarks/keras3_applications.py [NAME...] [--rebuild-only]

Random weights, 64x64 images (Xception and InceptionV3: 96x96), 10 classes, 16 images, one epoch.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]

from cells import cell  # noqa: E402

NAMES = (
    *("MobileNet", "MobileNetV2", "MobileNetV3Small", "MobileNetV3Large", "EfficientNetB0", "EfficientNetV2B0"),
    *("ResNet50", "DenseNet121", "NASNetMobile", "ConvNeXtTiny", "Xception", "InceptionV3"),
)
RECIPES = ("prune:0.5+int8", "cluster:16+int8", "qat+int8")


def size_of(name: str) -> int:
    """The side of the images."""
    return 96 if name in ("Xception", "InceptionV3") else 64


def difference(name: str) -> tuple[str, float]:
    """How far the rebuilt model's outputs are off, as a share of their scale, or why it cannot be; and the seconds."""
    from keras3_models import application

    from workbench.errors import WorkbenchError
    from workbench.sources.keras3.layers import NotRebuilt
    from workbench.sources.keras3.load import rebuilt

    model, begin = application(name, size_of(name)), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        try:
            return f"{rebuilt(model, Path(folder)):.1e}", time.monotonic() - begin
        except (NotRebuilt, WorkbenchError) as error:
            return f"failed: {error}", time.monotonic() - begin


def trained(name: str, engine: Any) -> dict[str, Any]:
    """The trial of each recipe."""
    from keras3_models import application

    import workbench

    model, side = application(name, size_of(name)), size_of(name)
    x = np.random.default_rng(0).random((20, side, side, 3), np.float32)
    data = {"x_train": x[4:], "y_train": np.arange(16) % 10, "x_test": x[:4], "y_test": np.arange(4)}
    grid = {"recipes": list(RECIPES), "train": {"epochs": 1}, "measure": {"skip": True}}
    with tempfile.TemporaryDirectory() as store:
        found = {t.recipe: t for t in workbench.sweep(model, data, grid, store=store, engine=engine).trials}
    return {text: found[text] for text in RECIPES}


def main(arguments: list[str]) -> None:
    """Print a row for each application."""
    import workbench

    names = [a for a in arguments if not a.startswith("-")] or list(NAMES)
    only = "--rebuild-only" in arguments
    print(f"| {' | '.join(['application', 'difference', 'seconds', *(() if only else RECIPES)])} |", flush=True)
    with workbench.Engine(jobs=1) as engine:
        for name in names:
            share, seconds = difference(name)
            cells = [] if only else [cell(t) for t in trained(name, engine).values()]
            print(f"| {' | '.join([name, share, f'{seconds:.0f}', *cells])} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

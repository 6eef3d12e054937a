"""Open a file of Keras 3 in a worker: load it, rebuild it in tf_keras, compare; or export it where that cannot be."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any

from workbench.compat.keras import graph_of, import_keras
from workbench.errors import StageFailed, WorkbenchError
from workbench.sources import load
from workbench.sources.keras3 import check
from workbench.sources.keras3.export import export
from workbench.sources.keras3.graph import rebuild
from workbench.sources.keras3.layers import NotRebuilt


def load_keras3(path: Path, allow_code: bool) -> Any:
    """Return the model of a file that Keras 3 wrote; raises WorkbenchError where it cannot be loaded, or holds code that is not allowed."""
    keras = import_keras()
    with contextlib.ExitStack() as stack:
        if not allow_code:
            path = stack.enter_context(load.checked_file(path, keras3=True))
        file = stack.enter_context(load.utf8_path(path))
        try:
            model = keras.saving.load_model(str(file), compile=False, safe_mode=not allow_code)
        except Exception as error:  # Keras raises anything for a file that does not fit it
            said = " ".join(str(error).split())[: load.MOST_SAID]
            hint = "Export it where its classes are (`model.export(folder)`) and give that SavedModel."
            if path.suffix != ".keras":
                hint = "Keras does not read operations (`x + y`, `keras.ops`) from HDF5 again. Save it as .keras."
            raise WorkbenchError(f"Keras {keras.__version__} cannot load {path.name!r}: {said}. {hint}") from error
    graph = graph_of(model)
    if graph is None or not graph.inputs:
        raise WorkbenchError(f"{path.name!r} has no fixed input: build or call the model once before saving it.")
    return model


def open_model(model: Any, folder: Path) -> Path:
    """Write a Keras 3 model into a folder as a file of tf_keras whose outputs are the same, or as a SavedModel with the reason beside it.

    What computes in half precision computes in float32 afterwards, as its weights are and as converters need it.
    Raises StageFailed where it can be neither.
    """
    compute_in_float32(model)
    made = folder / "rebuilt"
    made.mkdir()
    try:
        rebuilt(model, made)
        return next(made.iterdir())
    except (NotRebuilt, WorkbenchError) as error:
        reason = f"the model cannot be rebuilt in tf_keras: {error}"
    except (
        Exception
    ) as error:  # tf_keras raises anything for a graph that it cannot hold; the trials that need it say so
        said = " ".join(str(error).split())[:300]
        reason = f"the model cannot be rebuilt in tf_keras: {type(error).__name__}: {said}"
    shutil.rmtree(made)
    export(model, folder / "exported", reason)
    return folder / "exported"


def rebuilt(model: Any, folder: Path) -> float:
    """Write a model's twin into an empty folder, and return how far its outputs are off, as a share of their scale.

    Raises NotRebuilt for what tf_keras cannot have, StageFailed for other outputs than the model's, WorkbenchError for a file that does not load.
    """
    import tf_keras

    # Names of operations count up from the last ones; the file must not depend on what this process did before.
    tf_keras.backend.reset_uids()
    file = load.save_keras(rebuild(model), folder)
    # What is compared is the file: what it does not hold is not used later either.
    twin = load.load_keras(file, ours=True, beside=True)
    inputs, expected = check.draw(model)
    got = check.outputs_of(twin, inputs)
    try:
        return check.difference(twin.output_names, expected, got)
    except StageFailed as error:
        raise StageFailed(f"its outputs would not be the same: {error}") from error


def compute_in_float32(model: Any) -> None:
    """Have layers that compute in half precision, mixed or not, compute in float32."""
    keras = import_keras()
    for layer in _layers(model):
        if layer.dtype_policy.name in ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16"):
            layer.dtype_policy = keras.DTypePolicy("float32")


def _layers(model: Any) -> list[Any]:
    """Return a model's layers and those in them, at any depth, each once."""
    keras = import_keras()
    found: dict[int, Any] = {}
    pending = [model]
    while pending:
        layer = pending.pop()
        if id(layer) in found:
            continue
        found[id(layer)] = layer
        inner = [*getattr(layer, "layers", []), *(v for v in vars(layer).values() if isinstance(v, keras.Layer))]
        pending.extend(v for v in inner if isinstance(v, keras.Layer))
    return list(found.values())

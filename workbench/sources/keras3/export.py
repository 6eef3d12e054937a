"""The other way: a SavedModel of a Keras 3 model that cannot be rebuilt, for post-training schemes."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from workbench.compat.keras import graph_of, import_keras
from workbench.errors import StageFailed, WorkbenchError
from workbench.sources.keras3.graph import names_of
from workbench.sources.unfolding import check_archive

# TensorFlow keeps what is in this folder of a SavedModel and never looks at it.
_REASON = Path("assets.extra") / "workbench_not_rebuilt.txt"
_MOST_REASON = 2000
_EPOCH = (1980, 1, 1, 0, 0, 0)


def export(model: Any, folder: Path, reason: str) -> None:
    """Write a SavedModel of a Keras 3 model, and beside it why it is no more than that.

    A graph's inputs and outputs have the names that data has for them. Raises StageFailed with Keras's reason.
    """
    try:
        graph = graph_of(model)
        if graph is None or not graph.inputs:
            model.export(str(folder), format="tf_saved_model", verbose=False)
        else:
            _export_graph(model, graph, folder)
    except Exception as error:  # Keras raises anything here
        said = " ".join(str(error).split())[:300]
        raise StageFailed(
            f"{reason}; Keras cannot export it to a SavedModel either ({type(error).__name__}: {said})"
        ) from error
    path = folder / _REASON
    path.parent.mkdir(exist_ok=True)
    path.write_text(reason[:_MOST_REASON], encoding="utf-8")


def _export_graph(model: Any, graph: Any, folder: Path) -> None:
    import tensorflow as tf

    keras = import_keras()
    inputs, outputs = names_of(graph.input, graph.inputs), names_of(graph.output, graph.outputs)
    specs = {n: tf.TensorSpec(tuple(t.shape), t.dtype, name=n) for n, t in zip(inputs, graph.inputs, strict=True)}

    def serve(values: dict[str, Any]) -> dict[str, Any]:
        packed = keras.tree.pack_sequence_as(graph.input, [values[n] for n in inputs])
        return dict(zip(outputs, keras.tree.flatten(model(packed, training=False)), strict=True))

    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", serve, input_signature=[specs])
    archive.write_out(str(folder), verbose=False)


def reason_in(folder: Path) -> str:
    """Return why a SavedModel that was made of a Keras 3 model is no Keras model, "" for any other."""
    path = folder / _REASON
    return path.read_text(encoding="utf-8", errors="replace")[:_MOST_REASON] if path.is_file() else ""


def pack(model: Any, path: Path, reason: str) -> None:
    """Write the SavedModel of a model object as one file."""
    with tempfile.TemporaryDirectory(prefix="workbench-export-") as temporary:
        folder = Path(temporary) / "model"
        export(model, folder, reason)
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(p for p in folder.rglob("*") if p.is_file()):
                archive.writestr(zipfile.ZipInfo(file.relative_to(folder).as_posix(), _EPOCH), file.read_bytes())


def unpack(path: Path, folder: Path) -> Path:
    """Write the SavedModel that `pack` wrote into a new folder; raises WorkbenchError for another archive."""
    made = folder / "model"
    try:
        with zipfile.ZipFile(path) as archive:
            check_archive(archive, path)
            for name in archive.namelist():
                target = made / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(name) as content, target.open("wb") as file:
                    shutil.copyfileobj(content, file)
    except (OSError, zipfile.BadZipFile) as error:
        raise WorkbenchError(f"{path.name!r} is a damaged archive of a SavedModel: {error}") from error
    return made

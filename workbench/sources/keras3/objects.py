"""A Keras 3 model object of the user's, kept as a file that the source `keras3` opens."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from workbench.compat.keras import graph_of, import_keras
from workbench.errors import WorkbenchError
from workbench.files import file_sha256
from workbench.sources import trust
from workbench.sources.keras3.allowed import KERAS_3
from workbench.sources.keras3.source import PACKED
from workbench.store.kept import keep_file
from workbench.values.source import ModelInfo


def keep_object(model: Any, keep: Path) -> ModelInfo:
    """Save a model below `keep`, under a name made of its configuration and weights, so that an equal one is found again.

    One that another process could not load (a subclass, layers of the user's own, Lambda) is exported here, where its classes are.
    Raises WorkbenchError for what is no model, or has no fixed input.
    """
    keras = import_keras()
    if not isinstance(model, keras.Model):
        raise WorkbenchError(
            f"a model cannot be made of Keras 3 {type(model).__name__} {getattr(model, 'name', '')!r}. Build a model with it."
        )
    graph = graph_of(model)
    if not model.built or (isinstance(model, keras.Sequential) and graph is None):
        raise WorkbenchError(
            f"model {model.name!r} has no fixed input. Give it an Input, or call it once on data of the right shape."
        )
    config = _configuration(model)
    why = "it is a subclass, and only its Python code knows what it does with its layers"
    if graph is not None:
        why = trust.fault_of(config, KERAS_3) if config is not None else "Keras cannot write down its configuration"
    if why:
        return _exported(model, keep, f"model {model.name!r} cannot be rebuilt in tf_keras: {why}")
    digest = _digest(model, config)
    path = keep / f"{digest}.keras"
    keep_file(path, lambda partial: model.save(str(partial)))
    return ModelInfo(name=str(model.name), kind="keras", path=str(path.resolve()), sha256=digest, source="keras3")


def _exported(model: Any, keep: Path, why: str) -> ModelInfo:
    """Keep a model's SavedModel. Its name is its content's: what code of the user's own does, nothing else tells."""
    from workbench.sources.keras3.export import pack

    with tempfile.TemporaryDirectory(prefix="workbench-export-") as folder:
        packed = Path(folder) / f"model{PACKED}"
        pack(model, packed, why)
        digest = file_sha256(packed)
        path = keep / f"{digest}{PACKED}"
        keep_file(path, lambda partial: shutil.copyfile(packed, partial))
    return ModelInfo(name=str(model.name), kind="keras", path=str(path.resolve()), sha256=digest, source="keras3")


def _configuration(model: Any) -> Any:
    """Return what Keras writes into a file about the model, None where it cannot; how it was compiled is of no account."""
    try:
        config = json.loads(json.dumps(import_keras().saving.serialize_keras_object(model)))
    except Exception:  # a class of the user's own may raise anything
        return None
    return {k: v for k, v in config.items() if k != "compile_config"}


def _digest(model: Any, config: Any) -> str:
    """Return the hash of what the model is: its configuration and its weights."""
    hasher = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for weight in model.weights:
        value = np.ascontiguousarray(import_keras().ops.convert_to_numpy(weight))
        hasher.update(f"{weight.path} {value.dtype} {value.shape}".encode())
        hasher.update(value.tobytes())
    return hasher.hexdigest()

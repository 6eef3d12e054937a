"""Tell what a model source is and hash its content, without importing TensorFlow."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from workbench.compat.tf_keras import is_graph
from workbench.data.load import bundled
from workbench.errors import WorkbenchError, nearest
from workbench.files import file_sha256, tree_sha256
from workbench.names import printable
from workbench.sources import trust
from workbench.sources.keras_file import read_keras_file
from workbench.store.kept import keep_file
from workbench.values.source import ModelInfo, SourceKind

ALLOWED = "a tf_keras model object, .keras or .h5 (tf_keras), a SavedModel folder, or a float .tflite"
# The names of the models that come with Workbench, trained on `digits`.
BUNDLED = ("digits_cnn", "digits_small")


def identify(model: Any, keep: Path, allow_code: bool = False) -> ModelInfo:
    """Return what `model` is: a path, or a tf_keras model object, which is saved below `keep`.

    Raises WorkbenchError for a missing file, an unknown kind, a Keras 3 model, or one that holds more than data and
    tf_keras's own layers (Lambda layers and the like, which are code) unless `allow_code`.
    """
    if isinstance(model, (str, Path)):
        return _from_path(Path(model), allow_code)
    kind = type(model)
    bases = {cls.__module__.split(".")[0] for cls in kind.__mro__}
    if "tf_keras" in bases:
        return _from_object(model, keep, allow_code)
    if "keras" in bases:
        raise WorkbenchError(
            f"{kind.__name__} {getattr(model, 'name', '')!r} is a Keras 3 model; trained techniques need tf_keras. "
            "Rebuild it with `import tf_keras`, or call `model.export(folder)` and pass that SavedModel folder for post-training schemes."
        )
    raise WorkbenchError(f"a model cannot be made of {kind.__module__}.{kind.__name__}. Allowed: {ALLOWED}.")


def _from_path(path: Path, allow_code: bool) -> ModelInfo:
    if str(path) in BUNDLED and not path.exists():
        path = bundled(f"{path}.h5")
    if not path.exists():
        near = (
            sorted(p.name for p in path.parent.glob("*") if p.suffix in (".h5", ".keras", ".tflite"))[:5]
            if path.parent.is_dir()
            else []
        )
        hint = f" Models in that folder: {', '.join(near)}." if near else ""
        # Without an ending it may be meant as a name.
        hint = hint if path.suffix else f"{nearest(path.name, BUNDLED)}{hint}"
        raise WorkbenchError(f"model file {str(path)!r} does not exist.{hint} Allowed: {ALLOWED}.")
    kind = _kind(path)
    if kind == "keras":
        _refuse_unfit_keras(path, allow_code)
    digest = tree_sha256(path) if path.is_dir() else file_sha256(path)
    return ModelInfo(
        name=printable(path.stem), kind=kind, path=str(path.resolve()), sha256=digest, allow_code=allow_code
    )


def _kind(path: Path) -> SourceKind:
    if path.is_dir():
        if (path / "saved_model.pb").exists():
            return "savedmodel"
        raise WorkbenchError(
            f"folder {str(path)!r} holds no saved_model.pb, so it is no SavedModel. Allowed: {ALLOWED}."
        )
    if not path.is_file():
        raise WorkbenchError(f"{str(path)!r} is no regular file. Allowed: {ALLOWED}.")
    if path.suffix in (".h5", ".hdf5", ".keras"):
        return "keras"
    if path.suffix == ".tflite":
        return "tflite"
    raise WorkbenchError(
        f"model file {str(path)!r} ends in {path.suffix!r}, which is no known kind. Allowed: {ALLOWED}."
    )


def _refuse_unfit_keras(path: Path, allow_code: bool) -> None:
    found = read_keras_file(path)
    version = found.version
    if version and not version.startswith("2."):
        raise WorkbenchError(
            f"{str(path)!r} was saved by Keras {version}; trained techniques need a model saved by tf_keras (2.x). "
            "Save it again with tf_keras, or export a SavedModel (`model.export(folder)`) for post-training schemes."
        )
    if not allow_code:
        trust.refuse(repr(str(path)), found.fault)


def _from_object(model: Any, keep: Path, allow_code: bool) -> ModelInfo:
    """Save a model object under a name made of its configuration and weights, so that an equal one is found again."""
    if not hasattr(model, "save"):
        raise WorkbenchError(
            f"a model cannot be made of tf_keras {type(model).__name__} {model.name!r}. Allowed: {ALLOWED}."
        )
    if not is_graph(model):
        raise WorkbenchError(
            f"model {model.name!r} has no fixed input, or is a subclass whose layers only its Python code knows. "
            "Build a Sequential model with its input shape; give a subclassed one as a SavedModel (`model.export(folder)`) for post-training schemes."
        )
    try:
        config = json.dumps(model.get_config(), sort_keys=True, default=str)
    except NotImplementedError as error:
        raise WorkbenchError(f"model {model.name!r} cannot be saved: {error}") from error
    if not allow_code:
        # Saved with its code the file would run it in every worker that loads it.
        own = {"class_name": "Functional", "config": json.loads(config)}
        trust.refuse(f"model {model.name!r}", trust.fault_of(own))
    hasher = hashlib.sha256(config.encode())
    for weight in model.get_weights():
        hasher.update(weight.tobytes())
    digest = hasher.hexdigest()
    path = keep / f"{digest}.h5"
    keep_file(path, lambda partial: model.save(partial, include_optimizer=False, save_format="h5"))
    return ModelInfo(name=str(model.name), kind="keras", path=str(path.resolve()), sha256=digest, allow_code=allow_code)

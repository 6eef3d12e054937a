"""Tell what a model source is and hash its content, without importing TensorFlow."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from workbench import registry
from workbench.compat.tf_keras import is_graph
from workbench.data.load import bundled
from workbench.errors import WorkbenchError, nearest
from workbench.files import kind_of
from workbench.names import printable
from workbench.sources import trust
from workbench.sources.functions import is_function, save_functions
from workbench.sources.keras3.objects import keep_object
from workbench.store.kept import keep_file
from workbench.values.source import ModelInfo

# The names of the models that come with Workbench, trained on `digits` and `fashion`.
BUNDLED = ("digits_cnn", "digits_small", "fashion_cnn")


def allowed() -> str:
    """Return what a model can be, as messages say it."""
    *most, last = ("a tf_keras or Keras 3 model object", *(source.takes for source in registry.sources.all().values()))
    return f"{', '.join(most)}, or {last}"


def identify(model: Any, keep: Path, allow_code: bool = False) -> ModelInfo:
    """Return what `model` is: a path, `SOURCE:PATH`, or an object: a model of tf_keras or Keras 3, a function or module of TensorFlow, saved below `keep`.

    Raises WorkbenchError for a missing file, one that no source takes, or one that holds more than data and Keras's own layers
    (Lambda layers and the like, which are code) unless `allow_code`.
    """
    if isinstance(model, (str, Path)):
        return _from_path(str(model), allow_code)
    kind = type(model)
    bases = {cls.__module__.split(".")[0] for cls in kind.__mro__}
    if "tf_keras" in bases:
        return _from_object(model, keep, allow_code)
    if "keras" in bases:
        return keep_object(model, keep)
    if is_function(model):
        return save_functions(model, keep)
    raise WorkbenchError(f"a model cannot be made of {kind.__module__}.{kind.__name__}. Allowed: {allowed()}.")


def _from_path(text: str, allow_code: bool) -> ModelInfo:
    named, rest = registry.sources.named(text)
    if not rest.strip():
        raise WorkbenchError(f"model {text!r} names no file. Allowed: {allowed()}.")
    path = Path(rest)
    if rest in BUNDLED and not path.exists():
        path = bundled(f"{rest}.h5")
    _check_there(path)
    source = named or registry.sources.first(lambda s: s.matches(path), text)
    if source is None:
        raise _refusal(path)
    with registry.sources.blamed(source.name, str(path)):
        missing = source.available()
        if missing:
            raise WorkbenchError(
                f"source {source.name!r} of {str(path)!r} cannot work here: {missing}. `workbench doctor` lists what does."
            )
        source.check(path, allow_code)
        digest = source.sha256(path)
    plain = named is None and source.name == source.gives
    return ModelInfo(
        name=printable(path.stem),
        kind=source.gives,
        path=str(path.resolve()),
        sha256=digest,
        allow_code=allow_code,
        source="" if plain else source.name,
    )


def _check_there(path: Path) -> None:
    """Raise WorkbenchError where nothing lies that a source may look at."""
    kind = kind_of(path)
    if kind == "nothing":
        near: list[str] = []
        if path.parent.is_dir():
            sources = registry.sources.all().values()
            near = sorted(p.name for p in path.parent.glob("*") if any(p.suffix in s.endings for s in sources))[:5]
        hint = f" Models in that folder: {', '.join(near)}." if near else ""
        # Without an ending it may be meant as a name; with a colon the name of a source may be meant.
        hint = hint if path.suffix else f"{nearest(path.name, BUNDLED)}{hint}"
        prefix, colon, rest = str(path).partition(":")
        close = nearest(prefix, registry.sources.all()) if colon and rest else ""
        hint = f" There is no source {prefix!r} that could read {rest!r}.{close}{hint}" if close else hint
        raise WorkbenchError(f"model file {str(path)!r} does not exist.{hint} Allowed: {allowed()}.")
    if kind == "other":
        raise WorkbenchError(f"{str(path)!r} is no regular file. Allowed: {allowed()}.")


def _refusal(path: Path) -> WorkbenchError:
    """Return the error for a file or folder that no source takes."""
    if path.is_dir():
        found = f"folder {str(path)!r} holds no saved_model.pb, so it is no SavedModel"
    else:
        found = f"model file {str(path)!r} ends in {path.suffix!r}, which is no known kind"
    broken = registry.sources.broken()
    left_out = f" {', '.join(broken)} could not be loaded; `workbench doctor` says why." if broken else ""
    return WorkbenchError(f"{found}. Allowed: {allowed()}.{left_out}")


def _from_object(model: Any, keep: Path, allow_code: bool) -> ModelInfo:
    """Save a model object under a name made of its configuration and weights, so that an equal one is found again."""
    if not hasattr(model, "save"):
        raise WorkbenchError(
            f"a model cannot be made of tf_keras {type(model).__name__} {model.name!r}. Allowed: {allowed()}."
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

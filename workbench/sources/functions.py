"""Concrete functions and `tf.Module` objects as models: saved as a SavedModel under a name made of their content.

They come from the user's own process, which has TensorFlow; nothing else here imports it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from workbench.errors import WorkbenchError
from workbench.files import make_within, tree_sha256
from workbench.sources.signatures import SERVING
from workbench.store.intact import set_aside
from workbench.values.source import ModelInfo


def is_function(model: Any) -> bool:
    """Whether a model is a function or module of TensorFlow's, told without importing it."""
    ours = any(cls.__module__.split(".")[0] == "tensorflow" for cls in type(model).__mro__)
    return ours and (
        hasattr(model, "get_concrete_function") or hasattr(model, "structured_outputs") or _is_module(model)
    )


def save_functions(model: Any, keep: Path) -> ModelInfo:
    """Return what a concrete function, a `tf.function` or a `tf.Module` is, saved below `keep`; an equal one is found again.

    Raises WorkbenchError where it has no fixed input signature, or TensorFlow cannot save it.
    """
    found = _concrete(model)
    digest = _digest(found)
    folder = keep / digest
    # Beside it lies the hash of what was written, so that a damaged one is noticed.
    said = keep / f"{digest}.tree"
    if folder.exists() and not (said.is_file() and said.read_text() == tree_sha256(folder)):
        set_aside(folder, keep.parent, "it is not what was put there")
    if not folder.exists():
        make_within(keep)
        partial = Path(tempfile.mkdtemp(prefix="partial-", dir=keep))
        try:
            _save(model, found, partial)
            said.write_text(tree_sha256(partial))
            os.rename(partial, folder)
        except (ValueError, TypeError, AssertionError) as error:
            raise WorkbenchError(
                f"{type(model).__name__} cannot be saved as a SavedModel: {' '.join(str(error).split())[:500]}. "
                "Its functions have to take tensors and return tensors or a dict of them."
            ) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    name = getattr(model, "name", "") or type(model).__name__
    return ModelInfo(
        name=str(name).partition("__inference_")[2] or str(name),
        kind="savedmodel",
        path=str(folder.resolve()),
        sha256=digest,
    )


def _is_module(model: Any) -> bool:
    return any(cls.__name__ == "Module" and cls.__module__.startswith("tensorflow.") for cls in type(model).__mro__)


def _concrete(model: Any) -> dict[str, Any]:
    """Return the concrete functions of a model by the name of their signature."""
    if hasattr(model, "structured_outputs"):
        return {SERVING: model}
    if hasattr(model, "get_concrete_function"):
        return {SERVING: _fixed(model, "the tf.function")}
    functions = {n: f for n in dir(type(model)) if hasattr(f := getattr(model, n, None), "get_concrete_function")}
    own = {
        n: f for n, f in vars(model).items() if hasattr(f, "get_concrete_function") or hasattr(f, "structured_outputs")
    }
    named = {**functions, **own}
    fixed = {n: f for n, f in named.items() if hasattr(f, "structured_outputs") or f.input_signature is not None}
    if not fixed:
        told = f" (its functions without one: {', '.join(named)})" if named else ""
        raise WorkbenchError(
            f"{type(model).__name__} has no tf.function with an input_signature{told}. "
            "Write @tf.function(input_signature=[tf.TensorSpec(...)]), or pass module.method.get_concrete_function(tf.TensorSpec(...))."
        )
    found = {
        n: f if hasattr(f, "structured_outputs") else _fixed(f, f"function {n!r}") for n, f in sorted(fixed.items())
    }
    return {(SERVING if n == "__call__" else n): f for n, f in found.items()}


def _fixed(function: Any, what: str) -> Any:
    if function.input_signature is None:
        raise WorkbenchError(
            f"{what} has no input_signature, so that its inputs are not known. Pass what .get_concrete_function(tf.TensorSpec(...)) returns."
        )
    return function.get_concrete_function()


def _save(model: Any, found: dict[str, Any], folder: Path) -> None:
    import tensorflow as tf

    holder = model
    if not _is_module(model):
        holder = tf.Module()
        # What a function reads has to be kept with it.
        holder.functions, holder.held = list(found.values()), [v for f in found.values() for v in f.graph.variables]
    tf.saved_model.save(holder, str(folder), signatures=found)


def _digest(found: dict[str, Any]) -> str:
    """Return the hash (hex) of graphs, without the numbers that this process gave their functions, and the values they read."""
    hasher = hashlib.sha256()
    for key, function in found.items():
        graph = function.graph.as_graph_def()
        content = graph.SerializeToString(deterministic=True)
        for number, inner in enumerate(graph.library.function):
            content = content.replace(inner.signature.name.encode(), b"function %d" % number)
        ends = f"{key}\0{function.structured_input_signature}\0{function.structured_outputs}\0"
        hasher.update(ends.encode(errors="replace") + content)
        for variable in function.graph.variables:
            values = np.asarray(variable)
            hasher.update(f"{values.dtype}{values.shape}".encode() + values.tobytes())
        for tensor in function.captured_inputs:
            if tensor.dtype.name not in ("resource", "variant"):
                hasher.update(np.asarray(tensor).tobytes())
    return hasher.hexdigest()

"""Load a source, describe it, export it the ordinary way; runs in workers and imports TensorFlow."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from workbench import registry
from workbench.compat.tensorflow import flat, kept_with
from workbench.compat.tf_keras import rename, safe_mode, unlisted_layers
from workbench.errors import WorkbenchError
from workbench.flatbuffer.signature import Names
from workbench.names import printable
from workbench.sources import trust
from workbench.sources.base import NativeSource
from workbench.sources.keras_file import parse_keras_file
from workbench.sources.saved_model import checked_copy
from workbench.values.source import ModelInfo, Signature, TensorInfo

SIGNATURE = "serving_default"
# Of what a library says about a file; TensorFlow can say pages.
MOST_SAID = 1000


def load_keras(
    path: Path,
    scopes: Iterable[contextlib.AbstractContextManager[Any]] = (),
    allow_code: bool = False,
    ours: bool = False,
    beside: bool = False,
) -> Any:
    """Return a fresh tf_keras model from a `.keras` or `.h5` file; sessions and layer names start anew.

    With `beside` they do not: the user's own models live in this process. `ours` is a file that a stage made of a model that was checked. Raises WorkbenchError where the file cannot be loaded, or
    holds code and `allow_code` does not let it.
    """
    import tf_keras

    if not beside:
        tf_keras.backend.clear_session()
    with contextlib.ExitStack() as stack:
        if not (ours or allow_code):
            path = stack.enter_context(checked_file(path))
        # The option is for .keras files alone; the scope holds for what lies in .h5 files too.
        stack.enter_context(safe_mode(not allow_code))
        for scope in scopes:
            stack.enter_context(scope)
        file = stack.enter_context(utf8_path(path))
        options = {"safe_mode": not allow_code} if path.suffix == ".keras" else {}
        try:
            model = tf_keras.models.load_model(file, custom_objects=unlisted_layers(), compile=False, **options)
        except (ValueError, OSError, TypeError, KeyError) as error:
            # h5py says the same in several lines.
            said = " ".join(str(error).split())
            raise WorkbenchError(f"tf_keras cannot load {path.name!r}: {said[:MOST_SAID]}") from error
    # A model may be called anything until TensorFlow traces it: then its name is that of a scope.
    rename(model, _scope(model.name))
    return model


@contextlib.contextmanager
def utf8_path(path: Path) -> Iterator[Path]:
    """Give a path that libraries can write as UTF-8: itself, or for so long a link to it.

    A file's name is bytes, and Python stands in for those that are no UTF-8 with what nobody else takes.
    """
    if printable(str(path)) == str(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="wb-model-") as folder:
        link = Path(folder) / f"model{path.suffix if printable(path.suffix) == path.suffix else ''}"
        link.symlink_to(path.absolute(), path.is_dir())
        yield link


def save_keras(model: Any, folder: Path) -> Path:
    """Write a tf_keras model without its optimizer, and return the file.

    In HDF5 names of layers are paths, so some exclude each other (`a` and `a/a`, `a` and `a/`); the `.keras` format
    numbers what it holds.
    """
    path = folder / "model.h5"
    try:
        model.save(path, include_optimizer=False, save_format="h5")
    except (ValueError, OSError, UnicodeEncodeError):
        path.unlink(missing_ok=True)
        path = folder / "model.keras"
        # In other threads than the first one "keras" means HDF5 to tf_keras.
        model.save(path, save_format="keras_v3")
    return path


@contextlib.contextmanager
def checked_file(path: Path, keras3: bool = False) -> Iterator[Path]:
    """Yield a copy that nobody else can change and that holds no code: the file may have changed since it was looked at.

    What is code hangs on who reads it, tf_keras or Keras 3. Raises WorkbenchError for a file that the other one wrote.
    """
    with tempfile.TemporaryDirectory(prefix="workbench-load-") as folder:
        copy = Path(folder) / path.name
        shutil.copyfile(path, copy)
        found = parse_keras_file(copy)
        if found.keras3 is not keras3:
            raise WorkbenchError(f"{str(path)!r} was saved by Keras {found.version}, and is another file than before.")
        trust.refuse(repr(str(path)), found.fault)
        yield copy


def read_signature(info: ModelInfo, path: Path | None = None) -> Signature:
    """Return the inputs and outputs of a source by loading it; `path` is what it was converted to. Raises WorkbenchError when it cannot be read."""
    # A source may have made a SavedModel where no Keras file could be made.
    native = registry.sources.get("savedmodel" if path is not None and path.is_dir() else info.kind)
    if not isinstance(native, NativeSource):
        raise TypeError(f"{info.kind!r} is no kind of source that loads")
    return native.describe(path or Path(info.path), info.allow_code)


def save_ordinary(model: Any, folder: Path, output_names: list[str] | None = None) -> None:
    """Write the SavedModel that tf_keras itself writes: slow to convert, but without freezing.

    Its signature takes one sample: recurrent layers convert for a known batch only, and then to one fused operator.
    What tf_keras would trace of each layer besides is left out: the signature alone is read, and traces of recurrent layers take many times its time.
    """
    import tensorflow as tf

    names = keras_names(model, output_names)
    serve = tf.function(inference_call(model, names)).get_concrete_function(**input_specs(model, names, batch=1))
    model.save(folder, save_format="tf", include_optimizer=False, signatures=serve, save_traces=False)
    names.save(folder)


def has_loops(model: Any) -> bool:
    """Whether a tf_keras model has recurrent layers that run as loops, which convert for a known batch only."""
    import tf_keras

    return any(isinstance(part, tf_keras.layers.RNN) and not part.unroll for part in model.submodules)


def keras_names(model: Any, output_names: list[str] | None = None) -> Names:
    """Return a tf_keras model's names of inputs and outputs; `output_names` replaces its own."""
    return Names.of(model.input_names, output_names or model.output_names)


def input_specs(model: Any, names: Names, batch: int | None = None) -> dict[str, Any]:
    """Return a tf_keras model's inputs as TensorSpecs by names of ours; `batch` fixes an open batch axis."""
    import tensorflow as tf

    return {
        n: tf.TensorSpec((t.shape[0] or batch, *t.shape[1:]), t.dtype, name=n)
        for n, t in zip(names.inputs, model.inputs, strict=True)
    }


def inference_call(model: Any, names: Names) -> Callable[..., dict[str, Any]]:
    """Return a tf_keras model's inference as a function from inputs to outputs, both by names of ours."""
    import tensorflow as tf

    def call(**inputs: Any) -> dict[str, Any]:
        values = [inputs[n] for n in names.inputs]
        outputs = model(values if len(values) > 1 else values[0], training=False)
        return dict(zip(names.outputs, tf.nest.flatten(outputs), strict=True))

    return call


def convert_float(folder: Path, key: str = "") -> bytes:
    """Return the float32 flatbuffer of a SavedModel, or of its signature of that name, with public names in its signature."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=[key] if key else None)
    return Names.read(folder).publish(bytes(converter.convert()))


class Served(NamedTuple):
    """A SavedModel's function, which takes its inputs in order; specs of inputs and outputs by public name, in order."""

    call: Callable[..., dict[str, Any]]
    inputs: dict[str, Any]
    outputs: dict[str, Any]


def signatures(path: Path, allow_code: bool = False) -> dict[str, Served]:
    """Return a SavedModel's signatures by name, the serving one first; raises WorkbenchError where there is none or it cannot be loaded.

    One that holds operators on files and the like is refused unless `allow_code`.
    """
    names = Names.read(path)
    return {key: _served(function, names) for key, function in _functions(path, allow_code).items()}


def serving(path: Path, allow_code: bool = False, key: str = "") -> Served:
    """Return a SavedModel's signature of that name, or the one for serving; raises WorkbenchError as `signatures` does."""
    found = signatures(path, allow_code)
    if key and key not in found:
        raise WorkbenchError(f"SavedModel {path.name!r} has no signature {key!r}. It has: {', '.join(found)}.")
    return found[key] if key else next(iter(found.values()))


def serving_function(path: Path, allow_code: bool = False) -> Any:
    """Return a SavedModel's serving signature as TensorFlow loads it; raises WorkbenchError as `signatures` does."""
    return next(iter(_functions(path, allow_code).values()))


def _served(function: Any, names: Names) -> Served:
    import tensorflow as tf

    by_place = flat(function)

    def call(*inputs: Any) -> dict[str, Any]:
        return {names.outputs.get(n, n): t for n, t in by_place(*inputs).items()}

    return Served(
        call,
        {names.inputs.get(k, k): tf.TensorSpec(t.shape, t.dtype) for k, t in zip(by_place.keywords, function.inputs)},  # noqa: B905  # captures follow
        {names.outputs.get(n, n): t for n, t in function.structured_outputs.items()},
    )


def _functions(path: Path, allow_code: bool) -> dict[str, Any]:
    import tensorflow as tf

    with contextlib.ExitStack() as stack:
        place = path
        if not allow_code:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="workbench-load-"))
            place = checked_copy(path, Path(folder) / path.name)
        try:
            loaded = tf.saved_model.load(str(stack.enter_context(utf8_path(place))))
        except (OSError, ValueError, KeyError) as error:
            raise WorkbenchError(f"SavedModel {path.name!r} cannot be loaded: {error}") from error
    found = dict(loaded.signatures)
    if not found:
        raise WorkbenchError(
            f"SavedModel {path.name!r} has no signature. Save it with tf.saved_model.save(model, folder, signatures=...)."
        )
    keys = sorted(found, key=lambda key: key != SIGNATURE)
    return {key: kept_with(found[key], loaded) for key in keys}


def _scope(name: str) -> str:
    named = re.sub(r"[^A-Za-z0-9_./-]", "_", name)
    return named if re.match(r"[A-Za-z0-9.]", named) else f"model{named}"


def tensor_info(name: str, tensor: Any) -> TensorInfo:
    """Return the description of a symbolic tensor or its spec."""
    shape = tuple(None if d is None else int(d) for d in tensor.shape)
    return TensorInfo(name=name, shape=shape, dtype=tensor.dtype.name)

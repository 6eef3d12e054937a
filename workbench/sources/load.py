"""Load a source, describe it, export it the ordinary way; runs in workers and imports TensorFlow."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.sources import trust
from workbench.sources.keras_file import parse_keras_file
from workbench.sources.saved_model import checked_copy
from workbench.values.source import ModelInfo, Signature, TensorInfo

SIGNATURE = "serving_default"


def load_keras(
    path: Path,
    scopes: Iterable[contextlib.AbstractContextManager[Any]] = (),
    allow_code: bool = False,
    ours: bool = False,
) -> Any:
    """Return a fresh tf_keras model from a `.keras` or `.h5` file; sessions and layer names start anew.

    `ours` is a file that a stage made of a model that was checked. Raises WorkbenchError where the file cannot be loaded, or
    holds code and `allow_code` does not let it.
    """
    import tf_keras
    from tf_keras.src.saving.serialization_lib import SafeModeScope

    tf_keras.backend.clear_session()
    with contextlib.ExitStack() as stack:
        if not (ours or allow_code):
            path = stack.enter_context(_checked_file(path))
        # The option is for .keras files alone; the scope holds for what lies in .h5 files too.
        stack.enter_context(SafeModeScope(not allow_code))
        for scope in scopes:
            stack.enter_context(scope)
        options = {"safe_mode": not allow_code} if path.suffix == ".keras" else {}
        try:
            return tf_keras.models.load_model(path, custom_objects=_unlisted(), compile=False, **options)
        except (ValueError, OSError, TypeError, KeyError) as error:
            raise WorkbenchError(f"tf_keras cannot load {path.name!r}: {error}") from error


@contextlib.contextmanager
def _checked_file(path: Path) -> Iterator[Path]:
    """Yield a copy that nobody else can change and that holds no code: the file may have changed since it was looked at."""
    with tempfile.TemporaryDirectory(prefix="workbench-load-") as folder:
        copy = Path(folder) / path.name
        shutil.copyfile(path, copy)
        trust.refuse(repr(str(path)), parse_keras_file(copy).fault)
        yield copy


def _unlisted() -> dict[str, Any]:
    """Return tf_keras's own layers that its loader of .h5 files does not know by name."""
    import tf_keras
    from tf_keras.src.applications import convnext

    own = (convnext.LayerScale, convnext.StochasticDepth, tf_keras.layers.SpectralNormalization)
    return {layer.__name__: layer for layer in (*own, tf_keras.layers.experimental.RandomFourierFeatures)}


def describe(info: ModelInfo) -> Signature:
    """Return the inputs and outputs of a Keras model or SavedModel; raises WorkbenchError when it cannot be read."""
    path = Path(info.path)
    if info.kind == "keras":
        model = load_keras(path, allow_code=info.allow_code)
        if not model.built or not model.inputs:
            raise WorkbenchError(f"{path.name!r} has no fixed input: build or call the model once before saving it.")
        return Signature(
            inputs=tuple(_tensor(n, t) for n, t in zip(model.input_names, model.inputs, strict=True)),
            outputs=tuple(_tensor(n, t) for n, t in zip(model.output_names, model.outputs, strict=True)),
            parameters=int(model.count_params()),
        )
    function = serving_function(path, info.allow_code)
    return Signature(
        inputs=tuple(_tensor(n, s) for n, s in function.structured_input_signature[1].items()),
        outputs=tuple(_tensor(n, s) for n, s in function.structured_outputs.items()),
    )


def save_ordinary(model: Any, folder: Path, output_names: list[str] | None = None) -> None:
    """Write the SavedModel that tf_keras itself writes: slow to convert, but without freezing.

    Its signature takes one sample: recurrent layers convert for a known batch only, and then to one fused operator.
    """
    import tensorflow as tf

    serve = tf.function(inference_call(model, output_names)).get_concrete_function(**input_specs(model, batch=1))
    model.save(folder, save_format="tf", include_optimizer=False, signatures=serve)


def input_specs(model: Any, batch: int | None = None) -> dict[str, Any]:
    """Return a tf_keras model's inputs by name, as TensorSpecs; `batch` fixes an open batch axis."""
    import tensorflow as tf

    return {
        n: tf.TensorSpec((t.shape[0] or batch, *t.shape[1:]), t.dtype, name=n)
        for n, t in zip(model.input_names, model.inputs, strict=True)
    }


def inference_call(model: Any, output_names: list[str] | None = None) -> Callable[..., dict[str, Any]]:
    """Return a tf_keras model's inference as a function from inputs by name to outputs by name."""
    names = output_names or list(model.output_names)

    def call(**inputs: Any) -> dict[str, Any]:
        values = [inputs[n] for n in model.input_names]
        outputs = model(values if len(values) > 1 else values[0], training=False)
        listed = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        return dict(zip(names, listed, strict=True))

    return call


def convert_float(folder: Path) -> bytes:
    """Return the float32 flatbuffer of a SavedModel."""
    import tensorflow as tf

    return bytes(tf.lite.TFLiteConverter.from_saved_model(str(folder)).convert())


def serving_function(path: Path, allow_code: bool = False) -> Any:
    """Return a SavedModel's serving signature; raises WorkbenchError when there is none or it cannot be loaded.

    One that holds operators on files and the like is refused unless `allow_code`.
    """
    import tensorflow as tf

    with tempfile.TemporaryDirectory(prefix="workbench-load-") as folder:
        place = path if allow_code else checked_copy(path, Path(folder) / path.name)
        try:
            loaded = tf.saved_model.load(str(place))
        except (OSError, ValueError, KeyError) as error:
            raise WorkbenchError(f"SavedModel {path.name!r} cannot be loaded: {error}") from error
    signatures = dict(loaded.signatures)
    if not signatures:
        raise WorkbenchError(
            f"SavedModel {path.name!r} has no signature. Save it with tf.saved_model.save(model, folder, signatures=...)."
        )
    function = signatures.get(SIGNATURE) or next(iter(signatures.values()))
    # A restored function lives only as long as its object.
    function._workbench_keep = loaded
    return function


def _tensor(name: str, tensor: Any) -> TensorInfo:
    shape = tuple(None if d is None else int(d) for d in tensor.shape)
    return TensorInfo(name=name, shape=shape, dtype=tensor.dtype.name)

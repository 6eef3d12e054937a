"""Load a source, describe it, freeze it, convert it; runs in workers and imports TensorFlow."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from workbench.errors import StageFailed, WorkbenchError
from workbench.values.source import ModelInfo, Signature, TensorInfo

SIGNATURE = "serving_default"


def load_keras(
    path: Path, scopes: Iterable[contextlib.AbstractContextManager[Any]] = (), allow_code: bool = False
) -> Any:
    """Return a fresh tf_keras model from a `.keras` or `.h5` file; sessions and layer names start anew."""
    import tf_keras

    tf_keras.backend.clear_session()
    with contextlib.ExitStack() as stack:
        for scope in scopes:
            stack.enter_context(scope)
        # safe_mode exists for the .keras format only; .h5 files with Lambda layers are refused in `identify`.
        options = {"safe_mode": not allow_code} if path.suffix == ".keras" else {}
        try:
            return tf_keras.models.load_model(path, compile=False, **options)
        except (ValueError, OSError, TypeError, KeyError) as error:
            raise WorkbenchError(f"tf_keras cannot load {path.name!r}: {error}") from error


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
    function = _serving_function(path)
    return Signature(
        inputs=tuple(_tensor(n, s) for n, s in function.structured_input_signature[1].items()),
        outputs=tuple(_tensor(n, s) for n, s in function.structured_outputs.items()),
    )


def freeze_keras(model: Any, folder: Path, output_names: list[str] | None = None) -> None:
    """Write a tf_keras model as a SavedModel whose variables are constants; `output_names` replaces its own.

    Raises any of TensorFlow's errors when the model cannot be frozen; `save_ordinary` is then left to try.
    """
    specs = _specs(model)
    _freeze(_concrete(model, specs, output_names), specs, folder)


def freeze_saved_model(path: Path, folder: Path) -> None:
    """Write a SavedModel again with its variables as constants; raises any of TensorFlow's errors."""
    import tensorflow as tf

    concrete = _serving_function(path)
    specs = {n: tf.TensorSpec(s.shape, s.dtype, name=n) for n, s in concrete.structured_input_signature[1].items()}
    _freeze(concrete, specs, folder)


def save_ordinary(model: Any, folder: Path, output_names: list[str] | None = None) -> None:
    """Write the SavedModel that tf_keras itself writes: slow to convert, but without freezing.

    Its signature takes one sample: recurrent layers convert for a known batch only, and then to one fused operator.
    """
    specs = _specs(model, batch=1)
    model.save(folder, save_format="tf", include_optimizer=False, signatures=_concrete(model, specs, output_names))


def _specs(model: Any, batch: int | None = None) -> dict[str, Any]:
    import tensorflow as tf

    return {
        n: tf.TensorSpec((t.shape[0] or batch, *t.shape[1:]), t.dtype, name=n)
        for n, t in zip(model.input_names, model.inputs, strict=True)
    }


def _concrete(model: Any, specs: dict[str, Any], output_names: list[str] | None) -> Any:
    """Return the inference function of a tf_keras model, its inputs and outputs by name."""
    import tensorflow as tf

    names = output_names or list(model.output_names)

    def call(**inputs: Any) -> dict[str, Any]:
        values = [inputs[n] for n in model.input_names]
        outputs = model(values if len(values) > 1 else values[0], training=False)
        listed = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        return dict(zip(names, listed, strict=True))

    return tf.function(call).get_concrete_function(**specs)


def _freeze(concrete: Any, specs: dict[str, Any], folder: Path) -> None:
    import tensorflow as tf

    # No public name exists for the V2 freezing function.
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    # Flattening sorts a dict's keys; the check below fails where a graph orders its tensors otherwise.
    names = sorted(concrete.structured_outputs)
    frozen = convert_variables_to_constants_v2(concrete)
    order = [_spec_name(tensor.name, specs) for tensor in frozen.inputs]

    def serve(**inputs: Any) -> dict[str, Any]:
        values = frozen(*[inputs[name] for name in order])
        return dict(zip(names, values if isinstance(values, (list, tuple)) else [values], strict=True))

    module = tf.Module()
    module.serve = tf.function(serve)
    served = module.serve.get_concrete_function(**specs)
    _check_same(concrete, served, specs)
    tf.saved_model.save(module, str(folder), signatures={SIGNATURE: served})


def _spec_name(tensor: str, specs: dict[str, Any]) -> str:
    name = tensor.split(":")[0]
    if name not in specs:
        raise StageFailed(f"frozen input {name!r} is not one of {', '.join(specs)}")
    return name


def _check_same(original: Any, frozen: Any, specs: dict[str, Any]) -> None:
    """Raise StageFailed when the frozen function gives other outputs than the original on one random sample."""
    import numpy as np
    import tensorflow as tf

    draw = np.random.default_rng(0)
    sample = {n: tf.cast(draw.random([d or 1 for d in s.shape]), s.dtype) for n, s in specs.items()}
    expected, got = original(**sample), frozen(**sample)
    for name, value in expected.items():
        if not np.allclose(value, got[name], rtol=1e-3, atol=1e-4, equal_nan=True):
            raise StageFailed(f"the frozen model's output {name!r} differs from the original's")


def convert_float(folder: Path) -> bytes:
    """Return the float32 flatbuffer of a SavedModel."""
    import tensorflow as tf

    return bytes(tf.lite.TFLiteConverter.from_saved_model(str(folder)).convert())


def _serving_function(path: Path) -> Any:
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(str(path))
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

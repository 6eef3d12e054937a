"""A model's inference function, ready to become a file; runs in workers and imports TensorFlow.

Folding its variables to constants is what makes conversion fast: about a second where Keras's own export takes many. The
converter does so on the way to a flatbuffer; where TensorFlow's converter is to quantize, the folded function is saved as a
SavedModel first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from workbench.errors import StageFailed
from workbench.sources.load import SIGNATURE, inference_call, input_specs, serving_function

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Inference:
    """A concrete function with inputs and outputs by public name; `call` does the same without tracing it again."""

    function: Any
    specs: dict[str, Any]
    call: Callable[..., dict[str, Any]]

    @property
    def outputs(self) -> tuple[str, ...]:
        """Output names in the order of the function's tensors: flattening sorts a dict's keys."""
        return tuple(sorted(self.function.structured_outputs))

    def flatbuffer(self) -> bytes:
        """Return the float32 `.tflite` with its signature; raises any of the converter's errors."""
        import tensorflow as tf

        made = bytes(tf.lite.TFLiteConverter.from_concrete_functions([self.function]).convert())
        return _signed(made, self.specs, self.outputs)

    def save(self, folder: Path) -> None:
        """Write a SavedModel with its variables as constants and one signature; raises any of TensorFlow's errors."""
        import tensorflow as tf

        # No public name exists for the V2 freezing function.
        from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

        frozen = convert_variables_to_constants_v2(self.function)
        order = [_public(tensor.name, self.specs) for tensor in frozen.inputs]

        def serve(**inputs: Any) -> dict[str, Any]:
            values = frozen(*[inputs[name] for name in order])
            return dict(zip(self.outputs, values if isinstance(values, (list, tuple)) else [values], strict=True))

        module = tf.Module()
        module.serve = tf.function(serve)
        served = module.serve.get_concrete_function(**self.specs)
        self.check(lambda sample: served(**{n: tf.constant(v) for n, v in sample.items()}), rtol=1e-3, atol=1e-4)
        tf.saved_model.save(module, str(folder), signatures={SIGNATURE: served})

    def check(self, run: Callable[[dict[str, Array]], dict[str, Any]], rtol: float, atol: float) -> None:
        """Raise StageFailed when `run` gives other outputs than the model on one seeded sample `(1, *shape)` per input.

        `atol` is a share of an output's largest value.
        """
        import tensorflow as tf

        draw = np.random.default_rng(0)
        sample = {
            n: np.asarray(draw.random([d or 1 for d in s.shape])).astype(s.dtype.as_numpy_dtype)
            for n, s in self.specs.items()
        }
        expected = self.call(**{n: tf.constant(v) for n, v in sample.items()})
        got = run(sample)
        for name, tensor in expected.items():
            value, other = np.asarray(tensor), np.asarray(got[name])
            near = atol * max(1.0, float(np.abs(value).max(initial=0.0)))
            if not np.allclose(value, other, rtol=rtol, atol=near, equal_nan=True):
                raise StageFailed(
                    f"output {name!r} of the frozen model differs from the model's by up to {np.abs(value - other).max():.3g}"
                )


def keras_inference(model: Any, output_names: list[str] | None = None) -> Inference:
    """Return a tf_keras model's inference function; `output_names` replaces its own.

    Raises any of TensorFlow's errors when the model cannot be traced; `save_ordinary` is then left to try.
    """
    import tensorflow as tf

    specs, call = input_specs(model), inference_call(model, output_names)
    return Inference(tf.function(call).get_concrete_function(**specs), specs, call)


def saved_model_inference(path: Path, allow_code: bool = False) -> Inference:
    """Return a SavedModel's serving function; raises any of TensorFlow's errors, WorkbenchError as `serving_function` does."""
    import tensorflow as tf

    concrete = serving_function(path, allow_code)
    specs = {n: tf.TensorSpec(s.shape, s.dtype, name=n) for n, s in concrete.structured_input_signature[1].items()}
    return Inference(concrete, specs, concrete)


def _public(tensor: str, specs: dict[str, Any]) -> str:
    name = tensor.split(":")[0]
    if name not in specs:
        raise StageFailed(f"frozen input {name!r} is not one of {', '.join(specs)}")
    return name


def _signed(content: bytes, specs: dict[str, Any], outputs: tuple[str, ...]) -> bytes:
    """Return the flatbuffer with a signature, which conversion from a function leaves out."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    graph = model.subgraphs[0]
    inputs = [_public(graph.tensors[i].name.decode(), specs) for i in graph.inputs]
    if len(outputs) != len(graph.outputs):
        raise StageFailed(f"conversion gave {len(graph.outputs)} outputs, not {len(outputs)} ({', '.join(outputs)})")

    def ends(names: list[str], indices: Any) -> list[Any]:
        found = []
        for name, index in zip(names, indices, strict=True):
            end = schema.TensorMapT()
            end.name, end.tensorIndex = name, int(index)
            found.append(end)
        return found

    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = SIGNATURE, 0
    signature.inputs, signature.outputs = ends(inputs, graph.inputs), ends(list(outputs), graph.outputs)
    model.signatureDefs = [signature]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))

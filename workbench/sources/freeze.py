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

from workbench.compat.tensorflow import frozen
from workbench.errors import StageFailed
from workbench.flatbuffer.signature import Names, sign
from workbench.sources.load import SIGNATURE, inference_call, input_specs, keras_names, serving

Array = np.ndarray[Any, Any]
# What an open height, width or length is on a trial run.
OPEN = 32


@dataclass(frozen=True)
class Inference:
    """A concrete function with inputs and outputs by names of ours; `call` does the same without tracing it again."""

    function: Any
    specs: dict[str, Any]
    call: Callable[..., dict[str, Any]]
    names: Names

    def flatbuffer(self) -> bytes:
        """Return the float32 `.tflite` with its signature of public names; raises any of the converter's errors."""
        import tensorflow as tf

        made = bytes(tf.lite.TFLiteConverter.from_concrete_functions([self.function]).convert())
        return sign(made, SIGNATURE, self.names)

    def save(self, folder: Path) -> None:
        """Write a SavedModel with its variables as constants and one signature; raises any of TensorFlow's errors.

        The signature has names of ours; the public ones lie beside it, where `Names.read` finds them.
        """
        import tensorflow as tf

        constant = frozen(self.function)
        order = [tensor.name.partition(":")[0] for tensor in constant.inputs]

        def serve(**inputs: Any) -> dict[str, Any]:
            values = constant(*[inputs[name] for name in order])
            return dict(zip(self.names.outputs, values if isinstance(values, (list, tuple)) else [values], strict=True))

        module = tf.Module()
        module.serve = tf.function(serve)
        served = module.serve.get_concrete_function(**self.specs)

        def run(sample: dict[str, Array]) -> dict[str, Any]:
            found = served(**{mine: tf.constant(sample[public]) for mine, public in self.names.inputs.items()})
            return {self.names.outputs[mine]: value for mine, value in found.items()}

        self.check(run, rtol=1e-3, atol=1e-4)
        # Nobody trains it, and the gradient of swish holds a tensor of the graph that was frozen, which cannot be saved.
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        tf.saved_model.save(module, str(folder), signatures={SIGNATURE: served}, options=options)
        self.names.save(folder)

    def check(self, run: Callable[[dict[str, Array]], dict[str, Any]], rtol: float, atol: float) -> None:
        """Raise StageFailed when `run` gives other outputs than the model on one seeded call, of one sample where the batch is open.

        `run` takes and gives public names. `atol` is a share of an output's largest value.
        """
        import tensorflow as tf

        draw = np.random.default_rng(0)
        sample = {
            n: np.asarray(draw.random(_call_shape(s.shape))).astype(s.dtype.as_numpy_dtype)
            for n, s in self.specs.items()
        }
        expected = self.call(**{n: tf.constant(v) for n, v in sample.items()})
        got = run({self.names.inputs[n]: v for n, v in sample.items()})
        for mine, tensor in expected.items():
            name = self.names.outputs[mine]
            value, other = np.asarray(tensor), np.asarray(got[name])
            near = atol * max(1.0, float(np.abs(value).max(initial=0.0)))
            if not np.allclose(value, other, rtol=rtol, atol=near, equal_nan=True):
                raise StageFailed(
                    f"output {name!r} of the frozen model differs from the model's by up to {np.abs(value - other).max():.3g}"
                )


def _call_shape(shape: Any) -> list[int]:
    """Return the shape of one call: one sample, and a size that most networks take where it is open."""
    return [d or (OPEN if axis else 1) for axis, d in enumerate(shape)]


def keras_inference(model: Any, output_names: list[str] | None = None) -> Inference:
    """Return a tf_keras model's inference function; `output_names` replaces its own.

    Raises any of TensorFlow's errors when the model cannot be traced; `save_ordinary` is then left to try.
    """
    import tensorflow as tf

    names = keras_names(model, output_names)
    specs, call = input_specs(model, names), inference_call(model, names)
    return Inference(tf.function(call).get_concrete_function(**specs), specs, call, names)


def saved_model_inference(path: Path, allow_code: bool = False, key: str = "") -> Inference:
    """Return the function of a SavedModel's signature, the one for serving unless named; raises any of TensorFlow's errors, WorkbenchError as `serving_function` does."""
    import tensorflow as tf

    served = serving(path, allow_code, key)
    names = Names.of(served.inputs, served.outputs)
    specs = {
        n: tf.TensorSpec(s.shape, s.dtype, name=n) for n, s in zip(names.inputs, served.inputs.values(), strict=True)
    }

    def call(**inputs: Any) -> dict[str, Any]:
        found = served.call(*[inputs[n] for n in names.inputs])
        return {mine: found[public] for mine, public in names.outputs.items()}

    return Inference(tf.function(call).get_concrete_function(**specs), specs, call, names)

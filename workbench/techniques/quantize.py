"""`quantize`: ends a recipe by writing the flatbuffer in one of ten schemes, with one of two engines."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from workbench import registry
from workbench.errors import StageFailed
from workbench.techniques import converter_engine, quantizer_engine
from workbench.techniques.base import Finisher, FinishJob, KerasTechnique, Needs
from workbench.values.params import Params
from workbench.values.recipe import SCHEMES, Step
from workbench.values.source import SourceKind

Scheme = Literal[
    "float32",
    "float16",
    "dynamic",
    "weight-only-int8",
    "int8",
    "int8-float-io",
    "int16x8",
    "int4-dynamic",
    "int4-weight-only",
    "int4-block32",
]
AFTER_QAT = ("int8", "int8-float-io")


class QuantizeParams(Params):
    """What the numbers in the file are, and who makes them so."""

    primary: ClassVar[str] = "scheme"

    scheme: Scheme = Field("float32", description="types of weights and activations in the file")
    engine: Literal["quantizer", "converter"] = Field(
        "quantizer", description="litert-quantizer on the float file, or TensorFlow's converter (always used after qat)"
    )
    granularity: Literal["auto", "channel", "tensor"] = Field(
        "auto",
        description="one weight scale per channel or per tensor; auto is per channel, per tensor after cluster so that clusters survive",
    )


class Quantize(Finisher[QuantizeParams]):
    """Write the `.tflite` file in the scheme asked for."""

    name = "quantize"
    version = 2
    tools = ("litert-quantizer", "ai-edge-litert")
    help = "write the .tflite file in one of ten schemes"
    params = QuantizeParams

    def check(self, params: QuantizeParams, before: tuple[Step, ...], source: SourceKind) -> str | None:
        """Refuse schemes that a quantization-aware model, the engine or the source cannot give."""
        if _aware(before):
            if params.scheme not in AFTER_QAT:
                return f"scheme {params.scheme!r} does not go with quantization-aware training, which simulates 8 bits. Allowed after qat: {', '.join(AFTER_QAT)}"
        elif params.engine == "converter":
            if source == "tflite":
                return "engine `converter` needs a Keras model or SavedModel; a tflite source takes engine `quantizer`"
            if params.scheme not in converter_engine.SCHEMES:
                return f"engine `converter` cannot make scheme {params.scheme!r}. Allowed: {', '.join(converter_engine.SCHEMES)}; or leave the engine at `quantizer`"
            if params.granularity == "tensor":
                return "engine `converter` chooses the granularity itself; leave it at `auto` or use engine `quantizer`"
        return None

    def needs(self, params: QuantizeParams, before: tuple[Step, ...]) -> Needs:
        """Return the float flatbuffer (and activation ranges), or the SavedModel for the converter."""
        if _aware(before):
            return Needs(saved_model=True)
        if params.engine == "converter" and params.scheme != "float32":
            return Needs(saved_model=True, samples=params.scheme in converter_engine.CALIBRATED)
        return Needs(float_model=True, calibration=quantizer_engine.calibrates(params.scheme))

    def tools_of(self, params: QuantizeParams, before: tuple[Step, ...]) -> tuple[str, ...]:
        """Return TensorFlow for its converter, nothing where the float file is handed on, else the quantizer."""
        if self.needs(params, before).saved_model:
            return ("tensorflow", "tf-keras")
        return () if params.scheme == "float32" else self.tools

    def finish(self, params: QuantizeParams, job: FinishJob) -> bytes:
        """Return the file's bytes."""
        if job.saved_model is not None:
            return converter_engine.convert(params.scheme, job, aware=_aware(job.before))
        if job.float_model is None:
            raise StageFailed("quantize was given neither a float flatbuffer nor a SavedModel")
        if params.scheme == "float32":
            return job.float_model.read_bytes()
        return quantizer_engine.quantize(
            job.float_model, params.scheme, self.granularity(params, job.before), job.calibration
        )

    @staticmethod
    def granularity(params: QuantizeParams, before: tuple[Step, ...]) -> Literal["channel", "tensor"]:
        """Return the granularity that `auto` means after these steps."""
        if params.granularity != "auto":
            return params.granularity
        return "tensor" if any(s.technique == "cluster" for s in before) else "channel"


def _aware(before: tuple[Step, ...]) -> bool:
    found = (registry.techniques.get(s.technique) for s in before)
    return any(isinstance(t, KerasTechnique) and t.quantization_aware for t in found)


assert set(SCHEMES) == set(Scheme.__args__)  # type: ignore[attr-defined]  # Literal's arguments

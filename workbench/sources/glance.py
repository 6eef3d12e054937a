"""Read a model's inputs and outputs from its file alone: no TensorFlow, no native code, so no worker is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.flatbuffer.opening import read_file
from workbench.flatbuffer.reader import read_model
from workbench.sources.keras_file import read_keras_file
from workbench.values.source import ModelInfo, Signature, TensorInfo


def glance(info: ModelInfo) -> Signature | None:
    """Return what the file says of its inputs and outputs, or None where only loading the model can tell.

    An output's shape is empty where the file does not say it. Raises WorkbenchError for a damaged or quantized `.tflite`.
    """
    path = Path(info.path)
    if info.kind == "tflite":
        return _tflite(path)
    if info.kind == "keras":
        try:
            found = read_keras_file(path)
            return _functional(found.config, found.parameters)
        except (KeyError, TypeError, IndexError, ValueError, AttributeError):
            return None
    return None


def _tflite(path: Path) -> Signature:
    model = read_model(read_file(path), path.name)
    named = model.signatures[0] if model.signatures else None
    graph = model.graphs[named.graph if named else 0]

    def tensors(indices: tuple[int, ...], names: dict[int, str]) -> tuple[TensorInfo, ...]:
        found = []
        for index in indices:
            tensor = graph.tensors[index]
            shape = tuple(None if d < 0 else d for d in (tensor.signature or tensor.shape))
            found.append(TensorInfo(name=names.get(index, tensor.name), shape=shape, dtype=tensor.type))
        return tuple(found)

    for tensor in graph.tensors:
        if tensor.scales:
            raise WorkbenchError(
                f"{path.name!r} is already quantized (tensor {tensor.name!r} is {tensor.type}); "
                "a .tflite source has to be a float model. Use `workbench bench` or `inspect` on it instead."
            )
    return Signature(
        inputs=tensors(graph.inputs, named.inputs if named else {}),
        outputs=tensors(graph.outputs, named.outputs if named else {}),
    )


def _functional(model: dict[str, Any], parameters: int | None) -> Signature | None:
    config = model["config"]
    layers = {layer["config"]["name"]: layer for layer in config["layers"]}
    if model["class_name"] == "Sequential":
        first, last = config["layers"][0], config["layers"][-1]
        inputs, outputs = [first], [last["config"]["name"]]
        if "batch_input_shape" not in first["config"]:
            return None
        name = first["config"]["name"] if first["class_name"] == "InputLayer" else f"{first['config']['name']}_input"
        found = [_input(first, name)]
    elif model["class_name"] in ("Functional", "Model"):
        inputs = [layers[n] for n in _names(config["input_layers"])]
        outputs = _names(config["output_layers"])
        found = [_input(layer, layer["config"]["name"]) for layer in inputs]
    else:
        return None
    return Signature(inputs=tuple(found), outputs=tuple(_output(layers[n]) for n in outputs), parameters=parameters)


def _names(ends: Any) -> list[str]:
    """Return layer names of `[[name, node, tensor], ...]`, or of one such triple where there is only one.

    Raises ValueError for another structure, and where one layer gives two tensors: Keras then makes up names for them.
    """
    if not isinstance(ends, list):
        raise ValueError(f"ends of a model are a list here, not {type(ends).__name__}")
    found = [ends[0]] if isinstance(ends[0], str) else [end[0] for end in ends]
    if len(set(found)) < len(found):
        raise ValueError("a layer gives several outputs")
    return found


def _input(layer: dict[str, Any], name: str) -> TensorInfo:
    shape = tuple(layer["config"]["batch_input_shape"])
    return TensorInfo(name=name, shape=shape, dtype=str(layer["config"].get("dtype") or "float32"))


def _output(layer: dict[str, Any]) -> TensorInfo:
    units = layer["config"].get("units") if layer["class_name"] == "Dense" else None
    return TensorInfo(name=layer["config"]["name"], shape=(None, units) if units else (), dtype="float32")

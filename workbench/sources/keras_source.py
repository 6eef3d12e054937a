"""Keras files: `.keras` archives and HDF5, written by tf_keras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.sources import trust
from workbench.sources.base import NativeSource
from workbench.sources.keras_file import read_keras_file
from workbench.values.source import Signature, TensorInfo


class Keras(NativeSource):
    """A whole model as tf_keras saves it."""

    name = "keras"
    help = "a model saved by tf_keras, for all techniques"
    takes = ".keras or .h5 (tf_keras)"
    gives = "keras"
    endings = (".h5", ".hdf5", ".keras")
    tools = ("tensorflow", "tf-keras")

    def check(self, path: Path, allow_code: bool) -> None:
        """Raise WorkbenchError for a damaged file, one of Keras 3, and one with code (Lambda layers and the like) unless `allow_code`."""
        found = read_keras_file(path)
        version = found.version
        if version and not version.startswith("2."):
            hint = (
                "Leave out `keras:`, so that it is rebuilt." if found.keras3 else "Save it again with tf_keras (2.x)."
            )
            raise WorkbenchError(f"{str(path)!r} was saved by Keras {version}, which tf_keras does not read. {hint}")
        if not allow_code:
            trust.refuse(repr(str(path)), found.fault)

    def glance(self, path: Path) -> Signature | None:
        """Return what the configuration says, None for forms that it does not tell of."""
        try:
            found = read_keras_file(path)
            return _functional(found.config, found.parameters)
        except (KeyError, TypeError, IndexError, ValueError, AttributeError):
            return None

    def describe(self, path: Path, allow_code: bool) -> Signature:
        """Return what the loaded model says, with its number of parameters."""
        from workbench.sources.load import load_keras, tensor_info

        model = load_keras(path, allow_code=allow_code)
        if not model.built or not model.inputs:
            raise WorkbenchError(f"{path.name!r} has no fixed input: build or call the model once before saving it.")
        return Signature(
            inputs=tuple(tensor_info(n, t) for n, t in zip(model.input_names, model.inputs, strict=True)),
            outputs=tuple(tensor_info(n, t) for n, t in zip(model.output_names, model.outputs, strict=True)),
            parameters=int(model.count_params()),
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

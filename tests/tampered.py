"""Keras files whose configuration was changed by hand, as an attacker would."""

from __future__ import annotations

import codecs
import json
import marshal
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any

Config = dict[str, Any]
Change = Callable[[Config], None]


def save(path: Path) -> Path:
    """Save a small functional model, `x` (4,) to `hidden` to `out`, by the path's ending."""
    import tf_keras

    x = tf_keras.layers.Input((4,), name="x")
    hidden = tf_keras.layers.Dense(4, activation="relu", name="hidden")(x)
    tf_keras.Model(x, tf_keras.layers.Dense(2, name="out")(hidden), name="victim").save(path)
    return path


def tamper(path: Path, change: Change) -> Path:
    """Change the configuration that the file holds."""
    import h5py

    if path.suffix == ".h5":
        with h5py.File(path, "r+") as file:
            config = json.loads(file.attrs["model_config"])
            change(config)
            file.attrs["model_config"] = json.dumps(config)
        return path
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    change(config)
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def hidden(config: Config) -> Config:
    """Return the configuration of the layer `hidden`."""
    found: Config = config["config"]["layers"][1]["config"]
    return found


def setting(key: str, value: Any) -> Change:
    """Change an entry of the layer `hidden`."""
    return lambda config: hidden(config).update({key: value})


def layer(
    class_name: str, name: str = "bad", module: str = "keras.layers", kwargs: Any = None, **config: Any
) -> Change:
    """Hang a layer behind `hidden`, called with it and `kwargs`."""

    def change(whole: Config) -> None:
        whole["config"]["layers"].append(
            {
                "module": module,
                "class_name": class_name,
                "config": {"name": name, "trainable": True, "dtype": "float32", **config},
                "registered_name": None,
                "name": name,
                "inbound_nodes": [[["hidden", 0, 0, kwargs or {}]]]
                if class_name not in OPERATIONS
                else [["hidden", 0, 0, kwargs or {}]],
            }
        )
        whole["config"]["output_layers"] = [[name, 0, 0]]

    return change


OPERATIONS = ("TFOpLambda", "SlicingOpLambda")


def operation(symbol: Any, **kwargs: Any) -> Change:
    """Hang a layer that calls a TensorFlow symbol behind `hidden`."""
    return layer("TFOpLambda", module="tf_keras.src.layers.core.tf_op_layer", kwargs=kwargs, function=symbol)


def byte_code(canary: Path) -> list[Any]:
    """Return a function that writes the canary, as tf_keras marshals one."""
    namespace: dict[str, Any] = {}
    exec(f"def spring(x, **_):\n    open({str(canary)!r}, 'w').write('ran')\n    return x", namespace)
    function: FunctionType = namespace["spring"]
    code = codecs.encode(marshal.dumps(function.__code__), "base64").decode("ascii")
    return [code, None, None]


def lambda_dict(canary: Path) -> Config:
    """Return a lambda as a `.keras` file carries one within a layer's configuration."""
    return {"class_name": "__lambda__", "config": {"value": byte_code(canary)}}


def function_dict(module: str | None, name: str) -> Config:
    """Return a function by module and name as a `.keras` file carries one."""
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def object_dict(module: str | None, class_name: str, /, **config: Any) -> Config:
    """Return an object by module and class as a `.keras` file carries one."""
    return {"module": module, "class_name": class_name, "config": config, "registered_name": None}

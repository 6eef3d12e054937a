"""What the features of records are, as a description file says it: their types and shapes, and which are inputs and labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from workbench.errors import WorkbenchError, shown, unknown
from workbench.files import read_regular
from workbench.values.base import Value, build

# What a description is called beside its records.
NAMES = ("features.yaml", "features.yml", "features.json")
MOST_BYTES = 1 << 18
EXAMPLE = (
    "features: {image: {encoding: image}, label: {dtype: int64}}, inputs: image, labels: label; numbers have a dtype and shape: [4], "
    "bytes that are numbers encoding: raw"
)

DType = Literal[
    "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "bool", "string"
]


class Feature(Value):
    """One feature: numbers of a type and shape, words, an encoded `image`, or the `raw` bytes of numbers, little end first."""

    dtype: DType = "float32"
    shape: tuple[int, ...] = ()
    encoding: Literal["none", "image", "raw"] = "none"


class Described(Value):
    """The features of records by name, and which are inputs and labels: a name, a list of names, or names by the model's inputs and outputs."""

    features: dict[str, Feature] = Field(min_length=1)
    inputs: str | list[str] | dict[str, str]
    labels: str | list[str] | dict[str, str] | None = None
    class_names: tuple[str, ...] = ()

    def of(self, asked: str | list[str] | dict[str, str] | None) -> dict[str, str]:
        """Return features by the name of input or output; "" where there is one that needs none."""
        if isinstance(asked, str):
            return {"": asked}
        return {name: name for name in asked} if isinstance(asked, list) else dict(asked or {})

    @property
    def used(self) -> dict[str, Feature]:
        """The features that are read."""
        return {name: self.features[name] for asked in (self.inputs, self.labels) for name in self.of(asked).values()}


def _plain(data: bytes) -> Any:
    """Return YAML of plain values: without aliases, of which a few lines can stand for more than memory holds, and without tags."""
    import yaml

    for event in yaml.parse(data, yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "tag", None) is not None:
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise ValueError(f"line {line} has an alias or a tag. Write plain values")
    return yaml.safe_load(data)


def read_description(path: Path) -> Described:
    """Return what a YAML or JSON file says of features; raises WorkbenchError that names what is wrong in it."""
    import yaml

    where = f"description {shown(str(path))}"
    try:
        found = _plain(read_regular(path, "description", MOST_BYTES))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise WorkbenchError(f"{where} cannot be read: {' '.join(str(error).split())[:300]}") from None
    if not isinstance(found, dict):
        raise WorkbenchError(f"{where} is {shown(found)}. Expected e.g. {EXAMPLE}.")
    made = build(Described, {str(k): v for k, v in found.items()}, where)
    for asked in (made.inputs, made.labels):
        for name in made.of(asked).values():
            if name not in made.features:
                raise unknown(f"feature in {where}", name, made.features)
    if not made.of(made.inputs):
        raise WorkbenchError(f"{where} names no inputs. Expected inputs: NAME, a list of names, or names by input.")
    for name, feature in made.used.items():
        if any(d < 1 for d in feature.shape):
            raise WorkbenchError(f"{where}: feature {name!r} has shape {list(feature.shape)}. Allowed: sizes from 1.")
        if feature.dtype == "string" and (feature.shape or feature.encoding != "none"):
            raise WorkbenchError(f"{where}: feature {name!r} is a word, which has no shape and no encoding.")
    for name in made.of(made.inputs).values():
        if made.features[name].dtype == "string":
            raise WorkbenchError(
                f"{where}: input {name!r} is a word. Allowed: numbers and images; labels may be words."
            )
    for name in made.of(made.labels).values():
        if made.features[name].encoding == "image":
            raise WorkbenchError(f"{where}: label {name!r} is an encoded image. Write masks as encoding: raw.")
    return made


def spec(features: dict[str, Feature]) -> dict[str, Any]:
    """Return the features as TensorFlow's parser of examples takes them."""
    import tensorflow as tf

    def one(feature: Feature) -> Any:
        if feature.dtype == "string" or feature.encoding != "none":
            return tf.io.FixedLenFeature((), tf.string)
        kind = tf.float32 if feature.dtype.startswith("float") else tf.int64
        return tf.io.FixedLenFeature(feature.shape, kind)

    return {name: one(feature) for name, feature in features.items()}


def from_bytes(value: bytes, name: str, feature: Feature) -> np.ndarray[Any, Any]:
    """Return numbers of the bytes they lie in memory as; raises WorkbenchError where they are too many or too few."""
    dtype = np.dtype(feature.dtype).newbyteorder("<")
    needed = int(np.prod(feature.shape, dtype=np.int64)) * dtype.itemsize
    if len(value) != needed:
        raise WorkbenchError(
            f"feature {name!r} has {len(value):,} bytes, but {list(feature.shape)} of {feature.dtype} has {needed:,}"
        )
    return np.frombuffer(value, dtype).astype(feature.dtype).reshape(feature.shape)

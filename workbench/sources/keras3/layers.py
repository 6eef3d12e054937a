"""A layer of Keras 3 as tf_keras has it: its configuration in tf_keras's words, and its weights."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from workbench.compat.keras import import_keras
from workbench.sources.allowed_classes import words
from workbench.sources.trust import shown


class NotRebuilt(Exception):
    """A layer or operation that tf_keras cannot have: its name, its class, and why."""

    def __init__(self, name: str, kind: str, why: str) -> None:
        super().__init__(f"{kind} {name!r}: {why}")


# Activations that both compute alike, by tf_keras's name; the two differ in hard_sigmoid and hard_silu, and tf_keras lacks others.
ACTIVATIONS = {
    **{n: n for n in words("elu exponential gelu linear mish relu selu sigmoid softmax softplus softsign tanh")},
    "silu": "swish",
    "swish": "swish",
}
# Layers of that name do the same in both, given the same configuration; what is no longer so shows in the comparison of outputs.
ALIKE = words("""
    Activation ActivityRegularization Add AdditiveAttention AlphaDropout Attention Average AveragePooling1D AveragePooling2D
    AveragePooling3D BatchNormalization CategoryEncoding CenterCrop Concatenate Conv1D Conv1DTranspose Conv2D Conv2DTranspose
    Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D Cropping1D Cropping2D Cropping3D Dense DepthwiseConv1D
    DepthwiseConv2D Discretization Dot Dropout ELU EinsumDense Embedding Flatten GRU GRUCell GaussianDropout GaussianNoise
    GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D GlobalMaxPooling1D GlobalMaxPooling2D
    GlobalMaxPooling3D GroupNormalization Identity LSTM LSTMCell LayerNormalization LayerScale LeakyReLU Masking MaxPooling1D
    MaxPooling2D MaxPooling3D Maximum Minimum MultiHeadAttention Multiply PReLU Permute ReLU RepeatVector Rescaling Reshape
    Resizing SeparableConv1D SeparableConv2D SimpleRNN SimpleRNNCell Softmax SpatialDropout1D SpatialDropout2D
    SpatialDropout3D StochasticDepth Subtract UnitNormalization UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D
    ZeroPadding2D ZeroPadding3D
    """)
# Augmentation: at inference they pass on what they get, or crop it.
AUGMENTING = words("""
    AugMix AutoContrast CutMix Equalization MixUp RandAugment RandomBrightness RandomColorDegeneration RandomColorJitter
    RandomContrast RandomCrop RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale RandomHue
    RandomInvert RandomPerspective RandomPosterization RandomRotation RandomSaturation RandomSharpness RandomShear
    RandomTranslation RandomZoom Solarization
    """)
RECURRENT = words("GRU LSTM RNN SimpleRNN ConvLSTM1D ConvLSTM2D ConvLSTM3D")
# Other words for the same.
RENAMED = {"LeakyReLU": {"negative_slope": "alpha"}}
# Options that change nothing in what a layer gives at inference.
_WITHOUT_EFFECT = words("""
    autocast build_config enable_lora gptq_unpacked_column_size lora_alpha lora_rank quantization_config quantization_mode seed
    use_cudnn flash_attention
    """)
_ALWAYS = words("name trainable dtype")


def kind_of_layer(layer: Any) -> str:
    """Return the class name of a layer that is Keras's own; raises NotRebuilt for one of somebody else."""
    kind = type(layer)
    if kind.__module__.split(".")[0] != "keras":
        raise NotRebuilt(layer.name, kind.__name__, f"a class of {kind.__module__}, which tf_keras does not know")
    return kind.__name__


def twin_class(name: str) -> Any:
    """Return tf_keras's class of that name, None where it has none."""
    import tf_keras

    from workbench.compat.tf_keras import unlisted_layers

    return unlisted_layers().get(name) or getattr(tf_keras.layers, name, None)


def configured(
    layer: Any, kind: Any, given: Mapping[str, Any] = MappingProxyType({}), lenient: bool = False
) -> dict[str, Any]:
    """Return a layer's configuration in the words of a tf_keras class; `given` replaces options.

    Raises NotRebuilt for an option that is set and that the class does not have, unless `lenient`.
    """
    name = type(layer).__name__
    accepted, defaults = _options(kind), _defaults(type(layer))
    found: dict[str, Any] = {}
    for key, value in {**layer.get_config(), **given}.items():
        given_as, key = key, RENAMED.get(name, {}).get(key, key)
        if key.endswith("_initializer") or (key.endswith("_shape") and key not in accepted):
            continue  # the weights are set afterwards, and shapes follow from the graph
        if key in accepted | _ALWAYS or (key == "zero_output_for_mask" and name in RECURRENT):
            found[key] = _translated(layer, key, value)
        elif not (
            lenient
            or value in (None, False, "channels_last")
            or key in _WITHOUT_EFFECT
            or _same(defaults.get(given_as), value)
        ):
            raise NotRebuilt(layer.name, name, f"tf_keras has no option {key}, which is {shown(value)} here")
    return found


def made(layer: Any, kind: Any, config: dict[str, Any]) -> Any:
    """Return a layer of tf_keras; raises NotRebuilt where it does not take the configuration."""
    try:
        return kind(**config)
    except (TypeError, ValueError) as error:
        raise NotRebuilt(layer.name, type(layer).__name__, f"tf_keras refuses it: {error}") from error


def normalization(layer: Any, kind: Any, name: str) -> Any:
    """Return a Normalization with its mean and variance in its configuration, where cloning does not lose them."""
    config = configured(layer, kind, {"name": name})
    kept = [layer.mean, layer.variance] if layer.mean is not None else [None, None]
    if any(value is None for value in kept):
        raise NotRebuilt(layer.name, "Normalization", "it was neither adapted nor given a mean and a variance")
    mean, variance = (np.asarray(keras_array(v), np.float64) for v in kept)
    axes = tuple(i for i, size in enumerate(mean.shape) if size == 1 and (i - mean.ndim) not in _kept(layer, mean.ndim))
    config.update(mean=np.squeeze(mean, axes).tolist(), variance=np.squeeze(variance, axes).tolist())
    return made(layer, kind, config)


def _kept(layer: Any, rank: int) -> set[int]:
    axis = layer.axis if isinstance(layer.axis, (list, tuple)) else (() if layer.axis is None else (layer.axis,))
    return {a - rank if a >= 0 else a for a in axis}


def keras_array(value: Any) -> Any:
    """Return a tensor or variable of Keras 3 as an array, whatever it computes with."""
    return import_keras().ops.convert_to_numpy(value)


def copy_weights(old: Any, new: Any) -> None:
    """Give a tf_keras layer the weights of the Keras 3 layer that it was made of; raises NotRebuilt where they do not agree."""
    if type(old).__name__ == "Normalization":
        return  # what it learned from data is in the configuration
    given = [w for w in old.weights if "seed_generator_state" not in w.path]
    taken = [w for w in new.weights if not w.name.startswith("StateVar")]
    if not given and not taken:
        return
    shapes = [tuple(w.shape) for w in given], [tuple(w.shape) for w in taken]
    if shapes[0] != shapes[1]:
        raise NotRebuilt(
            old.name, type(old).__name__, f"its weights are {shapes[0]}, those of tf_keras's layer {shapes[1]}"
        )
    for source, target in zip(given, taken, strict=True):
        target.assign(np.asarray(keras_array(source.value)).astype(target.dtype.as_numpy_dtype))


def _translated(layer: Any, key: str, value: Any) -> Any:
    import tf_keras

    kind = type(layer).__name__
    if key == "dtype":
        return policy_name(layer, value)
    if key.endswith("activation"):
        name = value if isinstance(value, str) or value is None else ""
        if name is not None and name not in ACTIVATIONS:
            raise NotRebuilt(layer.name, kind, f"tf_keras has no {key} {shown(value)} that computes the same")
        return ACTIVATIONS[name] if name is not None else None
    if key.endswith("regularizer"):
        return tf_keras.regularizers.get(_plain(value))
    if key.endswith("constraint"):
        return tf_keras.constraints.get(_plain(value))
    return _without_seed(value)


def policy_name(layer: Any, value: Any) -> str:
    """Return tf_keras's name of what a layer computes in; raises NotRebuilt for a layer that Keras has quantized."""
    name = value["config"].get("name") if isinstance(value, dict) else value
    if name is None:
        name = layer.dtype_policy.name
    if not isinstance(name, str) or "_from_" in name:
        raise NotRebuilt(layer.name, type(layer).__name__, f"Keras has quantized it ({name})")
    return name


def _plain(value: Any) -> Any:
    return {"class_name": value["class_name"], "config": value["config"]} if isinstance(value, dict) else value


def _without_seed(value: Any) -> Any:
    return None if isinstance(value, dict) and value.get("class_name") == "SeedGenerator" else value


def _options(kind: type) -> frozenset[str]:
    """Return what the constructors of a class and its bases take by name."""
    found = {
        n for c in kind.__mro__ if "__init__" in vars(c) for n in inspect.signature(vars(c)["__init__"]).parameters
    }
    return frozenset(found - {"self", "args", "kwargs", "weights", "input_shape", "batch_input_shape", "batch_size"})


def _defaults(kind: type) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        if "__init__" in vars(base):
            parameters = inspect.signature(vars(base)["__init__"]).parameters
            found.update({n: p.default for n, p in parameters.items() if p.default is not p.empty})
    return found


def _same(default: Any, value: Any) -> bool:
    listed = [list(v) if isinstance(v, tuple) else v for v in (default, value)]
    return bool(listed[0] == listed[1])

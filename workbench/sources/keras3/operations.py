"""Operations in the graph of a Keras 3 model (`keras.ops`, `x + y`, slices) on symbolic tensors of tf_keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workbench.compat.keras import import_keras
from workbench.compat.tf_keras import is_symbolic
from workbench.sources.keras3.layers import NotRebuilt

# Of two tensors with as many axes: layers, which techniques know.
_MERGING = ("Add", "Subtract", "Multiply", "Maximum", "Minimum")


def operation(op: Any, unique: Callable[[str], str]) -> Callable[..., Any]:
    """Return what calls an operation on symbolic tensors; it raises NotRebuilt where tf_keras cannot hold it.

    `unique` gives the name of a layer that is made of it.
    """

    def call(*args: Any, **options: Any) -> Any:
        kind = type(op).__name__
        if kind == "Einsum":
            raise NotRebuilt(op.name, "operation Einsum", "tf_keras writes it into a file, but does not read it again")
        try:
            if kind in _FORMS:
                found = _FORMS[kind](op, unique(op.name), *args, **options)
                if found is not None:
                    return found
            # Keras 3 computes with TensorFlow's functions, which tf_keras makes layers of where they are called on symbolic tensors.
            return op.call(*args, **options)
        except Exception as error:  # TensorFlow raises anything for what it cannot do with a symbolic tensor
            said = next(iter(str(error).splitlines()), "")[:200]
            why = f"tf_keras cannot hold this operation ({type(error).__name__}: {said})"
            raise NotRebuilt(op.name, f"operation {kind}", why) from error

    return call


def _symbolic(*values: Any) -> bool:
    return all(is_symbolic(v) for v in values)


def _merged(op: Any, name: str, first: Any, second: Any) -> Any:
    import tf_keras

    if _symbolic(first, second) and first.shape.rank == second.shape.rank and first.dtype == second.dtype:
        return getattr(tf_keras.layers, type(op).__name__)(name=name)([first, second])
    return _binary(op, name, first, second)


def _binary(op: Any, _name: str, first: Any, second: Any) -> Any:
    import tensorflow as tf

    functions = {
        **{"Add": tf.add, "Subtract": tf.subtract, "Multiply": tf.multiply, "Power": tf.pow, "Matmul": tf.matmul},
        **{"Maximum": tf.maximum, "Minimum": tf.minimum, "Divide": tf.divide, "TrueDivide": tf.divide},
    }
    kind = type(op).__name__
    dtype = import_keras().backend.result_type(
        *(v.dtype.name if _symbolic(v) else getattr(v, "dtype", None) or type(v) for v in (first, second)),
        *((float,) if "Divide" in kind else ()),
    )
    if kind in _MERGING and kind != "Subtract" and not is_symbolic(first):
        first, second = second, first  # TensorFlow gives what is no tensor the type of the first
    values = [tf.cast(v, dtype) if _symbolic(v) and v.dtype.name != dtype else v for v in (first, second)]
    if isinstance(values[0], int) and "float" in dtype:
        values[0] = float(values[0])
    return functions[kind](*values)


def _concatenated(op: Any, name: str, values: Any) -> Any:
    import tf_keras

    if len({v.dtype for v in values}) > 1:
        return None
    return tf_keras.layers.Concatenate(axis=op.axis, name=name)(list(values))


def _reshaped(op: Any, name: str, x: Any) -> Any:
    import tf_keras

    shape = tuple(op.newshape)
    # The layer keeps the batch as it is.
    whole = shape[0] == -1 and all(d is not None and d > 0 for d in [*shape[1:], *x.shape[1:]])
    same = whole and _product(shape[1:]) == _product(x.shape[1:])
    return tf_keras.layers.Reshape(shape[1:], name=name)(x) if same else None


def _product(sizes: Any) -> int:
    product = 1
    for size in sizes:
        product *= int(size)
    return product


def _argmax(op: Any, _name: str, x: Any) -> Any:
    import tensorflow as tf

    if op.axis is None:
        return None
    found = tf.argmax(x, axis=op.axis, output_type=tf.int32)
    return tf.expand_dims(found, op.axis) if op.keepdims else found


def _reduced(op: Any, _name: str, x: Any) -> Any:
    import tensorflow as tf

    if not x.dtype.is_floating:
        return None
    kind = type(op).__name__
    functions = {"Mean": tf.reduce_mean, "Sum": tf.reduce_sum, "Max": tf.reduce_max, "Min": tf.reduce_min}
    if kind in ("Max", "Min") and getattr(op, "initial", None) is not None:
        return None
    axis = list(op.axis) if isinstance(op.axis, tuple) else op.axis
    return functions[kind](x, axis=axis, keepdims=op.keepdims)


def _layer(kind: str, **options: Any) -> Callable[..., Any]:
    def call(_op: Any, name: str, x: Any) -> Any:
        import tf_keras

        return getattr(tf_keras.layers, kind)(name=name, **options)(x) if x.dtype.is_floating else None

    return call


def _unary(path: str) -> Callable[..., Any]:
    def call(_op: Any, _name: str, x: Any) -> Any:
        import tensorflow as tf

        found: Any = tf
        for part in path.split("."):
            found = getattr(found, part)
        return found(x) if x.dtype.is_floating else None

    return call


# Operations that have a form which conversion and techniques know better; all others are called as Keras 3 calls them.
_FORMS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(_MERGING, _merged),
    **dict.fromkeys(("Divide", "TrueDivide", "Power", "Matmul"), _binary),
    **dict.fromkeys(("Mean", "Sum", "Max", "Min"), _reduced),
    "Concatenate": _concatenated,
    "Reshape": _reshaped,
    "Argmax": _argmax,
    "Relu": _layer("ReLU"),
    "Relu6": _layer("ReLU", max_value=6.0),
    "Sigmoid": _layer("Activation", activation="sigmoid"),
    "Tanh": _layer("Activation", activation="tanh"),
    "Silu": _unary("nn.silu"),
    **{name: _unary(name.lower()) for name in ("Sqrt", "Square", "Exp", "Negative")},
    "Log": _unary("math.log"),
    "Rsqrt": _unary("math.rsqrt"),
    "Absolute": _unary("abs"),
}

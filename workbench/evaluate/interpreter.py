"""The plain LiteRT interpreter, opened with clear errors and fed by the model's own scales."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from workbench.compat.litert import signatures
from workbench.errors import WorkbenchError
from workbench.flatbuffer import custom
from workbench.flatbuffer.reader import IDENTIFIER

Array = np.ndarray[Any, Any]


def open_interpreter(path: Path, threads: int = 1, allocated: bool = True, **options: Any) -> Any:
    """Return an `ai_edge_litert` interpreter; not `allocated` where its inputs are to be resized first, which is `allocate`'s then.

    Raises WorkbenchError when the file is not a model or no kernel can run it.
    """
    from ai_edge_litert.interpreter import Interpreter

    if not path.is_file():
        raise WorkbenchError(f"model file {str(path)!r} does not exist")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            interpreter = Interpreter(model_path=native(path), num_threads=threads, **options)
    except (ValueError, RuntimeError) as error:
        raise _unloadable(path, error) from error
    if allocated:
        allocate(interpreter, path)
    return interpreter


def allocate(interpreter: Any, path: Path) -> None:
    """Allocate the tensors of a file's interpreter; raises WorkbenchError where no kernel can run it."""
    try:
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise _unloadable(path, error) from error


def _unloadable(path: Path, error: Exception) -> WorkbenchError:
    with path.open("rb") as file:
        is_one = file.read(8)[4:] == IDENTIFIER
    if not is_one:
        return WorkbenchError(
            f"{path.name} ({path.stat().st_size} bytes) cannot be loaded by LiteRT: it is no TensorFlow Lite file, which holds {IDENTIFIER.decode()!r} behind four bytes. "
            "Give a `.tflite` file; `workbench sweep` makes them of models of Keras and SavedModels."
        )
    return WorkbenchError(f"{path.name} ({path.stat().st_size} bytes) cannot be loaded by LiteRT: {why(path, error)}")


def signature_names(interpreter: Any) -> tuple[list[str], list[str]]:
    """Return input and output names in the order of the details: the signature's names where there is one."""
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    named: dict[str, dict[str, int]] = next(iter(signatures(interpreter).values()), {"inputs": {}, "outputs": {}})
    return _named(inputs, named["inputs"]), _named(outputs, named["outputs"])


def _named(details: list[dict[str, Any]], names: dict[str, int]) -> list[str]:
    # One tensor may be two outputs, each with a name of its own.
    left = dict(names)
    found = []
    for detail in details:
        name = next((n for n, index in left.items() if index == detail["index"]), detail["name"])
        left.pop(name, None)
        found.append(name)
    return found


def native(path: Path) -> bytes:
    """Return a path as LiteRT takes any: its text form has to be UTF-8, which a file's name need not be."""
    return os.fsencode(path)


class Ends(NamedTuple):
    """Inputs and outputs of a file by public name, in its own order, each with LiteRT's details (type, shape, scale)."""

    inputs: list[tuple[str, dict[str, Any]]]
    outputs: list[tuple[str, dict[str, Any]]]


def describe_ends(path: Path) -> Ends:
    """Return a file's inputs and outputs; nothing is allocated or run. Raises WorkbenchError when it cannot be loaded."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    try:
        interpreter = Interpreter(
            model_path=native(path),
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
    except (ValueError, RuntimeError) as error:
        raise WorkbenchError(f"{path.name} cannot be loaded by LiteRT: {why(path, error)}") from error
    inputs, outputs = signature_names(interpreter)
    return Ends(
        list(zip(inputs, interpreter.get_input_details(), strict=True)),
        list(zip(outputs, interpreter.get_output_details(), strict=True)),
    )


def quantized(values: Array, detail: dict[str, Any]) -> Array:
    """Return real values as the tensor wants them: rounded to its scale and zero point and clipped, or cast."""
    dtype = np.dtype(detail["dtype"])
    scale, zero = detail["quantization"]
    if not np.issubdtype(dtype, np.integer) or scale == 0:
        return values.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    rounded = np.round(values / np.float32(scale)) + zero
    clipped: Array = np.clip(rounded, limits.min, limits.max).astype(dtype)
    return clipped


def dequantized(values: Array, detail: dict[str, Any]) -> Array:
    """Return a tensor's real values as float32."""
    scale, zero = detail["quantization"]
    if np.issubdtype(values.dtype, np.integer) and scale != 0:
        real: Array = ((values.astype(np.int32) - zero) * np.float32(scale)).astype(np.float32)
        return real
    return values


def why(path: Path, error: Exception) -> str:
    """Return LiteRT's reason not to run a file in one line, behind the custom operators that it holds where these are the reason."""
    said = _first_line(error)
    about = custom.reason(path) if "custom op" in str(error).lower() or custom.SELECT in str(error) else None
    return f"{about}. (LiteRT: {said})" if about else said


def _first_line(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return (
            f"a name in it is not UTF-8 ({error.object[:40]!r}), and LiteRT's Python interface reads no other. "
            "A sweep mends such names in its copy of the file"
        )
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)[:300]

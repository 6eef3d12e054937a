"""Run model.tflite on samples: python predict.py INPUT.npy [--top 5] [--threads N] [--json]

INPUT.npy holds one sample or many (samples first); INPUT.npz one array per input, named as the inputs
are in card.json, or input_0, input_1, ... in the order they have there. Values are real values, prepared
as in training: where the model takes integers they are quantized here with its own scale and zero point,
and outputs are turned back into real values. Class names are those of labels.txt, one per line.
Needs ai-edge-litert and numpy only.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
Array = np.ndarray[Any, Any]
SHOWN = 8


class BadInput(Exception):
    """The input does not fit the model; the text says how."""


def main() -> int:
    """Predict and print; returns the exit status: 0, or 2 for an input that does not fit."""
    args = arguments()
    try:
        interpreter = open_model(args.model, args.threads)
        samples = load(args.input, input_names(interpreter))
        outputs = predict(interpreter, samples)
        labels = read_labels(args.model.with_name("labels.txt"))
    except BadInput as error:
        print(f"predict.py: {error}", file=sys.stderr)
        return 2
    results = describe(outputs, labels, args.top)
    print(json.dumps(results, ensure_ascii=False, allow_nan=False) if args.json else table(results))
    return 0


def arguments() -> argparse.Namespace:
    """Return the checked command line."""
    parser = argparse.ArgumentParser(prog="predict.py", description="Run model.tflite on samples.")
    parser.add_argument("input", type=Path, help=".npy with one sample or many, or .npz with one array per input name")
    parser.add_argument("--top", type=positive, default=5, metavar="N", help="labels to print per sample (default 5)")
    parser.add_argument("--threads", type=positive, default=1, metavar="N", help="threads of one inference (default 1)")
    parser.add_argument("--json", action="store_true", help="print JSON with all values instead of a table")
    parser.add_argument(
        "--model", type=Path, default=HERE / "model.tflite", help="model file (default: beside this script)"
    )
    return parser.parse_args()


def positive(text: str) -> int:
    """Return a whole number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return number


def open_model(path: Path, threads: int) -> Any:
    """Return an interpreter of the model, not yet allocated."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        raise BadInput("ai-edge-litert is not installed: pip install ai-edge-litert numpy") from None
    if not path.is_file():
        raise BadInput(f"model {str(path)!r} does not exist")
    try:
        return Interpreter(model_path=bytes(path), num_threads=threads)
    except (ValueError, RuntimeError) as error:
        raise BadInput(f"{str(path)!r} cannot be opened as a .tflite model: {error}") from None


def input_names(interpreter: Any) -> list[str]:
    """Return the public names of the inputs, in the order of the details."""
    return _names(interpreter, "get_input_details")


def load(path: Path, names: list[str]) -> list[Array]:
    """Return one array per input from `.npy` or `.npz`."""
    try:
        with open(path, "rb") as file:
            data = np.load(file, allow_pickle=False)
            arrays = {key: data[key] for key in data.files} if isinstance(data, np.lib.npyio.NpzFile) else None
    except (OSError, ValueError, EOFError) as error:
        raise BadInput(f"{str(path)!r} cannot be read as .npy or .npz: {error}") from None
    if arrays is None:
        if len(names) > 1:
            raise BadInput(
                f"the model has {len(names)} inputs ({', '.join(names)}); give an .npz with one array per name"
            )
        return [data]
    # No .npz can hold an array by every name: by their places they can be given as well.
    places = [f"input_{i}" for i in range(len(names))]
    if set(arrays) == set(places):
        return [arrays[place] for place in places]
    missing = [name for name in names if name not in arrays]
    if missing:
        raise BadInput(
            f"{str(path)!r} has no array {', '.join(map(repr, missing))}. It has: {', '.join(arrays) or 'none'}. The inputs are: {', '.join(names)}"
        )
    return [arrays[name] for name in names]


def predict(interpreter: Any, arrays: list[Array]) -> dict[str, list[Array]]:
    """Return the outputs as real values, per name one array for each sample; one sample is run at a time."""
    names, details = input_names(interpreter), interpreter.get_input_details()
    batches = [as_batch(a, d, n) for a, d, n in zip(arrays, details, names, strict=True)]
    count = len(batches[0])
    for name, batch in zip(names, batches, strict=True):
        if len(batch) != count:
            raise BadInput(
                f"inputs differ in their number of samples: {names[0]!r} has {count}, {name!r} has {len(batch)}"
            )
    if count == 0:
        raise BadInput("the input holds no samples")
    try:
        for batch, detail in zip(batches, details, strict=True):
            if tuple(detail["shape"]) != (1, *batch.shape[1:]):
                interpreter.resize_tensor_input(detail["index"], (1, *batch.shape[1:]))
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise BadInput(f"the model cannot take one sample of shape {[b.shape[1:] for b in batches]}: {error}") from None
    results: dict[str, list[Array]] = {name: [] for name in _names(interpreter, "get_output_details")}
    for i in range(count):
        # A recurrent model keeps its state from one call to the next; samples know nothing of each other.
        interpreter.reset_all_variables()
        for batch, detail in zip(batches, details, strict=True):
            interpreter.set_tensor(detail["index"], quantized(batch[i : i + 1], detail))
        interpreter.invoke()
        for found, detail in zip(results.values(), interpreter.get_output_details(), strict=True):
            value = dequantized(interpreter.get_tensor(detail["index"]), detail)
            found.append(value[0] if value.ndim and value.shape[0] == 1 else value)
    return results


def as_batch(array: Array, detail: dict[str, Any], name: str) -> Array:
    """Return the array with samples first; one sample gets that axis."""
    signature = [int(s) for s in (detail["shape_signature"] if len(detail["shape_signature"]) else detail["shape"])]
    want = signature[1:]
    if array.dtype.kind not in "fiub":
        raise BadInput(f"input {name!r} holds {array.dtype}, not numbers")
    if not np.isfinite(array).all():
        raise BadInput(f"input {name!r} holds NaN or infinity")
    for batch in (array, array[np.newaxis]):
        if batch.ndim == len(signature) and all(w in (-1, s) for w, s in zip(want, batch.shape[1:], strict=True)):
            return batch
    one = ", ".join("any" if w < 0 else str(w) for w in want)
    raise BadInput(
        f"input {name!r} takes one sample of shape ({one}) or many of shape (n, {one}), but the file holds {array.shape}"
    )


def quantized(values: Array, detail: dict[str, Any]) -> Array:
    """Return real values as the tensor takes them: rounded to its scale and zero point and clipped, or cast."""
    dtype = np.dtype(detail["dtype"])
    if dtype.kind not in "iu":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    scale, zero = detail["quantization"]
    if scale:
        taken: Array = np.clip(np.round(values / np.float32(scale)) + zero, limits.min, limits.max).astype(dtype)
        return taken
    if (values != np.round(values)).any() or values.min() < limits.min or values.max() > limits.max:
        raise BadInput(f"input {detail['name']!r} takes whole numbers from {limits.min} to {limits.max}")
    return values.astype(dtype)


def dequantized(values: Array, detail: dict[str, Any]) -> Array:
    """Return a tensor's real values."""
    scale, zero = detail["quantization"]
    if values.dtype.kind in "iu" and scale:
        real: Array = (values.astype(np.float32) - np.float32(zero)) * np.float32(scale)
        return real
    return values


def read_labels(path: Path) -> list[str]:
    """Return the class names, one per line, or none where there is no such file."""
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


def describe(outputs: dict[str, list[Array]], labels: list[str], top: int) -> list[dict[str, Any]]:
    """Return one entry per sample: all outputs, and the best labels of the first output that has one score per label."""
    scored = next((n for n, v in outputs.items() if labels and v[0].size == len(labels)), None)
    entries = []
    for i in range(len(next(iter(outputs.values())))):
        entry: dict[str, Any] = {"sample": i, "outputs": {name: _plain(v[i].tolist()) for name, v in outputs.items()}}
        if scored is not None:
            scores = outputs[scored][i].ravel()
            best = np.argsort(-scores, kind="stable")[:top]
            entry["top"] = [{"class": int(k), "label": labels[k], "score": _plain(float(scores[k]))} for k in best]
        entries.append(entry)
    return entries


def table(results: list[dict[str, Any]]) -> str:
    """Return the results as text: best labels, or raw values where the model does not classify."""
    lines = []
    for entry in results:
        if "top" in entry:
            lines += [
                (str(entry["sample"]), str(rank), t["label"], _number(t["score"]))
                for rank, t in enumerate(entry["top"], 1)
            ]
        else:
            lines += [(str(entry["sample"]), name, "", _values(value)) for name, value in entry["outputs"].items()]
    head = ("sample", "rank", "label", "score") if "top" in results[0] else ("sample", "output", "", "values")
    widths = [max(len(line[k]) for line in [head, *lines]) for k in range(4)]
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True) if w).rstrip() for line in [head, *lines]
    )


def _names(interpreter: Any, which: str) -> list[str]:
    """Return the signature's names of inputs or outputs, or the tensors' own where there is no signature."""
    public: dict[int, str] = {}
    signatures = interpreter.get_signature_list()
    if signatures:
        runner = interpreter.get_signature_runner(next(iter(signatures)))
        public = {d["index"]: name for name, d in getattr(runner, which)().items()}
    return [public.get(d["index"], d["name"]) for d in getattr(interpreter, which)()]


def _values(value: Any) -> str:
    flat = np.ravel(np.asarray(value, dtype=object)).tolist()
    more = f" ... ({len(flat)} values; --json prints them all)" if len(flat) > SHOWN else ""
    return " ".join(_number(v) for v in flat[:SHOWN]) + more


def _number(value: Any) -> str:
    return "nan" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    """Return the value with NaN and infinity as None, which JSON can hold."""
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


if __name__ == "__main__":
    sys.exit(main())

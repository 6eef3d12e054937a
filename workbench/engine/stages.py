"""What each kind of stage does; runs in a worker process, which may crash without harm to the others."""

from __future__ import annotations

import json
import os
import shutil
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.data.materialize import open_split
from workbench.engine.job import Job
from workbench.engine.preload_tensorflow import set_up_tensorflow, wait_for_import
from workbench.engine.residue import none_left
from workbench.errors import StageFailed, WorkbenchError
from workbench.recipes import grammar
from workbench.techniques.base import Finisher, FinishJob, KerasTechnique, TrainJob
from workbench.values.recipe import Step
from workbench.values.settings import Train
from workbench.values.source import ModelInfo
from workbench.values.trial import Artifact

if TYPE_CHECKING:
    from workbench.sources.freeze import Inference

Arrays = dict[str, np.ndarray[Any, Any]]


def run_stage(
    kind: str, payload: dict[str, Any], inputs: dict[str, dict[str, Any]], root: str, threads: int
) -> dict[str, Any]:
    """Do one stage and return its result: `artifact`, `data`, `notes`, `seconds`; `error` when it failed for a known reason."""
    begin = time.monotonic()
    wait_for_import()
    with none_left():
        result = _run(
            Job(kind, payload, {k: Artifact.model_validate(v) for k, v in inputs.items()}, Path(root), threads)
        )
    return {**result, "seconds": time.monotonic() - begin}


def _run(job: Job) -> dict[str, Any]:
    try:
        result = HANDLERS[job.kind](job)
    except WorkbenchError as error:
        return {"error": str(error)}
    except MemoryError:
        return {"error": f"out of memory in stage {job.kind!r}"}
    except Exception as error:
        # A bug, or a stranger's technique: its class may exist in this process only, so it goes back as text.
        return {"error": _told(error)}
    finally:
        for folder in job.temporary:
            shutil.rmtree(folder, ignore_errors=True)
    return {**result, "notes": job.notes, "pid": os.getpid()}


def _told(error: Exception) -> str:
    """Return an exception on one line: its class, what it says (TensorFlow adds stack lines), and where it was raised."""
    lines = (line.strip() for line in str(error).splitlines())
    said = " ".join(
        line for line in lines if line and not line.startswith(('File "', "Graph execution error", "Detected at node"))
    )
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {said[:500]} ({Path(place.filename).name}:{place.lineno})"


def _describe(job: Job) -> dict[str, Any]:
    from workbench.sources.load import describe

    set_up_tensorflow(job.threads)
    return {"artifact": None, "data": describe(job.source).to_json()}


def _train(job: Job) -> dict[str, Any]:
    set_up_tensorflow(job.threads)
    import tf_keras

    from workbench.sources.freeze import keras_inference
    from workbench.sources.load import load_keras
    from workbench.techniques import training

    step = Step.model_validate(job.payload["step"])
    technique, params = grammar.resolve(step)
    if not isinstance(technique, KerasTechnique):
        raise StageFailed(f"{step.technique} does not work on a Keras model")
    train = Train.model_validate(job.payload["train"])
    split = open_split(job.data(), "train")
    path = job.keras_path()
    if path is None:
        raise StageFailed(f"`{technique.name}` needs a Keras model")
    model = load_keras(path, job.scopes(), job.source.allow_code)
    tf_keras.utils.set_random_seed(train.seed)
    x = {k: np.asarray(v) for k, v in split.x.items()} if isinstance(split.x, dict) else np.asarray(split.x)
    y = None if split.y is None else np.asarray(split.y)

    def fit(wrapped: Any, callbacks: list[Any]) -> None:
        training.fit(wrapped, x, y, train, technique.learning_rate, callbacks)

    outputs = list(model.output_names)
    made = technique.apply(
        model, params, TrainJob(x, y, train, job.before(), fit, training.steps_per_epoch(len(split), train))
    )
    if technique.quantization_aware:
        # Its wrappers do not load again from a file (clustered ones not at all), and only conversion can follow.
        return _saved_model(job, lambda: keras_inference(made, outputs), lambda: _exported(job, made, outputs))
    file = job.scratch() / "model.h5"
    made.save(file, include_optimizer=False, save_format="h5")
    return {"artifact": job.artifacts.put_bytes(file.read_bytes(), "h5").to_json(), "data": {}}


def _exported(job: Job, model: Any, outputs: list[str]) -> Path:
    from workbench.sources.load import save_ordinary

    folder = job.scratch()
    save_ordinary(model, folder, outputs)
    return folder


def _freeze(job: Job) -> dict[str, Any]:
    set_up_tensorflow(job.threads)
    return _saved_model(job, _tracer(job), lambda: _ordinary(job))


def _tracer(job: Job) -> Callable[[], Inference]:
    """Return what traces the model that the job starts from: a Keras file, loaded here, or a SavedModel."""
    from workbench.sources import freeze, load

    path = job.keras_path()
    if path is None:
        return lambda: freeze.saved_model_inference(Path(job.source.path))
    model = load.load_keras(path, job.scopes(), job.source.allow_code)
    return lambda: freeze.keras_inference(model)


def _saved_model(job: Job, trace: Callable[[], Inference], ordinary: Callable[[], Path | None]) -> dict[str, Any]:
    """Return a frozen SavedModel, or the ordinary export when freezing fails, with a note."""
    way, folder = "frozen", job.scratch()
    try:
        trace().save(folder)
    except Exception as error:  # TensorFlow raises anything here; the ordinary way is then tried
        said = next(iter(str(error).splitlines()), "")[:200]
        job.notes.append(f"freezing failed ({type(error).__name__}: {said}); the ordinary export was used")
        way, other = "ordinary", ordinary()
        if other is None:
            raise
        folder = other
    return {"artifact": job.artifacts.put_folder(folder, "savedmodel").to_json(), "data": {"conversion": way}}


def _ordinary(job: Job) -> Path | None:
    """Return a new ordinary export of what the job starts from, None where that is gone."""
    from workbench.sources import load

    path = job.keras_path()
    folder = job.scratch()
    if path is not None:
        load.save_ordinary(load.load_keras(path, job.scopes(), job.source.allow_code), folder)
    elif job.source.kind == "savedmodel":
        shutil.copytree(job.source.path, folder, dirs_exist_ok=True)
    else:
        return None
    return folder


def _convert(job: Job) -> dict[str, Any]:
    set_up_tensorflow(job.threads)
    from workbench.evaluate.run import run_all
    from workbench.sources.load import convert_float
    from workbench.techniques.converter_engine import with_fallback

    trace = _tracer(job)

    def frozen() -> bytes:
        inference = trace()
        content = inference.flatbuffer()
        file = job.scratch() / "model.tflite"
        file.write_bytes(content)
        # Looser than the same function in TensorFlow: LiteRT's kernels sum in another order.
        inference.check(lambda sample: run_all(file, sample, job.threads)[0], rtol=1e-2, atol=1e-3)
        return content

    data = with_fallback(frozen, lambda: _ordinary(job), convert_float, job.notes.append)
    way = "ordinary" if job.notes else "frozen"
    return {"artifact": job.artifacts.put_bytes(data, "tflite").to_json(), "data": {"conversion": way}}


def _import(job: Job) -> dict[str, Any]:
    return {"artifact": job.artifacts.put_bytes(Path(job.source.path).read_bytes(), "tflite").to_json(), "data": {}}


def _calibrate(job: Job) -> dict[str, Any]:
    from workbench.techniques import quantizer_engine

    ranges = quantizer_engine.calibrate(job.path("float_model"), _samples(job, job.path("float_model")), job.threads)
    return {"artifact": job.artifacts.put_bytes(json.dumps(ranges).encode(), "ranges.json").to_json(), "data": {}}


def _samples(job: Job, float_model: Path | None = None) -> list[Arrays]:
    """Return seeded calibration samples, `(1, *shape)` per input name, in the model's own input types."""
    split = open_split(job.data(), "calibration")
    count = min(int(job.payload["samples"]), len(split))
    chosen = np.sort(np.random.default_rng(int(job.payload["seed"])).choice(len(split), count, replace=False))
    names, types = _input_names(job, float_model)
    inputs = split.inputs
    renamed = {names[0]: inputs[""]} if list(inputs) == [""] else {n: inputs[n] for n in names}
    return [{n: np.asarray(v[i : i + 1]).astype(types[n]) for n, v in renamed.items()} for i in chosen]


def _input_names(job: Job, float_model: Path | None) -> tuple[list[str], dict[str, Any]]:
    if float_model is not None:
        from workbench.evaluate.interpreter import open_interpreter, signature_names

        interpreter = open_interpreter(float_model)
        names, _ = signature_names(interpreter)
        return names, {n: d["dtype"] for n, d in zip(names, interpreter.get_input_details(), strict=True)}
    from workbench.sources.load import describe

    signature = describe(ModelInfo(name="frozen", kind="savedmodel", path=str(job.path("saved_model")), sha256=""))
    return [t.name for t in signature.inputs], {t.name: np.dtype(t.dtype) for t in signature.inputs}


def _finish(job: Job) -> dict[str, Any]:
    step = Step.model_validate(job.payload["step"])
    technique, params = grammar.resolve(step)
    if not isinstance(technique, Finisher):
        raise StageFailed(f"{step.technique} does not finish a recipe")
    if "saved_model" in job.inputs:
        set_up_tensorflow(job.threads)
    ranges = json.loads(job.path("calibration").read_bytes()) if "calibration" in job.inputs else None
    finish = FinishJob(
        before=job.before(),
        float_model=job.path("float_model") if "float_model" in job.inputs else None,
        saved_model=job.path("saved_model") if "saved_model" in job.inputs else None,
        calibration=ranges,
        samples=lambda: _samples(job),
        ordinary=lambda: _ordinary(job),
        note=job.notes.append,
    )
    return {"artifact": job.artifacts.put_bytes(technique.finish(params, finish), "tflite").to_json(), "data": {}}


def _evaluate(job: Job) -> dict[str, Any]:
    from workbench.evaluate import quality as q
    from workbench.evaluate.run import run_all
    from workbench.flatbuffer.census import read_census, read_sizes
    from workbench.flatbuffer.checks import check_census

    path = job.path("file")
    census, size = read_census(path), read_sizes(path)
    split = open_split(job.data(), "test")
    outputs, batch = run_all(path, split.inputs, job.threads)
    is_baseline = "baseline" not in job.inputs
    baseline = outputs if is_baseline else dict(np.load(job.path("baseline"), allow_pickle=False))
    y = None if split.y is None else np.asarray(split.y)
    quality = q.quality(outputs, baseline, y, job.payload["labels"], batch, job.payload["output"])
    warnings = check_census(
        census, scheme=job.payload["scheme"], sparsity_target=job.payload["sparsity"], clusters=job.payload["clusters"]
    )
    data = {
        "file": job.inputs["file"].to_json(),
        "size": size.to_json(),
        "census": census.to_json(),
        "quality": quality.to_json(),
        "warnings": [w.to_json() for w in warnings],
    }
    artifact = _save_outputs(job, outputs).to_json() if is_baseline else job.inputs["file"].to_json()
    return {"artifact": artifact, "data": data}


def _save_outputs(job: Job, outputs: Arrays) -> Artifact:
    file = job.scratch() / "outputs.npz"
    np.savez(file, **outputs)  # type: ignore[arg-type]  # names are the model's
    return job.artifacts.put_bytes(file.read_bytes(), "npz")


HANDLERS = {
    "describe": _describe,
    "train": _train,
    "freeze": _freeze,
    "convert": _convert,
    "import": _import,
    "calibrate": _calibrate,
    "finish": _finish,
    "evaluate": _evaluate,
}

"""What each kind of stage does; runs in a worker process, which may crash without harm to the others."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench import registry
from workbench.data.calibration import drawn
from workbench.data.feeding import feeding
from workbench.data.materialize import open_split
from workbench.data.rows import whole
from workbench.engine.failures import told
from workbench.engine.imports import set_up_tensorflow
from workbench.engine.job import Job
from workbench.engine.residue import none_left
from workbench.engine.surveying import left_of, no_keras_model, survey
from workbench.errors import StageFailed
from workbench.flatbuffer.signature import Names
from workbench.measure.environment import machine, versions
from workbench.recipes import grammar
from workbench.techniques.base import Finisher, FinishJob, KerasTechnique, TrainJob
from workbench.values.graph import Artifact
from workbench.values.recipe import Step
from workbench.values.settings import Train
from workbench.values.source import ModelInfo, TensorInfo

if TYPE_CHECKING:
    from workbench.sources.freeze import Inference

Arrays = dict[str, np.ndarray[Any, Any]]


def run_stage(
    kind: str,
    payload: dict[str, Any],
    inputs: dict[str, dict[str, Any]],
    root: str,
    threads: int,
    tools: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Do one stage and return its result: `artifact`, `data`, `notes`, `seconds`; `error` when it failed for a known reason.

    `done` says where, when and with which versions of `tools` it was done: this process may be on another machine than its caller.
    """
    begin, started = time.monotonic(), datetime.now(UTC).isoformat(timespec="milliseconds")
    with none_left():
        result = _run(
            Job(kind, payload, {k: Artifact.model_validate(v) for k, v in inputs.items()}, Path(root), threads)
        )
    done = {"machine": machine().to_json(), "started": started, "tools": versions(tools), "threads": threads}
    return {**result, "seconds": time.monotonic() - begin, "done": done}


def _run(job: Job) -> dict[str, Any]:
    try:
        result = HANDLERS[job.kind](job)
    except MemoryError:
        return {"error": f"out of memory in stage {job.kind!r}"}
    except Exception as error:
        # A reason that we know, a bug, or a stranger's technique, whose class may exist in this process only: it goes back as text.
        return {"error": told(error, job.root)}
    finally:
        for folder in job.temporary:
            shutil.rmtree(folder, ignore_errors=True)
    return {**result, "notes": job.notes, "pid": os.getpid()}


def _open(job: Job) -> dict[str, Any]:
    from workbench.sources.opening import open_source

    if job.source.kind != "tflite" or "tensorflow" in registry.sources.get(job.source.opener).tools:
        # Before a stranger uses it: its threads cannot be set afterwards.
        set_up_tensorflow(job.threads)
    made = open_source(job.source, job.scratch())
    if made.is_dir():
        artifact = job.artifacts.put_folder(made, "savedmodel")
    else:
        artifact = job.artifacts.put_bytes(made.read_bytes(), made.suffix[1:])
    return {"artifact": artifact.to_json(), "data": {}}


def _describe(job: Job) -> dict[str, Any]:
    from workbench.sources.load import read_signature

    if job.source.kind != "tflite":
        set_up_tensorflow(job.threads)
    return {"artifact": None, "data": read_signature(job.source, job.source_path).to_json()}


def _train(job: Job) -> dict[str, Any]:
    set_up_tensorflow(job.threads)
    import tf_keras

    from workbench.sources.freeze import keras_inference
    from workbench.sources.load import save_keras
    from workbench.techniques import training

    step = Step.model_validate(job.payload["step"])
    technique, params = grammar.resolve(step)
    if not isinstance(technique, KerasTechnique):
        raise StageFailed(f"{step.technique} does not work on a Keras model")
    train = Train.model_validate(job.payload["train"])
    split = open_split(job.data(), "train")
    path = job.keras_path()
    if path is None:
        raise StageFailed(no_keras_model(technique.name, job))
    model = _load(job, path)
    tf_keras.utils.set_random_seed(train.seed)
    x = {k: whole(v) for k, v in split.x.items()} if isinstance(split.x, dict) else whole(split.x)
    goals = training.goals(model, x, job.labels(split), job.tasks(), train.loss)

    def fit(wrapped: Any, callbacks: list[Any]) -> None:
        training.fit(wrapped, x, goals, train, technique.learning_rate, callbacks)

    outputs, size = list(model.output_names), int(model.count_params())
    left: list[dict[str, Any]] = []

    def note_left(layer: str, why: str, weights: int) -> None:
        left.append(left_of(size, layer, why, weights))

    steps = training.steps_per_epoch(len(split), train)
    made = technique.apply(model, params, TrainJob(x, split.y, train, job.before(), fit, steps, note_left))
    told = {"left": {technique.name: left}} if left else {}
    if technique.quantization_aware:
        # Its wrappers do not load again from a file (clustered ones not at all), and only conversion can follow.
        result = _saved_model(job, lambda: keras_inference(made, outputs), lambda: _exported(job, made, outputs), made)
        return {**result, "data": {**result["data"], **told}}
    file = save_keras(made, job.scratch())
    return {"artifact": job.artifacts.put_bytes(file.read_bytes(), file.suffix[1:]).to_json(), "data": told}


def _load(job: Job, path: Path) -> Any:
    from workbench.sources.load import load_keras

    return load_keras(path, job.scopes(), job.source.allow_code, ours="keras" in job.inputs)


def _exported(job: Job, model: Any, outputs: list[str]) -> Path:
    from workbench.sources.load import save_ordinary

    folder = job.scratch()
    save_ordinary(model, folder, outputs)
    return folder


def _freeze(job: Job) -> dict[str, Any]:
    set_up_tensorflow(job.threads)
    path = job.keras_path()
    model = None if path is None else _load(job, path)
    return _saved_model(job, _tracer(job, model), lambda: _ordinary(job), model)


def _tracer(job: Job, model: Any) -> Callable[[], Inference]:
    """Return what traces the model that the job starts from: one of Keras, or the source's SavedModel where that is None."""
    from workbench.sources import freeze

    if model is None:
        return lambda: freeze.saved_model_inference(job.source_path, job.source.allow_code, job.source.signature)
    return lambda: freeze.keras_inference(model)


def _saved_model(
    job: Job, trace: Callable[[], Inference], ordinary: Callable[[], Path | None], model: Any
) -> dict[str, Any]:
    """Return a frozen SavedModel, or the ordinary export when freezing fails, with a note, and for a Keras `model` with loops."""
    from workbench.sources.load import has_loops

    way, folder = "frozen", job.scratch()
    try:
        if model is not None and has_loops(model):
            # Frozen, it would be saved with an open batch, and no converter takes a loop with one.
            folder = ordinary() or folder
            return {
                "artifact": job.artifacts.put_folder(folder, "savedmodel").to_json(),
                "data": {"conversion": "ordinary"},
            }
        trace().save(folder)
    except Exception as first:  # TensorFlow raises anything here; the ordinary way is then tried
        said = next(iter(str(first).splitlines()), "")[:200]
        try:
            other = ordinary()
        except Exception as second:
            # What went wrong first is the reason; the other way has reasons of its own.
            raise first from second
        if other is None:
            raise
        job.notes.append(f"freezing failed ({type(first).__name__}: {said}); the ordinary export was used")
        way, folder = "ordinary", other
    return {"artifact": job.artifacts.put_folder(folder, "savedmodel").to_json(), "data": {"conversion": way}}


def _ordinary(job: Job) -> Path | None:
    """Return a new ordinary export of what the job starts from, None where that is gone."""
    from workbench.sources import load
    from workbench.sources.saved_model import checked_copy

    path = job.keras_path()
    folder = job.scratch()
    if path is not None:
        load.save_ordinary(_load(job, path), folder)
    elif job.source_path.is_dir():
        if _for_one_sample(job, folder):
            return folder
        if job.source.allow_code:
            shutil.copytree(job.source_path, folder, dirs_exist_ok=True)
        else:
            checked_copy(job.source_path, folder, whole=True)
    else:
        return None
    return folder


def _for_one_sample(job: Job, folder: Path) -> bool:
    """Write a SavedModel's function for a batch of 1, with which recurrent layers convert; False where that cannot be."""
    from workbench.sources.freeze import saved_model_inference
    from workbench.sources.one_sample import one_sample

    try:
        one_sample(saved_model_inference(job.source_path, job.source.allow_code, job.source.signature)).save(folder)
    except Exception:  # TensorFlow raises anything here; the SavedModel itself is then tried
        shutil.rmtree(folder)
        folder.mkdir()
        return False
    return True


def _convert(job: Job) -> dict[str, Any]:
    set_up_tensorflow(job.threads)
    from workbench.evaluate.run import run_once
    from workbench.sources.load import convert_float
    from workbench.techniques.converter_engine import with_fallback

    path = job.keras_path()
    trace = _tracer(job, None if path is None else _load(job, path))

    def frozen() -> bytes:
        inference = trace()
        content = inference.flatbuffer()
        file = job.scratch() / "model.tflite"
        file.write_bytes(content)
        # Looser than the same function in TensorFlow: LiteRT's kernels sum in another order.
        inference.check(lambda sample: run_once(file, sample, job.threads), rtol=1e-2, atol=1e-3)
        return content

    data = with_fallback(frozen, lambda: _ordinary(job), lambda f: convert_float(f, _key(job)), job.notes.append)
    way = "ordinary" if job.notes else "frozen"
    return {"artifact": job.artifacts.put_bytes(data, "tflite").to_json(), "data": {"conversion": way}}


def _key(job: Job) -> str:
    """Return the signature that is meant of a SavedModel that is converted the ordinary way."""
    return job.source.signature if job.source.kind == "savedmodel" else ""


def _import(job: Job) -> dict[str, Any]:
    from workbench.flatbuffer.kept import keep_signature
    from workbench.flatbuffer.mend import mend
    from workbench.flatbuffer.opening import read_file
    from workbench.flatbuffer.reader import read_model

    content = read_file(job.source_path)
    if job.source.signature:
        read_model(content, job.source_path.name)
        content = keep_signature(content, job.source.signature)
    mended = mend(content, read_model(content, job.source_path.name))
    unfolded = {"float16": mended.float16, "sparse": mended.sparse, "source": len(content)}
    return {"artifact": job.artifacts.put_bytes(mended.content, "tflite").to_json(), "data": {"unfolded": unfolded}}


def _calibrate(job: Job) -> dict[str, Any]:
    from workbench.techniques import quantizer_engine

    model = job.path("float_model")
    samples = _samples(job, model)
    at_size = _at_size(job, model, samples[0])
    ranges = quantizer_engine.calibrate(at_size, samples, job.threads)
    if at_size != model:
        ranges[quantizer_engine.SIZES] = {name: list(value.shape) for name, value in samples[0].items()}
    return {"artifact": job.artifacts.put_bytes(json.dumps(ranges).encode(), "ranges.json").to_json(), "data": {}}


def _at_size(job: Job, model: Path, sample: Arrays) -> Path:
    """Return a file to calibrate on: a copy at the data's size where sizes beside the batch are open, at which the engine would begin with 1."""
    from workbench.evaluate.sized import write_sized

    if not any(None in end.shape[1:] for end in _inputs(model).values()):
        return model
    made = job.scratch() / "sized.tflite"
    write_sized(model, {name: value.shape for name, value in sample.items()}, made)
    return made


def _samples(job: Job, model: Path) -> list[Arrays]:
    """Return seeded calibration samples, a call's worth of each input, by the names and in the types that a model has itself."""
    split = open_split(job.data(), "calibration")
    chosen = drawn(len(split), int(job.payload["samples"]), int(job.payload["seed"]))
    inputs, ends = split.inputs, _inputs(model)
    own = {public: mine for mine, public in Names.read(model).inputs.items()}
    values = dict(zip(ends, [inputs[""]] if list(inputs) == [""] else [inputs[n] for n in ends], strict=True))
    how = feeding({n: t.shape for n, t in ends.items()}, {n: v.shape[1:] for n, v in values.items()}, "the data")

    def call(places: Any) -> Arrays:
        parts = {n: how.given(n, v[places], 0, len(places)) for n, v in values.items()}
        return {own.get(n, n): part.astype(ends[n].dtype) for n, part in parts.items()}

    return [call(chosen[i : i + how.size]) for i in range(0, len(chosen), how.size)]


def _inputs(model: Path) -> dict[str, TensorInfo]:
    """Return a model's inputs by public name."""
    if not model.is_dir():
        from workbench.evaluate.interpreter import describe_ends
        from workbench.evaluate.run import signature_shape

        ends = describe_ends(model).inputs
        return {n: TensorInfo(name=n, shape=signature_shape(d), dtype=np.dtype(d["dtype"]).name) for n, d in ends}
    from workbench.sources.load import read_signature

    # Made by a stage of a model that was checked.
    signature = read_signature(ModelInfo(name="frozen", kind="savedmodel", path=str(model), sha256="", allow_code=True))
    return {t.name: t for t in signature.inputs}


def _finish(job: Job) -> dict[str, Any]:
    step = Step.model_validate(job.payload["step"])
    technique, params = grammar.resolve(step)
    if not isinstance(technique, Finisher):
        raise StageFailed(f"{step.technique} does not finish a recipe")
    if "saved_model" in job.inputs:
        set_up_tensorflow(job.threads)
    ranges = json.loads(job.path("calibration").read_bytes()) if "calibration" in job.inputs else None
    saved_model = job.path("saved_model") if "saved_model" in job.inputs else None
    # Where the frozen one does not convert, the ordinary export takes its place, with other names in its signature.
    handed = [saved_model]

    def ordinary() -> Path | None:
        handed.append(_ordinary(job))
        return handed[-1]

    def samples() -> list[Arrays]:
        if handed[-1] is None:
            raise StageFailed(f"{technique.name} asked for samples, which go with a SavedModel, and was given none")
        return _samples(job, handed[-1])

    finish = FinishJob(
        before=job.before(),
        float_model=job.path("float_model") if "float_model" in job.inputs else None,
        saved_model=saved_model,
        calibration=ranges,
        samples=samples,
        ordinary=ordinary,
        note=job.notes.append,
    )
    content = technique.finish(params, finish)
    if handed[-1] is not None:
        content = Names.read(handed[-1]).publish(content)
    return {"artifact": job.artifacts.put_bytes(content, "tflite").to_json(), "data": {}}


def _evaluate(job: Job) -> dict[str, Any]:
    from workbench.evaluate import quality as q
    from workbench.evaluate.arrays import load_arrays
    from workbench.evaluate.collapse import collapsed
    from workbench.evaluate.run import run_all
    from workbench.evaluate.scales import check_scale
    from workbench.flatbuffer.census import read_census, read_sizes
    from workbench.flatbuffer.checks import check_census

    path = job.path("file")
    census, size = read_census(path), read_sizes(path)
    split = open_split(job.data(), "test")
    outputs, batch = run_all(path, split.inputs, job.threads)
    is_baseline = "baseline" not in job.inputs
    baseline = outputs if is_baseline else load_arrays(job.path("baseline"))
    labels, tasks = {n: np.asarray(y) for n, y in job.labels(split).items()}, job.tasks()
    quality = q.quality(outputs, baseline, labels, tasks, batch)
    warnings = check_census(
        census, scheme=job.payload["scheme"], sparsity_target=job.payload["sparsity"], clusters=job.payload["clusters"]
    )
    if is_baseline and (scale := check_scale(path, split.inputs, labels, tasks, job.threads)):
        warnings = (*warnings, scale)
    if not is_baseline:
        labelled = {n for n, t in tasks.items() if n in labels and t.name != "none"}
        warnings += tuple(collapsed(q.cleared(outputs, tasks), q.cleared(baseline, tasks), labelled))
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
    from workbench.evaluate.arrays import save_arrays

    file = job.scratch() / "outputs.npz"
    save_arrays(file, outputs)
    return job.artifacts.put_bytes(file.read_bytes(), "npz")


HANDLERS = {
    "open": _open,
    "describe": _describe,
    "survey": survey,
    "train": _train,
    "freeze": _freeze,
    "convert": _convert,
    "import": _import,
    "calibrate": _calibrate,
    "finish": _finish,
    "evaluate": _evaluate,
}

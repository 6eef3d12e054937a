"""Trials and studies that look like real ones, made through the value classes; nothing is built or measured."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Literal

from workbench.recipes.grammar import parse_recipe
from workbench.values.graph import Artifact
from workbench.values.recipe import SCHEMES, Recipe
from workbench.values.source import DatasetInfo, ModelInfo, Signature, TensorInfo
from workbench.values.study import StudyRecord
from workbench.values.trial import (
    Agreement,
    Census,
    Latency,
    Measurement,
    OpProfile,
    OpTime,
    Quality,
    Ratio,
    Size,
    State,
    TensorCensus,
    Trial,
)
from workbench.values.warning import Warning_, warning

FLOAT_BYTES = 440_000
FLOAT_MS = 0.742
# Share of the float file, share of the float latency on xnnpack, accuracy lost.
EFFECT: dict[str, tuple[float, float, float]] = {
    "float32": (1.0, 1.0, 0.0),
    "float16": (0.52, 1.01, 0.0),
    "dynamic": (0.30, 1.35, 0.002),
    "weight-only-int8": (0.31, 1.02, 0.002),
    "int8": (0.29, 0.28, 0.0045),
    "int8-float-io": (0.295, 0.30, 0.0045),
    "int16x8": (0.31, 11.4, 0.001),
    "int4-dynamic": (0.18, 1.2, 0.0312),
    "int4-weight-only": (0.18, 1.05, 0.0290),
    "int4-block32": (0.21, 1.1, 0.0111),
}
ENVIRONMENT = {
    "processor": "x86-64, 2 cores",
    "python": "3.11.7",
    "versions": {"ai-edge-litert": "2.3.0", "tensorflow": "2.21.0"},
    "load": 0.12,
}


def make_trial(
    recipe: str = "float32",
    *,
    state: State = "ok",
    error: str | None = None,
    size: int | None = None,
    accuracy: float | None = None,
    latency: float | None = None,
    measurements: Sequence[Measurement] | None = None,
    warnings: Sequence[Warning_] = (),
    task: Literal["classification", "regression", "none"] = "classification",
) -> Trial:
    """Return a trial of a recipe; figures that are not given follow from the recipe, a failed one has none."""
    parsed = parse_recipe(recipe)
    base = {"id": parsed.id, "recipe": recipe, "steps": parsed.steps, "baseline": recipe == "float32"}
    if state != "ok":
        return Trial(**base, state=state, error=error)
    scheme = str(parsed.steps[-1].params["scheme"])
    share, pace, loss = EFFECT[scheme]
    loss += _loss(parsed)
    size = size if size is not None else int(FLOAT_BYTES * share)
    if measurements is None:
        measurements = (measured("xnnpack", latency if latency is not None else FLOAT_MS * pace),)
    return Trial(
        **base,
        state="ok",
        artifact=Artifact(
            path=f"{parsed.id}.tflite", sha256=hashlib.sha256(recipe.encode()).hexdigest(), kind="tflite"
        ),
        size=Size(file=size, gzip=int(size * 0.92 * _packing(parsed))),
        census=_census(parsed, scheme, size),
        quality=_quality(scheme, loss, accuracy, task),
        measurements=tuple(measurements),
        warnings=tuple(warnings),
    )


def measured(
    runtime: str,
    median: float,
    options: dict[str, Any] | None = None,
    kind: Literal["measured", "estimated"] = "measured",
    base: float = FLOAT_MS,
    **changes: Any,
) -> Measurement:
    """Return a good measurement with a narrow interval; `changes` are fields of its own."""
    return Measurement(
        runtime=runtime,
        options=options or {},
        kind=kind,
        latency_ms=Latency(median=median, low=median * 0.97, high=median * 1.04, p90=median * 1.1, samples=400),
        ratio=Ratio(median=median / base, low=median / base * 0.98, high=median / base * 1.02, rounds=40),
        init_ms=1.9,
        first_ms=median * 3,
        peak_bytes=3_200_000,
        ops_total=7,
        ops_delegated=7 if runtime == "xnnpack" else 0,
        partitions=1,
        environment=ENVIRONMENT,
    ).model_copy(update=changes)


def broken(runtime: str, error: str, **changes: Any) -> Measurement:
    """Return a measurement that failed."""
    return Measurement(runtime=runtime, state="failed", error=error).model_copy(update=changes)


def make_devices() -> list[Trial]:
    """Return four trials on a processor, a software GPU, a microcontroller's runtime on the host and an estimate."""
    trials = []
    for recipe, tensors in (("float32", 36), ("dynamic", 26), ("int8", 0), ("int16x8", 0)):
        whole = recipe.startswith("int")
        noise = {"float32": 140.9, "dynamic": 6.2, "int8": 57.1}.get(recipe)
        runs = [measured("xnnpack", FLOAT_MS * EFFECT[recipe][1])]
        if recipe == "int8":
            runs = [runs[0].model_copy(update={"ops_delegated": 5, "partitions": 2, "left": ("SOFTMAX", "MEAN")})]
        if noise:
            close = Agreement(samples=16, agreement=0.875 if noise < 10 else 1.0, sqnr_db=noise)
            runs.append(measured("gpu", 7.0, software=True, device="SwiftShader", ops_delegated=7, reference=close))
        else:
            runs.append(broken("gpu", "Failed to initialize kernel."))
        if recipe == "dynamic":
            runs.append(broken("micro", "hybrid models are not supported", state="skipped", clock="host"))
        else:
            arena = {"arena": 31_952 if whole else 105_528, "arena head": 24_576}
            quality = Quality(samples=449, task="classification", accuracy=0.98 if whole else 0.9911)
            runs.append(
                measured(
                    "micro", 3.9, clock="host", device="Micro here", memory=arena, quality=quality, ops_delegated=7
                )
            )
        if whole:
            memory = {"SRAM": 34_128, "off-chip flash": 120_048}
            runs.append(measured("ethos-u55-128", 0.3, kind="estimated", memory=memory, ops_delegated=7))
        else:
            reason = f"{tensors} tensors are not integer; choose int8"
            runs.append(broken("ethos-u55-128", reason, kind="estimated", state="skipped"))
        trials.append(make_trial(recipe, measurements=runs))
    return trials


def make_profile(operators: int = 12, kind: Literal["measured", "estimated"] = "measured") -> OpProfile:
    """Return a profile of so many operators, each half as long as the one before; an estimate has cycles."""
    return OpProfile(
        source="LiteRT's own profiler",
        kind=kind,
        invocations=30 if kind == "measured" else None,
        operators=tuple(
            OpTime(
                index=i,
                name=f"CONV_{i}",
                label=f"net/bn_{i};net/conv_{i}",
                place="XNNPACK" if kind == "measured" else "NPU",
                ms=0.512 / 2**i,
                cycles=None if kind == "measured" else 4096 >> i,
            )
            for i in range(operators)
        ),
    )


def make_study() -> list[Trial]:
    """Return 36 trials as a sweep gives them: two runtimes, an estimate, three failures and some warnings."""
    trials = []
    for prune in ("", "prune:0.5+", "prune:0.8+"):
        for cluster in ("", "cluster:16+"):
            for scheme in ("float32", "float16", "dynamic", "int8", "int16x8", "int4-block32"):
                trials.append(_study_trial(f"{prune}{cluster}{scheme}"))
    return trials


def make_many(count: int = 500) -> list[Trial]:
    """Return many trials, all schemes and every kind of chain among them."""
    chains = ["", "cluster:16+", "qat+", "cluster:16+qat+"]
    recipes: list[str] = ["float32"]
    level = 0
    # Sparsities lie between 0.3 and 1, however many are needed.
    levels = 200 if count <= 3000 else 20 * count
    while len(recipes) < count:
        level += 1
        for chain in chains:
            for scheme in SCHEMES:
                if "qat" not in chain or scheme in ("int8", "int8-float-io"):
                    recipes.append(f"prune:{0.3 + level / levels:g}+{chain}{scheme}")
    return [_study_trial(r) for r in recipes[:count]]


def make_record(name: str = "digits-sweep", **changes: Any) -> StudyRecord:
    """Return the record of a study on the digits."""
    record = StudyRecord(
        name=name,
        model=ModelInfo(name="digits_cnn", kind="keras", path="digits_cnn.h5", sha256="a" * 64),
        dataset=DatasetInfo(
            name="digits",
            sha256="b" * 64,
            splits={"train": 1348, "test": 449},
            inputs={"image": (32, 32, 1)},
            labels="class",
            class_names=tuple("0123456789"),
        ),
        signature=Signature(
            inputs=(TensorInfo(name="image", shape=(None, 32, 32, 1), dtype="float32"),),
            outputs=(TensorInfo(name="probabilities", shape=(None, 10), dtype="float32"),),
            parameters=110_666,
        ),
        grid={
            "prune": ["none", 0.5, 0.8],
            "cluster": ["none", 16],
            "quantize": ["float32", "float16", "dynamic", "int8", "int16x8", "int4-block32"],
            "runtimes": ["xnnpack", "reference"],
            "constraints": {"accuracy_drop": 0.01, "size": "150KB"},
        },
        environment=ENVIRONMENT,
        command="workbench sweep digits_cnn.h5 --data digits --grid grid.yaml --runtime xnnpack,reference",
        started="2026-01-15T09:30:00Z",
    )
    return record.model_copy(update=changes)


def _study_trial(recipe: str) -> Trial:
    failures = {
        "prune:0.8+cluster:16+int16x8": "the worker ended with signal 11 (segmentation fault) while the file was invoked on the reference runtime",
        "cluster:16+int4-block32": "allocate_tensors failed: Node number 3 (FULLY_CONNECTED) failed to prepare\nblock size 32 does not divide 40 channels",
        "prune:0.5+cluster:16+int4-block32": "time limit of 900 s reached in stage `cluster:16`",
    }
    if recipe in failures:
        return make_trial(recipe, state="failed", error=failures[recipe])
    scheme = recipe.rpartition("+")[2]
    wobble = 1 + (int(hashlib.sha256(recipe.encode()).hexdigest()[:4], 16) / 65535 - 0.5) * 0.12
    time = FLOAT_MS * EFFECT[scheme][1] * (1 if recipe == "float32" else wobble)
    runs = [measured("xnnpack", time), measured("reference", 19.4 * EFFECT[scheme][0] * wobble, base=19.4)]
    if scheme == "int8":
        runs.append(measured("ethos-u55-128", 1.85 * wobble, kind="estimated"))
    if scheme == "float16":
        runs[1] = broken("reference", "operator DEQUANTIZE of type FLOAT16 is not taken by this runtime")
    notes = []
    if scheme == "int16x8":
        notes.append(warning("reference-kernels", "5 of 7 operators ran on reference kernels"))
        notes.append(
            warning("slower-than-baseline", f"{time:.2f} ms against {FLOAT_MS} ms of the float baseline on xnnpack")
        )
    if scheme == "int4-block32":
        notes.append(warning("not-quantized", "6 of 7 weight tensors (98 % of the bytes) are float32"))
    if "prune:0.8" in recipe and "cluster" in recipe:
        notes.append(warning("sparsity-lost", "asked for 80 % zeros, found 61.2 %"))
    return make_trial(
        recipe, size=int(FLOAT_BYTES * EFFECT[scheme][0] * (1 + (wobble - 1) / 20)), measurements=runs, warnings=notes
    )


def _loss(recipe: Recipe) -> float:
    found = {s.technique: s.params for s in recipe.steps[:-1]}
    loss = 0.0
    if "prune" in found:
        loss += 0.02 * float(found["prune"]["sparsity"]) ** 3
    if "cluster" in found:
        loss += 0.0067
    return loss - (0.002 if "qat" in found else 0.0)


def _packing(recipe: Recipe) -> float:
    found = {s.technique: s.params for s in recipe.steps[:-1]}
    factor = 1.0 - 0.75 * float(found["prune"]["sparsity"]) if "prune" in found else 1.0
    return factor * (0.45 if "cluster" in found else 1.0)


def _quality(
    scheme: str, loss: float, accuracy: float | None, task: Literal["classification", "regression", "none"]
) -> Quality:
    figures: dict[str, Any] = {
        "sqnr_db": None if scheme == "float32" and loss == 0 else 48.0 - 900 * loss,
        "cosine": 1.0 - loss / 10,
    }
    if task == "classification":
        figures |= {"accuracy": 0.9911 - loss if accuracy is None else accuracy, "top5": 1.0, "agreement": 1.0 - loss}
    if task == "regression":
        figures |= {"mae": 0.21 + loss, "rmse": 0.30 + loss}
    return Quality(samples=449, task=task, **figures)


def _census(recipe: Recipe, scheme: str, size: int) -> Census:
    found = {s.technique: s.params for s in recipe.steps[:-1]}
    sparsity = float(found["prune"]["sparsity"]) if "prune" in found else 0.004
    unique = 16 if "cluster" in found else 255 if "int8" in scheme else 9216
    kind = "int8" if "int8" in scheme or scheme in ("dynamic", "int16x8") else "float32"
    kernel = TensorCensus(
        name="stem/kernel",
        operator="CONV_2D",
        type=kind,
        shape=(32, 3, 3, 1),
        bytes=int(size * 0.9),
        sparsity=sparsity,
        unique=unique,
        unique_per_channel=min(unique, 9),
        channels_quantized=kind == "int8" and "cluster" not in found,
        kernel=True,
    )
    return Census(
        weights={kind: int(size * 0.9)},
        operators={"CONV_2D": 5, "MEAN": 1, "FULLY_CONNECTED": 1},
        sparsity=sparsity,
        unique_weights=unique,
        inputs=("int8",) if scheme == "int8" else ("float32",),
        outputs=("int8",) if scheme == "int8" else ("float32",),
        tensors=(kernel,),
    )

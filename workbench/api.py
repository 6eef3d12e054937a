"""The Python surface: `workbench.sweep`, `load_model`, `load_dataset`, `inspect`, `bench`, `open_study`, `batch`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from workbench.batches.run import Batch, BatchProgress, run_batch
from workbench.data.dataset import Dataset
from workbench.engine.engine import Engine
from workbench.engine.events import Event, Listener, silent
from workbench.engine.options import SweepOptions
from workbench.engine.preflight import asked_by, run_preflight
from workbench.engine.request import Request, make_grid
from workbench.engine.sweep import run_sweep
from workbench.errors import WorkbenchError
from workbench.handle import RunningSweep, Work
from workbench.recipes.grid import Grid, load_grid, parse_grid, parse_runtimes
from workbench.sources.identify import identify
from workbench.store.artifacts import check_name
from workbench.store.store import Store
from workbench.study import open_study as open_study
from workbench.values.base import build
from workbench.values.preflight import Preflight
from workbench.values.settings import Measure
from workbench.values.trial import Census, Measurement

if TYPE_CHECKING:
    from workbench.data.feeding import Feeding
    from workbench.measure.watch import Watch


def sweep(
    model: Any,
    data: Any,
    grid: Grid | dict[str, Any] | str | Path | None = None,
    runtimes: Any = None,
    study: str | None = None,
    store: str | Path | Store | None = None,
    wait: bool = True,
    jobs: int | None = None,
    cluster_address: str | None = None,
    seed: int | None = None,
    allow_code: bool = False,
    retry_failed: bool = False,
    listener: Listener = silent,
    command: str = "",
    engine: Engine | None = None,
    task: Any = None,
    cluster_security: Any = None,
    signature: str | None = None,
) -> RunningSweep:
    """Try every recipe of a grid on a model and return the study, as the handle of the sweep.

    `model` is a path, a tf_keras model, a concrete function or a `tf.Module`, `data` a dataset's name, path, dict of arrays or Dataset, `grid` a dict, a
    YAML file or a Grid. With `wait=False` the sweep runs in the background: `.wait()`, `.cancel()`, `.done`, and all of a study, such as `.trials` and `.dashboard()`.
    Finished work of an earlier call is found in the store, not redone. An `engine` keeps its workers warm for the next
    sweep. What labels mean follows from labels and outputs, unless `task` says it: `regression`, a function of outputs and labels
    that returns figures by name, or a dict by output. Of a model with several signatures the one is taken that the data fits, unless `signature` names one.
    `cluster_address` is a dask scheduler to use instead of local workers, `cluster_security` the certificates for it:
    `{"ca": FILE, "cert": FILE, "key": FILE}` or a `distributed.Security`. Raises WorkbenchError for a mistake in the
    arguments, before anything runs.

    >>> study = workbench.sweep("model.h5", "digits", {"quantize": ["float32", "int8"]})  # doctest: +SKIP
    """
    options = SweepOptions(
        runtimes=runtimes,
        study=study,
        store=store,
        jobs=jobs,
        cluster_address=cluster_address,
        cluster_security=cluster_security,
        allow_code=allow_code,
        retry_failed=retry_failed,
        task=task,
        seed=seed,
        signature=signature,
    )
    return start_sweep(model, data, grid, options, wait, listener, command, engine)


def start_sweep(
    model: Any,
    data: Any,
    grid: Grid | dict[str, Any] | str | Path | None,
    options: SweepOptions,
    wait: bool = True,
    listener: Listener = silent,
    command: str = "",
    engine: Engine | None = None,
) -> RunningSweep:
    """Do what `sweep` does, its options as one value."""
    parsed = load_grid(grid) if isinstance(grid, (str, Path)) else grid
    checked = make_grid(parsed, options.runtimes, options.seed)
    opened = options.store if isinstance(options.store, Store) else Store(options.store)
    request = Request(model, data, checked, opened, options, command, engine)

    def run(cancel: threading.Event, found: Callable[[str], None], tell: Listener) -> None:
        def everyone(event: Event) -> None:
            listener(event)
            tell(event)

        run_sweep(request, everyone, cancel, found)

    result = RunningSweep(opened, Work(run))
    if wait:
        result.wait()
    return result


def preflight(
    model: Any,
    grid: Grid | dict[str, Any] | str | Path | None = None,
    store: str | Path | Store | None = None,
    allow_code: bool = False,
    engine: Engine | None = None,
    listener: Listener = silent,
) -> Preflight:
    """Return what `prune`, `cluster` and `qat` can do with each layer of a model, and what the techniques of a grid will leave untouched.

    `model`, `grid` and `store` are as `sweep` takes them; without a grid every technique is asked about by itself. Nothing is trained: a worker loads the
    model once and asks the techniques, and the store keeps what it told. Raises WorkbenchError for a mistake, or a model that cannot be loaded.

    >>> workbench.preflight("model.h5", {"prune": [0.5]}).steps  # doctest: +SKIP
    """
    parsed = load_grid(grid) if isinstance(grid, (str, Path)) else None if grid is None else parse_grid(grid)
    asked, opened = asked_by(parsed), store if isinstance(store, Store) else Store(store)
    info = identify(model, opened.models, allow_code)
    own = Engine(jobs=1) if engine is None else engine
    try:
        return run_preflight(info, asked, opened, own, listener, threading.Event())
    finally:
        if engine is None:
            own.close()


def batch(
    source: str | Path | Mapping[str, Any],
    out: str | Path,
    jobs: int | None = None,
    cluster_address: str | None = None,
    listener: Callable[[BatchProgress], None] = lambda step: None,
    cluster_security: Any = None,
) -> Batch:
    """Run a notebook for every model, dataset, grid and seed of a batch file (or a dict like one) and return the batch.

    `out` gets `index.html`, `results.csv`, `results.json` and, below `runs`, a page and a notebook of each run. What is done and unchanged
    is not done again; a run that fails does not stop the others. `cluster_address` and `cluster_security` are as `sweep` takes them.
    Raises WorkbenchError for a mistake, before anything runs.

    >>> workbench.batch("batch_example.yaml", "reports").rows  # doctest: +SKIP
    """
    return run_batch(source, out, jobs, cluster_address, listener, cluster_security=cluster_security)


def load_model(path: str | Path, allow_code: bool = False) -> Any:
    """Return a fresh tf_keras model from a `.keras` or `.h5` file, Keras 3's included, or what a third party's source makes one of.

    What could run code in it is refused unless `allow_code`.
    """
    from workbench.sources.keras3.export import reason_in
    from workbench.sources.load import load_keras
    from workbench.sources.opening import open_source

    info = identify(path, Path(), allow_code)
    if info.kind != "keras":
        raise WorkbenchError(
            f"{str(path)!r} is a {info.kind} source, which is no Keras model. Pass its path to workbench.sweep."
        )
    with TemporaryDirectory(prefix="workbench-open-") as folder:
        made = open_source(info, Path(folder))
        if made.is_dir():
            raise WorkbenchError(f"{str(path)!r} is no model of tf_keras: {reason_in(made)}.")
        return load_keras(made, allow_code=allow_code, beside=True)


def load_dataset(data: Any) -> Dataset:
    """Return a dataset by name or path: `.train .calibration .test`, each with `.x` and `.y`."""
    from workbench.data.load import load_dataset as load

    return load(data)


def inspect(path: str | Path) -> Census:
    """Return the census of a `.tflite` file: operators, tensors, types, sparsity, unique weights."""
    from workbench.flatbuffer.census import read_census

    check_name(Path(path))
    return read_census(Path(path))


def bench(
    path: str | Path,
    runtimes: Any = ("xnnpack",),
    budget: float | None = None,
    half_width: float = 0.02,
    profile: bool = False,
    wait: float | None = None,
    listener: Listener = silent,
    data: Any = None,
) -> list[Measurement]:
    """Measure one `.tflite` on each runtime in turn, each in a process of its own; `budget` is seconds of timing on each.

    A file that leaves height, width or length open is timed at the size of `data` (a dataset as `sweep` takes it); without, at 1, which is said.

    With `profile` each operator is timed too, where the runtime tells. The listener hears what is waited for. Raises
    WorkbenchError for a file that is not there, and where another measurement has the machine for more than `wait` seconds.
    """
    from workbench.measure.session import Measured, MeasureOptions, Subject, measure

    file = _existing(path)
    found: list[Measurement] = []

    def keep(measured: Measured) -> None:
        found.append(measured.measurement)

    settings = _measure(5.0 if budget is None else budget, profile, wait, half_width)
    shapes = _read_for(file, data)[1].test.shapes if data is not None else None
    asked = MeasureOptions(settings, what=f"bench {file.name}", shapes=shapes)
    measure([Subject(file.name, file)], list(parse_runtimes(runtimes)), asked, keep, _watched(listener))
    return found


def compare(
    path: str | Path,
    runtimes: Any,
    data: Any = None,
    budget: float | None = None,
    profile: bool = False,
    wait: float | None = None,
    listener: Listener = silent,
) -> list[Measurement]:
    """Measure one `.tflite` on many runtimes side by side, in interleaved rounds, and compare their outputs.

    The first runtime is the one that ratios are to. Outputs are held against the reference kernels on samples of `data`'s
    test split (a dataset as `sweep` takes it), or on seeded inputs. Waiting is told and bounded as in `bench`.
    """
    from workbench.evaluate.interpreter import describe_ends
    from workbench.evaluate.run import signature_shape
    from workbench.measure.looks import Samples
    from workbench.measure.session import Measured, MeasureOptions, Pair, side_by_side
    from workbench.recipes.grammar import runtime_text
    from workbench.recipes.task import choose_tasks

    file = _existing(path)
    chosen = list(parse_runtimes(runtimes))
    pairs = [Pair(runtime_text(r.name, r.options), file, r) for r in chosen]
    samples = None
    if data is not None:
        how, dataset = _read_for(file, data)
        outputs = {name: how.sample_shape(signature_shape(detail)) for name, detail in describe_ends(file).outputs}
        tasks = choose_tasks(dataset.label_infos, outputs)
        labels = {name or next(iter(outputs)): y for name, y in dataset.test.targets.items()}
        samples = Samples(dataset.test.inputs, labels, tasks)
    found: dict[str, Measurement] = {}

    def keep(measured: Measured) -> None:
        found[measured.subject] = measured.measurement

    settings = _measure(5.0 * len(pairs) if budget is None else budget, profile, wait)
    asked = MeasureOptions(settings, pairs[0].name, samples, everywhere=True, what=f"compare {file.name}")
    side_by_side(pairs[:1], pairs[1:], asked, keep, _watched(listener))
    return [found[p.name] for p in pairs]


def _read_for(file: Path, data: Any) -> tuple[Feeding, Dataset]:
    """Return a dataset, read to fit a file, and how its samples go in; raises WorkbenchError where they do not."""
    from workbench.data.feeding import feeding
    from workbench.data.load import load_dataset as load
    from workbench.measure.sizes import input_shapes

    takes = input_shapes(file)
    dataset = load(data, next(iter(takes.values()), None))
    shapes = dataset.test.shapes
    has = dict.fromkeys(takes, shapes[""]) if list(shapes) == [""] else shapes
    if lacking := [n for n in takes if n not in has]:
        raise WorkbenchError(f"dataset {dataset.name!r} has no input {lacking[0]!r}; it has {', '.join(shapes)}")
    return feeding(takes, has, f"dataset {dataset.name!r}"), dataset


def _measure(budget: float, profile: bool, wait: float | None, half_width: float | None = None) -> Measure:
    """Return settings with what was given; raises WorkbenchError for a value that is not allowed."""
    given = {"budget": budget, "profile": profile, "wait": wait, "half_width": half_width}
    return build(Measure, {k: v for k, v in given.items() if v is not None}, "measure")


def _watched(listener: Listener) -> Watch:
    from workbench.measure.watch import Watch

    return Watch(
        None,
        lambda label, done, total: listener(Event("measured", "measure", label, done, total)),
        lambda text: listener(Event("waiting", "measure", text)),
    )


def _existing(path: str | Path) -> Path:
    file = Path(path).resolve()
    if not file.is_file():
        raise WorkbenchError(f"model file {str(path)!r} does not exist")
    check_name(file)
    return file

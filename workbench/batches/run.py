"""Runs a batch: every run an executed notebook and its page, what is done and unchanged left as it is."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from workbench.batches import interrupt
from workbench.batches.index import rows_of, write_index
from workbench.batches.matrix import Matrix, PlannedRun, load_matrix
from workbench.batches.outcome import BatchRun
from workbench.engine.cluster import OwnCluster, own_cluster
from workbench.engine.pool import available_cores
from workbench.errors import Cancelled, WorkbenchError
from workbench.files import file_sha256, write_atomic
from workbench.recipes.grid import parse_grid
from workbench.store.store import Store
from workbench.values.base import digest

RUNS = "runs"
STORE = "store"
# Notebooks at once where nothing is measured: each has a kernel, workers and a copy of TensorFlow.
MOST_AT_ONCE = 4


class BatchProgress(NamedTuple):
    """Where a batch is: runs done, of how many; the run that this is about, and what is told of it."""

    done: int
    total: int
    run: str
    text: str


Listener = Callable[[BatchProgress], None]


@dataclass
class Batch:
    """A batch that has ended: its runs, every row of all of them, and the page that links them."""

    folder: Path
    runs: list[BatchRun]
    rows: list[dict[str, Any]] = field(repr=False, default_factory=list)
    index: Path = Path()

    @property
    def failed(self) -> list[BatchRun]:
        """The runs that did not end well."""
        return [r for r in self.runs if r.state != "ok"]


def run_batch(
    source: str | Path | Mapping[str, Any],
    out: str | Path,
    jobs: int | None = None,
    cluster_address: str | None = None,
    listener: Listener = lambda step: None,
    cancel: threading.Event | None = None,
    cluster_security: Any = None,
) -> Batch:
    """Run a batch file (or a mapping like one) into a folder and return what came of it.

    Runs that measure go one after another, after the others, which go `jobs` at a time. A run that is done, with the same parameters,
    notebook, model, dataset and grid as before, is left as it is. One that fails does not stop the others. Ctrl-C, or `cancel`, ends the runs in
    work and keeps the finished ones. With `cluster_address` the notebooks run on the workers of that dask scheduler, which have to see the same folders;
    `cluster_security` is as `sweep` takes it. Raises WorkbenchError for a mistake, before anything runs.
    """
    if jobs is not None and jobs < 1:
        raise WorkbenchError(f"jobs {jobs} is too small. Allowed: 1 and up.")
    matrix = load_matrix(source)
    cluster = own_cluster(cluster_address, cluster_security)
    work = _Work(matrix, Path(out).resolve(), listener, cancel or threading.Event())
    try:
        with _place(cluster) as place:
            work.run(jobs or min(MOST_AT_ONCE, available_cores()), place)
    finally:
        batch = work.write()
    return batch


class _Work:
    def __init__(self, matrix: Matrix, folder: Path, listener: Listener, cancel: threading.Event) -> None:
        from workbench.report import templates

        self.matrix, self.folder, self.listener, self.cancel = matrix, folder, listener, cancel
        self.template = str(templates.find(matrix.template))
        self.notebook_sha256 = file_sha256(Path(self.template))
        self.store = matrix.store or str(folder / STORE)
        # Made before the first kernel, so that no two of them create its tables.
        made = Store(self.store)
        made.close()
        self.artifacts = str(made.root)
        self.token = uuid.uuid4().hex
        self.found: dict[str, BatchRun] = {}
        self.lock = threading.Lock()

    def run(self, jobs: int, place: Callable[..., Any]) -> None:
        """Do what is not done: first, side by side, what measures nothing, then the rest one after another."""
        due = []
        for plan in self.matrix.runs:
            before = self.kept(plan)
            if before is None:
                due.append(plan)
            else:
                self.done(before, "done before")
        quiet = [p for p in due if not p.measures]
        alone = [p for p in due if p.measures]
        try:
            self.together(quiet, jobs, place)
            self.together(alone, 1, place)
        except BaseException:
            self.cancel.set()
            raise
        if self.cancel.is_set() and len(self.found) < len(self.matrix.runs):
            self.listener(BatchProgress(len(self.found), len(self.matrix.runs), "", "cancelled"))

    def together(self, plans: list[PlannedRun], jobs: int, place: Callable[..., Any]) -> None:
        """Do some runs, so many at a time; an interrupt ends those in work."""
        if not plans:
            return
        with ThreadPoolExecutor(jobs, thread_name_prefix="workbench-batch") as threads:
            futures = [threads.submit(self.one, plan, place) for plan in plans]
            try:
                while not all(f.done() for f in futures):
                    if self.cancel.is_set():
                        interrupt.end(self.token)
                    # Not `wait`: an interrupt has to be heard.
                    time.sleep(0.1)
            except BaseException:
                self.cancel.set()
                interrupt.end(self.token)
                raise
            for future in futures:
                future.result()

    def one(self, plan: PlannedRun, place: Callable[..., Any]) -> None:
        """Do one run, and keep what came of it beside its notebook."""
        if self.cancel.is_set():
            return
        self.tell(plan, "begins")
        begin = time.monotonic()
        target = self.folder / RUNS / plan.id
        parameters = {**plan.parameters, "study": plan.id}
        environment: dict[str, str] = {}
        if "://" in self.store:
            # A URL can hold a password, which belongs in no file.
            environment |= {"WORKBENCH_STORE": self.store, "WORKBENCH_ARTIFACTS": self.artifacts}
        else:
            parameters["store"] = self.store
        self.manifest(plan).unlink(missing_ok=True)
        takes = self._takes()
        parameters = {k: v for k, v in parameters.items() if k in takes}
        error: str | None
        results: dict[str, Any] | None
        try:
            error, results = place(self.template, parameters, str(target), environment, self.token, self._cells(plan))
        except Cancelled:
            error, results = "cancelled", None
        except Exception as problem:  # one run's trouble is not the others'
            if not isinstance(problem, WorkbenchError):
                logging.getLogger(__name__).exception("run %s failed", plan.id)
            error, results = f"{type(problem).__name__}: {problem}", None
        notebook, page = (target.with_name(target.name + end) for end in (".ipynb", ".html"))
        run = BatchRun(
            id=plan.id,
            model=plan.model,
            data=plan.data,
            grid=plan.grid,
            seed=plan.seed,
            state="ok" if error is None else "cancelled" if error == "cancelled" else "failed",
            seconds=round(time.monotonic() - begin, 1),
            error=error,
            notebook=f"{RUNS}/{notebook.name}" if notebook.exists() else None,
            page=f"{RUNS}/{page.name}" if page.exists() else None,
            fingerprint=self.fingerprint(plan),
            results=results,
        )
        self._write_grid(plan, target)
        if run.state != "cancelled":
            write_atomic(self.manifest(plan), json.dumps(run.to_json(), indent=1).encode())
        self.done(run, "ok" if error is None else error if run.state == "cancelled" else f"FAILED at {error}")

    def kept(self, plan: PlannedRun) -> BatchRun | None:
        """Return a run as it was done before, where nothing has changed since and its files are there; else None."""
        try:
            run = BatchRun.model_validate_json(self.manifest(plan).read_bytes())
        except (OSError, ValueError):
            return None
        if run.state != "ok" or run.fingerprint != self.fingerprint(plan):
            return None
        if not all(p and (self.folder / p).is_file() for p in (run.notebook, run.page)):
            return None
        return run.model_copy(update={"reused": True})

    def fingerprint(self, plan: PlannedRun) -> str:
        """Return a hash of all that a run depends on, Workbench's version too; where its store is does not matter."""
        return digest([plan.parameters, plan.inputs, self.notebook_sha256, version("tflite-workbench")])

    def manifest(self, plan: PlannedRun) -> Path:
        """Return where a run is kept."""
        return self.folder / RUNS / f"{plan.id}.json"

    def done(self, run: BatchRun, text: str) -> None:
        """Take note of a run that has ended."""
        with self.lock:
            self.found[run.id] = run
            self.listener(BatchProgress(len(self.found), len(self.matrix.runs), run.id, text))

    def tell(self, plan: PlannedRun, text: str) -> None:
        """Tell the listener about a run in work."""
        with self.lock:
            self.listener(BatchProgress(len(self.found), len(self.matrix.runs), plan.id, text))

    def write(self) -> Batch:
        """Write index and results, and return the batch; runs that were not begun are in it as cancelled."""
        runs = [
            self.found.get(p.id)
            or BatchRun(
                id=p.id, model=p.model, data=p.data, grid=p.grid, seed=p.seed, state="cancelled", error="not begun"
            )
            for p in self.matrix.runs
        ]
        gated = [p.id for p in self.matrix.runs if "gate" in p.parameters]
        index = write_index(self.folder, Path(self.template).stem, runs, gated)
        return Batch(self.folder, runs, rows_of(runs), index)

    def _cells(self, plan: PlannedRun) -> Callable[[int, int, str], None]:
        last = ""

        def cell(done: int, total: int, heading: str) -> None:
            nonlocal last
            if heading and heading != last:
                last = heading
                self.tell(plan, f"cell {done + 1} of {total}: {heading}")

        return cell

    def _takes(self) -> list[str]:
        from workbench.report import templates

        return templates.parameters_of(templates.read(Path(self.template)))

    def _write_grid(self, plan: PlannedRun, target: Path) -> None:
        """Write the grid as a file, which the page's command to reproduce names."""
        import yaml

        if "grid" in plan.parameters:
            data = {**plan.parameters["grid"]}
            data["train"] = {**data.get("train", {}), "seed": plan.seed}
            parse_grid(data)
            text = yaml.safe_dump(data, sort_keys=False, default_flow_style=None, allow_unicode=True)
            write_atomic(target.with_name(f"{target.name}.grid.yaml"), text.encode())


def execute(
    template: str,
    parameters: dict[str, Any],
    target: str,
    environment: dict[str, str],
    token: str,
    listener: Any = None,
) -> tuple[str | None, dict[str, Any] | None]:
    """Run one notebook into `TARGET.ipynb` and `TARGET.html`, and return its error and its results; this may be on another machine."""
    from workbench.report.run import run_notebook

    notebook, page = Path(f"{target}.ipynb"), Path(f"{target}.html")
    notebook.parent.mkdir(parents=True, exist_ok=True)
    ran = run_notebook(template, parameters, notebook, page, False, listener, environment, interrupt.flag(token))
    return ran.error, ran.results


@contextlib.contextmanager
def _place(cluster: OwnCluster | None) -> Iterator[Callable[..., Any]]:
    """Give what runs a notebook: this process, or the workers of a dask scheduler."""
    if cluster is None:
        yield execute
        return
    client = cluster.connect()

    def remote(template: str, parameters: Any, target: str, environment: Any, token: str, listener: Any) -> Any:
        name = f"workbench-{os.path.basename(target)}-{uuid.uuid4().hex[:8]}"
        # A notebook is no pure function, and one that took its worker with it must not take the next.
        future = client.submit(
            execute, template, parameters, target, environment, token, key=name, pure=False, retries=0
        )
        while not future.done():
            if interrupt.flag(token).is_set():
                client.run(interrupt.end, token)
                future.cancel()
                raise Cancelled("cancelled")
            time.sleep(0.1)
        return future.result()

    try:
        yield remote
    finally:
        client.close()

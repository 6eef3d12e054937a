"""Runs a notebook with parameters through papermill, and keeps what came of it: the notebook and its page."""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from workbench.errors import Cancelled, WorkbenchError, unknown
from workbench.files import write_atomic
from workbench.report import templates
from workbench.report.section import ERROR_TAG, MIME

START_SECONDS = 120
# Cells done, of how many, and the heading under which the next one stands.
Listener = Callable[[int, int, str], None]


class Ran(NamedTuple):
    """What came of a run: the executed notebook, its page where one was asked for, what failed (None: nothing), and its results."""

    notebook: Path
    page: Path | None
    error: str | None
    results: dict[str, Any] | None


def run_notebook(
    template: str | Path,
    parameters: Mapping[str, Any],
    out: Path,
    page: Path | None = None,
    code: bool = False,
    listener: Listener | None = None,
    environment: Mapping[str, str] | None = None,
    cancel: threading.Event | None = None,
) -> Ran:
    """Run a template (name or path) with parameters, write the executed notebook to `out` and its page to `page`.

    A cell that fails ends the run, not the caller: the notebook is kept with a red banner, exported too, and `error` says where and why.
    The kernel is one of this very interpreter, with an environment of its own (`environment` is added to this process's) and nothing of the user's IPython profile.
    `results` is what the notebook displayed under the key "results" of `application/vnd.workbench+json`. Several threads may run notebooks at once. Raises WorkbenchError
    for an unknown template or parameter, and where a file cannot be written; Cancelled, the kernel ended and nothing written, once `cancel` is set.
    """
    import nbformat

    for target in (page, out):
        if target is not None:
            _check_folder(Path(target))
    source = templates.find(template)
    notebook = nbformat.read(source, as_version=4)
    allowed = templates.parameters_of(notebook) if parameters else []
    for name in parameters:
        if name not in allowed:
            raise unknown("parameter", name, allowed, f"They are those of {source.name}.")
    title = _title_of(notebook, source.stem)
    with tempfile.TemporaryDirectory(prefix="workbench-") as temporary:
        folder = Path(temporary)
        warm = threading.Thread(target=_load_exporter, daemon=True)
        if page is not None:
            # While the kernel starts and works, this process has nothing else to do.
            warm.start()
        error = _execute(notebook, parameters, folder, listener, environment or {}, cancel)
        ran = nbformat.read(folder / "out.ipynb", as_version=4)
        if page is not None:
            warm.join()
    # Where it ran by chance is no part of it.
    ran.metadata.papermill.update(input_path=source.name, output_path=Path(out).name)
    ran.metadata.pop("widgets", None)
    if error and not any(ERROR_TAG in c.metadata.get("tags", ()) for c in ran.cells):
        ran.cells.insert(0, _banner(error))
    write_atomic(Path(out), (nbformat.writes(ran) + "\n").encode())
    if page is not None:
        from workbench.report.page import write_page

        write_page(ran, Path(page), title, code)
    return Ran(Path(out), None if page is None else Path(page), error, results_of(ran))


def _check_folder(path: Path) -> None:
    """Say at once, not after the work, that a file cannot be written; raises WorkbenchError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
        if path.is_dir():
            raise IsADirectoryError("it is a folder")
    except OSError as error:
        raise WorkbenchError(f"{str(path)!r} cannot be written: {error}") from error


def results_of(notebook: Any) -> dict[str, Any] | None:
    """Return what a notebook displayed as its results, or None."""
    for cell in reversed(notebook["cells"]):
        for output in cell.get("outputs", ()):
            shown = output.get("data", {}).get(MIME)
            if isinstance(shown, dict) and "results" in shown:
                found: dict[str, Any] = shown["results"]
                return found
    return None


def _execute(
    notebook: Any,
    parameters: Mapping[str, Any],
    folder: Path,
    listener: Listener | None,
    environment: Mapping[str, str],
    cancel: threading.Event | None,
) -> str | None:
    """Run the notebook into `out.ipynb` of the folder in a thread of its own, and return what failed, or None.

    The thread has no event loop that a notebook's would get in the way of, and whoever waits can be interrupted.
    """
    found: list[str | BaseException | None] = []
    started: list[Any] = []
    ended = threading.Event()

    def work() -> None:
        try:
            found.append(_papermill(notebook, parameters, folder, listener, _kernel(folder, environment, started)))
        except BaseException as error:  # raised where it is waited for
            found.append(error)
        finally:
            ended.set()

    threading.Thread(target=work, name="workbench-notebook", daemon=True).start()
    try:
        while not ended.wait(0.05):
            if cancel is not None and cancel.is_set():
                raise Cancelled("cancelled")
    except BaseException:
        _end(started)
        ended.wait(10)
        raise
    _end(started)
    (result,) = found
    if isinstance(result, BaseException):
        raise result
    return result


def _papermill(
    notebook: Any, parameters: Mapping[str, Any], folder: Path, listener: Listener | None, kernel: type
) -> str | None:
    from papermill import execute_notebook
    from papermill.exceptions import PapermillExecutionError

    # Without a handler of its own, Python prints its warnings.
    logger = logging.getLogger("papermill")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    target = folder / "out.ipynb"
    heading = ""

    def started(cell: Any, cell_index: int) -> None:
        nonlocal heading
        if cell.cell_type == "markdown" and cell.source.startswith("## "):
            heading = cell.source.partition("\n")[0].strip("# ")
        if listener is not None:
            listener(cell_index, len(notebook.cells), heading)

    try:
        execute_notebook(
            notebook,
            str(target),
            dict(parameters),
            engine_name="nbclient",
            kernel_name="python3",
            progress_bar=False,
            store_widget_state=False,
            start_timeout=START_SECONDS,
            request_save_on_cell_execute=True,
            kernel_manager_class=kernel,
            on_cell_start=started,
        )
    except PapermillExecutionError as error:
        return f"cell {error.exec_count}{f' ({heading})' if heading else ''}: {error.ename}: {error.evalue}"
    except Exception as error:  # the kernel died, or could not start
        if not target.exists():
            _write(notebook, target)
        return f"{heading or 'the notebook'}: {type(error).__name__}: {str(error).strip() or 'no reason given'}"
    return None


def _write(notebook: Any, target: Path) -> None:
    import nbformat

    notebook.metadata.setdefault("papermill", {})
    nbformat.write(notebook, target)


def _kernel(folder: Path, environment: Mapping[str, str], started: list[Any]) -> type:
    """Return the class of a kernel of this interpreter that shares no ports, files or profile with any other; each one made is added to `started`."""
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpec

    class Kernel(AsyncKernelManager):
        def __init__(self, **kwargs: Any) -> None:
            # Sockets in a folder of its own: ports of several kernels that start at once have collided.
            super().__init__(**kwargs, transport="ipc", connection_file=str(folder / "kernel.json"))
            self._kernel_spec = KernelSpec(
                argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
                display_name="Python 3",
                language="python",
                env={
                    "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3"),
                    **environment,
                    "IPYTHONDIR": str(folder / "ipython"),
                    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
                },
            )
            started.append(self)

    return Kernel


def _end(started: list[Any]) -> None:
    """End what is left of the kernels, and what they have started."""
    for manager in started:
        process = getattr(manager.provisioner, "process", None) if manager.provisioner else None
        if process is not None and process.poll() is None:
            try:
                # A kernel leads a process group of its own.
                os.killpg(process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                process.kill()
            process.wait()


def _banner(error: str) -> Any:
    import html

    from nbformat.v4 import new_markdown_cell

    text = f'<span style="color:red; font-size:1.5em;">The run ended early at {html.escape(error)}</span>'
    return new_markdown_cell(text, metadata={"tags": [ERROR_TAG]})


def _title_of(notebook: Any, default: str) -> str:
    first = next((c.source for c in notebook.cells if c.cell_type == "markdown"), "")
    return first.partition("\n")[0].strip("# ") or default


def _load_exporter() -> None:
    try:
        import nbconvert.exporters.html  # noqa: F401
        import plotly.offline  # noqa: F401
    except ImportError:  # told where it is used
        pass

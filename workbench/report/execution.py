"""One run of a notebook by papermill, on a kernel that starts and ends beside what else there is to do."""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from workbench.errors import Cancelled
from workbench.quiet import quiet
from workbench.report.kernel import end_kernel, make_kernel

log = logging.getLogger(__name__)

START_SECONDS = 120
# How long a kernel that has done its work is given to end by itself.
PATIENCE_SECONDS = 10
# Cells done, of how many, and the heading under which the next one stands.
Listener = Callable[[int, int, str], None]


class NotebookRun:
    """A notebook that runs, as far as it got, and its kernel, of which nothing is left once the context ends."""

    def __init__(
        self,
        notebook: Any,
        folder: Path,
        environment: Mapping[str, str],
        listener: Listener | None = None,
        exported: bool = False,
    ) -> None:
        self.notebook = notebook
        self._listener = listener
        self._exported = exported
        self._heading = ""
        self._manager = make_kernel(folder, environment)
        self._client: Any = None
        self._ended, self._stopped = threading.Event(), threading.Event()

    def __enter__(self) -> NotebookRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ended.is_set():
            self._stopped.wait(PATIENCE_SECONDS)
        end_kernel(self._manager)
        for _ in range(10 * PATIENCE_SECONDS):
            if self._stopped.wait(0.1):
                break
            # It may have been about to start.
            end_kernel(self._manager)

    def run(self, parameters: Mapping[str, Any], cancel: threading.Event | None = None) -> str | None:
        """Run all cells and return what failed, or None; that the kernel ends is not waited for.

        It happens in a thread of its own, which has no event loop that a notebook's would get in the way of, and whoever
        waits can be interrupted. Raises Cancelled once `cancel` is set.
        """
        found: list[str | BaseException | None] = []

        def work() -> None:
            try:
                found.append(self._papermill(parameters))
            except BaseException as error:  # raised where it is waited for
                found.append(error)
            finally:
                self._ended.set()
                self._shut_down()

        threading.Thread(target=work, name="workbench-notebook", daemon=True).start()
        while not self._ended.wait(0.05):
            if cancel is not None and cancel.is_set():
                raise Cancelled("cancelled")
        (result,) = found
        if isinstance(result, BaseException):
            raise result
        return result

    def _papermill(self, parameters: Mapping[str, Any]) -> str | None:
        """Run all cells in this thread, and return what failed, or None."""
        from jupyter_core.utils import run_sync

        try:
            # The kernel starts while papermill is imported; the history of a notebook that runs once is nobody's.
            run_sync(self._manager.start_kernel)(extra_arguments=["--HistoryManager.hist_file=:memory:"])
            from papermill import execute_notebook
            from papermill.exceptions import PapermillExecutionError

            try:
                # What it has to say is in the notebook and in the error.
                with quiet("papermill", logging.CRITICAL + 1):
                    execute_notebook(
                        self.notebook, None, dict(parameters), engine_name=_engine(), progress_bar=False, execution=self
                    )
            except PapermillExecutionError as error:
                where = f" ({self._heading})" if self._heading else ""
                return f"cell {error.exec_count}{where}: {error.ename}: {error.evalue}"
        except Exception as error:  # the kernel died, or could not start
            self.notebook.metadata.setdefault("papermill", {})
            reason = str(error).strip() or "no reason given"
            return f"{self._heading or 'the notebook'}: {type(error).__name__}: {reason}"
        return None

    def execute(self, nb_man: Any, kernel_name: str) -> Any:
        """Run papermill's notebook on the kernel; what papermill's engine calls."""
        from papermill.clientwrap import PapermillNotebookClient

        self.notebook = nb_man.nb
        self._client = PapermillNotebookClient(
            nb_man,
            km=self._manager,
            kernel_name=kernel_name,
            timeout=None,
            startup_timeout=START_SECONDS,
            store_widget_state=False,
            on_cell_start=self._cell_starts,
            log=logging.getLogger("papermill"),
        )
        return self._client.execute()

    def _cell_starts(self, cell: Any, cell_index: int) -> None:
        if self._exported:
            # While the kernel works, this process has nothing else to do than to load what the page needs.
            self._exported = False
            threading.Thread(target=_load_exporter, daemon=True).start()
        if cell.cell_type == "markdown" and cell.source.startswith("## "):
            self._heading = cell.source.partition("\n")[0].strip("# ")
        if self._listener is not None:
            self._listener(cell_index, len(self.notebook.cells), self._heading)

    def _shut_down(self) -> None:
        """Ask the kernel to end, so that what it has started can end too."""
        from jupyter_core.utils import run_sync

        try:
            if self._client is not None and self._client.kc is not None:
                # What nbclient does for a kernel of its own.
                run_sync(self._manager.shutdown_kernel)()
                self._client.kc.stop_channels()
        except Exception:  # it has ended already, or will be made to
            log.debug("a kernel did not end as asked", exc_info=True)
        finally:
            self._stopped.set()


@functools.cache
def _engine() -> str:
    """Return the name of papermill's engine that runs a notebook on the kernel of its `Execution`.

    The notebook is not saved after each cell, which takes longer than the cells themselves where one holds much.
    """
    from papermill.engines import NBClientEngine, papermill_engines

    class Engine(NBClientEngine):  # type: ignore[misc]  # papermill has no types
        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, execution: NotebookRun, **_: Any) -> Any:
            return execution.execute(nb_man, kernel_name)

    papermill_engines.register("workbench", Engine)
    return "workbench"


def _load_exporter() -> None:
    # Where it is missing, that is told where it is used.
    with contextlib.suppress(ImportError):
        import nbconvert.exporters.html  # noqa: F401

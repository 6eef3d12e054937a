"""Runs a notebook with parameters through papermill, and keeps what came of it: the notebook and its page."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from workbench.compat.rfc3987_syntax import grammars_when_needed
from workbench.errors import WorkbenchError, unknown
from workbench.files import write_atomic
from workbench.report import templates
from workbench.report.execution import Listener, NotebookRun
from workbench.report.packing import unpacked
from workbench.report.section import ERROR_TAG, MIME


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
    with grammars_when_needed():
        import nbformat

    for target in (page, out):
        if target is not None:
            _check_folder(Path(target))
    source = templates.find(template)
    templates.read(source)  # says what is wrong
    notebook = nbformat.read(source, as_version=4)
    allowed = templates.parameters_of(templates.read(source)) if parameters else []
    for name in parameters:
        if name not in allowed:
            raise unknown("parameter", name, allowed, f"They are those of {source.name}.")
    title = _title_of(notebook, source.stem)
    with (
        tempfile.TemporaryDirectory(prefix="workbench-") as temporary,
        NotebookRun(notebook, Path(temporary), environment or {}, listener, exported=page is not None) as execution,
    ):
        error = execution.run(parameters, cancel)
        # Written while the kernel ends.
        return _keep(execution.notebook, error, source, Path(out), page, title, code)


def _keep(ran: Any, error: str | None, source: Path, out: Path, page: Path | None, title: str, code: bool) -> Ran:
    """Write an executed notebook and its page."""
    import nbformat

    # Where it ran by chance is no part of it.
    ran.metadata.papermill.update(input_path=source.name, output_path=out.name)
    ran.metadata.pop("widgets", None)
    if error and not any(ERROR_TAG in c.metadata.get("tags", ()) for c in ran.cells):
        ran.cells.insert(0, _banner(error))
    write_atomic(out, (nbformat.writes(ran) + "\n").encode())
    if page is not None:
        from workbench.report.page import write_page

        page = write_page(ran, Path(page), title, code)
    return Ran(out, page, error, results_of(ran))


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
    """Return what a notebook displayed as its results, or None; rows that were packed are rows again."""
    for cell in reversed(notebook["cells"]):
        for output in cell.get("outputs", ()):
            shown = output.get("data", {}).get(MIME)
            if isinstance(shown, dict) and "results" in shown:
                found: dict[str, Any] = dict(shown["results"])
                if "packed_rows" in found:
                    found["rows"] = unpacked(found.pop("packed_rows"))
                return found
    return None


def _banner(error: str) -> Any:
    import html

    from nbformat.v4 import new_markdown_cell

    text = f'<span style="color:red; font-size:1.5em;">The run ended early at {html.escape(error)}</span>'
    return new_markdown_cell(text, metadata={"tags": [ERROR_TAG]})


def _title_of(notebook: Any, default: str) -> str:
    first = next((c.source for c in notebook.cells if c.cell_type == "markdown"), "")
    return first.partition("\n")[0].strip("# ") or default

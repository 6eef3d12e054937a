"""The report of one study: its notebook, page, grid file, and PDF where that is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.files import write_atomic
from workbench.report.asked import grid_file, grid_text
from workbench.report.execution import Listener
from workbench.report.run import run_notebook
from workbench.store.reader import Reader

TEMPLATE = "sweep_report"


def write_report(
    name: str,
    store: Reader,
    path: Path,
    pdf: bool = False,
    code: bool = False,
    gate: Mapping[str, Any] | None = None,
    listener: Listener | None = None,
) -> Path:
    """Run `sweep_report` on a stored study and write its page; beside it the notebook, the grid file of a study that no command made, and the PDF.

    Raises WorkbenchError where a part of the notebook fails, after notebook and page were written.
    """
    record = store.study(name)
    parameters: dict[str, Any] = {"study": name}
    environment = {}
    if "://" in store.location:
        # A URL can hold a password, which belongs in no file.
        url = store.place.url.render_as_string(hide_password=False)
        environment = {"WORKBENCH_STORE": url, "WORKBENCH_ARTIFACTS": str(store.root)}
    else:
        parameters["store"] = store.location
    if gate:
        parameters["gate"] = dict(gate)
    ran = run_notebook(TEMPLATE, parameters, path.with_suffix(".ipynb"), path, code, listener, environment)
    beside = grid_file(record)
    if beside is not None:
        write_atomic(path.parent / beside, grid_text(record).encode())
    if ran.error:
        raise WorkbenchError(f"the report ended early at {ran.error}\nWhat came of it is in {path} and {ran.notebook}.")
    if pdf:
        from workbench.report.pdf import print_pdf

        print_pdf(path, path.with_suffix(".pdf"))
    return path

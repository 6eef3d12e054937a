"""Runs of small notebooks: kernels that die, are cancelled, run at once or within a loop, and leave nothing behind."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import psutil
import pytest

from workbench.errors import Cancelled
from workbench.report.run import Ran, run_notebook

pytestmark = pytest.mark.slow


def written(folder: Path, code: str, name: str = "source") -> Path:
    """A notebook with a parameter, a heading, a cell that prints it, and a cell of that code."""
    make = nbformat.v4
    cells = [
        make.new_code_cell("x = 1", metadata={"tags": ["parameters"]}),
        make.new_markdown_cell("## The part"),
        make.new_code_cell("print('x is', x)"),
        make.new_code_cell(code),
    ]
    path = folder / f"{name}.ipynb"
    # A kernel of that name is on no machine: it is this interpreter's that runs.
    kernel = {"name": "nosuch", "display_name": "None", "language": "python"}
    nbformat.write(make.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Hold that no kernel of a run is alive after it; a JupyterLab that other tests share may have its own."""
    before = kernels()
    yield
    assert kernels() <= before


def kernels() -> set[int]:
    mine = psutil.Process().children(recursive=True)
    return {
        p.pid
        for p in mine
        if p.is_running() and p.status() != psutil.STATUS_ZOMBIE and "ipykernel" in " ".join(p.cmdline())
    }


def test_a_kernel_that_dies_leaves_what_it_did(tmp_path: Path) -> None:
    source = written(tmp_path, "import os\nos.kill(os.getpid(), 9)")
    ran = run_notebook(source, {"x": 2}, tmp_path / "out.ipynb", tmp_path / "out.html")
    assert ran.error == "The part: DeadKernelError: Kernel died"
    page = (tmp_path / "out.html").read_text()
    assert "x is 2" in page
    assert "The run ended early at The part" in page


def test_cancelled_it_writes_nothing_and_ends_its_kernel(tmp_path: Path) -> None:
    cancel = threading.Event()
    source = written(tmp_path, f"open({str(tmp_path / 'began')!r}, 'w').close()\nimport time\ntime.sleep(600)")

    def wait() -> None:
        while not (tmp_path / "began").exists():
            time.sleep(0.05)
        cancel.set()

    threading.Thread(target=wait, daemon=True).start()
    with pytest.raises(Cancelled):
        run_notebook(source, {}, tmp_path / "out.ipynb", cancel=cancel)
    assert not (tmp_path / "out.ipynb").exists()


def test_cancelled_before_its_kernel_is_up_it_leaves_none(tmp_path: Path) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        run_notebook(written(tmp_path, "1"), {}, tmp_path / "out.ipynb", cancel=cancel)


def test_several_at_once_keep_their_own(tmp_path: Path) -> None:
    def one(n: int) -> Ran:
        source = written(tmp_path, "print('twice', 2 * x)", f"source-{n}")
        return run_notebook(source, {"x": n}, tmp_path / f"out-{n}.ipynb")

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(one, range(4)))
    assert [r.error for r in found] == [None] * 4
    for n, ran in enumerate(found):
        assert f"twice {2 * n}" in json.dumps(nbformat.read(ran.notebook, as_version=4))


def test_it_runs_where_a_loop_runs_already(tmp_path: Path) -> None:
    async def within() -> Ran:
        return run_notebook(written(tmp_path, "print(1)"), {}, tmp_path / "out.ipynb")

    assert asyncio.run(within()).error is None

"""Canaries: what IPython, Jupyter, dask and plotly keep to themselves still means what Workbench takes it for; each of `compat/` has one."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import workbench
from workbench.compat import distributed, ipykernel, ipython, jupyter_client, plotly, rfc3987_syntax
from workbench.compat.library import Library
from workbench.errors import WorkbenchError

# ---- what is said when something is gone

NUMPY = Library("numpy", ">=1,<1.5")
GONE = rf"numpy {np.__version__} has no _nothing of .*, which Workbench needs and which numpy>=1,<1\.5 has\. Run: pip install 'numpy>=1,<1\.5'"


@pytest.mark.parametrize("owner", [np.ndarray, np.zeros(1), np])
def test_what_is_gone_is_told_with_the_versions_that_have_it(owner: Any) -> None:
    with pytest.raises(WorkbenchError, match=GONE):
        NUMPY.attribute(owner, "_nothing")
    assert NUMPY.attribute(np, "zeros") is np.zeros


def test_a_module_that_is_gone_is_told_too() -> None:
    with pytest.raises(WorkbenchError, match=r"has no the nothing, which Workbench"), NUMPY.inside("the nothing"):
        from numpy import nothing  # type: ignore[attr-defined]  # noqa: F401  # the import is the test
    with NUMPY.inside("zeros"):
        from numpy import zeros
    assert zeros is np.zeros


def test_a_library_that_is_not_there_is_to_be_installed() -> None:
    none = Library("no-such-library-here", ">=2,<3")
    with pytest.raises(WorkbenchError, match=r"is not installed.*pip install 'no-such-library-here>=2,<3'"):
        none.attribute(np, "_nothing")


# ---- each function has a canary

FOLDER = Path(workbench.__file__).parent / "compat"


def public_names() -> set[tuple[str, str]]:
    """Every (module, public function or class) of the folder."""
    return {
        (path.stem, node.name)
        for path in FOLDER.glob("*.py")
        if path.stem != "library"
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
    }


def used_names(source: str) -> set[tuple[str, str]]:
    return {
        (node.value.id, node.attr)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }


# What is used within others, or by a process of its own.
ELSEWHERE = {
    ("tensorflow", "Flat"): "test_a_restored_function_is_called_by_position_whatever_its_inputs_are_called",
    ("tf_keras", "Call"): "test_a_graph_tells_its_calls_in_their_order",
    ("tfmot", "import_tfmot"): "test_tfmot_comes_without_keras_3_which_can_follow",
    ("litert_profiler", "ProfiledModel"): "test_the_profiler_tells_each_operator_of_the_file",
    ("distributed_servers", "Worker"): "test_workers_are_started_by_a_command_and_open_one_socket_each",
}


def test_each_function_has_a_canary() -> None:
    sources = [p.read_text(encoding="utf-8") for p in Path(__file__).parent.glob("test_compat*.py")]
    used = set().union(*map(used_names, sources))
    assert len(public_names()) > 25
    assert public_names() - used == set(ELSEWHERE)
    assert all(any(f"def {test}(" in source for source in sources) for test in ELSEWHERE.values())
    assert ("plotly", "no_such_function") not in used


# ---- IPython


class Marked:
    """What the shell shows by a function of ours."""


@pytest.fixture
def shell() -> Iterator[Any]:
    from IPython.core.interactiveshell import InteractiveShell

    InteractiveShell.clear_instance()
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


def test_a_matcher_answers_alone_and_in_its_order(shell: Any) -> None:
    def matcher(text: str) -> tuple[str, list[str]] | None:
        return (text.removeprefix("%%zz "), ["zinc", "zebra", "apple"]) if text.startswith("%%zz ") else None

    ipython.complete_with(shell, matcher)
    # It does not answer this older form of the question.
    shell.Completer.use_jedi = False
    shell.user_ns["zz_variable"] = 1
    _, found = shell.Completer.complete(line_buffer="%%zz z", cursor_pos=6)
    assert [str(f) for f in found] == ["zinc", "zebra", "apple"]
    _, others = shell.Completer.complete(line_buffer="zz_var", cursor_pos=6)
    assert "zz_variable" in others


def test_a_cell_is_rewritten_before_its_magic_is_looked_for(shell: Any) -> None:
    shell.register_magic_function(lambda line, cell: f"{line}:{cell}", "cell", "zz")
    ipython.rewrite_first(shell, lambda lines: [line.replace("name << %%zz", "%%zz") for line in lines])
    assert shell.run_cell("name << %%zz a\nb", store_history=False).result == "a:b\n"


def test_values_are_shown_by_a_function_whose_class_is_not_imported_yet(shell: Any) -> None:
    shown: list[Any] = []
    ipython.show_with(shell, __name__, "Marked", shown.append)
    value = Marked()
    # An empty answer: the function has put it out.
    assert shell.display_formatter.format(value) == ({}, {})
    assert shown == [value]
    assert shell.display_formatter.format(1)[0] == {"text/plain": "1"}


def test_magics_are_known_by_name(shell: Any) -> None:
    assert not ipython.has_magic(shell, "zz")
    shell.register_magic_function(lambda line: line, "line", "zz")
    assert ipython.has_magic(shell, "zz")


def test_variables_are_the_users_own(shell: Any) -> None:
    shell.run_cell("mine = 1\n_hidden = 2\nimport sys\n3", store_history=False)
    assert ipython.own_variables(shell) == {"mine": 1, "sys": sys}


# ---- Jupyter


class Kernel(NamedTuple):
    """A kernel with its client."""

    manager: Any
    client: Any

    def run(self, code: str) -> str:
        """Run a cell to its end and return what it printed."""
        printed: list[str] = []

        def hear(message: Any) -> None:
            content = message["content"]
            printed.append(content.get("text") or "\n".join(content.get("traceback", [])))

        self.client.execute_interactive(code, output_hook=hear, timeout=120)
        return "".join(printed).strip()

    def subshell(self) -> str:
        """Open a subshell, a thread beside that of the cells, and return its id."""
        message = self.client.session.msg("create_subshell_request")
        self.client.control_channel.send(message)
        return str(self.client.get_control_msg(timeout=60)["content"]["subshell_id"])

    def click(self, comm: str, subshell: str) -> None:
        """Send what a page does when a button is pressed, as JupyterLab does: to a subshell."""
        data = {"method": "custom", "content": {"event": "click"}}
        message = self.client.session.msg("comm_msg", {"comm_id": comm, "data": data})
        message["header"]["subshell_id"] = subshell
        self.client.shell_channel.send(message)


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    from jupyter_client.manager import KernelManager

    manager = KernelManager()
    assert jupyter_client.process_of(manager) is None
    manager.start_kernel(extra_arguments=["--HistoryManager.hist_file=:memory:"])
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=120)
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_a_kernels_process_is_known(kernel: Kernel) -> None:
    process = jupyter_client.process_of(kernel.manager)
    assert process is not None
    assert process.poll() is None
    assert kernel.run("import os; print(os.getpid())") == str(process.pid)


BUTTON = """
import time, ipywidgets
from workbench.compat.ipykernel import hear_beside_cells
button, heard = ipywidgets.Button(), []
button.on_click(lambda _: heard.append(1))
{}
print(button.comm.comm_id)
"""
# A cell that keeps the kernel busy: what has come by its end, and what comes after it.
BUSY = """
print("busy", flush=True)
end = time.monotonic() + {}
while not heard and time.monotonic() < end: time.sleep(0.05)
print(len(heard))
"""


@pytest.mark.parametrize(("beside", "patience"), [(True, 60), (False, 3)])
def test_a_widget_is_heard_while_a_cell_runs_only_where_we_see_to_it(
    kernel: Kernel, beside: bool, patience: float
) -> None:
    assert callable(ipykernel.hear_beside_cells)  # in the kernel, by the cell below
    comm = kernel.run(BUTTON.format("hear_beside_cells(button)" if beside else ""))
    subshell = kernel.subshell()
    said: list[str] = []

    def hear(message: Any) -> None:
        text = message["content"].get("text", "")
        said.append(text)
        if "busy" in text:
            kernel.click(comm, subshell)

    kernel.client.execute_interactive(BUSY.format(patience), output_hook=hear, timeout=120)
    assert "".join(said).split() == ["busy", "1" if beside else "0"]
    # The other one was on its way, and waited for the cell.
    for _ in range(100):
        if kernel.run("print(len(heard))") == "1":
            break
        time.sleep(0.1)
    else:
        pytest.fail("the click came nowhere")


# ---- jsonschema's formats

LATE = """
import sys
from workbench.compat import rfc3987_syntax

with rfc3987_syntax.grammars_when_needed():
    import nbformat
assert "jsonschema" in sys.modules, "nbformat has another validator now"
assert not {"lark", "rfc3987_syntax"} & set(sys.modules)
from jsonschema import Draft202012Validator

checker = Draft202012Validator.FORMAT_CHECKER
print([checker.conforms(text, "iri") for text in ("http://a.b/\u00fc", "no address")], "lark" in sys.modules)
"""


@pytest.mark.slow
def test_grammars_are_compiled_when_an_address_is_checked() -> None:
    """Addresses are checked as they would have been; without grammars that may be late, nothing is changed."""
    pytest.importorskip("rfc3987_syntax")
    done = subprocess.run([sys.executable, "-c", LATE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[True, False] True"), done.stderr[-2000:]
    with rfc3987_syntax.grammars_when_needed():  # it is loaded here
        assert "rfc3987_syntax" in sys.modules


# ---- plotly


def test_plotlys_program_is_what_plotly_gives_out() -> None:
    from plotly.offline import get_plotlyjs

    assert plotly.plotly_js().decode() == get_plotlyjs()


# ---- dask


def test_a_security_can_be_written_down_and_made_again() -> None:
    from distributed import Security

    made = Security.temporary()
    written = json.loads(json.dumps(distributed.plain_security(made)))
    again = Security(**written)
    assert "PRIVATE KEY" in written["tls_worker_key"]
    assert again.require_encryption
    assert distributed.plain_security(again) == written
    assert again.get_connection_args("worker")["ssl_context"]


def listening() -> int:
    """How many sockets of the process that runs this wait for a caller."""
    import psutil

    return sum(c.status == psutil.CONN_LISTEN for c in psutil.Process().net_connections("inet"))


def test_workers_are_started_by_a_command_and_open_one_socket_each(tmp_path: Path) -> None:
    from distributed import Client, SpecCluster

    from workbench.compat import distributed_servers

    started: list[Any] = []
    ended: list[int] = []
    options = {"nthreads": 1, "host": "127.0.0.1", "local_directory": str(tmp_path)}

    async def start(address: str) -> Any:
        spec = {"cls": "workbench.compat.distributed_servers.Worker", "opts": {**options, "name": "one"}}
        command = [sys.executable, "-m", "dask", "spec", address, "--spec", json.dumps(spec)]
        # What is run in them lies in this file.
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        started.append(await asyncio.create_subprocess_exec(*command, env=env, stderr=asyncio.subprocess.DEVNULL))
        return started[-1]

    before = listening()
    worker = {"cls": distributed.command_workers(start, ended.append), "options": {}}
    scheduler = {"cls": distributed_servers.Scheduler, "options": {"host": "127.0.0.1", "port": 0, "dashboard": False}}
    with (
        SpecCluster(workers={"a": worker}, scheduler=scheduler, worker=worker) as cluster,
        Client(cluster, set_as_default=False, timeout=60) as client,
    ):
        client.wait_for_workers(1, timeout=120)
        (process,) = started
        assert listening() - before == 1
        assert list(client.run(listening).values()) == [1]
        assert list(client.run(os.getpid).values()) == [process.pid]
    assert ended == [process.pid]
    assert process.returncode is not None

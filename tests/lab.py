"""A real JupyterLab in a real browser: one server and one Chromium per session, a page object per notebook.

The fixture `lab` (lab_fixture.py) starts both. `lab.open(cells)` opens a notebook and gives what a user has: cells to
run, outputs to look at, completions, themes, saving. No request of a page leaves the machine, and each is recorded.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import nbformat
import nurseries
import psutil
from interrupts import hear_interrupts
from lab_notebook import PATIENCE, SCRIPT, Notebook
from playwright.sync_api import BrowserContext, sync_playwright
from playwright.sync_api import Error as BrowserError

from workbench.report.pdf import HEADLESS, chromium

__all__ = ["Lab", "Notebook", "foreign", "watch"]

HOST = "127.0.0.1"
FORKING = Path(__file__).parent / "forking"

BROWSER_FLAGS = (
    *(flag for flag in HEADLESS if not flag.startswith(("--headless", "--host-resolver-rules"))),
    "--enable-unsafe-swiftshader",
    f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {HOST}",
    # An address that is no name would still be called: a proxy that is not there takes it.
    f"--proxy-server=http://{HOST}:9",
    f"--proxy-bypass-list={HOST}",
)

SETTINGS: dict[str, dict[str, Any]] = {
    # Outputs out of view stay in the page, where a test can read them; nothing empty below the last cell.
    "notebook-extension/tracker": {"windowingMode": "none", "scrollPastEnd": False},
    # After a second Lab would show what it has, without the kernel's answer.
    "completer-extension/manager": {"providerTimeout": 1000 * PATIENCE},
    "apputils-extension/notification": {"checkForUpdates": False, "fetchNews": "false"},
}


def watch(context: BrowserContext) -> list[str]:
    """The addresses that pages of this context ask for from now on, websockets too; grows while Playwright works."""
    requests: list[str] = []
    context.on("request", lambda request: requests.append(request.url))
    context.on("page", lambda page: page.on("websocket", lambda websocket: requests.append(websocket.url)))
    return requests


def foreign(requests: Sequence[str]) -> list[str]:
    """Those requests that would have left this machine."""
    parts = [(url, urlsplit(url)) for url in requests]
    return sorted({url for url, p in parts if p.scheme not in ("data", "blob", "about") and p.hostname != HOST})


class Lab:
    """One JupyterLab server and one Chromium; `open` gives notebooks.

    `folder` takes all that either writes; the kernels' working folder is `root`, below it.
    """

    def __init__(self, folder: Path) -> None:
        program = chromium()
        self.folder = folder
        self.root = folder / "root"
        self.log = folder / "lab.log"
        self.notebooks: list[Notebook] = []
        self._cleanup = contextlib.ExitStack()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._token = secrets.token_hex(16)
        try:
            self._start_server()
            self._start_browser(program)
            self._wait_server()
        except BaseException:
            self.close()
            raise

    def _start_server(self) -> None:
        with socket.socket() as free:
            free.bind((HOST, 0))
            port = free.getsockname()[1]
        self.url = f"http://{HOST}:{port}"
        self._environment = _environment(self.folder)
        self.root.mkdir()
        for name, values in SETTINGS.items():
            path = self.folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values))
        command = [
            *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--expose-app-in-browser"),
            *(f"--ip={HOST}", f"--port={port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={self.root}"),
            *(f"--IdentityProvider.token={self._token}", "--LanguageServerManager.autodetect=False"),
            *("--LabApp.news_url=None", "--LabApp.extension_manager=readonly"),
            "--LabApp.check_for_updates_class=jupyterlab.handlers.announcements.NeverCheckForUpdate",
        ]
        with self.log.open("wb") as log:
            self._server = subprocess.Popen(
                command,
                cwd=self.root,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=hear_interrupts,
            )
        self._cleanup.callback(self._stop_server)

    def _start_browser(self, program: str) -> None:
        playwright = sync_playwright().start()
        self._loop = asyncio.get_running_loop()
        self._cleanup.callback(self._stop_browser, playwright.stop)
        self._browser = playwright.chromium.launch(
            executable_path=program, args=list(BROWSER_FLAGS), env=dict(self._environment), timeout=1000 * PATIENCE
        )
        self.context = self.new_context()
        self.context.add_init_script(SCRIPT)
        self._requests = watch(self.context)

    def new_context(self) -> BrowserContext:
        """Another user's browser: no cookies or cache of ours, and not in `requests`."""
        context = self._browser.new_context(viewport={"width": 1400, "height": 1000}, accept_downloads=True)
        context.set_default_timeout(1000 * PATIENCE)
        return context

    def _wait_server(self) -> None:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                self.api("GET", "api/status")
                return
            except OSError as error:
                ended = self._server.poll()
                assert ended is None, f"JupyterLab ended with {ended} at its start:\n{self.log_tail()}"
                late = f"JupyterLab does not answer after {PATIENCE:.0f} s ({error}):\n{self.log_tail()}"
                assert time.monotonic() < end, late
            time.sleep(0.05)

    def api(self, method: str, path: str) -> Any:
        """Call the server's REST interface; the JSON of its answer, or None."""
        request = urllib.request.Request(
            f"{self.url}/{path}", method=method, headers={"Authorization": f"token {self._token}"}
        )
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=PATIENCE) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def open(
        self,
        cells: Sequence[str] | Path,
        name: str = "notebook.ipynb",
        width: int = 1400,
        height: int = 1000,
        dark: bool = False,
        sidebar: bool = False,
    ) -> Notebook:
        """Open a notebook of these code cells, or this `.ipynb`, and wait until its kernel is idle.

        A file below `root` is opened where it is, with its kernel if that still runs; another is copied there under
        its own name. A name that is taken gets a number.
        """
        path = self._write(cells, name)
        running = self._session(path) is not None
        page = self.context.new_page()
        notebook = Notebook(self, page, path)
        self.notebooks.append(notebook)
        page.set_viewport_size({"width": width, "height": height})
        # A workspace of its own: two windows on one would take each other's layout.
        where = f"lab/workspaces/{secrets.token_hex(4)}/tree/{quote(path.relative_to(self.root).as_posix())}"
        page.goto(f"{self.url}/{where}?token={self._token}&reset", wait_until="commit", timeout=1000 * PATIENCE)
        notebook._wait_ready(busy=running)
        if not sidebar:
            page.evaluate("jupyterapp.shell.collapseLeft()")
        if page.evaluate("document.body.dataset.jpThemeLight") != json.dumps(not dark):
            notebook.set_dark(dark)
        return notebook

    def _write(self, cells: Sequence[str] | Path, name: str) -> Path:
        if isinstance(cells, Path) and cells.resolve().is_relative_to(self.root):
            return cells.resolve()
        free = self.root / (cells.name if isinstance(cells, Path) else name)
        stem, count = free.stem, 1
        while free.exists():
            count += 1
            free = free.with_name(f"{stem}-{count}{free.suffix}")
        # Without types of its own.
        notebooks: Any = nbformat
        if isinstance(cells, Path):
            content = notebooks.read(cells, as_version=4)
        else:
            content = notebooks.v4.new_notebook(cells=[notebooks.v4.new_code_cell(cell) for cell in cells])
        # Without a kernel of that name Lab would ask for one.
        content.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebooks.write(content, free)
        return free

    @property
    def requests(self) -> list[str]:
        """All that the notebooks' pages asked for so far, websockets too."""
        # Events arrive while Playwright works.
        for notebook in self.notebooks:
            notebook.page.evaluate("new Promise(resolve => setTimeout(resolve))")
        return list(self._requests)

    def shut_down(self, path: Path) -> None:
        """End the kernel of a notebook, if it has one; returns when it has ended."""
        session = self._session(path)
        if session:
            self.api("DELETE", f"api/sessions/{session}")

    def _session(self, path: Path) -> str | None:
        name = path.relative_to(self.root).as_posix()
        return next((session["id"] for session in self.api("GET", "api/sessions") if session["path"] == name), None)

    def log_tail(self, count: int = 60) -> str:
        """The last lines that the server and its kernels wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])

    def show_loop(self) -> None:
        """Let asyncio know Playwright's event loop, which runs between its calls; it cannot work otherwise."""
        if self._loop:
            asyncio._set_running_loop(self._loop)

    def hide_loop(self) -> None:
        """Undo `show_loop`, so that other tests can run an event loop of their own."""
        if self._loop:
            asyncio._set_running_loop(None)

    def close(self) -> None:
        """End the browser, the server and its kernels, whatever state they are in."""
        self._cleanup.close()

    def _stop_browser(self, stop: Callable[[], None]) -> None:
        self.show_loop()
        for close in (*(n.page.close for n in self.notebooks), stop):
            # One that has crashed: what was open in it failed, and told so.
            with contextlib.suppress(BrowserError, RuntimeError):
                close()
        self.notebooks.clear()
        self._loop = None
        asyncio._set_running_loop(None)

    def _stop_server(self) -> None:
        self._server.send_signal(signal.SIGTERM)
        try:
            self._server.wait(20)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        # A kernel that did not end, or what it left behind.
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("JUPYTER_DATA_DIR") == self._environment["JUPYTER_DATA_DIR"]:
                    process.kill()


def _environment(folder: Path) -> dict[str, str]:
    """The environment of a user who has just logged in, whose home and all of Jupyter's folders are in `folder`.

    Workers of a kernel's sweep are forked as those of the tests are.
    """
    ours = ("JUPYTER", "IPYTHON", "XDG_", "WORKBENCH_", "PYTEST_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    folders = {
        "HOME": "home",
        "XDG_CACHE_HOME": "home/.cache",
        "XDG_CONFIG_HOME": "home/.config",
        "XDG_DATA_HOME": "home/.local/share",
        "XDG_RUNTIME_DIR": "run",
        "IPYTHONDIR": "ipython",
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    }
    for name in folders.values():
        (folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', os.defpath)}"
    imports = os.pathsep.join([str(FORKING), *filter(None, [kept.get("PYTHONPATH")])])
    ours_too = {nurseries.RUN: os.environ[nurseries.RUN], "PATH": path, "PYTHONPATH": imports}
    return {**kept, **{name: str(folder / below) for name, below in folders.items()}, **ours_too}

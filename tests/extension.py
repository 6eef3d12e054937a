"""The JupyterLab extension, built once for all tests that need it, and a window of Lab with it."""

from __future__ import annotations

import importlib.util
import json
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from lab import Lab
from lab_notebook import PATIENCE
from playwright.sync_api import FrameLocator, Locator, expect

# A busy machine is no failure.
expect.set_options(timeout=1000 * PATIENCE)
ROOT = Path(__file__).resolve().parents[1]


def builder() -> ModuleType:
    """`extensions/lab/build.py`, which is no part of a package."""
    spec = importlib.util.spec_from_file_location("build_extension", ROOT / "extensions" / "lab" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def built() -> Path:
    """Build the extension unless it is built, and return its folder; skips the test where there is no node."""
    maker = builder()
    if not maker.is_built() and shutil.which("node") is None:
        pytest.skip(maker.WITHOUT_NODE)
    maker.build()
    folder: Path = maker.BUILT
    return folder


class Window:
    """JupyterLab without a notebook, in a page of its own; `console` holds the errors on it."""

    def __init__(self, lab: Lab, width: int = 1440, height: int = 900) -> None:
        self.page = lab.context.new_page()
        self.console: list[str] = []
        self.page.on("console", lambda m: self.console.append(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda error: self.console.append(str(error)))
        self.page.set_viewport_size({"width": width, "height": height})
        where = f"{lab.url}/lab/workspaces/{secrets.token_hex(4)}?token={lab._token}&reset"
        self.page.goto(where, wait_until="commit", timeout=1000 * PATIENCE)
        # The launcher comes with the plugins; the splash goes when all is restored.
        self.page.locator(".jp-Launcher").first.wait_for()
        self.page.locator("#jupyterlab-splash").wait_for(state="detached")

    def run(self, command: str, arguments: dict[str, Any] | None = None) -> None:
        """Run a command of Lab's and do not wait for its end."""
        text = f"void jupyterapp.commands.execute({json.dumps(command)}, {json.dumps(arguments or {})})"
        self.page.evaluate(text)

    def open_file(self, name: str) -> Locator:
        """Open a file of the server's folder by a double click in the file browser; its tab's content."""
        self.run("filebrowser:activate")
        self.run("filebrowser:refresh")
        item = self.page.locator(f'.jp-DirListing-item[title^="Name: {name}"]')
        item.wait_for()
        item.dblclick()
        shown = self.page.locator(".wb-Model:visible")
        shown.wait_for()
        return shown

    def graph(self) -> FrameLocator:
        """Netron's page in the tab that is shown."""
        return self.page.frame_locator(".wb-Graph:visible")

    def studies(self) -> Locator:
        """The rows of the panel, which is opened."""
        self.page.evaluate("jupyterapp.shell.activateById('workbench-studies')")
        return self.page.locator(".wb-Study")

    def dashboard(self) -> Locator:
        """The dashboard in the tab that is shown."""
        return self.page.locator(".wb-Tab:visible .workbench-dashboard")

    def expect_points(self, least: int, seconds: float = PATIENCE) -> int:
        """Wait until the chart has so many points; how many it has then."""
        self.page.wait_for_function(
            "least => [...document.querySelectorAll('.wb-Tab .workbench-dashboard')].some(d => Number(d.dataset.points) >= least)",
            arg=least,
            timeout=1000 * seconds,
        )
        return int(self.dashboard().get_attribute("data-points") or 0)

    def choose(self, menu: str) -> None:
        """Choose an entry of the context menu that is open."""
        self.page.locator(".lm-Menu-item", has_text=menu).click()

    def answer(self, button: str, text: str | None = None) -> None:
        """Fill in the dialog that is open, and press a button of it."""
        dialog = self.page.locator(".jp-Dialog")
        dialog.wait_for()
        if text is not None:
            dialog.locator("input").fill(text)
        dialog.get_by_role("button", name=button, exact=True).click()
        expect(dialog).to_have_count(0)

    def cells(self) -> Sequence[str]:
        """The sources of the cells of the notebook that is shown."""
        found: list[str] = self.page.evaluate(
            "jupyterapp.shell.currentWidget.content.widgets.map(c => c.model.sharedModel.source)"
        )
        return found

    def close(self) -> None:
        """Close the page."""
        self.page.close()

"""The fixture `lab`, and the hooks that serve the tests that use it. Light, since each test session imports it."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from lab import Lab

_labs: list[Lab] = []


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The session's JupyterLab."""
    from lab import Lab

    started = Lab(tmp_path_factory.mktemp("lab"))
    _labs.append(started)
    yield started
    _labs.remove(started)
    started.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Show Playwright's event loop to the tests that have a `lab`, and to them only."""
    for started in _labs:
        if "lab" in getattr(item, "fixturenames", ()):
            started.show_loop()
    try:
        return (yield)
    finally:
        for started in _labs:
            started.hide_loop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell of a failed test in `lab` what the server wrote, what is on the consoles, and where a screenshot lies."""
    if call.excinfo is not None and "lab" in getattr(item, "fixturenames", ()):
        for started in _labs:
            item.add_report_section(call.when, "jupyter lab", "\n".join(_seen(started, item.name)))
    return (yield)


def _seen(lab: Lab, test: str) -> Iterator[str]:
    yield f"log {lab.log}, its end:\n{lab.log_tail()}"
    for notebook in lab.notebooks:
        yield f"{notebook.path.name}: errors on the console: {notebook.console or 'none'}"
        path = lab.folder / "failed" / f"{re.sub(r'[^A-Za-z0-9]+', '-', test)}-{notebook.path.stem}.png"
        path.parent.mkdir(exist_ok=True)
        try:
            notebook.page.screenshot(path=path, timeout=20_000)
            yield f"{notebook.path.name}: screenshot {path}"
        except Exception as error:  # A report that fails would end the session.
            yield f"{notebook.path.name}: no screenshot: {error}"

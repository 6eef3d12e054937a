"""Prints a page as PDF with Chromium, where there is one."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from workbench.errors import MissingExtra, WorkbenchError
from workbench.files import write_atomic

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# A page that is complete in itself, opened by nobody.
HEADLESS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # No name resolves: a page that is complete in itself needs none.
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
PRINTING = (
    "--no-pdf-header-footer",
    # As wide as the paper, so that the chart is drawn to fit it.
    "--window-size=1032,720",
    "--virtual-time-budget=5000",
)
LIMIT_SECONDS = 180


def chromium() -> str:
    """Return the browser's path; raises MissingExtra with what to install."""
    found = next((path for name in PROGRAMS if (path := shutil.which(name))), None)
    if found is None:
        raise MissingExtra(
            "a PDF is printed with Chromium, which is not installed: apt-get install chromium. The page can be printed from any browser."
        )
    return found


def print_pdf(page: Path, path: Path) -> Path:
    """Print a page into a PDF, and return its path; raises MissingExtra without a browser, WorkbenchError where it fails."""
    program = chromium()
    with tempfile.TemporaryDirectory(prefix="workbench-") as folder:
        target = Path(folder) / "page.pdf"
        command = [
            program,
            *HEADLESS,
            *PRINTING,
            f"--user-data-dir={folder}/profile",
            f"--print-to-pdf={target}",
            page.resolve().as_uri(),
        ]
        try:
            done = subprocess.run(command, capture_output=True, timeout=LIMIT_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise WorkbenchError(f"{str(page)!r} could not be printed: {error}") from error
        if not target.is_file():
            lines = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit status {done.returncode}"]
            raise WorkbenchError(f"{str(page)!r} could not be printed: {lines[-1]}")
        write_atomic(path, target.read_bytes())
    return path

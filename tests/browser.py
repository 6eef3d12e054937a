"""Opens a local page in a real browser: the DOM after its scripts ran, and what it asked the network for."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import NamedTuple

from workbench.report.pdf import HEADLESS, chromium


class Page(NamedTuple):
    """What came of opening a page: its DOM as text, and the addresses that it requested."""

    dom: str
    requests: list[str]


def open_page(path: Path, folder: Path, *flags: str) -> Page:
    """Open a file in Chromium for three seconds of its own time; `folder` takes profile and log.

    Fails with the install command when there is no Chromium.
    """
    log = folder / "net.json"
    command = [
        chromium(),
        *HEADLESS,
        *flags,
        f"--user-data-dir={folder / 'profile'}",
        f"--log-net-log={log}",
        "--virtual-time-budget=3000",
        "--dump-dom",
    ]
    done = subprocess.run([*command, path.resolve().as_uri()], capture_output=True, timeout=600, check=True)
    return Page(done.stdout.decode(), _page_requests(log))


def _page_requests(log: Path) -> list[str]:
    events = json.loads(log.read_text())["events"]
    started = [e["params"] for e in events if "url" in e.get("params", {}) and "initiator" in e["params"]]
    # The browser's own requests (updates, clock) have no origin; those of a page have one.
    foreign = {
        p["url"]
        for p in started
        if p["initiator"] != "not an origin" and p["url"].partition(":")[0] not in ("file", "data", "blob")
    }
    return sorted(foreign)

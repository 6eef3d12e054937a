"""What a page loads to show a dashboard without a kernel: the notebook's own scripts and style, and who carries messages."""

from __future__ import annotations

from importlib import resources
from typing import NamedTuple

from workbench.compat.plotly import plotly_js
from workbench.dashboard.page import SCRIPTS, STYLES, joined
from workbench.markup import macros
from workbench.server.places import NotThere

POLICY = "default-src 'none'; script-src 'self' blob: 'unsafe-eval'; connect-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
_OWN = {"page.js": "text/javascript", "page.css": "text/css"}


class PageAsset(NamedTuple):
    """A file that a page loads, and its type."""

    content: bytes
    type: str


def asset(name: str) -> PageAsset:
    """Return one of the files that a page loads; raises NotThere for a name that is none."""
    if name == "dashboard.js":
        return PageAsset(f"{joined(SCRIPTS)}\n{_own('remote.js')}".encode(), "text/javascript")
    if name == "dashboard.css":
        return PageAsset(joined(STYLES).encode(), "text/css")
    if name == "plotly.js":
        return PageAsset(plotly_js(), "text/javascript")
    if name in _OWN:
        return PageAsset(_own(name).encode(), _OWN[name])
    raise NotThere(f"there is no file {name!r} of the dashboard")


def page(study: str, store: str, base: str) -> str:
    """Return the page of a study's dashboard; `base` is the path of `/workbench` on this server."""
    return str(macros("workbench.server", "page/page.html.j2").page(study, store, base))


def _own(name: str) -> str:
    return resources.files("workbench.server").joinpath("page", name).read_text("utf-8")

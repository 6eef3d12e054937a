"""Netron's page for one file: the package's own assets, with four things changed so that it asks nothing of the network.

Its page is given a version of 0.0.0 (another one starts analytics), no date (an old one insists on an update), the file to open,
and a cookie that says that its question for consent was answered (it would look up the country first).
"""

from __future__ import annotations

import html
import re
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from workbench.errors import MissingExtra, WorkbenchError, shown

# Whatever the page tries beyond this server is refused by the browser.
POLICY = "default-src 'none'; script-src 'self'; connect-src 'self'; worker-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
CONSENT = "consent"
PAGE, FILES = "index.html", "files"
_TYPES = {
    ".js": "text/javascript",
    ".json": "application/json",
    ".css": "text/css",
    ".png": "image/png",
    ".ico": "image/x-icon",
}
_ASSET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*\.(js|json|css|png|ico)")
# Netron follows the system's colours; in JupyterLab its frame follows Lab's.
_DARK = "(prefers-color-scheme: dark)"


class Asset(NamedTuple):
    """A file of Netron's and its type."""

    content: bytes
    type: str


def page(path: str, dark: bool) -> bytes:
    """Return Netron's page for a file by its path from the server's root, in light or dark.

    Raises MissingExtra where Netron is not installed, WorkbenchError where its page is another one than is known.
    """
    text = (_folder() / PAGE).read_text("utf-8")
    name = html.escape(path.rpartition("/")[2])
    text = _meta(text, "version", "0.0.0")
    text = _meta(text, "date", "")
    about = f'<meta name="file" content="{FILES}/{html.escape(quote(path))}"><meta name="identifier" content="{name}">'
    text = text.replace("<title>Netron</title>", f"{about}<title>{name}</title>", 1)
    # Its assets are asked for in the same colours; the server's own policy stands for the page's.
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    text = text.replace('href="grapher.css"', f'href="grapher.css?dark={int(dark)}"')
    return _coloured(text, dark).encode()


def asset(name: str, dark: bool) -> Asset:
    """Return one of Netron's files; raises WorkbenchError for a name that is none."""
    path = _folder() / name
    if not _ASSET.fullmatch(name) or not path.is_file():
        raise WorkbenchError(f"Netron has no file {shown(name)}")
    content = path.read_bytes()
    if path.suffix == ".css":
        content = _coloured(content.decode(), dark).encode()
    return Asset(content, _TYPES[path.suffix])


def _coloured(text: str, dark: bool) -> str:
    return text.replace(_DARK, "all" if dark else "not all")


def _meta(text: str, name: str, content: str) -> str:
    changed, count = re.subn(
        rf'<meta name="{name}" content="[^"]*">', f'<meta name="{name}" content="{content}">', text
    )
    if count != 1:
        raise WorkbenchError(
            f"Netron's page is another one than is known (no `{name}`). Install the version that is known: pip install netron==9.3.3"
        )
    return changed


def _folder() -> Path:
    spec = find_spec("netron")
    if spec is None or spec.origin is None:
        raise MissingExtra("the graph needs netron: pip install netron==9.3.3")
    return Path(spec.origin).parent

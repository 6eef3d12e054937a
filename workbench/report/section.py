"""One part of a report as a notebook shows it: HTML that needs neither kernel nor network, and plain text."""

from __future__ import annotations

import functools
import re
from html.parser import HTMLParser
from importlib import resources
from typing import Any

from workbench.markup import template

MIME = "application/vnd.workbench+json"
# Papermill's own tag of the cells that say what failed.
ERROR_TAG = "papermill-error-cell-tag"


class Section:
    """What a cell shows. `data` goes along for the exporter; `empty` says that there is nothing to tell, so a page leaves it out."""

    def __init__(self, body: str, data: dict[str, Any] | None = None, empty: bool = False) -> None:
        self.body = body
        self.data = data
        self.empty = empty

    @property
    def html(self) -> str:
        """The HTML with its style, which reads well on light and dark."""
        return f'<div class="workbench-report"><style>{resource("sections.css")}</style>{self.body}</div>'

    @property
    def text(self) -> str:
        """The same as plain text."""
        return plain(self.body)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        bundle: dict[str, Any] = {"text/html": self.html, "text/plain": self.text}
        if self.data is not None:
            bundle[MIME] = self.data
        return bundle, {"workbench": {"empty": True}} if self.empty else {}

    def __repr__(self) -> str:
        return self.text


def rendered(part: str, **values: Any) -> str:
    """Return a part of `sections.html.j2`, filled in; all that comes from users is escaped."""
    return str(getattr(_parts(), part)(**values)).strip()


def nothing(words: str) -> Section:
    """Return a section that says in words that there is nothing to tell."""
    return Section(rendered("nothing", words=words), empty=True)


@functools.cache
def resource(name: str) -> str:
    """Return a file of this package as text."""
    return resources.files("workbench.report").joinpath(name).read_text(encoding="utf-8")


@functools.cache
def _parts() -> Any:
    # A figure stays on one line with its unit.
    bound = functools.partial(re.sub, r"(?<=\d) (?=[%A-Za-z])", "\u00a0")
    return template(resource("sections.html.j2"), code=code, bound=bound).module


def code(text: str) -> Any:
    """Return text escaped, with what stands in backticks as code."""
    import markupsafe

    return markupsafe.Markup(re.sub(r"`([^`\n]+)`", r"<code>\1</code>", str(markupsafe.escape(text))))


_LINES = (
    "p",
    "div",
    "tr",
    "dt",
    "h1",
    "h2",
    "h3",
    "li",
    "pre",
    "table",
    "ul",
    "dl",
    "details",
    "article",
    "figure",
    "summary",
)


class _Plain(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.verbatim = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.verbatim += tag == "pre"
        if tag in _LINES:
            self.parts.append("\n")
        elif tag in ("td", "th", "dd"):
            self.parts.append("  ")
        elif tag == "img":
            self.parts.append(dict(attrs).get("alt") or "")

    def handle_endtag(self, tag: str) -> None:
        self.verbatim -= tag == "pre"
        if tag in _LINES:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        self.parts.append(data if self.verbatim else re.sub(r"\s+", " ", data))


def plain(body: str) -> str:
    """Return HTML as lines of text."""
    parser = _Plain()
    parser.feed(body)
    lines = [line.rstrip() for line in "".join(parser.parts).splitlines()]
    return "\n".join(re.sub(r"^ +", "", line) for line in lines if line.strip())

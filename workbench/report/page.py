"""Exports an executed notebook as one HTML file that opens offline, its charts alive."""

from __future__ import annotations

import copy
import functools
import html
import json
import re
from pathlib import Path
from typing import Any

from workbench.compat.plotly import plotly_js
from workbench.files import write_atomic
from workbench.markup import template
from workbench.report.section import ERROR_TAG, MIME, resource

# A cell with this tag is for those who work in the notebook.
NOTEBOOK_ONLY = "notebook-only"
# Stands for the HTML of an output while nbconvert makes the page.
_PART = '<div data-workbench-part="{}"></div>'
# The style that each part of a notebook carries; a page has it once.
_STYLE = re.compile(r'(<div class="workbench-report">)<style>.*?</style>', re.S)


def write_page(notebook: Any, path: Path, title: str, code: bool = False) -> Path:
    """Write an executed notebook as a page, with its code where that is asked for; the file is replaced as a whole or not at all."""
    write_atomic(path, page_html(notebook, title, code).encode())
    return path


def page_html(notebook: Any, title: str, code: bool = False) -> str:
    """Return the page of an executed notebook.

    Charts are drawn by one copy of plotly.js; headings of cells that have nothing to tell go with them; code is shown only when asked for.
    """
    shown = copy.deepcopy(notebook)
    error = _error_of(shown)
    shown.metadata.pop("widgets", None)
    cells = _without_empty(shown.cells, code)
    charts, parts = 0, []
    for cell in cells:
        for output in cell.get("outputs", ()):
            charts += _enliven(output, charts)
            if "text/html" in output.get("data", {}):
                # HTML as it is; nbconvert would parse it and write it again, which takes most of its time.
                parts.append("".join(output.data["text/html"]))
                output.data["text/html"] = _PART.format(len(parts) - 1)
    shown.cells = cells
    body = _exporter(code).from_notebook_node(shown)[0]
    body = re.sub(_PART.format(r"(\d+)"), lambda match: _STYLE.sub(r"\1", parts[int(match[1])]), body)
    body, headings = _headings(body)
    style = resource("sections.css") + resource("page.css") + (_pygments() if code else "")
    return str(
        _templates("page.html.j2").render(
            title=_title(body, title),
            style=style,
            body=_with_navigation(body, headings),
            error=error,
            links="papermill-error-cell" in body,
            plotly=plotly_js().decode() if charts else "",
            script=resource("page.js"),
        )
    )


def _without_empty(cells: list[Any], code: bool) -> list[Any]:
    """Return the cells that a page shows: a heading stands only before a part that tells something."""
    kept: list[Any] = []
    for cell in cells:
        tags = cell.metadata.get("tags", ())
        if (NOTEBOOK_ONLY in tags and not (code and cell.cell_type == "code")) or (
            ERROR_TAG in tags and "At '" in cell.source
        ):
            continue
        if cell.cell_type != "code":
            if ERROR_TAG not in tags or "papermill-error-cell" in cell.source:
                kept.append(cell)
            continue
        outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
        cell.outputs = [o for o in outputs if not o.get("metadata", {}).get("workbench", {}).get("empty")]
        if outputs and not cell.outputs:
            # It says that there is nothing to tell, and so does its heading.
            if kept and kept[-1].cell_type == "markdown":
                kept.pop()
            continue
        if cell.outputs or code:
            kept.append(cell)
    return kept


def _enliven(output: Any, before: int) -> int:
    """Make a chart's picture one that can be worked with; return how many were made."""
    data = output.get("data", {})
    found = data.pop(MIME, None)
    if not isinstance(found, dict) or not ({"chart", "figure"} & set(found)) or "text/html" not in data:
        return 0
    suffix = f"-{before + 1}" if before else ""
    still = "".join(data["text/html"])
    picture = re.search(r"<img [^>]*>", still)
    alt = re.search(r'alt="([^"]*)"', still)
    chart = found.get("chart")
    live = _templates("chart.html.j2").render(
        id=f"trade-off{suffix}",
        suffix=suffix,
        chart=chart,
        label=html.unescape(alt[1]) if alt else "Chart",
        json=script_json(chart if chart else {"plain": found["figure"]}),
        still=picture[0] if picture else "",
    )
    note = "".join(re.findall(r'<p class="note">.*?</p>', still, re.S))
    data["text/html"] = f'<div class="workbench-report">{live}{note}</div>'
    return 1


def script_json(data: Any) -> str:
    """Return JSON that can stand inside a script element: no `<`, `>` or `&` that could end it."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def _headings(body: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the page with an id for each heading of the second order, and the ids with the headings' words."""
    found: list[tuple[str, str]] = []

    def named(match: re.Match[str]) -> str:
        words = re.sub(r"<[^>]+>", "", match[1]).strip()
        name = re.sub(r"[^a-z0-9]+", "-", html.unescape(words).lower()).strip("-") or f"part-{len(found)}"
        found.append((name, words))
        return f'<h2 id="{name}">{match[1]}</h2>'

    return re.sub(r"<h2\b[^>]*>(.*?)</h2>", named, body, flags=re.S), found


def _with_navigation(body: str, headings: list[tuple[str, str]]) -> str:
    if len(headings) < 3:
        return body
    links = "".join(f'<a href="#{name}">{words}</a>' for name, words in headings)
    # Below what comes before the first heading, which is the page's own.
    at = body.find("<h2 ")
    start = body.rfind('<div class="cell', 0, at) if at >= 0 else -1
    start = body.rfind("<div", 0, at) if start < 0 else start
    return f'{body[:start]}<nav aria-label="Parts">{links}</nav>\n{body[start:]}'


def _title(body: str, default: str) -> str:
    found = re.search(r"<h1[^>]*>(.*?)</h1>", body, re.S)
    return html.unescape(re.sub(r"<[^>]+>", "", found[1])).strip() if found else default


def _error_of(notebook: Any) -> str:
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if output.get("output_type") == "error":
                return f"{output['ename']}: {output['evalue']}"
    for cell in notebook.cells:
        if ERROR_TAG in cell.metadata.get("tags", ()):
            return html.unescape(re.sub(r"<[^>]+>", "", cell.source))
    return ""


def _exporter(code: bool) -> Any:
    from nbconvert.exporters.html import HTMLExporter

    return HTMLExporter(
        template_name="basic",
        exclude_input=not code,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
        mathjax_url="",
        mermaid_js_url="",
        require_js_url="",
    )


@functools.cache
def _templates(name: str) -> Any:
    return template(resource(name))


def _pygments() -> str:
    from pygments.formatters import HtmlFormatter

    light, dark = (HtmlFormatter(style=s).get_style_defs(".highlight") for s in ("default", "github-dark"))
    kept = "\n".join(line for line in dark.splitlines() if "background" not in line.split("{")[0])
    return f"\n{light}\n.highlight {{ background: none }}\n@media screen and (prefers-color-scheme: dark) {{ {kept} .highlight {{ background: none }} }}"

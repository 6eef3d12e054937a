"""What a page loads of the dashboard: its script and style, each of several files that are joined as they are."""

from __future__ import annotations

from importlib import resources

SCRIPTS = (
    "basics.js",
    "loading.js",
    "header.js",
    "legend.js",
    "figure.js",
    "chart.js",
    "limits.js",
    "card.js",
    "table.js",
    "panels.js",
    "main.js",
)
STYLES = ("dashboard.css", "selection.css")


def joined(names: tuple[str, ...]) -> str:
    """Return assets as one text; whole-line comments and indentation stay behind, since saved notebooks carry it."""
    folder = resources.files("workbench.dashboard").joinpath("assets")
    lines = (line.strip() for name in names for line in folder.joinpath(name).read_text("utf-8").splitlines())
    return "\n".join(line for line in lines if line and not line.startswith(("//", "/** ", "/* ")))

"""The program that draws Plotly's figures in a page."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from workbench.errors import WorkbenchError


def plotly_js() -> bytes:
    """Return plotly.min.js as the plotly package has it, which is not imported for it: that takes longer than the reading.

    Raises WorkbenchError where plotly is not installed.
    """
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise WorkbenchError("charts need plotly, which is not installed here. Run: pip install plotly")
    return (Path(spec.origin).parent / "package_data" / "plotly.min.js").read_bytes()

"""plotly: the program that draws its figures in a page, without the package that makes them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from workbench.compat.library import Library

PLOTLY = Library("plotly", ">=7,<8")


def plotly_js() -> bytes:
    """Return plotly.min.js as the plotly package has it, which is not imported for it: that takes longer than the reading.

    The public `plotly.offline.get_plotlyjs` reads the same file. Raises WorkbenchError where plotly is not installed.
    """
    spec = find_spec("plotly")
    path = Path(spec.origin).parent / "package_data" / "plotly.min.js" if spec and spec.origin else None
    if path is None or not path.is_file():
        raise PLOTLY.changed("package_data/plotly.min.js, which draws charts,")
    return path.read_bytes()

"""Take the README's pictures of a demo that ran: `python tests/pictures.py demo` writes notebooks/images/dashboard.png and report.png."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from lab import Lab
from PIL import Image

IMAGES = Path(__file__).resolve().parents[1] / "notebooks" / "images"
SETTLE_MS = 3000
# Where the point of the best that fits is drawn.
BEST = """(root) => {
    const plot = root.querySelector('.js-plotly-plot'), box = plot.getBoundingClientRect(), {xaxis, yaxis} = plot._fullLayout;
    for (const trace of plot.data) {
        const i = trace.meta?.role === 'points' ? trace.meta.ids.indexOf(root.dataset.best) : -1;
        if (i >= 0) return [box.x + xaxis._offset + xaxis.d2p(trace.x[i]), box.y + yaxis._offset + yaxis.d2p(trace.y[i])];
    }
}"""


def dashboard(lab: Lab, store: Path, shot: Path) -> None:
    """The dashboard in JupyterLab over the demo's study, with the card of the best that fits."""
    shutil.copytree(store, lab.root / "demo")
    nb = lab.open(["%load_ext workbench", "%wb dashboard demo --store demo"], width=1500, height=1000)
    nb.run_all()
    board = nb.output(1).locator(".workbench-dashboard")
    board.wait_for()
    nb.page.wait_for_timeout(SETTLE_MS)
    place = board.evaluate(BEST)
    nb.page.mouse.move(*place)
    nb.page.mouse.click(*place, delay=100)
    nb.page.mouse.move(700, 30)
    nb.page.wait_for_timeout(SETTLE_MS)
    nb.page.screenshot(path=shot)


def report(lab: Lab, page: Path, shot: Path) -> None:
    """The top of the page that the demo wrote."""
    tab = lab.new_context().new_page()
    tab.set_viewport_size({"width": 1380, "height": 1720})
    tab.goto(page.resolve().as_uri())
    tab.wait_for_timeout(SETTLE_MS)
    tab.screenshot(path=shot)


def main(demo: Path) -> None:
    """Take both; a palette is enough for them, and takes a third of the bytes."""
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(Path(folder))
        try:
            dashboard(lab, demo / "store", Path(folder) / "dashboard.png")
            report(lab, demo / "report.html", Path(folder) / "report.png")
        finally:
            lab.close()
        for name in ("dashboard.png", "report.png"):
            picture = Image.open(Path(folder) / name).convert("RGB").quantize(256, dither=Image.Dither.NONE)
            picture.save(IMAGES / name, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

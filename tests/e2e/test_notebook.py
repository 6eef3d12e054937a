"""The notebook in a real JupyterLab: the quickstart, and a dashboard while a sweep runs, by its buttons, points and sliders."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from lab import Lab, Notebook, foreign
from stored import store_study
from trials import make_many, make_study

from workbench.values.trial import Trial

pytestmark = pytest.mark.slow

QUICKSTART = Path(__file__).parents[2] / "notebooks" / "quickstart.ipynb"
MEASURED = "{epochs: 1}\\nmeasure:  {budget: 0.2}"
ROOT = ".workbench-dashboard"


def wait(condition: Callable[[], bool], what: str, seconds: float = 300) -> float:
    """Wait for a condition, and return after how many seconds it held."""
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < seconds, f"waited {seconds:g} s for {what}"
        time.sleep(0.02)
    return time.monotonic() - begin


class Board:
    """The dashboard below a cell, by the attributes of its root."""

    def __init__(self, nb: Notebook, cell: int) -> None:
        self.nb = nb
        self.root = nb.output(cell).locator(ROOT)
        self.root.wait_for(timeout=60_000)

    def get(self, name: str) -> str:
        return self.root.get_attribute(f"data-{name}") or ""

    def points(self) -> int:
        return int(self.get("points") or 0)

    def is_(self, name: str, value: str, seconds: float = 300) -> float:
        return wait(lambda: self.get(name) == value, f"{name} = {value!r}, not {self.get(name)!r}", seconds)

    def click_points(self, shift: bool = False, place: int = 0) -> None:
        """Click where the so-many-th point is drawn."""
        script = """(root) => {
            const plot = root.querySelector('.js-plotly-plot'), box = plot.getBoundingClientRect(), found = [];
            for (const trace of plot.data) {
                if (trace.meta?.role !== 'points') continue;
                trace.x.forEach((x, i) => found.push([
                    box.x + plot._fullLayout.xaxis._offset + plot._fullLayout.xaxis.d2p(x),
                    box.y + plot._fullLayout.yaxis._offset + plot._fullLayout.yaxis.d2p(trace.y[i])]));
            }
            return found;
        }"""
        self.root.scroll_into_view_if_needed()
        places: list[list[tuple[float, float]]] = []

        def still() -> bool:
            """A card that opens makes the page longer, which moves the chart a moment later."""
            places.append(self.root.evaluate(script))
            self.nb.page.wait_for_timeout(150)
            return len(places) > 1 and places[-1] == places[-2]

        before = self.get("selected")
        for _ in range(10):
            wait(still, "a chart that stands still")
            x, y = places[-1][place]
            if shift:
                self.nb.page.keyboard.down("Shift")
            self.nb.page.mouse.move(x, y)
            # A finger stays down so long; Plotly looks 20 times a second at what is under the pointer, and clicks on what it
            # saw. On a busy machine it may not have looked yet: whoever sees that nothing happens clicks again.
            self.nb.page.mouse.click(x, y, delay=100)
            if shift:
                self.nb.page.keyboard.up("Shift")
            end = time.monotonic() + 10
            while time.monotonic() < end:
                if self.get("selected") != before:
                    return
                self.nb.page.wait_for_timeout(50)


def stored(lab: Lab, name: str, trials: list[Trial]) -> str:
    """Put a study into a store below the notebook's folder, and return what names that store there."""
    store_study(lab.root / name, name, trials)
    return name


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The quickstart, of the smaller model and measured for less long: what it finds is the demo's matter."""
    text = QUICKSTART.read_text(encoding="utf-8")
    small_ones = {
        "%wb model fashion_cnn": "%wb model digits_small",
        "%wb data fashion": "%wb data digits",
        "{epochs: 2}": MEASURED,
    }
    for usual, small in small_ones.items():
        assert text.count(usual) == 1
        text = text.replace(usual, small)
    path = tmp_path_factory.mktemp("quickstart") / "quickstart.ipynb"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_quickstart_from_top_to_bottom(lab: Lab, quickstart: Path) -> None:
    nb = lab.open(quickstart, name="quickstart.ipynb")
    nb.run_all(timeout=400)
    assert nb.errors() == ""
    assert "workbench-card" in nb.output(6).inner_html()
    board = Board(nb, next(i for i in range(len(nb)) if nb.output(i).locator(ROOT).count()))
    board.is_("state", "done")
    assert board.points() == 16
    assert board.get("best")
    assert (lab.root / "exported" / "model.tflite").is_file()
    saved = nb.save()
    assert saved.stat().st_size < 500_000
    assert_readable_without_a_kernel(saved)
    assert foreign(lab.requests) == []
    assert nb.console == []
    nb.close()


def assert_readable_without_a_kernel(path: Path) -> None:
    """Hold a saved notebook, as nbconvert shows it, against what the quickstart found."""
    from nbconvert import HTMLExporter

    page, _ = HTMLExporter().from_filename(str(path))
    assert "data:image/png;base64," in page
    text = re.sub(r"<[^>]*>", " ", page)
    assert "Study digits_small-digits" in text
    assert "16 trials: 16 ok" in text
    assert "prune:0.5+cluster:16+int8" in text
    assert "Pareto front" in text


def test_the_quickstart_executed_without_a_front_end_is_light_and_readable(
    lab: Lab, quickstart: Path, tmp_path: Path
) -> None:
    """In the folder where it ran before, whose store has what it makes."""
    from nbclient import NotebookClient

    nb = nbformat.read(quickstart, as_version=4)
    assert all(not c.get("outputs") for c in nb.cells)
    NotebookClient(nb, timeout=400, resources={"metadata": {"path": str(lab.root)}}).execute()
    path = tmp_path / "quickstart.ipynb"
    nbformat.write(nb, path)
    assert path.stat().st_size < 500_000
    assert "widgets" in nb.metadata  # with the state of its widgets
    assert_readable_without_a_kernel(path)


def test_the_dashboard_fills_while_a_sweep_runs_and_cancel_stops_it(lab: Lab) -> None:
    nb = lab.open(
        [
            "%load_ext workbench\n%wb model digits_small\n%wb data digits",
            "%wb -o study sweep --prune none,0.1,0.2,0.3,0.4,0.5,0.6,0.7 --quantize float32,float16 --epochs 4 --store live",
            "%wb dashboard",
            "1+1",
            "print([t.state for t in study.trials])",
        ],
        name="live.ipynb",
    )
    nb.run(0)
    nb.run(1)
    nb.run(2)
    board = Board(nb, 2)
    board.is_("state", "running")
    wait(lambda: board.points() >= 1, "the first point")
    few = board.points()
    took = time.monotonic()
    nb.run(3)
    assert nb.output_text(3).strip() == "2"
    print(f"1+1 while a sweep runs: {time.monotonic() - took:.2f} s")
    # The cell came back while the sweep ran: more of its points came after.
    wait(lambda: board.points() > few, "more points")
    assert board.get("state") == "running"
    board.root.get_by_role("button", name="Cancel").click()
    print(f"cancelled within {board.is_('state', 'stopped'):.2f} s")
    nb.run(4)
    states = json.loads(nb.output_text(4).replace("'", '"'))
    assert states.count("ok") >= board.points() > few
    assert "running" not in states
    assert "pending" in states
    # What it shows is what the store holds, after the page is loaded again and by a new kernel too.
    nb.save()
    nb.reload()
    Board(nb, 2).is_("points", str(states.count("ok")))
    nb.close()
    again = lab.open(["%load_ext workbench", "%wb dashboard digits_small-digits --store live"], name="again.ipynb")
    again.run_all()
    Board(again, 1).is_("points", str(states.count("ok")))
    assert nb.console == []
    assert foreign(lab.requests) == []
    again.close()


def test_cancel_below_the_sweeps_own_cell(lab: Lab) -> None:
    nb = lab.open(
        [
            "%load_ext workbench\n%wb model digits_small\n%wb data digits",
            "s = %wb sweep --prune 0.1,0.2,0.3 --quantize float32 --epochs 100 --store own",
            "s",
            "print(s.running, s.error)",
        ],
        name="own.ipynb",
    )
    for i in range(3):
        nb.run(i)
    button = nb.output(2).locator(".workbench-cancel")
    button.wait_for()
    button.click()
    wait(lambda: "Stopped: cancelled" in nb.output_text(2), "the end")
    nb.run(3)
    assert nb.output_text(3).strip() == "False cancelled"
    nb.close()


def test_points_sliders_tabs_and_keys(lab: Lab) -> None:
    store = stored(lab, "points", make_study())
    nb = lab.open(["%load_ext workbench", f"%wb dashboard points --store {store}"], name="points.ipynb", width=1600)
    nb.run_all()
    board = Board(nb, 1)
    wait(lambda: board.points() > 10, "points")
    # A click opens the card, with shift it adds, and two are compared.
    board.click_points(place=3)
    wait(lambda: len(board.get("selected").split(",")) == 1 and bool(board.get("selected")), "a card")
    first = board.get("selected")
    assert first in board.root.inner_text() or board.root.get_by_role("button", name="Save").count() >= 1
    board.click_points(shift=True, place=12)
    wait(lambda: len(board.get("selected").split(",")) == 2, "a comparison")
    # A slider changes the named best.
    best = board.get("best")
    slider = board.root.locator("input[type=range]").first
    slider.focus()
    slider.press("Home")
    wait(lambda: board.get("best") != best, "another best")
    slider.press("End")
    wait(lambda: bool(board.get("best")), "a best again")
    # The keyboard reaches every tab.
    board.root.get_by_role("tab").first.focus()
    seen = [board.get("tab")]
    for _ in range(4):
        nb.page.keyboard.press("ArrowRight")
        wait(lambda: board.get("tab") != seen[-1], "the next tab")
        seen.append(board.get("tab"))
    assert seen == ["tradeoff", "table", "parallel", "failures", "environment"]
    assert nb.console == []
    assert foreign(lab.requests) == []
    nb.close()


def test_ten_thousand_trials(lab: Lab) -> None:
    store = stored(lab, "many", make_many(10_000))
    nb = lab.open(["%load_ext workbench", f"%wb dashboard many --store {store}"], name="many.ipynb", width=1600)
    nb.run(0)
    begin = time.monotonic()
    nb.start(1)
    board = Board(nb, 1)
    wait(lambda: board.points() == 10_000, "10,000 points")
    print(f"10,000 trials after {time.monotonic() - begin:.2f} s")
    best = board.get("best")
    slider = board.root.locator("input[type=range]").first
    slider.focus()
    begin = time.monotonic()
    slider.press("Home")
    wait(lambda: board.get("best") != best, "another best")
    print(f"a slider's answer after {time.monotonic() - begin:.2f} s")
    nb.close()

"""The chart as a picture."""

from __future__ import annotations

import io
import subprocess
import sys

from PIL import Image
from trials import make_many, make_study, make_trial, measured

from workbench.views.marks import COLOURS, OTHER_SYMBOLS, SYMBOLS
from workbench.views.still import MARKERS, still_png
from workbench.views.tradeoff import tradeoff_info


def opened(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png)).convert("RGB")


def colours(png: bytes) -> dict[tuple[int, ...], int]:
    image = opened(png)
    return {pixel: count for count, pixel in image.getcolors(image.width * image.height)}  # type: ignore[union-attr, misc]  # there are no more


def has(png: bytes, colour: str) -> bool:
    """Whether the picture has a spot of a colour, but for a rounding of its palette."""
    wanted = tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))
    near = (n for pixel, n in colours(png).items() if all(abs(a - b) <= 4 for a, b in zip(pixel, wanted, strict=True)))
    return sum(near) >= 20


def test_a_study_s_picture_is_small_and_as_large_as_asked() -> None:
    png = still_png(tradeoff_info(make_study()), 800, 460)
    assert opened(png).size == (800, 460)
    assert len(png) < 60_000
    for scheme in ("float32", "float16", "dynamic", "int8", "int16x8", "int4-block32"):
        assert has(png, COLOURS[scheme][0]), scheme
    assert not has(png, COLOURS["weight-only-int8"][0]), "no trial is of that scheme"


def test_light_and_dark_pages() -> None:
    info = tradeoff_info(make_study())
    assert opened(still_png(info)).getpixel((2, 2)) == (255, 255, 255)
    dark = still_png(info, dark=True)
    assert opened(dark).getpixel((2, 2)) == (17, 17, 17)
    # What was meant for a light page, black text above all, would not be read.
    assert not has(dark, "#000000")


def test_nothing_and_ten_thousand_points() -> None:
    empty = still_png(tradeoff_info([]))
    # One line of text and the axes' names.
    assert 300 < sum(n for pixel, n in colours(empty).items() if max(pixel) < 200) < 20_000
    many = make_many(60)
    crowd = [t.model_copy(update={"id": f"{t.id}{i}"}) for i in range(170) for t in many]
    info = tradeoff_info(crowd, "latency@xnnpack", "accuracy")
    assert info.crowded
    assert len(still_png(info)) < 60_000


def test_every_symbol_of_the_chart_has_a_marker_of_its_own() -> None:
    symbols = [*SYMBOLS.values(), *OTHER_SYMBOLS]
    assert set(symbols) == set(MARKERS)
    assert len({str(MARKERS[s]) for s in symbols}) == len(symbols)


def test_axes_and_text_of_users_are_drawn_whatever_they_are() -> None:
    trials = [
        make_trial("float32", measurements=[measured("a$b", 1.0)]),
        make_trial("int8", measurements=[measured("a$b", 300.0)]),
    ]
    info = tradeoff_info(trials, "latency@a$b", "size")
    assert info.x_log
    still_png(info)
    still_png(tradeoff_info(trials, "top5", "accuracy_drop"))
    still_png(tradeoff_info(trials, "size", "sqnr_db"), 400, 300)


def test_no_backend_is_chosen_for_the_process() -> None:
    code = (
        "import sys\nfrom workbench.views.still import still_png\nfrom workbench.views.tradeoff import tradeoff_info\n"
        "early = 'matplotlib' in sys.modules\nstill_png(tradeoff_info([]))\n"
        "print(early, 'matplotlib' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "False"]

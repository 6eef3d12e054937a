"""Folders of images that are not what they say: nothing waits, nothing but the formats named is decoded, and what is lost is told."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from hostile import NO_FILES, brief, refused
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

import workbench
from workbench import registry
from workbench.data import pictures
from workbench.data.dataset import Dataset
from workbench.data.load import load_dataset
from workbench.errors import WorkbenchError
from workbench.files import open_regular

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif")
RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)


def picture(path: Path, image: Image.Image | None = None, **options: Any) -> Path:
    """One image in a class folder of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    (image or Image.fromarray(np.stack([RAMP, RAMP.T, RAMP], axis=-1))).save(path, **options)
    return path


def read(root: Path, query: str = "size=4x4") -> Dataset:
    return load_dataset(f"{root}?{query}")


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """A folder with a good image of a dog; tests put a bad one beside it."""
    picture(tmp_path / "pets" / "dog" / "good.png")
    (tmp_path / "pets" / "cat").mkdir()
    return tmp_path / "pets"


# ---- what lies there is no file


@pytest.mark.timeout(20)
@pytest.mark.parametrize("make", NO_FILES, ids=lambda m: m.__name__)
@pytest.mark.parametrize("suffix", [".png", ".jpeg"])
def test_what_is_no_file_is_refused_at_once(pets: Path, make: Callable[[Path], None], suffix: str) -> None:
    make(pets / "cat" / f"bad{suffix}")
    refused(lambda: read(pets), f"bad{suffix}' cannot be read", "")


def test_a_link_to_a_file_is_a_file(pets: Path, tmp_path: Path) -> None:
    picture(tmp_path / "elsewhere.png", Image.new("RGB", (3, 3), (255, 0, 0)))
    (pets / "cat" / "link.png").symlink_to("../../elsewhere.png")
    found = read(pets)
    assert sum(map(len, found.splits().values())) == 2


def test_a_file_that_was_swapped_after_the_look_makes_nobody_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between `stat` and `open` another puts a FIFO in its place."""
    path, looked = tmp_path / "x.png", os.stat
    path.write_bytes(b"x")

    def swapping(at: Any, *args: Any, **kwargs: Any) -> os.stat_result:
        found = looked(at, *args, **kwargs)
        if os.fspath(at) == str(path):
            path.unlink()
            os.mkfifo(path)
        return found

    monkeypatch.setattr(os, "stat", swapping)
    with pytest.raises(WorkbenchError, match="it is a FIFO"):
        open_regular(path, "image")


@pytest.fixture
def nobody() -> Iterator[None]:
    """This process without the rights of root, where it has them."""
    registry.datasets.all()  # loaded now: Python's own files may be root's alone
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_files_and_folders_that_this_user_may_not_read(nobody: None) -> None:
    import shutil
    import tempfile

    root = Path(tempfile.mkdtemp())
    try:
        picture(root / "pets" / "dog" / "closed.png").chmod(0)
        refused(lambda: read(root / "pets"), "closed.png' cannot be read: this user may not read it")
        (root / "pets" / "dog").chmod(0)
        refused(lambda: read(root / "pets"), "dog' cannot be read: Permission denied")
        (root / "pets").chmod(0)
        refused(lambda: read(root / "pets"), "pets' cannot be read: Permission denied")
        root.chmod(0)
        refused(lambda: read(root / "pets"), "pets' cannot be read: this user may not read it")
    finally:
        for path in (root, root / "pets", root / "pets" / "dog"):
            path.chmod(0o700)
        shutil.rmtree(root)


# ---- formats


def as_format(name: str, image: Image.Image | None = None) -> bytes:
    buffer = io.BytesIO()
    (image or Image.new("RGB", (8, 8))).save(buffer, name)
    return buffer.getvalue()


OTHERS: dict[str, bytes] = {
    "EPS": as_format("EPS"),
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n(%pipe%touch x) (w) file\nshowpage\n",
    "PostScript in a DOS frame": struct.pack("<4sII", b"\xc5\xd0\xd3\xc6", 30, 100).ljust(30, b"\0")
    + b"%!PS-Adobe-3.0 EPSF-3.0\n",
    "PDF": as_format("PDF"),
    "TIFF": as_format("TIFF"),
    "TIFF of float": as_format("TIFF", Image.fromarray(np.zeros((8, 8), np.float32))),
    "TIFF of LAB": as_format("TIFF", Image.new("LAB", (8, 8))),
    "PPM": as_format("PPM"),
    "TGA": as_format("TGA"),
    "PCX": as_format("PCX"),
    "ICO": as_format("ICO", Image.new("RGB", (16, 16))),
    "ICNS": as_format("ICNS", Image.new("RGBA", (16, 16))),
    "SGI": as_format("SGI"),
    "DDS": as_format("DDS"),
    "JPEG 2000": as_format("JPEG2000"),
    "IM": as_format("IM"),
    "XBM": b"#define x_width 8\n#define x_height 8\nstatic char x_bits[] = {0,0,0,0,0,0,0,0};\n",
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
    "WMF": b"\xd7\xcd\xc6\x9a" + b"\0" * 60,
    "FITS": b"SIMPLE  =                    T".ljust(2880),
    "MP4": b"\0\0\0\x18ftypmp42" + b"\0" * 40,
    "HTML": b"<!doctype html><title>404</title>",
    "ELF": b"\x7fELF" + b"\0" * 60,
}


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Ghostscript first on PATH that leaves a mark; the mark."""
    from PIL import EpsImagePlugin

    mark, tools = tmp_path / "ghostscript-ran", tmp_path / "tools"
    tools.mkdir()
    for name in ("gs", "gswin32c", "gswin64c"):
        (tools / name).write_text(f'#!/bin/sh\necho "$@" >> {mark}\n')
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    return mark


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_other_format_is_decoded_whatever_the_name(pets: Path, canary: Path, suffix: str) -> None:
    bad = pets / "cat" / f"bad{suffix}"
    for data in OTHERS.values():
        bad.write_bytes(data)
        refused(lambda: read(pets), f"bad{suffix}' cannot be read", "Allowed: PNG, JPEG, BMP, WEBP, GIF")
    assert not canary.exists()


def test_the_canary_can_sing(canary: Path, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(OTHERS["EPS"])
    with pytest.raises(Exception, match=r".*"), Image.open(tmp_path / "x.png") as opened:
        opened.load()
    assert canary.exists()


def test_the_command_line_starts_no_ghostscript(pets: Path, canary: Path, tmp_path: Path) -> None:
    (pets / "cat" / "bad.png").write_bytes(OTHERS["EPS"])
    done = subprocess.run(
        [sys.executable, "-m", "workbench", "sweep", "digits_cnn", "--data", pets, "--store", tmp_path / "store"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "bad.png' cannot be read" in done.stderr
    assert "Traceback" not in done.stderr
    assert not canary.exists()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_another_of_the_formats_is_read_and_told(pets: Path, suffix: str) -> None:
    for name in ("PNG", "JPEG", "BMP", "WEBP", "GIF"):
        (pets / "cat" / f"bad{suffix}").write_bytes(as_format(name))
        notes = read(pets).notes
        if name in pictures.FORMATS[suffix]:
            assert notes == ()
        else:
            assert notes == (
                f"1 of 2 images are {name} under the name of another format (first {str(pets / 'cat' / f'bad{suffix}')!r})",
            )


# ---- sizes


def png(width: int, height: int, bits: int = 8, colour: int = 0, rest: bytes = b"") -> bytes:
    """A PNG that says to have that many pixels, and has none."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + rest
        + chunk(b"IDAT", zlib.compress(b"\0" * 64))
        + chunk(b"IEND", b"")
    )


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0" * 6 + b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x4c\x01\0;"  # fmt: skip


def bmp(width: int, height: int, compression: int = 0, data: bytes = b"") -> bytes:
    palette = b"\0" * 1024
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, compression, len(data), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(palette) + len(data), 0, 0, 54 + len(palette)) + head + palette + data


def webp(width: int, height: int) -> bytes:
    bits = (width - 1) | (height - 1) << 14
    body = b"\x2f" + struct.pack("<I", bits) + b"\0" * 8
    return b"RIFF" + struct.pack("<I", len(body) + 13) + b"WEBPVP8L" + struct.pack("<I", len(body)) + body + b"\0"


def jpeg(width: int, height: int, scans: int = 1) -> bytes:
    """A progressive JPEG of many scans of nothing."""
    made = as_format("JPEG", Image.new("L", (64, 64)))
    at = made.index(b"\xff\xc0")
    start = made.index(b"\xff\xda")
    head = made[:at] + b"\xff\xc2" + made[at + 2 : at + 5] + struct.pack(">HH", height, width) + made[at + 9 : start]
    scan = b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0, 0, 0, 0) + b"\0\0"
    return head + scan * scans + b"\xff\xd9"


BOMBS: dict[str, tuple[str, bytes]] = {
    "PNG": (".png", png(40_000, 40_000)),
    "PNG of 2 giga": (".png", png(2**31 - 1, 2**31 - 1)),
    "wide PNG": (".png", png(80_000_000, 1)),
    "high PNG": (".png", png(1, 80_000_000)),
    "PNG of 16 bits": (".png", png(30_000, 30_000, 16)),
    "PNG a pixel too large": (".png", png(9_460, 9_459)),
    "GIF": (".gif", gif(65_535, 65_535)),
    "BMP": (".bmp", bmp(50_000, 50_000)),
    "upside down BMP": (".bmp", bmp(50_000, -50_000)),
    "wide RLE BMP": (".bmp", bmp(80_000_000, 1, 1, b"\0\2\xff\xff" * 20)),
    "WEBP": (".webp", webp(16_383, 16_383)),
    "JPEG": (".jpg", jpeg(65_500, 65_500)),
    "JPEG of scans": (".jpg", jpeg(9_000, 9_000, 5_000)),
    "BMP under another name": (".png", bmp(50_000, 50_000)),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("case", BOMBS)
def test_images_too_large_are_refused_by_their_headers(pets: Path, case: str, recwarn: pytest.WarningsRecorder) -> None:
    suffix, data = BOMBS[case]
    (pets / "cat" / f"bomb{suffix}").write_bytes(data)
    before = psutil.Process().memory_info().rss
    refused(lambda: read(pets), f"bomb{suffix}' cannot be read")
    assert psutil.Process().memory_info().rss - before < 5e8
    assert not recwarn.list


@pytest.mark.parametrize("case", ["PNG", "BMP", "GIF", "JPEG of scans"])
def test_the_bound_is_named(pets: Path, case: str) -> None:
    suffix, data = BOMBS[case]
    (pets / "cat" / f"bomb{suffix}").write_bytes(data)
    message = refused(lambda: read(pets))
    assert "at most 100" in message if "scans" in case else f"{pictures.MOST_PIXELS:,}" in message


def test_an_image_at_the_bound_is_read(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(pets / "cat" / "a.png", Image.new("L", (20, 10)))
    monkeypatch.setattr(pictures, "MOST_PIXELS", 256)
    read(pets)
    monkeypatch.setattr(pictures, "MOST_PIXELS", 255)
    refused(lambda: read(pets), "good.png' cannot be read: it has 16 x 16 pixels. Allowed: at most 255")


def test_a_file_of_too_many_bytes_is_not_read(pets: Path) -> None:
    with (pets / "cat" / "large.png").open("wb") as file:
        file.write(as_format("PNG"))
        file.truncate(pictures.MOST_BYTES + 1)  # of nothing, which takes no room
    refused(lambda: read(pets), "large.png' has 268,435,457 bytes. Allowed: at most 268,435,456")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("size=99999999x99999999", "too many pixels"),
        ("size=1x99999999999", "too many pixels"),
        ("size=" + "9" * 5000 + "x1", "too many pixels"),
        ("size=1x" + "9" * 100_000, "too many pixels"),
        ("size=9460x9459", "Allowed: at most 89,478,485"),
        ("size=0x0", "size = '0x0'"),
        ("size=00004x4", "size = '00004x4'"),
        ("size=-4x-4", "size = '-4x-4'"),
        ("size=4x4x4", "size = '4x4x4'"),
        ("size=1e3x4", "size = '1e3x4'"),
        ("size=4%004x4", "size = '4\\x004x4'"),
        ("size=٤x٤", "size = '٤x٤'"),
        ("size=4x4&size=5x5", "gets the option 'size' twice"),
        ("size=4x4&test=nan", "test = 'nan'"),
        ("size=4x4&test=inf", "test = 'inf'"),
        ("size=4x4&test=-1", "test = '-1'"),
        ("size=4x4&test=1e999", "test = '1e999'"),
        ("size=4x4&test=" + "9" * 5000, "test = "),
        ("size=4x4&" + "q" * 100_000 + "=1", "unknown image setting"),
        ("size=4x4&color=" + "q" * 100_000, "color = "),
    ],
    ids=brief,
)
def test_absurd_options(pets: Path, query: str, said: str) -> None:
    refused(lambda: read(pets, query), said)


def test_what_does_not_fit_into_memory_is_told_before_decoding(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (pets / "cat" / "bad.png").write_bytes(b"no image, and never looked at")
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 5_000_000}))
    refused(
        lambda: read(pets, "size=1000x1000"),
        "2 images of 1000 x 1000 x 3 numbers need about 48.0 MB of memory, but 5.0 MB are free. Give a smaller ?size=",
    )
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 50_000_000}))
    refused(lambda: read(pets, "size=1000x1000"), "bad.png' cannot be read")


def test_memory_that_runs_out_nevertheless_is_told(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: Any, **__: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr("workbench.data.images.read_picture", none_left)
    refused(lambda: read(pets), "pets' needs more memory than this process may take")


# ---- pixels


def noted(pets: Path, suffix: str, image: Image.Image, **options: Any) -> tuple[str, ...]:
    """What is told of one image; its words up to the bracket."""
    for old in (pets / "cat").iterdir():
        old.unlink()
    picture(pets / "cat" / f"one{suffix}", image, **options)
    found = read(pets).notes
    assert all(f"(first {str(pets / 'cat' / f'one{suffix}')!r})" in note for note in found)
    return tuple(note.partition(" (first")[0] for note in found)


def half_clear(mode: str) -> Image.Image:
    image = Image.new("RGBA", (8, 8), (200, 100, 50, 255))
    image.paste((200, 100, 50, 0), (0, 0, 4, 8))
    return image.convert(mode)


CLEAR = "1 of 2 images have transparency, which is left out"
PALETTE = Image.fromarray(np.stack([RAMP, RAMP.T, RAMP], axis=-1)).convert("P")
MODES: dict[str, tuple[str, Image.Image, dict[str, Any], tuple[str, ...]]] = {
    "one bit": (".png", Image.new("1", (8, 8), 1), {}, ()),
    "gray": (".png", Image.fromarray(RAMP), {}, ()),
    "gray JPEG": (".jpg", Image.fromarray(RAMP), {}, ()),
    "palette": (".png", PALETTE, {}, ()),
    "palette BMP": (".bmp", PALETTE, {}, ()),
    "clear RGBA": (".png", half_clear("RGBA"), {}, (CLEAR,)),
    "clear gray": (".png", half_clear("LA"), {}, (CLEAR,)),
    "clear WEBP": (".webp", half_clear("RGBA"), {"lossless": True}, (CLEAR,)),
    "opaque RGBA": (".png", Image.new("RGBA", (8, 8), (1, 2, 3, 255)), {}, ()),
    "clear colour of a palette": (".png", PALETTE, {"transparency": PALETTE.getpixel((0, 0))}, (CLEAR,)),
    "clear colour that is not used": (".png", Image.new("P", (8, 8), 3), {"transparency": 9}, ()),
    "clear colour of RGB": (".png", Image.new("RGB", (8, 8), (1, 2, 3)), {"transparency": (1, 2, 3)}, (CLEAR,)),
    "CMYK": (".jpg", Image.new("CMYK", (8, 8), (10, 20, 30, 40)), {}, ("1 of 2 images have CMYK colours, converted without a profile",)),
    "16 bits": (".png", Image.fromarray(np.full((8, 8), 40_000, np.uint16)), {}, ("1 of 2 images have 16 bits a value, of which the upper 8 are used",)),
    "animated GIF": (".gif", Image.new("RGB", (8, 8), (9, 9, 9)), {"save_all": True, "append_images": [Image.new("RGB", (8, 8), (200, 0, 0))]}, ("1 of 2 images are animated; the first frame is used",)),
    "animated WEBP": (".webp", Image.new("RGB", (8, 8), (9, 9, 9)), {"save_all": True, "append_images": [Image.new("RGB", (8, 8), (200, 0, 0))]}, ("1 of 2 images are animated; the first frame is used",)),
    "animated PNG": (".png", Image.new("RGB", (8, 8), (9, 9, 9)), {"save_all": True, "append_images": [Image.new("RGB", (8, 8), (200, 0, 0))]}, ("1 of 2 images are animated; the first frame is used",)),
    "GIF of one frame": (".gif", Image.new("P", (8, 8), 1), {}, ()),
    "turned phone": (".jpg", Image.new("RGB", (8, 8)), {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"}, ("1 of 2 images have an EXIF orientation, which is not applied",)),
    "upright phone": (".jpg", Image.new("RGB", (8, 8)), {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x01\0\0\0\0\0\0"}, ()),
    "two pictures of a phone": (".jpg", Image.new("RGB", (8, 8)), {"format": "MPO", "save_all": True, "append_images": [Image.new("RGB", (8, 8))]}, ()),
}  # fmt: skip


@pytest.mark.parametrize("case", MODES)
def test_what_is_lost_of_an_image_is_told(pets: Path, case: str) -> None:
    suffix, image, options, said = MODES[case]
    assert noted(pets, suffix, image, **options) == said


def test_sixteen_bits_of_colour_are_told_too(pets: Path) -> None:
    rows = b"".join(b"\0" + b"\x80\x01" * 24 for _ in range(8))
    data = png(8, 8, 16, 2).replace(zlib.compress(b"\0" * 64), zlib.compress(rows))
    # The chunk is of another length; written anew.
    at = data.index(b"IDAT")
    packed = zlib.compress(rows)
    chunk = struct.pack(">I", len(packed)) + b"IDAT" + packed + struct.pack(">I", zlib.crc32(b"IDAT" + packed))
    (pets / "cat" / "deep.png").write_bytes(data[: at - 4] + chunk + png(8, 8)[-12:])
    assert [n for n in read(pets).notes if "16 bits" in n]


@pytest.mark.parametrize("mode", ["F", "I", "HSV", "LAB", "YCbCr", "RGBX", "PA", "RGBa", "La", "I;16N"])
def test_modes_that_would_be_clipped_are_refused(mode: str) -> None:
    assert f"mode {mode!r}. Allowed: gray" in str(pictures.mode_problem(mode))


def test_transparency_is_left_out_as_tensorflow_does(pets: Path) -> None:
    """The colour below is what TensorFlow's decoder gives too, not what a browser shows."""
    picture(pets / "cat" / "clear.png", Image.new("RGBA", (4, 4), (200, 100, 50, 0)))
    found = load_dataset(f"{pets}?size=4x4&test=0.99").test
    assert found.y is not None
    np.testing.assert_allclose(found.inputs[""][found.y == 0][0, 0, 0], np.array([200, 100, 50]) / 255, atol=1e-6)


# ---- anything at all

STARTS = (b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"BM", b"GIF89a", b"RIFF\x40\0\0\0WEBPVP8 ", b"RIFF\x40\0\0\0WEBPVP8X", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"II*\0", png(8, 8)[:40], gif(8, 8)[:20], bmp(8, 8, 1)[:60], jpeg(8, 8)[:200], webp(8, 8)[:30])  # fmt: skip


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(SUFFIXES), st.sampled_from(STARTS), st.binary(max_size=300))
@example(".png", png(8, 8, rest=struct.pack(">I", 2**31 - 1) + b"tEXt"), b"")
@example(".bmp", bmp(8, 8, 1), b"\0\2\xff\xff" * 100)
def test_random_bytes_are_read_or_refused(pets: Path, suffix: str, start: bytes, data: bytes) -> None:
    for old in (pets / "cat").iterdir():
        old.unlink()
    (pets / "cat" / f"bad{suffix}").write_bytes(start + data)
    try:
        read(pets)
    except WorkbenchError as error:
        assert f"bad{suffix}' cannot be read" in str(error)  # noqa: PT017  # either is right


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["PNG", "JPEG", "BMP", "WEBP", "GIF"]), st.integers(0, 10_000), st.binary(min_size=1, max_size=6)
)
def test_images_with_a_few_other_bytes_are_read_or_refused(pets: Path, name: str, at: int, data: bytes) -> None:
    whole = bytearray(as_format(name, Image.fromarray(RAMP)))
    at %= len(whole)
    whole[at : at + len(data)] = data
    (pets / "cat" / "bad.png").write_bytes(whole)
    try:
        read(pets)
    except WorkbenchError as error:
        assert "bad.png' cannot be read" in str(error)  # noqa: PT017  # as above


# ---- folders of classes


def test_names_of_classes_that_are_no_text(tmp_path: Path) -> None:
    cases = {
        b"caf\xe9": "a byte that is not UTF-8 ('\\udce9')",
        b"\xff\xfe": "a byte that is not UTF-8",
        b"a\xed\xa0\x80": "a byte that is not UTF-8",
        b"\x1b[2Jclear": "a control character ('\\x1b')",
        b"bell\x07": "a control character",
        b"\x7f": "a control character",
        "\x85next".encode(): "a control character",
    }
    for i, (name, said) in enumerate(cases.items()):
        root = tmp_path / f"r{i}"
        os.makedirs(os.path.join(os.fsencode(root), name))
        message = refused(lambda root=root: read(root), said, "Rename the class")  # type: ignore[misc]
        message.encode()
        assert f"r{i}'" in message


@pytest.mark.parametrize(
    "name", ["größe", "日本語", "🐈‍⬛", "a b", "'; DROP TABLE", "x" * 255, "<script>", "a..", "-rf", "a\\b", "#%?&"]
)
def test_names_of_classes_that_are_odd_text(tmp_path: Path, name: str) -> None:
    picture(tmp_path / "pets" / name / "a.png")
    assert read(tmp_path / "pets").class_names == (name,)


def test_folders_and_files_of_odd_names_are_read(tmp_path: Path) -> None:
    """What is only a path may have any bytes; the dataset's own name is text."""
    root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/pe\xe9ts\n"))
    picture(root / "cat" / "a.png")
    (root / "cat" / os.fsdecode(b"b\xff\n.png")).write_bytes(as_format("JPEG"))
    found = read(root)
    assert found.name == "pe\ufffdts\ufffd"
    assert len(found.notes) == 1
    found.notes[0].encode()
    (root / "cat" / os.fsdecode(b"b\xff\n.png")).write_bytes(b"broken")
    refused(lambda: read(root), "b\\udcff\\n.png' cannot be read").encode()


def test_classes_that_look_wrong_are_told(tmp_path: Path) -> None:
    root = tmp_path / "pets"
    for name in ("Cat", "cat", "dog"):
        picture(root / name / "a.png")
    (root / "empty").mkdir()
    (root / "also").mkdir()
    found = read(root)
    assert found.class_names == ("Cat", "also", "cat", "dog", "empty")
    assert found.notes == (
        "2 of 5 classes have no images (first 'also')",
        "classes 'Cat' and 'cat' differ by case alone",
    )


def test_hidden_folders_and_files_are_passed_over(tmp_path: Path) -> None:
    root = tmp_path / "pets"
    picture(root / "cat" / "a.png")
    picture(root / ".git" / "b.png")
    (root / ".DS_Store").write_bytes(b"x")
    (root / "cat" / "._a.png").write_bytes(b"a Macintosh's resource fork")
    found = read(root)
    assert found.class_names == ("cat",)
    assert sum(map(len, found.splits().values())) == 1


def test_classes_of_the_test_split_that_training_does_not_know(tmp_path: Path) -> None:
    root = tmp_path / "pets"
    picture(root / "train" / "cat" / "a.png")
    picture(root / "test" / "cat" / "a.png")
    picture(root / "test" / "zebra" / "a.png")
    refused(lambda: read(root), "test' has a class 'zebra' that", "train' does not have")


def test_links_that_lead_in_circles(tmp_path: Path) -> None:
    root = tmp_path / "pets"
    picture(root / "cat" / "a.png")
    (root / "cat" / "up").symlink_to("..")
    (root / "all").symlink_to(".")
    found = read(root)
    assert found.class_names == ("all", "cat")
    (root / "round").symlink_to("round")
    refused(lambda: read(root), "round' cannot be read: its links lead round in a circle")


def test_two_thousand_classes(tmp_path: Path) -> None:
    root = tmp_path / "many"
    data = as_format("PNG", Image.new("L", (2, 2)))
    for i in range(2000):
        (root / f"c{i:04}").mkdir(parents=True)
    for i in range(0, 2000, 100):
        (root / f"c{i:04}" / "a.png").write_bytes(data)
    found = read(root, "size=2x2")
    assert len(found.class_names) == 2000
    assert found.notes == ("1,980 of 2,000 classes have no images (first 'c0001')",)


@pytest.mark.parametrize(
    "name",
    ["x" * 300, "x" * 5000, "a/" * 3000, "nul\0byte", "half\ud800", "\n", "?", " ", "~" * 256, "../" * 2000 + "x.csv", "x" * 5000 + ".npz", "x" * 100_000],
    ids=brief,
)  # fmt: skip
def test_names_of_datasets_that_no_file_can_have(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    refused(lambda: load_dataset(name)).encode()


# ---- the note reaches the user


@pytest.mark.slow
def test_notes_reach_who_asks(pets: Path, small_tflite: Path, tmp_path: Path) -> None:
    picture(pets / "cat" / "clear.png", half_clear("RGBA"))
    line: list[str | Path] = [sys.executable, "-m", "workbench", "sweep", small_tflite, "--data", f"{pets}?test=0.5", "--measure-skip", "--study", "s", "--store", tmp_path / "store"]  # fmt: skip
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"data: {CLEAR} (first {str(pets / 'cat' / 'clear.png')!r})" in done.stdout
    study = workbench.open_study("s", tmp_path / "store")
    assert len(study.record.dataset.notes) == 1
    from workbench.report.asked import asked

    assert ("data", study.record.dataset.notes[0]) in asked(study.record)


@pytest.mark.slow
def test_a_folder_of_odd_bytes_is_swept(small_tflite: Path, tmp_path: Path) -> None:
    root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/p\xe9ts"))
    for name in ("cat", "dog"):
        picture(root / name / "a.png")
    line: list[str | Path] = [sys.executable, "-m", "workbench", "sweep", small_tflite, "--data", root, "--measure-skip", "--store", tmp_path / "store"]  # fmt: skip
    done = subprocess.run(line, capture_output=True, text=True, errors="surrogateescape", check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr

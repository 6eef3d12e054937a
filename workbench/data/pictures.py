"""One image file as pixels: only what its name promises is decoded, within bounds, and what is lost is noted."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.data.rows import Array
from workbench.errors import WorkbenchError
from workbench.files import read_regular

if TYPE_CHECKING:
    from PIL import Image

# The formats that each suffix stands for. MPO is the JPEG of cameras that store more than one picture: opened as JPEG, named MPO.
FORMATS: dict[str, tuple[str, ...]] = {
    ".png": ("PNG",),
    ".jpg": ("JPEG", "MPO"),
    ".jpeg": ("JPEG", "MPO"),
    ".bmp": ("BMP",),
    ".webp": ("WEBP",),
    ".gif": ("GIF",),
}
OPENED = tuple(dict.fromkeys(formats[0] for formats in FORMATS.values()))
# Of those that cannot be read, how many are named.
SHOWN = 5
MOST_BYTES = 1 << 28
MOST_PIXELS = 89_478_485  # what Pillow warns at: 1 GiB at 12 bytes
MOST_SIDE = 65_535
# A progressive JPEG goes over all its pixels once for each scan; encoders write about ten.
MOST_SCANS = 100

_PLAIN = ("1", "L", "P", "RGB", "I;16", "I;16B")
_WITH_ALPHA = ("LA", "RGBA")


class Notes:
    """What was changed or left out, by kind: how many images, and the first of them."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, Path]] = {}

    def add(self, kinds: Iterable[str], path: Path) -> None:
        """Count an image under each of the kinds, which end the sentence "N of M images ..."."""
        for kind in kinds:
            count, first = self._found.get(kind, (0, path))
            self._found[kind] = (count + 1, first)

    def sentences(self, total: int) -> tuple[str, ...]:
        """Return a sentence for each kind; `total` images were read."""
        return tuple(
            f"{count:,} of {total:,} images {kind} (first {str(path)!r})" for kind, (count, path) in self._found.items()
        )


class Corrupt:
    """What cannot be read: left out and told, or the end of reading once all of it is known."""

    def __init__(self, skips: bool, what: str = "images") -> None:
        self._skips, self._what = skips, what
        self._count, self._first = 0, list[str]()

    def add(self, error: WorkbenchError) -> None:
        """Take why one of them cannot be read."""
        self._count += 1
        if len(self._first) < SHOWN:
            self._first.append(str(error))

    def check(self, total: int) -> None:
        """Raise WorkbenchError that names the first ones where they are not left out, or nothing else is there."""
        if not self._count or (self._skips and self._count < total):
            return
        advice = "" if self._skips else " Replace or remove them, or leave them out with ?corrupt=skip."
        more = f" And {self._count - SHOWN:,} more." if self._count > SHOWN else ""
        if total == 1 or self._count == 1:
            raise WorkbenchError(f"{self._first[0]}{advice.replace('them', 'it')}")
        raise WorkbenchError(
            f"{self._count:,} of {total:,} {self._what} cannot be read. {' '.join(self._first)}{more}{advice}"
        )

    def sentences(self, total: int) -> tuple[str, ...]:
        """Return what was left out, of so many."""
        if not self._count:
            return ()
        return (f"{self._count:,} of {total:,} {self._what} cannot be read and are left out: {' '.join(self._first)}",)


def read_picture(path: Path, size: tuple[int, int], channels: int, notes: Notes) -> Array:
    """Return the pixels of one image file, as `decode_picture` does; raises WorkbenchError that names the file."""
    return decode_picture(read_regular(path, "image", MOST_BYTES), path, size, channels, notes)


def decode_picture(data: bytes, path: Path, size: tuple[int, int], channels: int, notes: Notes) -> Array:
    """Return one image as bytes `(height, width, channels)`, its first frame resized without regard to its proportions.

    Transparency, colour profiles and an EXIF orientation are not applied, as TensorFlow's own decoders do not. `path` is what messages call it.
    Raises WorkbenchError.
    """
    from PIL import Image, UnidentifiedImageError

    found: list[str] = []
    try:
        with warnings.catch_warnings():
            # Pillow only warns where our bound, checked below, refuses.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            opened = Image.open(io.BytesIO(data), formats=OPENED)
        with opened:
            problem = _problem(opened, data)
            if problem is None:
                found = _remarks(opened, path)
                flat = _flat(opened, channels)
                if "exif" in opened.info and opened.getexif().get(0x0112, 1) != 1:
                    found.append("have an EXIF orientation, which is not applied")
                pixels = np.asarray(flat.resize(size[::-1], Image.Resampling.BILINEAR)).reshape(*size, channels)
    except UnidentifiedImageError:
        problem = f"it holds no image of these formats, or a damaged one. Allowed: {', '.join(OPENED)}"
    except Image.DecompressionBombError:
        problem = f"it has more than {MOST_PIXELS:,} pixels"
    except Exception as error:  # a damaged file raises anything from SyntaxError to struct.error
        problem = f"it is damaged ({type(error).__name__}: {str(error)[:200]})"
    if problem is not None:
        raise WorkbenchError(f"image {str(path)!r} cannot be read: {problem}.")
    notes.add(found, path)
    return pixels


def fitted(pixels: Array, size: tuple[int, int], channels: int) -> Array:
    """Return decoded bytes `(height, width)` or `(height, width, 1, 3 or 4)` as `decode_picture` returns those of a file."""
    from PIL import Image

    flat = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    if flat.shape == (*size, 3)[: flat.ndim] and flat.ndim == (2 if channels == 1 else 3):
        return flat.reshape(*size, channels)
    image = _flat(Image.fromarray(flat), channels)
    return np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR)).reshape(*size, channels)


def _problem(image: Any, data: bytes) -> str | None:
    """Return why an image, of which only the header was read so far, is not decoded."""
    width, height = image.size
    if width * height > MOST_PIXELS or max(width, height) > MOST_SIDE:
        return f"it has {width:,} x {height:,} pixels. Allowed: at most {MOST_PIXELS:,}, and {MOST_SIDE:,} a side"
    scans = data.count(b"\xff\xda") if image.format in FORMATS[".jpg"] else 0
    if scans > MOST_SCANS:
        return f"it is a JPEG of {scans:,} scans. Allowed: at most {MOST_SCANS}"
    return mode_problem(image.mode)


def mode_problem(mode: str) -> str | None:
    """Return why pixels of one of Pillow's modes cannot become gray or RGB of 8 bits, or None."""
    if mode in (*_PLAIN, *_WITH_ALPHA, "CMYK"):
        return None
    return f"its pixels are of the mode {mode!r}. Allowed: gray, palette, RGB and CMYK, with or without transparency"


def _remarks(image: Any, path: Path) -> list[str]:
    """Return what is lost of an image, told before it is decoded where decoding forgets it."""
    found = []
    if image.format not in FORMATS.get(path.suffix.lower(), (image.format,)):
        found.append(f"are {image.format} under the name of another format")
    # The tile's arguments name how the pixels lie in the file; Pillow itself takes the upper 8 bits of 16.
    if any(";16" in str(tile[3]) for tile in image.tile):
        found.append("have 16 bits a value, of which the upper 8 are used")
    if image.mode == "CMYK":
        found.append("have CMYK colours, converted without a profile")
    if image.format != "MPO" and getattr(image, "is_animated", False):
        found.append("are animated; the first frame is used")
    if image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema()[0] < 255:
        found.append("have transparency, which is left out")
    return found


def _flat(image: Any, channels: int) -> Image.Image:
    from PIL import Image

    if image.mode.startswith("I;16"):
        # convert() would clip 16 bits to white.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # else Pillow warns
    converted: Image.Image = image.convert("L" if channels == 1 else "RGB")
    return converted

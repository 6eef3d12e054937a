"""Folders of class subfolders of images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from workbench.data.base import DatasetReader, InputShape
from workbench.data.dataset import Split, check_class_names, name_of
from workbench.data.pictures import FORMATS, MOST_PIXELS, Corrupt, Notes, read_picture
from workbench.data.pieces import Known, Pieces
from workbench.data.room import check_room
from workbench.data.rows import HELD, Array
from workbench.errors import WorkbenchError, shown
from workbench.files import kind_of
from workbench.values.params import Params

IMAGE_SUFFIXES = tuple(FORMATS)
# What the folder of the test split is called, the first that is there.
TEST = ("test", "val", "valid", "validation")


class PictureParams(Params):
    """How images become arrays of numbers."""

    primary: ClassVar[str | None] = None

    size: str | None = Field(
        None, pattern=r"^[1-9][0-9]*x[1-9][0-9]*$", description="height x width; default is the model's input"
    )
    color: Literal["auto", "gray", "rgb"] = Field(
        "auto", description="channels; auto takes the model's input, else rgb"
    )
    scale: Literal["0..1", "-1..1", "0..255"] = Field(
        "0..1", description="range that pixel values are mapped to, as the model was trained"
    )


class ImageParams(PictureParams):
    """How a folder of images becomes arrays; written as `FOLDER?size=32x32&scale=0..1`."""

    test: float = Field(
        0.25, gt=0, lt=1, description="share of images for the test split where there are no train and test subfolders"
    )
    seed: int = Field(0, ge=0, le=2**32 - 1, description="seed of that draw, in which each class has its share")
    corrupt: Literal["stop", "skip"] = Field(
        "stop", description="images that cannot be read: stop and name them, or leave them out and say so"
    )


class ClassFolder(DatasetReader[ImageParams]):
    """Images sorted into a folder for each class."""

    name = "folder"
    help = "images sorted into a subfolder for each class, whole or for train and test apart"
    takes = "a folder of class subfolders of images"
    options = "image"
    params = ImageParams
    fits_shape = True

    def matches(self, text: str) -> bool:
        """Whether it is a folder with subfolders."""
        return kind_of(Path(text)) == "folder" and bool(_folders(Path(text)))

    def read(self, text: str, params: ImageParams, input_shape: InputShape | None) -> Pieces:
        """Return the images with the numbers of their classes."""
        return read_image_folder(Path(text), params, input_shape)


def no_classes(path: Path, more: str = "") -> WorkbenchError:
    """Return the error for a folder without subfolders; `more` ends it."""
    name = name_of(path.resolve().name)
    return WorkbenchError(
        f"folder {str(path)!r} has no class subfolders of images. Expected {name}/CLASS/*.png or {name}/train/CLASS/*.png.{more}"
    )


def read_image_folder(path: Path, params: ImageParams, input_shape: tuple[int | None, ...] | None) -> Pieces:
    """Return the images as they come, `(n, height, width, channels)`; raises WorkbenchError for a folder or file that is none.

    Hidden files and folders are passed over. What was changed or left out of the images is in the dataset's notes.
    """
    parts = _folders(path)
    held = [n for n in TEST if n in parts]
    test_folder = path / held[0] if held else None
    train_folder = path / "train" if "train" in parts else None
    base = train_folder or test_folder or path
    classes = _classes(path, base, test_folder)
    height, width, channels = target_size(path, params, input_shape)
    left: Counter[str] = Counter()
    if test_folder is not None:
        train_files = _files(train_folder, classes, left) if train_folder else []
        files = {"test": _files(test_folder, classes, left), "train": train_files}
    else:
        whole = _files(base, classes, left)
        test, train = drawn_by_class([label for _, label in whole], params.test, params.seed)
        files = {"test": [whole[i] for i in test], "train": [whole[i] for i in train]}
    check_images(sum(map(len, files.values())), height, width, channels)
    told = [*_class_notes(classes, files), *_left_out(left)]
    told += [f"folder {name!r} is not read, as there is {held[0]!r}" for name in held[1:]]
    listed = [(part, file, np.array([label])) for part, each in files.items() for file, label in each]
    pictures = Pictures(listed, (height, width), channels, params)
    return Pieces(
        name_of(path.resolve().name),
        pictures.each(),
        lambda: Known(tuple(classes), (*told, *pictures.sentences())),
        len(listed) * height * width * channels * 4,
    )


def drawn_by_class(labels: Sequence[int], share: float, seed: int) -> tuple[list[int], list[int]]:
    """Return the places of samples for the test split and of those for the train split, both in order; each class has its share of both."""
    order = np.random.default_rng(seed).permutation(len(labels))
    of_class: dict[int, list[int]] = {}
    for place in order.tolist():
        of_class.setdefault(labels[place], []).append(place)
    quotas = {label: len(places) * share for label, places in sorted(of_class.items())}
    taken = {label: int(quota) for label, quota in quotas.items()}
    # What is missing for the share of the whole goes to those that are short of most.
    missing = max(1, round(len(labels) * share)) - sum(taken.values())
    for label in sorted(quotas, key=lambda c: taken[c] - quotas[c])[:missing]:
        taken[label] += 1
    test = sorted(place for label, places in of_class.items() for place in places[: taken[label]])
    chosen = set(test)
    return test, [place for place in range(len(labels)) if place not in chosen]


class Pictures:
    """Images to be read one after the other, each with its split and labels `(1, ...)`, and what was found on the way."""

    def __init__(
        self, files: list[tuple[str, Path, Array]], size: tuple[int, int], channels: int, params: ImageParams
    ) -> None:
        self._files, self._size, self._channels, self._params = files, size, channels, params
        self._notes, self._corrupt = Notes(), Corrupt(params.corrupt == "skip")

    def each(self) -> Iterator[tuple[str, Split]]:
        """Give the images that can be read; raises WorkbenchError that names those that cannot, unless they are left out."""
        for part, file, label in self._files:
            try:
                pixels = read_picture(file, self._size, self._channels, self._notes)
            except WorkbenchError as error:
                self._corrupt.add(error)
            else:
                yield part, Split(scaled(pixels, self._params.scale)[None], label)
        self._corrupt.check(len(self._files))

    def sentences(self) -> tuple[str, ...]:
        """Return what was left out or changed."""
        total = len(self._files)
        return (*self._corrupt.sentences(total), *self._notes.sentences(total))


def scaled(pixels: Array, scale: str) -> Array:
    """Return bytes as float32 in a range that is asked for."""
    low, high = {"0..1": (0.0, 1.0), "-1..1": (-1.0, 1.0), "0..255": (0.0, 255.0)}[scale]
    found: Array = pixels.astype(np.float32) / np.float32(255) * np.float32(high - low) + np.float32(low)
    return found


def check_images(total: int, height: int, width: int, channels: int) -> None:
    """Raise WorkbenchError where so many images, or the part of them that is held at a time, do not fit into memory."""
    each = height * width * channels * 4
    # As many again while one image is decoded.
    needed = min(total * each, HELD) + 2 * each
    check_room(
        needed, f"{total:,} images of {height} x {width} x {channels} numbers", "Give a smaller ?size= or fewer images."
    )


def _folders(path: Path) -> list[str]:
    """Return the names of the subfolders that are not hidden, in order."""
    try:
        return sorted(p.name for p in path.iterdir() if not p.name.startswith(".") and kind_of(p) == "folder")
    except OSError as error:
        raise WorkbenchError(f"folder {str(path)!r} cannot be read: {error.strerror}.") from None


def _classes(path: Path, base: Path, test_folder: Path | None) -> list[str]:
    classes = _folders(base)
    if not classes:
        raise no_classes(path)
    check_class_names(classes, f"folder {str(base)!r}")
    strange = sorted(set(_folders(test_folder)) - set(classes)) if test_folder else []
    if strange:
        raise WorkbenchError(
            f"folder {str(test_folder)!r} has a class {shown(strange[0])} that {str(base)!r} does not have. Its images would count for nothing: add the class there or take it away."
        )
    return classes


def _left_out(kinds: Counter[str]) -> tuple[str, ...]:
    """Return what lies in class folders and is not read, counted by ending."""
    if not kinds:
        return ()
    listed = ", ".join(f"{shown(kind)} ({n:,})" for kind, n in kinds.most_common(5))
    return (
        f"{sum(kinds.values()):,} files or folders in class folders are not read: {listed}; read are {', '.join(IMAGE_SUFFIXES)}",
    )


def _class_notes(classes: list[str], files: dict[str, list[tuple[Path, int]]]) -> tuple[str, ...]:
    """Return what looks wrong with the classes: without an image, or told apart by case alone."""
    found = []
    used = {label for part in files.values() for _, label in part}
    empty = [name for i, name in enumerate(classes) if i not in used]
    if empty:
        found.append(f"{len(empty):,} of {len(classes):,} classes have no images (first {empty[0]!r})")
    folded: dict[str, str] = {}
    for name in classes:
        other = folded.setdefault(name.casefold(), name)
        if other != name:
            found.append(f"classes {other!r} and {name!r} differ by case alone")
            break
    return tuple(found)


def target_size(path: Path, params: PictureParams, input_shape: tuple[int | None, ...] | None) -> tuple[int, int, int]:
    """Return height, width and channels of the images as arrays: as asked for, else as the model takes them."""
    shape = input_shape if input_shape is not None and len(input_shape) == 4 else None
    if params.size:
        # A number too long to be made one is too large in any case.
        height, width = (int(n[:20]) for n in params.size.split("x"))
        if height * width > MOST_PIXELS:
            raise WorkbenchError(
                f"?size={params.size[:60]} has too many pixels for {str(path)!r}. Allowed: at most {MOST_PIXELS:,}, height times width."
            )
    elif shape and shape[1] and shape[2]:
        height, width = shape[1], shape[2]
    else:
        raise WorkbenchError(
            f"images of {str(path)!r} need a size: add ?size=HEIGHTxWIDTH, e.g. {path.name}?size=96x96."
        )
    if params.color != "auto":
        return height, width, {"gray": 1, "rgb": 3}[params.color]
    channels = shape[3] if shape and shape[3] else 3
    if channels not in (1, 3):
        raise WorkbenchError(f"the model takes {channels} channels; images have 1 (gray) or 3 (rgb)")
    return height, width, channels


def _files(folder: Path, classes: list[str], left: Counter[str]) -> list[tuple[Path, int]]:
    """Return the images of each class with its number, counting in `left` what is none; raises WorkbenchError where there are none."""
    found: list[tuple[Path, int]] = []
    for label, name in enumerate(classes):
        try:
            inside = sorted((folder / name).iterdir()) if kind_of(folder / name) == "folder" else []
        except OSError as error:
            raise WorkbenchError(f"folder {str(folder / name)!r} cannot be read: {error.strerror}.") from None
        for path in inside:
            if path.name.startswith("."):
                continue
            if path.suffix.lower() in IMAGE_SUFFIXES:
                found.append((path, label))
            else:
                left["folders" if path.is_dir() else path.suffix.lower() or "no ending"] += 1
    if not found:
        raise WorkbenchError(
            f"folder {str(folder)!r} holds no images in its class subfolders. Allowed: {', '.join(IMAGE_SUFFIXES)}."
        )
    return found

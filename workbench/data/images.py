"""Folders of class subfolders of images."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from workbench.data.base import DatasetReader, InputShape
from workbench.data.dataset import Array, Dataset, Split, check_class_names, name_of
from workbench.data.pictures import FORMATS, MOST_PIXELS, Notes, read_picture
from workbench.data.room import check_room
from workbench.errors import WorkbenchError, shown
from workbench.files import kind_of
from workbench.values.params import Params

IMAGE_SUFFIXES = tuple(FORMATS)


class ImageParams(Params):
    """How a folder of images becomes arrays; written as `FOLDER?size=32x32&scale=0..1`."""

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
    test: float = Field(
        0.25, gt=0, lt=1, description="share of images for the test split where there are no train and test subfolders"
    )
    category: Literal["order", "id"] = Field(
        "order", description="number of a class of COCO annotations: its place by id, from 0, or its id itself"
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

    def read(self, text: str, params: ImageParams, input_shape: InputShape | None) -> Dataset:
        """Return the images with the numbers of their classes."""
        return read_image_folder(Path(text), params, input_shape)


def no_classes(path: Path, more: str = "") -> WorkbenchError:
    """Return the error for a folder without subfolders; `more` ends it."""
    name = name_of(path.resolve().name)
    return WorkbenchError(
        f"folder {str(path)!r} has no class subfolders of images. Expected {name}/CLASS/*.png or {name}/train/CLASS/*.png.{more}"
    )


def read_image_folder(path: Path, params: ImageParams, input_shape: tuple[int | None, ...] | None) -> Dataset:
    """Return the images as arrays `(n, height, width, channels)`; raises WorkbenchError for a folder or file that is none.

    Hidden files and folders are passed over. What was changed or left out of the images is in the dataset's notes.
    """
    parts = _folders(path)
    test_folder = next((path / n for n in ("test", "val", "validation") if n in parts), None)
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
        order = np.random.default_rng(0).permutation(len(whole))
        cut = max(1, round(len(whole) * params.test))
        files = {
            k: [whole[i] for i in np.sort(part)] for k, part in {"test": order[:cut], "train": order[cut:]}.items()
        }
    total = sum(map(len, files.values()))
    check_images(total, height, width, channels)
    notes = Notes()
    test, train = (
        Split(
            read_images([f for f, _ in files[part]], (height, width), channels, params, notes),
            np.array([label for _, label in files[part]], dtype=np.int64),
        )
        if files[part]
        else None
        for part in ("test", "train")
    )
    assert test is not None  # each of the ways above has a picture
    told = (*_class_notes(classes, files), *_left_out(left), *notes.sentences(total))
    return Dataset(
        name_of(path.resolve().name), test, train, train or test, tuple(classes), "train" if train else "test", told
    )


def check_images(total: int, height: int, width: int, channels: int) -> None:
    """Raise WorkbenchError where so many images do not fit into memory."""
    # As many again while one image is decoded.
    needed = (total + 2) * height * width * channels * 4
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


def target_size(path: Path, params: ImageParams, input_shape: tuple[int | None, ...] | None) -> tuple[int, int, int]:
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


def read_images(files: list[Path], size: tuple[int, int], channels: int, params: ImageParams, notes: Notes) -> Array:
    """Return images as an array `(n, height, width, channels)` of float32 in the range that was asked for."""
    low, high = {"0..1": (0.0, 1.0), "-1..1": (-1.0, 1.0), "0..255": (0.0, 255.0)}[params.scale]
    images = np.empty((len(files), *size, channels), dtype=np.float32)
    for i, file in enumerate(files):
        pixels = read_picture(file, size, channels, notes).astype(np.float32)
        images[i] = pixels / np.float32(255) * np.float32(high - low) + np.float32(low)
    return images

"""Folders of class subfolders of images."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from workbench.data.dataset import Dataset, Split
from workbench.errors import WorkbenchError
from workbench.values.params import Params

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif")


class ImageParams(Params):
    """How a folder of images becomes arrays; written as `FOLDER?size=32x32&scale=0..1`."""

    primary: ClassVar[str | None] = None

    size: str | None = Field(
        None, pattern=r"^[1-9]\d*x[1-9]\d*$", description="height x width; default is the model's input"
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


def read_image_folder(path: Path, params: ImageParams, input_shape: tuple[int | None, ...] | None) -> Dataset:
    """Return the images as arrays `(n, height, width, channels)`; raises WorkbenchError for a folder or file that is none."""
    parts = {p.name for p in path.iterdir() if p.is_dir()}
    split_folders = {
        s: next((path / n for n in names if n in parts), None)
        for s, names in {"train": ("train",), "test": ("test", "val", "validation")}.items()
    }
    test_folder, train_folder = split_folders["test"], split_folders["train"]
    base = train_folder or test_folder or path
    classes = sorted(p.name for p in base.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not classes:
        raise WorkbenchError(
            f"folder {str(path)!r} has no class subfolders of images. Expected {path.name}/CLASS/*.png or {path.name}/train/CLASS/*.png."
        )
    height, width, channels = _target(path, params, input_shape)
    if test_folder is not None:
        test = _read_images(test_folder, classes, (height, width), channels, params)
        train = _read_images(train_folder, classes, (height, width), channels, params) if train_folder else None
    else:
        whole = _read_images(base, classes, (height, width), channels, params)
        order = np.random.default_rng(0).permutation(len(whole))
        cut = max(1, round(len(whole) * params.test))
        test, train = whole.take(np.sort(order[:cut])), whole.take(np.sort(order[cut:]))
    calibration = train if train is not None and len(train) else test
    return Dataset(path.name, test, train, calibration, tuple(classes), "train" if calibration is train else "test")


def _target(path: Path, params: ImageParams, input_shape: tuple[int | None, ...] | None) -> tuple[int, int, int]:
    shape = input_shape if input_shape is not None and len(input_shape) == 4 else None
    if params.size:
        height, width = (int(n) for n in params.size.split("x"))
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


def _read_images(folder: Path, classes: list[str], size: tuple[int, int], channels: int, params: ImageParams) -> Split:
    from PIL import Image, UnidentifiedImageError

    low, high = {"0..1": (0.0, 1.0), "-1..1": (-1.0, 1.0), "0..255": (0.0, 255.0)}[params.scale]
    images, labels = [], []
    for label, name in enumerate(classes):
        files = sorted(p for p in (folder / name).glob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
        for file in files:
            try:
                with Image.open(file) as opened:
                    # convert() would clip 16 bits to white.
                    image = (
                        Image.fromarray((np.asarray(opened) >> 8).astype(np.uint8))
                        if opened.mode.startswith("I;16")
                        else opened
                    )
                    resized = image.convert("L" if channels == 1 else "RGB").resize(
                        size[::-1], Image.Resampling.BILINEAR
                    )
            except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
                raise WorkbenchError(f"image {str(file)!r} cannot be read: {error}") from None
            pixels = np.asarray(resized, dtype=np.float32).reshape(*size, channels)
            images.append(pixels / np.float32(255) * np.float32(high - low) + np.float32(low))
            labels.append(label)
    if not images:
        raise WorkbenchError(
            f"folder {str(folder)!r} holds no images in its class subfolders. Allowed: {', '.join(IMAGE_SUFFIXES)}."
        )
    return Split(np.stack(images), np.array(labels, dtype=np.int64))

"""Folders of images with boxes in COCO's form: `annotations.json` beside the images, whole or for `train` and `test` apart."""

from __future__ import annotations

import json
import math
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from workbench.data.base import DatasetReader, InputShape
from workbench.data.dataset import check_class_names, name_of
from workbench.data.images import IMAGE_SUFFIXES, TEST, ImageParams, Pictures, check_images, target_size
from workbench.data.pieces import Known, Pieces
from workbench.data.rows import Array
from workbench.errors import WorkbenchError, shown
from workbench.files import kind_of, read_regular
from workbench.values.boxes import padded

# As tools that export COCO's form call it.
NAMES = ("annotations.json", "_annotations.coco.json")
# COCO's own largest file has 450 MB.
MOST_BYTES = 1 << 29
MOST_ID = 2**53


class Annotated(NamedTuple):
    """Images of one file with their boxes `(k, 6)`: `x1 y1 x2 y2` as shares of width and height, class and crowd."""

    files: list[Path]
    boxes: list[Array]
    left_out: int


class CocoParams(ImageParams):
    """How images with boxes become arrays; written as `FOLDER?size=96x96&category=id`."""

    category: Literal["order", "id"] = Field(
        "order", description="number of a class: its place by id, from 0, or its id itself"
    )


class Coco(DatasetReader[CocoParams]):
    """Images with boxes."""

    name = "coco"
    help = "images with boxes in COCO's form, whole or for train and test apart"
    takes = "a folder of images with annotations.json"
    options = "image"
    params = CocoParams
    fits_shape = True

    def matches(self, text: str) -> bool:
        """Whether it is a folder with annotations; without images beside them too, which reading tells."""
        return kind_of(Path(text)) == "folder" and is_annotated(Path(text))

    def read(self, text: str, params: CocoParams, input_shape: InputShape | None) -> Pieces:
        """Return the images with their boxes."""
        return read_annotated_folder(Path(text), params, input_shape)


def is_annotated(path: Path) -> bool:
    """Whether a folder of images has annotations; what cannot be read is left to the reader of folders, which says why."""
    try:
        return any(_file(path / part) for part in ("", "train", *TEST))
    except WorkbenchError:
        return False


def read_annotated_folder(path: Path, params: CocoParams, input_shape: tuple[int | None, ...] | None) -> Pieces:
    """Return images as they come, `(n, height, width, channels)`, and boxes `(n, most, 6)`; raises WorkbenchError for what is no such folder.

    Boxes are shares of the image, from 0 to 1, as images are resized without regard to their proportions.
    """
    test_file = next((f for n in TEST if (f := _file(path / n))), None)
    train_file, whole_file = _file(path / "train"), _file(path)
    base = train_file or test_file or whole_file
    if base is None or (train_file and not test_file):
        raise WorkbenchError(
            f"folder {str(path)!r} has annotations for train, but not for test. Expected test/{NAMES[0]} too, or one {NAMES[0]} for all."
        )
    known = _categories(_read_json(base), base)
    if test_file is not None:
        parts = {"test": _annotated(test_file, known, params), "train": _annotated(train_file, known, params)}
    else:
        whole = _annotated(base, known, params)
        order = np.random.default_rng(0).permutation(len(whole.files))
        cut = max(1, round(len(order) * params.test))
        chosen = {"test": np.sort(order[:cut]), "train": np.sort(order[cut:])}
        parts = {
            k: Annotated([whole.files[i] for i in some], [whole.boxes[i] for i in some], whole.left_out * (k == "test"))
            for k, some in chosen.items()
        }
    height, width, channels = target_size(path, params, input_shape)
    if not parts["test"].files:
        raise WorkbenchError(f"annotations {shown(str(test_file or base))} list no images.")
    listed = [
        (part, file, boxes[None])
        for part, found in parts.items()
        for file, boxes in zip(found.files, padded(found.boxes) if found.boxes else (), strict=True)
    ]
    check_images(len(listed), height, width, channels)
    left = sum(p.left_out for p in parts.values())
    told = (f"{left:,} boxes without width or height are left out",) if left else ()
    names = tuple(known.values()) if params.category == "order" else ()
    pictures = Pictures(listed, (height, width), channels, params)
    return Pieces(
        name_of(path.resolve().name),
        pictures.each(),
        lambda: Known(names, (*told, *pictures.sentences())),
        len(listed) * height * width * channels * 4,
    )


def _file(folder: Path) -> Path | None:
    return next((folder / n for n in NAMES if kind_of(folder / n) != "nothing"), None)


def _read_json(path: Path) -> dict[str, Any]:
    where = f"annotations {shown(str(path))}"

    def no_number(text: str) -> Any:
        raise ValueError(f"{text} is no number of JSON")

    try:
        found = json.loads(read_regular(path, "annotations", MOST_BYTES), parse_constant=no_number)
    except (ValueError, RecursionError) as error:
        raise WorkbenchError(f"{where} cannot be read: {str(error)[:200]}.") from None
    for key in ("images", "annotations", "categories"):
        listed = found.get(key) if isinstance(found, dict) else None
        if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
            raise WorkbenchError(
                f"{where} has no list of objects {key!r}. Expected COCO's images, annotations and categories."
            )
    return dict(found)


def _categories(data: dict[str, Any], path: Path) -> dict[int, str]:
    """Return the names of classes by id, in the order of the ids."""
    found: dict[int, str] = {}
    for item in data["categories"]:
        number, name = item.get("id"), item.get("name")
        if not _is_id(number) or not isinstance(name, str) or number in found:
            raise _wrong(path, "category", item, "an id of its own (a whole number from 0) and a name")
        found[number] = name
    check_class_names(found.values(), f"annotations {shown(str(path))}")
    return dict(sorted(found.items()))


def _annotated(path: Path | None, known: dict[int, str], params: CocoParams) -> Annotated:
    """Return what one file lists; nothing for no file."""
    if path is None:
        return Annotated([], [], 0)
    data = _read_json(path)
    if _categories(data, path) != known:
        raise WorkbenchError(
            f"annotations {shown(str(path))} have other categories than those of train. Export both with the same."
        )
    sizes: dict[int, tuple[float, float]] = {}
    files: list[Path] = []
    for item in data["images"]:
        number, size = item.get("id"), (item.get("width"), item.get("height"))
        if not _is_id(number) or number in sizes or not all(_is_number(s) and s > 0 for s in size):
            raise _wrong(path, "image", item, "an id of its own (a whole number from 0), width and height")
        sizes[number] = float(size[0]), float(size[1])
        files.append(_picture(path, item))
    classes = {number: number if params.category == "id" else place for place, number in enumerate(known)}
    boxes: dict[int, list[list[float]]] = {number: [] for number in sizes}
    left_out = 0
    for item in data["annotations"]:
        box, crowd, image = item.get("bbox"), item.get("iscrowd", 0), item.get("image_id")
        fits = isinstance(box, list) and len(box) == 4 and all(map(_is_number, box)) and crowd in (0, 1)
        if (
            not fits
            or not _is_id(image)
            or image not in sizes
            or not _is_id(kind := item.get("category_id"))
            or kind not in classes
        ):
            raise _wrong(
                path, "annotation", item, "image_id and category_id that are listed, and bbox: x, y, width, height"
            )
        x, y, width, height = map(float, box)
        if width <= 0 or height <= 0:
            left_out += 1
            continue
        w, h = sizes[image]
        boxes[image].append([x / w, y / h, (x + width) / w, (y + height) / h, classes[kind], crowd])
    return Annotated(files, [np.array(b, dtype=np.float64).reshape(-1, 6) for b in boxes.values()], left_out)


def _picture(path: Path, item: dict[str, Any]) -> Path:
    """Return an image's file, which lies in the folder of its annotations or in `images` there."""
    name = item.get("file_name")
    parts = PurePosixPath(name).parts if isinstance(name, str) and "\0" not in name else ()
    if not parts or ".." in parts or parts[0] == "/" or Path(parts[-1]).suffix.lower() not in IMAGE_SUFFIXES:
        raise _wrong(
            path, "image", item, f"file_name: a path below this folder that ends in {', '.join(IMAGE_SUFFIXES)}"
        )
    below = path.parent / "images" / Path(*parts)
    return below if kind_of(below) == "file" else path.parent / Path(*parts)


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_ID


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and abs(value) <= MOST_ID
        and math.isfinite(value)
    )


def _wrong(path: Path, what: str, item: dict[str, Any], wanted: str) -> WorkbenchError:
    return WorkbenchError(f"annotations {shown(str(path))}: {what} {shown(item)} is not understood. Expected {wanted}.")

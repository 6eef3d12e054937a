"""Build datasets/digits.npz from the handwritten digits bundled with scikit-learn.

The pixels come from "Optical Recognition of Handwritten Digits" by E. Alpaydin and C. Kaynak,
1998, UCI Machine Learning Repository, https://doi.org/10.24432/C50P49, CC BY 4.0.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

DEFAULT_OUTPUT = Path(__file__).resolve().parent / "digits.npz"
SEED = 20240
TEST_EVERY = 4
SOURCE_SIZE = 8
SOURCE_MAX = 16
SCALE = 4
EXPECTED_SAMPLES = 1797

IntArray = npt.NDArray[np.int64]
Uint8Array = npt.NDArray[np.uint8]


def load_source() -> tuple[IntArray, IntArray]:
    """Return scikit-learn's 8x8 digits (values 0..16) and their labels."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise SystemExit(
            "build_digits.py needs scikit-learn, which only this script uses: pip install scikit-learn"
        ) from error
    bunch = load_digits()
    images = np.asarray(bunch.images).astype(np.int64)
    labels = np.asarray(bunch.target).astype(np.int64)
    if images.shape != (EXPECTED_SAMPLES, SOURCE_SIZE, SOURCE_SIZE):
        raise SystemExit(f"unexpected shape of the source images: {images.shape}")
    if images.min() < 0 or images.max() > SOURCE_MAX:
        raise SystemExit("source pixels outside 0..16")
    return images, labels


def bilinear_weights(size: int, scale: int) -> IntArray:
    """Return the (size * scale, size) bilinear weights, in units of 1 / (2 * scale)."""
    unit = 2 * scale
    weights = np.zeros((size * scale, size), dtype=np.int64)
    for row in range(size * scale):
        # Pixel centres sit at half coordinates, as in Pillow; the border repeats the edge pixel.
        position = min(max(2 * row + 1 - scale, 0), (size - 1) * unit)
        left, fraction = divmod(position, unit)
        weights[row, left] += unit - fraction
        if fraction:
            weights[row, left + 1] += fraction
    return weights


def upsample(images: IntArray) -> Uint8Array:
    """Enlarge (n, 8, 8) images of 0..16 to (n, 32, 32, 1) images of 0..255."""
    # Integers throughout: no floating-point library can change a byte of the result.
    weights = bilinear_weights(SOURCE_SIZE, SCALE)
    enlarged: IntArray = np.einsum("ri,nij,cj->nrc", weights, images, weights)
    full_scale = SOURCE_MAX * (2 * SCALE) ** 2
    rounded = (2 * 255 * enlarged + full_scale) // (2 * full_scale)
    return rounded.astype(np.uint8)[..., np.newaxis]


def stratified_split(labels: IntArray) -> tuple[IntArray, IntArray]:
    """Return shuffled train and test indices with every class split about 3 to 1."""
    # RandomState's streams are frozen by numpy's compatibility policy, Generator's are not.
    random = np.random.RandomState(SEED)
    by_class = np.concatenate([random.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)])
    is_test = np.arange(by_class.size) % TEST_EVERY == TEST_EVERY - 1
    return random.permutation(by_class[~is_test]), random.permutation(by_class[is_test])


def build_arrays() -> dict[str, npt.NDArray[np.generic]]:
    """Return the named arrays of the data set."""
    images, labels = load_source()
    pixels = upsample(images)
    train, test = stratified_split(labels)
    return {
        "x_train": pixels[train],
        "y_train": labels[train],
        "x_test": pixels[test],
        "y_test": labels[test],
        "class_names": np.array([str(digit) for digit in range(10)]),
    }


def encode_npz(arrays: Mapping[str, npt.NDArray[np.generic]]) -> bytes:
    """Return a compressed .npz whose bytes depend on the arrays only."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as members:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
            # numpy.savez would stamp the current time and the platform into each member.
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.create_system = 3
            info.external_attr = 0o100644 << 16
            members.writestr(info, content.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=9)
    return archive.getvalue()


def write_npz(arrays: Mapping[str, npt.NDArray[np.generic]], output: Path) -> None:
    """Write arrays into a file, and print what was written."""
    data = encode_npz(arrays)
    output.write_bytes(data)
    for name, array in arrays.items():
        print(f"{name}: {array.dtype} {array.shape}")
    print(f"{output.name}: {len(data):,} bytes, sha256 {hashlib.sha256(data).hexdigest()}")


def main(argv: list[str] | None = None) -> int:
    """Build the data set and print what was written."""
    parser = argparse.ArgumentParser(description="Build the digits data set.")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT, help="file to write")
    output: Path = parser.parse_args(argv).output
    write_npz(build_arrays(), output)
    return 0


if __name__ == "__main__":
    sys.exit(main())

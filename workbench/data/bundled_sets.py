"""The images that come with Workbench, by name."""

from __future__ import annotations

import numpy as np

from workbench.data.base import DatasetReader, InputShape, NoOptions
from workbench.data.dataset import Dataset, from_arrays
from workbench.data.load import bundled
from workbench.data.npz import read_npz
from workbench.errors import WorkbenchError, shown
from workbench.files import file_sha256


class BundledSet(DatasetReader[NoOptions]):
    """Images of 8-bit pixels in `datasets/NAME.npz`, known by that name; what is made for it says so in `datasets/README.md`."""

    def matches(self, text: str) -> bool:
        """Whether it is the name."""
        return text == self.name

    def read(self, text: str, params: NoOptions, input_shape: InputShape | None) -> Dataset:
        """Return the images with values from 0 to 1; raises WorkbenchError where more than the name is given."""
        if text != self.name:
            raise WorkbenchError(
                f"dataset {self.name!r} is a name with no path behind it, but got {shown(text)}. Write: {self.name}."
            )
        arrays = read_npz(bundled(f"{self.name}.npz"))
        for key in ("x_train", "x_test"):
            # The bundled models were trained on 0 to 1.
            arrays[key] = arrays[key].astype(np.float32) / np.float32(255)
        return from_arrays(arrays, self.name)

    def sha256(self, text: str) -> str:
        """Return the hash of the bundled file."""
        return file_sha256(bundled(f"{self.name}.npz"))


class Digits(BundledSet):
    """1,797 handwritten digits of 8 x 8 pixels, enlarged to 32 x 32."""

    name = "digits"
    help = "handwritten digits that come along, on which digits_cnn and digits_small were trained"
    takes = "digits"


class Fashion(BundledSet):
    """7,000 pictures of Fashion-MNIST, clothes, shoes and bags of 28 x 28 pixels."""

    name = "fashion"
    help = "a part of Fashion-MNIST that comes along, for fashion_cnn"
    takes = "fashion"

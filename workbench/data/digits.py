"""The digits that come with Workbench, by name."""

from __future__ import annotations

import numpy as np

from workbench.data.base import DatasetReader, InputShape, NoOptions
from workbench.data.dataset import Dataset, from_arrays
from workbench.data.load import bundled
from workbench.data.npz import read_npz
from workbench.errors import WorkbenchError, shown
from workbench.files import file_sha256


class Digits(DatasetReader[NoOptions]):
    """1,797 handwritten digits of 8 x 8 pixels."""

    name = "digits"
    help = "handwritten digits that come along, on which the bundled models were trained"
    takes = "digits"

    def matches(self, text: str) -> bool:
        """Whether it is the name."""
        return text == self.name

    def read(self, text: str, params: NoOptions, input_shape: InputShape | None) -> Dataset:
        """Return the digits with values from 0 to 1; raises WorkbenchError where more than the name is given."""
        if text != self.name:
            raise WorkbenchError(
                f"dataset 'digits' is a name with no path behind it, but got {shown(text)}. Write: digits."
            )
        arrays = read_npz(bundled("digits.npz"))
        for key in ("x_train", "x_test"):
            # The bundled model was trained on 0 to 1.
            arrays[key] = arrays[key].astype(np.float32) / np.float32(255)
        return from_arrays(arrays, self.name)

    def sha256(self, text: str) -> str:
        """Return the hash of the bundled file."""
        return file_sha256(bundled("digits.npz"))

"""openvino: where its package keeps its libraries."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def library_folder() -> Path | None:
    """Return the folder of OpenVINO's shared libraries, which LiteRT's plugin is linked against; None where it is not installed.

    Nothing says that it is called `libs`, and importing the package to ask would load them all.
    """
    spec = find_spec("openvino")
    return Path(spec.origin).parent / "libs" if spec and spec.origin else None

"""`python`: a script that runs the file on samples, with nothing but ai-edge-litert and numpy."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from workbench.targets.base import Export, NoParams, Target

SCRIPT = "predict.py"


class Python(Target[NoParams]):
    """Any machine with Python."""

    name = "python"
    help = "predict.py, which runs the file on samples; needs ai-edge-litert and numpy only"

    def write(self, params: NoParams, export: Export, folder: Path) -> None:
        """Write the script; it is the same for every model."""
        (folder / SCRIPT).write_bytes(resources.files("workbench.targets").joinpath("predict_template.py").read_bytes())

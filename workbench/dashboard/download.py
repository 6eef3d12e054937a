"""The file of a trial as a page hands it to the user."""

from __future__ import annotations

from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.files import file_sha256
from workbench.values.trial import Trial


def measured_file(trial: Trial) -> tuple[str, bytes]:
    """Return a name for the trial's `.tflite` file, and its bytes; raises WorkbenchError where it is not the one that was measured."""
    if trial.artifact is None:
        raise WorkbenchError(f"trial {trial.recipe!r} is {trial.state} and has no file to save.")
    path = Path(trial.artifact.path)
    if not path.is_file():
        raise WorkbenchError(
            f"the file of trial {trial.recipe!r} is gone: {str(path)!r}. Run the sweep again to build it."
        )
    if file_sha256(path) != trial.artifact.sha256:
        raise WorkbenchError(
            f"{str(path)!r} is not the file that was measured. Delete it and run the sweep again to build it."
        )
    name = "".join(c if c.isalnum() or c in "._-" else "-" for c in trial.recipe) + ".tflite"
    return name, path.read_bytes()

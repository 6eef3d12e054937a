"""The file of a trial as a page hands it to the user."""

from __future__ import annotations

from workbench.errors import WorkbenchError
from workbench.store.artifacts import intact_bytes
from workbench.values.trial import Trial


def measured_file(trial: Trial) -> tuple[str, bytes]:
    """Return a name for the trial's `.tflite` file, and its bytes; raises WorkbenchError where it is not the one that was measured."""
    if trial.artifact is None:
        raise WorkbenchError(f"trial {trial.recipe!r} is {trial.state} and has no file to save.")
    content = intact_bytes(trial.artifact, f"trial {trial.recipe!r}")
    name = "".join(c if c.isalnum() or c in "._-" else "-" for c in trial.recipe) + ".tflite"
    return name, content

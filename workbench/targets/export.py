"""Writes one trial as a folder that stands on its own: model, labels and card, and what its target needs to run it."""

from __future__ import annotations

import hashlib
import json
import tempfile
import traceback
from pathlib import Path
from typing import Any, NamedTuple

from workbench import registry
from workbench.errors import WorkbenchError
from workbench.files import file_sha256, read_regular, write_atomic
from workbench.store.artifacts import intact_bytes
from workbench.targets.base import Export, Target
from workbench.targets.card import describe_export
from workbench.values.params import Params
from workbench.values.study import StudyRecord
from workbench.values.target import TargetSpec
from workbench.values.trial import Trial

MODEL, LABELS, CARD = "model.tflite", "labels.txt", "card.json"
OURS = (MODEL, LABELS, CARD)
# How the folder's name begins in which a target writes.
SCRATCH = "workbench-export-"
PYTHON = TargetSpec(name="python")
# A card holds figures of one trial; what is larger is none.
MOST_CARD = 64 << 20


class File(NamedTuple):
    """A file of an export: its bytes, and whether it is to be run."""

    data: bytes
    program: bool = False


def export_trial(record: StudyRecord, trial: Trial, out: Path, spec: TargetSpec = PYTHON) -> Path:
    """Write `model.tflite`, `labels.txt` (where classes have names; line breaks within one are spaces there), the target's files and `card.json` into `out`.

    Returns the folder. An earlier export there is replaced file by file; what only that one had goes, unless somebody changed it. Raises
    WorkbenchError for a trial that did not run (with its reason), a file that is gone or is not what was measured, a path that is a file,
    a target that cannot write here, and a trial that it does not take.
    """
    out = Path(out)
    content = _content(trial)
    if out.exists() and not out.is_dir():
        raise WorkbenchError(f"{str(out)!r} is a file; an export is a folder. Choose another --out.")
    target = registry.targets.get(spec.name)
    params = target.params.model_validate(spec.options)
    if missing := target.check(params):
        raise WorkbenchError(f"target {spec.name!r} cannot be written here: {missing}")
    export = describe_export(record, trial, content)
    if reason := target.unfit(params, export):
        raise WorkbenchError(f"trial {trial.recipe!r} does not fit target {spec.name!r}: {reason}")
    files = _files(target, params, export)
    card = {
        **export.card,
        "target": spec.to_json(),
        "files": {name: hashlib.sha256(file.data).hexdigest() for name, file in files.items()},
    }
    earlier = _earlier(out)
    for name, file in files.items():
        write_atomic(out / name, file.data)
        if file.program:
            mode = (out / name).stat().st_mode
            # For those who may read it.
            (out / name).chmod(mode | (mode & 0o444) >> 2)
    write_atomic(out / CARD, (json.dumps(card, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())
    for name, sha256 in earlier.items():
        if name not in files:
            _remove(out, name, sha256)
    return out


def files_of(folder: Path) -> list[str]:
    """Return the names of all files of the export that was just written into a folder, in the order of the alphabet."""
    return sorted([*json.loads((folder / CARD).read_bytes())["files"], CARD])


def _content(trial: Trial) -> bytes:
    if trial.state == "failed":
        raise WorkbenchError(
            f"trial {trial.recipe!r} failed, so there is nothing to export: {trial.error or 'no reason recorded'}"
        )
    if trial.state != "ok" or trial.artifact is None:
        raise WorkbenchError(
            f"trial {trial.recipe!r} is {trial.state} and has no file yet; export it when the sweep has built it."
        )
    return intact_bytes(trial.artifact, f"trial {trial.recipe!r}")


def _files(target: Target[Any], params: Params, export: Export) -> dict[str, File]:
    """Return all files but the card by their names within the folder; raises WorkbenchError for what a target may not write."""
    files = {MODEL: File(export.content)}
    if export.labels:
        files[LABELS] = File("".join(f"{' '.join(name.splitlines())}\n" for name in export.labels).encode())
    with tempfile.TemporaryDirectory(prefix=SCRATCH) as temporary:
        folder = Path(temporary)
        try:
            target.write(params, export, folder)
        except WorkbenchError:
            raise
        except Exception as error:  # a stranger's code may raise anything
            place = traceback.extract_tb(error.__traceback__)[-1]
            raise WorkbenchError(
                f"target {target.name!r} failed: {type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"
            ) from error
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                raise WorkbenchError(f"target {target.name!r} wrote {name!r}, which is neither a file nor a folder.")
            if path.is_file():
                if name in OURS:
                    raise WorkbenchError(f"target {target.name!r} wrote {name!r}, which every export has of its own.")
                files[name] = File(path.read_bytes(), bool(path.stat().st_mode & 0o100))
    return files


def _earlier(out: Path) -> dict[str, str]:
    """Return the hashes of an earlier export's files by name, as its card has them; it is read like any file from elsewhere."""
    if not (out / CARD).exists():
        return {}
    try:
        listed = json.loads(read_regular(out / CARD, "card", MOST_CARD))["files"]
        found = {str(name): str(sha256) for name, sha256 in listed.items()}
    except (WorkbenchError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
        # Written before cards listed files, or no card of ours.
        found = {}
    # Labels of an earlier export would put wrong names on this model's classes.
    return {LABELS: "", **found}


def _remove(out: Path, name: str, sha256: str) -> None:
    """Remove a file of an earlier export, and folders that it leaves empty; one that was changed since, or lies elsewhere, stays."""
    path = out / name
    try:
        inside = not Path(name).is_absolute() and path.parent.resolve().is_relative_to(out.resolve())
        if not inside or path.is_symlink() or not path.is_file():
            return
        if name not in OURS and file_sha256(path) != sha256:
            return
        path.unlink()
        for folder in path.parents:
            if folder == out or any(folder.iterdir()):
                return
            folder.rmdir()
    except (OSError, ValueError, WorkbenchError):
        # No name that a file can have, or not ours to remove.
        return

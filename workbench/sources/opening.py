"""From a source to the file that stages start from; runs in workers."""

from __future__ import annotations

from pathlib import Path

from workbench import registry
from workbench.errors import StageFailed, WorkbenchError
from workbench.sources.base import ConvertedSource
from workbench.values.source import ModelInfo


def open_source(info: ModelInfo, folder: Path) -> Path:
    """Return the file or folder of a source's kind: its own, or what is made of it in an empty `folder`, checked.

    Raises WorkbenchError where it cannot be made, is of another kind, or holds code that is not allowed.
    """
    source, path = registry.sources.get(info.opener), Path(info.path)
    if not isinstance(source, ConvertedSource):
        return path
    made = source.open(path, folder, info.allow_code)
    kinds = [registry.sources.get(kind) for kind in (source.gives, source.gives_instead) if kind]
    native = next((kind for kind in kinds if kind.matches(made)), None)
    where = f"source {source.name!r} made a file of {path.name!r}"
    # The store moves what was made: it has to be this folder's alone.
    if folder.resolve() not in made.resolve().parents or made.is_symlink():
        raise StageFailed(
            f"{where} that lies elsewhere: {str(made)!r}. It has to be written into the folder it is given."
        )
    if native is None:
        raise StageFailed(f"{where} that is no {' and no '.join(kind.takes for kind in kinds)}: {made.name!r}.")
    try:
        native.check(made, info.allow_code)
        native.glance(made)
    except WorkbenchError as error:
        raise StageFailed(f"{where} that cannot be used: {error}") from error
    return made

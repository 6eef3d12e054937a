"""The notebooks that come with Workbench: found by name, copied out, and what parameters they take."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError, unknown
from workbench.files import read_regular, write_atomic

# With outputs and pictures; those that are templates have none.
MOST_BYTES = 1 << 26


def folder() -> Path:
    """Return where the notebooks are: in a checkout, or in the installed package."""
    package = Path(__file__).resolve().parent.parent
    for place in (package / "_bundled" / "notebooks", package.parent / "notebooks"):
        if place.is_dir():
            return place
    raise WorkbenchError("the notebooks are missing from this installation. Reinstall tflite-workbench.")


def names() -> list[str]:
    """Return the names of the notebooks, without `.ipynb`."""
    return sorted(p.stem for p in folder().glob("*.ipynb"))


def find(name: str | Path) -> Path:
    """Return a notebook by name, or the path of an `.ipynb` file; raises WorkbenchError with the nearest names."""
    path = Path(name)
    if path.suffix == ".ipynb":
        if not path.is_file():
            raise WorkbenchError(f"notebook {str(name)!r} does not exist. By name there are: {', '.join(names())}.")
        return path
    if str(name) not in names():
        raise unknown("notebook", str(name), names(), "The path of an .ipynb file works too.")
    return folder() / f"{name}.ipynb"


def read(path: Path) -> dict[str, Any]:
    """Return a notebook's JSON; raises WorkbenchError where the file is no notebook with cells."""
    data = read_regular(path, "notebook", MOST_BYTES)
    try:
        found: Any = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise WorkbenchError(f"notebook {str(path)!r} is no JSON: {str(error)[:200]}.") from None
    cells = found.get("cells") if isinstance(found, dict) else None
    if (
        not isinstance(found, dict)
        or not isinstance(cells, list)
        or not all(isinstance(c, dict) and _is_source(c.get("source")) for c in cells)
    ):
        raise WorkbenchError(
            f"notebook {str(path)!r} is no notebook of format 4: it has no list of cells with a source."
        )
    return found


def _is_source(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(line, str) for line in value))


def copy(name: str, target: Path) -> Path:
    """Copy a notebook into a folder, and return it; raises WorkbenchError where one of that name is there already."""
    source = find(name)
    path = Path(target) / source.name
    if path.exists():
        raise WorkbenchError(f"{str(path)!r} is there already. Choose another folder with --out, or move it away.")
    write_atomic(path, source.read_bytes())
    return path


def about(name: str) -> str:
    """Return a notebook's heading."""
    for cell in read(find(name))["cells"]:
        if cell.get("cell_type") == "markdown":
            return "".join(cell["source"]).partition("\n")[0].lstrip("# ")
    return ""


def parameters_of(notebook: dict[str, Any]) -> list[str]:
    """Return the names that the cell tagged `parameters` assigns, in order; raises WorkbenchError where there is none."""
    for cell in notebook["cells"]:
        metadata = cell.get("metadata")
        if isinstance(metadata, dict) and "parameters" in (metadata.get("tags") or ()):
            source = cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])
            try:
                body = ast.parse(source).body
            except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
                raise WorkbenchError(f"the cell tagged `parameters` is not plain Python: {str(error)[:200]}.") from None
            found = [target for node in body for target in _targets(node)]
            return [target.id for target in found if isinstance(target, ast.Name)]
    raise WorkbenchError("this notebook takes no parameters: none of its cells has the tag `parameters`.")


def _targets(node: ast.stmt) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, ast.AnnAssign) else []

"""ai-edge-litert: what its interpreter knows and does not tell, and where its package keeps accelerators and plugins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench.compat.library import Library

LITERT = Library("ai-edge-litert", ">=2.3,<2.4")


def signatures(interpreter: Any) -> dict[str, dict[str, dict[str, int]]]:
    """Return an interpreter's signatures by name: `inputs` and `outputs`, each a dict of names to tensors' indices.

    The public runner refuses a signature whose own name is empty, and the public list holds no indices.
    """
    found: dict[str, dict[str, dict[str, int]]] = LITERT.attribute(interpreter, "_get_full_signature_list")()
    return found


def nodes(interpreter: Any) -> list[dict[str, Any]]:
    """Return the nodes of an interpreter's main graph in order, each with `op_name`, `inputs` and `outputs` (tensors' indices).

    Those that a delegate took are still there, and after them the node of the delegate, called `DELEGATE`. There is no public
    way to see what a delegate took; without this one, coverage of the processor's runtimes is unknown.
    """
    found: list[dict[str, Any]] = LITERT.attribute(interpreter, "_get_ops_details")()
    return found


def litert_folder() -> Path:
    """Return the folder of the package, in which lie `libLiteRt.so`, accelerators and `vendors/`; nothing says that they do."""
    import ai_edge_litert

    return Path(str(ai_edge_litert.__file__)).parent

"""Tests that come along for whoever writes a plug-in: a class for each kind, of what the kind's base class promises, on real work.

Inherit the class in a test file of your own, say what is yours, and run pytest (`pip install 'tflite-workbench[testing]'`). The plug-in is found by its
entry point, as a sweep finds it, so its package has to be installed (`pip install -e .`).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.testing.datasets import DatasetConformance
    from workbench.testing.sources import SourceConformance

_WHERE = {
    "DatasetConformance": "workbench.testing.datasets",
    "SourceConformance": "workbench.testing.sources",
}
__all__ = ["DatasetConformance", "SourceConformance"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    try:
        import pytest
    except ImportError:
        from workbench.errors import MissingExtra

        raise MissingExtra(f"{name} needs pytest: pip install 'tflite-workbench[testing]'") from None
    if _WHERE[name] not in sys.modules:
        # A test that fails then shows the values that it compared.
        pytest.register_assert_rewrite(_WHERE[name])
    return getattr(importlib.import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])

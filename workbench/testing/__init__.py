"""Tests that come along for whoever writes a plug-in: a class for each kind, of what the kind's base class promises, on real work.

Inherit the class in a test file of your own, say what is yours, and run pytest (`pip install 'tflite-workbench[testing]'`):

    from workbench.testing import TechniqueConformance

    class TestNoise(TechniqueConformance):
        text = "noise:0.05"

The plug-in is found by its entry point, as a sweep finds it, so its package has to be installed (`pip install -e .`). Models and data come along
as well; override a fixture where yours needs others. Each class says in its text what it wants to be told.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.testing.datasets import DatasetConformance
    from workbench.testing.proposers import ProposerConformance
    from workbench.testing.runtimes import RuntimeConformance
    from workbench.testing.sources import SourceConformance
    from workbench.testing.targets import TargetConformance
    from workbench.testing.tasks import TaskConformance
    from workbench.testing.techniques import TechniqueConformance

_WHERE = {
    "DatasetConformance": "workbench.testing.datasets",
    "ProposerConformance": "workbench.testing.proposers",
    "RuntimeConformance": "workbench.testing.runtimes",
    "SourceConformance": "workbench.testing.sources",
    "TargetConformance": "workbench.testing.targets",
    "TaskConformance": "workbench.testing.tasks",
    "TechniqueConformance": "workbench.testing.techniques",
}
__all__ = [
    "DatasetConformance",
    "ProposerConformance",
    "RuntimeConformance",
    "SourceConformance",
    "TargetConformance",
    "TaskConformance",
    "TechniqueConformance",
]


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
        pytest.register_assert_rewrite(_WHERE[name], f"{__name__}.common")
    return getattr(importlib.import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])

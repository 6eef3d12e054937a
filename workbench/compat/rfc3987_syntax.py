"""rfc3987_syntax: 38 grammars, compiled as it is imported; jsonschema imports it, nbformat imports jsonschema, and no notebook needs one."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

NAME = "rfc3987_syntax"


@contextlib.contextmanager
def grammars_when_needed() -> Iterator[None]:
    """Whoever imports rfc3987_syntax meanwhile has it loaded at the first address that is checked, seconds of processor time later.

    Nothing is changed where it is loaded already, or not installed.
    """
    if NAME in sys.modules or importlib.util.find_spec(NAME) is None:
        yield
        return
    late = _Late(NAME)
    sys.modules[NAME] = late
    try:
        yield
    finally:
        if sys.modules.get(NAME) is late:
            del sys.modules[NAME]


class _Late(ModuleType):
    """Stands for the module until it is used."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def called(*arguments: Any, **named: Any) -> Any:
            if sys.modules.get(NAME) is self:
                del sys.modules[NAME]
            return getattr(importlib.import_module(NAME), name)(*arguments, **named)

        return called

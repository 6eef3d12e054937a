"""flatbuffers: the table behind an object of generated code."""

from __future__ import annotations

from typing import Any

from workbench.compat.library import Library

FLATBUFFERS = Library("flatbuffers", ">=25.2,<26")


def table_of(item: Any) -> Any:
    """Return the `flatbuffers.table.Table` of a generated object: its `Bytes`, its `Pos`, and where its fields lie.

    Every generated class keeps it as `_tab`, and none gives it out. It is asked for each table of a file, hence no detour.
    """
    try:
        return item._tab
    except AttributeError as error:
        raise FLATBUFFERS.changed(f"_tab in generated {type(item).__name__}") from error

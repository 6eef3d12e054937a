"""Making very many values at once."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from typing import Any

from workbench.values.base import Value


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Hold back the search for cycles while very many values are made, which have none.

    The search looks at all of them again and again: with ten thousand trials it takes longer than reading them.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            # Both together make everything count as old, so that the values are not searched as young ones either. What
            # the user has set aside would come back with them.
            if not gc.get_freeze_count():
                gc.freeze()
                gc.unfreeze()
            gc.enable()


def fill(value: Value, **fields: Any) -> None:
    """Set fields of a value that was just read and that nobody else holds yet; copies take several times as long.

    The fields are not validated.
    """
    value.__dict__.update(fields)
    value.__pydantic_fields_set__.update(fields)

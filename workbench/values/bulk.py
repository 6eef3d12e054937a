"""Making very many values at once."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


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
            # Both together make everything count as old, so that the values are not searched as young ones either.
            gc.freeze()
            gc.unfreeze()
            gc.enable()

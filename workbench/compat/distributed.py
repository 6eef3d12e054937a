"""distributed: workers that are started by a command of ours, and what they are told of a `Security`."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from workbench.compat.library import Library

DISTRIBUTED = Library("distributed", ">=2026.8,<2027")
# Given a scheduler's address.
Start = Callable[[str], Awaitable[Any]]


def command_workers(start: Start, end: Callable[[int], None]) -> type:
    """Return a class of workers for `SpecCluster`: those below the process that `start` gives; `end` ends it by its id.

    `Subprocess` is distributed's own base of such classes and in no documentation: it calls `_start` and ends `process`.
    `SubprocessWorker` beside it shows what has changed.
    """
    import psutil

    with DISTRIBUTED.inside("deploy.subprocess.Subprocess"):
        from distributed.deploy.subprocess import Subprocess

    class Workers(Subprocess):  # type: ignore[misc]  # distributed is untyped
        """A command that has workers below it: unlike multiprocessing it never runs the user's script again."""

        def __init__(self, scheduler: str, name: Any = None, **_: Any) -> None:
            self.scheduler = scheduler
            self.name = name
            super().__init__()

        async def _start(self) -> None:
            self.process = await start(self.scheduler)

        async def close(self) -> None:
            if self.process is not None:
                # Dask closes what a caller has left open as its process ends. `Pool.close` was here before.
                end(self.process.pid)
            with contextlib.suppress(psutil.NoSuchProcess):
                await super().close()

    return Workers


def plain_security(security: Any) -> dict[str, str | bool]:
    """Return what a `Security` is made of, as it can be written down and given to another one; keys in memory included.

    It has no public form that holds them: its `repr` and `dict` leave them out. Its slots are its arguments.
    """
    names = DISTRIBUTED.attribute(type(security), "__slots__")
    return {k: v for k in names if isinstance(v := getattr(security, k), (str, bool))}

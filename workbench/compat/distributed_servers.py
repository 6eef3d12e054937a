"""Dask's scheduler and worker without the web servers that each opens beside its own socket, for anybody to ask."""

from __future__ import annotations

import logging
from typing import Any

import dask
import distributed


class _NoWeb:
    def start_http_server(self, *_: Any, **__: Any) -> None:
        """Open nothing: a page of health and figures would answer every user of the machine."""


class Scheduler(_NoWeb, distributed.Scheduler):  # type: ignore[misc]  # distributed is untyped
    """A scheduler that listens on one socket."""

    def __init__(self, **options: Any) -> None:
        log = logging.getLogger("distributed.scheduler")
        before = list(log.handlers)
        # There is no web server that could have pages; they can only be left away while the scheduler is made.
        with dask.config.set({"distributed.scheduler.http.routes": []}):
            super().__init__(**options)
        # It keeps its last lines for pages, in a handler of a logger that is the user's too.
        for handler in [h for h in log.handlers if h not in before]:
            log.removeHandler(handler)


class Worker(_NoWeb, distributed.Worker):  # type: ignore[misc]
    """A worker that listens on one socket."""

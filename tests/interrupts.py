"""Processes of tests hear Ctrl-C however the tests themselves were started."""

from __future__ import annotations

import signal


def hear_interrupts() -> None:
    """Undo, in a new process, what a shell does to jobs in its background: they and their children ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)

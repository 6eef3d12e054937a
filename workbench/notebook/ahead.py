"""Imports what the first `%wb` needs while nobody waits for it."""

from __future__ import annotations

import contextlib
import importlib
import threading
import time

# Neither TensorFlow nor dask nor plotly is among what these import.
NEEDED = (
    "workbench.notebook.session",
    "workbench.notebook.verbs",
    "workbench.commands.asking",
    "workbench.commands.sweeping",
    "workbench.notebook.cards",
    "workbench.notebook.progress",
    "workbench.dashboard.widget",
    "workbench.views.figure",
    "workbench.views.card",
)
# What draws the picture that a saved notebook keeps, which the first verb is not to wait for.
LATER = ("matplotlib.backends.backend_agg", "matplotlib.figure")
LATER_S = 3.0


def import_ahead() -> threading.Thread:
    """Import them in a thread of their own; a verb that comes earlier imports what it needs itself."""

    def work() -> None:
        for names, pause in ((NEEDED, 0.0), (LATER, LATER_S)):
            time.sleep(pause)
            for name in names:
                # Whoever needs it says what is wrong with it.
                with contextlib.suppress(Exception):
                    importlib.import_module(name)

    thread = threading.Thread(target=work, name="workbench-imports", daemon=True)
    thread.start()
    return thread

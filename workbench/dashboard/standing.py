"""An output that stays in its cell and is changed later, from whatever thread."""

from __future__ import annotations

import secrets
import threading
from typing import Any

Bundle = dict[str, str]


class Standing:
    """One output of a cell, known by its `display_id`; what it shows last is what a saved notebook keeps.

    A change from a sweep's thread belongs to the cell that began the sweep. Front ends find it by the `display_id`, but what
    executes a notebook without one (nbclient, papermill) hears only the cell that runs: so it is said once more by the next
    cell that ends.
    """

    def __init__(self, display_id: str = "") -> None:
        self.display_id = display_id or f"workbench-{secrets.token_hex(8)}"
        self._shown = False
        self._again: Bundle | None = None
        self._lock = threading.Lock()

    def show(self, bundle: Bundle) -> None:
        """Put it out in the cell that runs."""
        from IPython.display import display

        display(bundle, raw=True, display_id=self.display_id)
        self._shown = True

    def update(self, bundle: Bundle) -> None:
        """Change it wherever it was put out; nothing where it was not."""
        from IPython import get_ipython
        from IPython.display import update_display

        if not self._shown:
            return
        update_display(bundle, raw=True, display_id=self.display_id)
        shell: Any = get_ipython()
        if shell is None or threading.current_thread() is threading.main_thread():
            return
        with self._lock:
            waiting, self._again = self._again is not None, bundle
        if not waiting:
            shell.events.register("post_execute", self._say_again)

    def _say_again(self) -> None:
        from IPython import get_ipython
        from IPython.display import update_display

        shell: Any = get_ipython()
        shell.events.unregister("post_execute", self._say_again)
        with self._lock:
            bundle, self._again = self._again, None
        if bundle is not None:
            update_display(bundle, raw=True, display_id=self.display_id)

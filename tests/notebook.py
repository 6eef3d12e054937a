"""An IPython shell with the extension loaded, for tests without a browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from workbench.errors import WorkbenchError
from workbench.notebook.session import NotebookFrontEnd


class Shell:
    """Runs cells and keeps what they showed, printed and raised."""

    def __init__(self) -> None:
        from IPython.core.interactiveshell import InteractiveShell

        InteractiveShell.clear_instance()
        self.ip = InteractiveShell.instance()
        self.ip.run_line_magic("load_ext", "workbench")
        self.outputs: list[dict[str, Any]] = []
        self.printed = ""
        self.error: BaseException | None = None

    @property
    def session(self) -> NotebookFrontEnd:
        """The notebook's session."""
        found: NotebookFrontEnd = self.ip.magics_manager.registry["WorkbenchMagics"].session
        return found

    @property
    def names(self) -> dict[str, Any]:
        """The notebook's variables."""
        found: dict[str, Any] = self.ip.user_ns
        return found

    def run(self, cell: str) -> Any:
        """Run a cell, which must not fail, and return the value of its last line."""
        done = self._run(cell)
        if self.error is not None:
            raise self.error
        return done.result

    def fails(self, cell: str) -> str:
        """Run a cell, which must fail by a user's mistake, and return what was said."""
        self._run(cell)
        assert isinstance(self.error, WorkbenchError), self.error
        assert "Traceback" not in self.printed
        assert f"workbench: {self.error}" in self.printed
        return str(self.error)

    @property
    def html(self) -> str:
        """The HTML that the last cell showed."""
        return "\n".join(o["text/html"] for o in self.outputs if "text/html" in o)

    def _run(self, cell: str) -> Any:
        from IPython.utils.capture import capture_output

        with capture_output() as captured:
            done = self.ip.run_cell(cell, store_history=False)
        self.printed = captured.stdout + captured.stderr
        self.outputs = [o.data for o in captured.outputs]
        self.error = done.error_before_exec or done.error_in_exec
        return done

    def close(self) -> None:
        """End the session's workers and forget the shell."""
        from IPython.core.interactiveshell import InteractiveShell

        self.session.close()
        InteractiveShell.clear_instance()


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell in a folder of its own, whose store is there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("notebook"))
        patch.delenv("WORKBENCH_STORE", raising=False)
        made = Shell()
        yield made
        made.close()

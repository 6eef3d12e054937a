"""The IPython extension: magics, forms and rich results; a leaf that nobody imports but `%load_ext workbench`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def load(shell: InteractiveShell) -> None:
    """Register `%wb`, its completions, `name << %wb ...`, and how results are shown; what they need is imported behind them."""
    from workbench.compat.ipython import has_magic
    from workbench.notebook import ahead, completion, keeping, rich
    from workbench.notebook.magics import WorkbenchMagics

    if has_magic(shell, "wb"):
        return
    magics = WorkbenchMagics(shell)
    shell.register_magics(magics)
    completion.register(shell, lambda: magics.session)
    keeping.register(shell)
    rich.register(shell)
    ahead.import_ahead()

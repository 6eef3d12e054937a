"""How results, studies and their progress are shown in a notebook: HTML and text, widgets where they live."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.compat.ipython import show_with

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from workbench.commands.result import Result
    from workbench.study import Study


def register(shell: InteractiveShell) -> None:
    """Have the shell show results and studies; nothing of theirs is imported before the first one is there."""
    show_with(shell, "workbench.commands.result", "Result", show_result)
    show_with(shell, "workbench.study", "Study", show_study)


def show_result(result: Result) -> None:
    """Show a verb's result: a sweep's progress, a widget, or what stays in the saved notebook."""
    from IPython.display import display

    from workbench.commands.sweeping import Swept

    if isinstance(result, Swept) and result.form == "table":
        show_study(result.value)
    elif hasattr(result.value, "_ipython_display_"):
        result.value._ipython_display_()
    else:
        display(bundle(result), raw=True)


def show_study(study: Study) -> None:
    """Show a study: progress with Cancel while a sweep works on it, and its trials."""
    from workbench.notebook.progress import NotebookProgress

    NotebookProgress(study).show()


def bundle(result: Result) -> dict[str, str]:
    """Return a result as HTML and plain text: JSON or CSV as asked for, cards of tried recipes, else its tables."""
    from workbench.commands.result import csv_text
    from workbench.commands.sweeping import Swept
    from workbench.notebook.cards import cards_html
    from workbench.notebook.html import blocks_html, blocks_text
    from workbench.notebook.progress import study_blocks
    from workbench.notebook.techniques import Tried

    if result.form != "table":
        return {"text/plain": "".join(result.texts()) if result.form == "json" else csv_text(result.rows())}
    blocks = list(study_blocks(result.value)) if isinstance(result, Swept) else [*result.blocks(), *result.said()]
    page = cards_html(result) if isinstance(result, Tried) else blocks_html(blocks)
    return {"text/html": page, "text/plain": blocks_text(blocks)}

"""`%wb VERB ...` and `%%wb sweep`: one line to the same verbs as the command line has."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, line_cell_magic, magics_class

from workbench import names
from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from workbench.notebook.session import NotebookFrontEnd


@magics_class
class WorkbenchMagics(Magics):
    """The magics; the session with models, data and workers begins with the first one that needs it."""

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self._session: NotebookFrontEnd | None = None

    @property
    def session(self) -> NotebookFrontEnd:
        """What the notebook works on."""
        if self._session is None:
            from workbench.notebook.session import NotebookFrontEnd

            self._session = NotebookFrontEnd(self.shell)
        return self._session

    @line_cell_magic
    def wb(self, line: str, cell: str | None = None) -> Any:
        """Optimize a TensorFlow Lite model: `%wb VERB ...`; without arguments a verb opens its form.

            %wb model model.h5            what to optimize: a file, or a variable with a model of tf_keras or Keras 3
            %wb data digits               what to test on: a name, a path, or a variable
            %wb quantize int8             one technique: prune, cluster, qat, quantize, convert, delegate
            %wb sweep --prune none,0.5 --quantize float32,int8 --runtime xnnpack
            %wb dashboard                 the live trade-off chart of the last study
            %wb studies | show | pareto | best | inspect | bench | compare | export | report | store | doctor

        A grid can stand in the cell, as YAML:

            %%wb sweep
            prune: [none, 0.5]
            quantize: [float32, dynamic, int8]

        `%wb VERB --help` explains a verb, Tab completes verbs, options and values. `name << %wb ...` or
        `%wb -o name ...` keeps the result; `name = %wb ...` does too, without showing it. A sweep runs in the
        background: `.wait()`, `.cancel()`, `.result()`.
        """
        words, keep = split(line)
        if not words:
            print(inspect.getdoc(self.wb))
            return None
        form = self.session.form_of(words) if cell is None else None
        if form is not None:
            from workbench.notebook.forms.opening import form_for

            found = form_for(self.session, form)
        else:
            found = self.session.run(words, cell)
        if keep is None:
            return found
        from workbench.commands.result import Result

        self.shell.push({keep: found.value if isinstance(found, Result) else found})
        return found


def split(line: str) -> tuple[list[str], str | None]:
    """Return the words of a line, and the name after `-o` under which the result is to be kept, or None."""
    try:
        words = names.split(line)
    except ValueError as error:
        raise WorkbenchError(f"the line {line!r} cannot be split into words: {error}. Close the quotation.") from None
    # What stands behind `--` is a name, whatever it looks like.
    if "-o" not in words[: words.index("--") if "--" in words else None]:
        return words, None
    place = words.index("-o")
    name = words[place + 1] if place + 1 < len(words) else ""
    if not name.isidentifier():
        raise WorkbenchError(f"-o {name!r} is no name for a variable. Write -o name, e.g. %wb -o study sweep ...")
    return words[:place] + words[place + 2 :], name

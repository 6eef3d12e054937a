"""`name << %wb ...` keeps the result of a magic under a name, as `%wb -o name ...` does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from workbench.compat.ipython import rewrite_first

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_KEPT = re.compile(r"^(?P<indent>\s*)(?P<name>[^\W\d]\w*)\s*<<\s*(?P<magic>%{1,2})wb\b(?P<rest>.*)$", re.DOTALL)


def register(shell: InteractiveShell) -> None:
    """Have the shell understand it."""
    rewrite_first(shell, transform)


def transform(lines: list[str]) -> list[str]:
    """Return a cell's lines with each `name << %wb` written as `%wb -o name`; `%%wb` on the first line only."""
    first = next((i for i, line in enumerate(lines) if line.strip()), 0)
    return [_line(line, i == first) for i, line in enumerate(lines)]


def _line(line: str, may_be_cell: bool) -> str:
    match = _KEPT.match(line)
    if match is None or (match["magic"] == "%%" and not may_be_cell):
        return line
    return f"{match['indent']}{match['magic']}wb -o {match['name']}{match['rest']}"

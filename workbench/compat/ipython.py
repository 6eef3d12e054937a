"""IPython: where a shell asks for completions, rewrites cells, keeps its magics and shows values; it documents them in part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from workbench.compat.library import Library

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

IPYTHON = Library("ipython", ">=9,<10")
# Text to the left of the cursor; the fragment that is typed and the texts to put there, None where others are to answer.
Matcher = Callable[[str], "tuple[str, list[str]] | None"]


def complete_with(shell: InteractiveShell, matcher: Matcher) -> None:
    """Have a shell's completer ask a matcher, whose answer stands alone and keeps its order.

    `custom_matchers` of the completer and the keys of what a matcher returns are marked as provisional by IPython.
    """
    with IPYTHON.inside("context_matcher"):
        from IPython.core.completer import SimpleCompletion, context_matcher

    def workbench_matcher(context: Any) -> Any:
        found = matcher(context.text_until_cursor)
        if found is None:
            return {"completions": []}
        fragment, texts = found
        completions = [SimpleCompletion(text=t, type="workbench") for t in texts]
        return {"completions": completions, "matched_fragment": fragment, "suppress": True, "ordered": True}

    IPYTHON.attribute(shell.Completer, "custom_matchers").append(context_matcher()(workbench_matcher))


def rewrite_first(shell: InteractiveShell, transform: Callable[[list[str]], list[str]]) -> None:
    """Have a shell rewrite the lines of a cell before it looks for `%%` at its beginning.

    The list `cleanup_transforms` is documented to be added to; that its first is asked before IPython's own is not.
    """
    manager = IPYTHON.attribute(shell, "input_transformer_manager")
    IPYTHON.attribute(manager, "cleanup_transforms").insert(0, transform)


def show_with(shell: InteractiveShell, module: str, name: str, show: Callable[[Any], None]) -> None:
    """Have a shell show values of a class, which need not be imported yet, by a function that displays them."""
    formatter = IPYTHON.attribute(shell.display_formatter, "ipython_display_formatter")
    formatter.for_type_by_name(module, name, show)


def has_magic(shell: InteractiveShell, name: str) -> bool:
    """Whether a shell has a line magic of that name."""
    magics: Mapping[str, Mapping[str, Any]] = IPYTHON.attribute(shell.magics_manager, "magics")
    return name in magics["line"]


def own_variables(shell: InteractiveShell) -> dict[str, Any]:
    """Return a user's variables: what a shell holds, less what it brought along (`In`, `exit`) and names that begin with `_`."""
    hidden = IPYTHON.attribute(shell, "user_ns_hidden")
    return {n: v for n, v in shell.user_ns.items() if not n.startswith("_") and n not in hidden}

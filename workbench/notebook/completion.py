"""Tab completion of `%wb` lines: verbs, options, and the values that an option or argument takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from workbench.compat.ipython import complete_with, own_variables

if TYPE_CHECKING:
    import click
    from IPython.core.interactiveshell import InteractiveShell

    from workbench.notebook.session import NotebookFrontEnd

_LINE = re.compile(r"^\s*(?:[^\W\d]\w*\s*(?:<<|=)\s*)?%{1,2}wb[ \t]+(?P<rest>.*)$")
_SUFFIXES = {
    "file": (".tflite",),
    "grid_file": (".yaml", ".yml"),
    "source": (".yaml", ".yml"),
}


class Offer(NamedTuple):
    """Texts to put in place of `fragment`, what was typed of them."""

    fragment: str
    texts: list[str]


def register(shell: InteractiveShell, session: Callable[[], NotebookFrontEnd]) -> None:
    """Have the shell's completer ask us first."""

    def offer(text: str) -> Offer | None:
        match = _LINE.match(text)
        return complete(session(), match["rest"]) if match else None

    complete_with(shell, offer)


def complete(session: NotebookFrontEnd, text: str) -> Offer:
    """Return what can follow the text after `%wb `, up to the cursor; nothing for a verb that is not known."""
    from workbench.commands.group import Verbs
    from workbench.notebook.session import app

    *before, fragment = text.split(" ")
    words = [w for w in before if w]
    if words[:1] == ["-o"]:
        words = words[2:]
    if not words:
        return _matching(fragment, [*app.places, "-o", "--help"])
    path, command = app.descend(words)
    if command is None:
        return Offer(fragment, [])
    if isinstance(command, Verbs):
        return _matching(fragment, [*command.places, "--help"]) if path == words else Offer(fragment, [])
    options = {flag: p for p in command.params for flag in p.opts if flag.startswith("-")}
    if words[-1] in options and not getattr(options[words[-1]], "is_flag", False):
        return values(session, command, options[words[-1]], fragment, {})
    if fragment.startswith("-"):
        return _matching(fragment, [*options, "--help", "-o"])
    given = _positional(words[len(path) :], options)
    places = [p for p in command.params if p.param_type_name == "argument"]
    if len(given) >= len(places):
        return _matching(fragment, [*options, "--help"]) if not fragment else Offer(fragment, [])
    named = {str(p.name): value for p, value in zip(places, given, strict=False)}
    found = values(session, command, places[len(given)], fragment, named)
    if not fragment and (
        not places[len(given)].required or places[len(given)].name in session.defaults(" ".join(path))
    ):
        return Offer(fragment, [*found.texts, *options])
    return found


def values(
    session: NotebookFrontEnd,
    command: click.Command,
    parameter: click.Parameter,
    fragment: str,
    given: Mapping[str, str],
) -> Offer:
    """Return what a parameter can be, as far as it can be known; `given` holds the arguments before it by name."""
    texts, separators = known_values(session, command, parameter, given)
    # In a list or a chain only the last part is being typed.
    part = re.split(f"[{re.escape(separators)}]", fragment)[-1] if separators else fragment
    suffixes = _suffixes(str(parameter.name))
    if suffixes is not None:
        texts = [*texts, *_paths(part, suffixes)]
    return _matching(part, texts)


def known_values(
    session: NotebookFrontEnd, command: click.Command, parameter: click.Parameter, given: Mapping[str, str]
) -> tuple[list[str], str]:
    """Return the texts that a parameter can be, and the letters that part several of them ("" where it takes one)."""
    import click

    from workbench import registry
    from workbench.commands.flags import SpecOption
    from workbench.data.load import SETS
    from workbench.values.recipe import SCHEMES

    name = str(parameter.name)
    if isinstance(parameter.type, click.Choice):
        return list(parameter.type.choices), ""
    if isinstance(parameter, SpecOption) and parameter.spec.registry:
        return getattr(registry, parameter.spec.registry).names(), ""
    if name in ("runtime", "runtimes"):
        return registry.runtimes.names(), "," if command.name != "best" else ""
    if name == "target":
        return registry.targets.names(), ""
    if name == "axis_quantize":
        return list(SCHEMES), ","
    if name.startswith("axis_"):
        return ["none"], ","
    if name == "primary":
        return list(command.spec.choices), ","  # type: ignore[attr-defined]  # a technique's verb has it
    if name in ("then", "recipe", "after"):
        steps = [n for n in registry.techniques.names() if n != "quantize"]
        return [*steps, *(() if name == "after" else SCHEMES)], "+,"
    if name == "study":
        return [*(s.name for s in _store(session).studies()), *_variables(session, _is_study)], ""
    if name in ("trial", "x", "y"):
        study = session.study(given["study"], None) if "study" in given else session.current
        return _of_study(study, name), ""
    if name in ("model", "data"):
        wanted = _is_model if name == "model" else _is_data
        return [*(SETS if name == "data" else ()), *_variables(session, wanted)], ""
    if name == "grid_file":
        return _variables(session, lambda v: isinstance(v, dict)), ""
    return [], ""


def _suffixes(name: str) -> tuple[str, ...] | None:
    """Return the endings of the files that a parameter can be, none for any folder, None where it is no path."""
    from workbench import registry

    kinds: dict[str, registry.Registry[Any]] = {"model": registry.sources, "data": registry.datasets}
    if name in kinds:
        return tuple(ending for part in kinds[name].all().values() for ending in part.endings)
    return () if name == "out" else _SUFFIXES.get(name)


def _store(session: NotebookFrontEnd) -> Any:
    from workbench.store.reader import Reader

    return Reader(session.store)


def _of_study(study: Any, what: str) -> list[str]:
    from workbench.views.metrics import metrics_for

    if study is None:
        return []
    return [t.recipe for t in study.trials] if what == "trial" else list(metrics_for(study.trials))


def _positional(words: Iterable[str], options: Mapping[str, click.Parameter]) -> list[str]:
    found, value_of = [], ""
    for word in words:
        if value_of:
            value_of = ""
        elif word in options:
            value_of = "" if getattr(options[word], "is_flag", False) else word
        elif not word.startswith("-"):
            found.append(word)
    return found


def _variables(session: NotebookFrontEnd, wanted: Any) -> list[str]:
    return [n for n, v in own_variables(session.shell).items() if wanted(v)]


def _is_study(value: Any) -> bool:
    return any(c.__module__ == "workbench.study" and c.__name__ == "Study" for c in type(value).__mro__)


def _is_model(value: Any) -> bool:
    return hasattr(value, "get_config") and hasattr(value, "save")


def _is_data(value: Any) -> bool:
    kinds = {(c.__module__, c.__name__) for c in type(value).__mro__}
    return isinstance(value, dict) or ("workbench.data.dataset", "Dataset") in kinds


def _paths(fragment: str, suffixes: tuple[str, ...]) -> list[str]:
    folder, _, start = fragment.rpartition("/")
    try:
        found = sorted(Path(folder or ("/" if fragment.startswith("/") else ".")).iterdir())
    except OSError:
        return []
    prefix = f"{folder}/" if "/" in fragment else ""
    kept = [p for p in found if p.name.startswith(start) and (start.startswith(".") or not p.name.startswith("."))]
    return [f"{prefix}{p.name}{'/' if p.is_dir() else ''}" for p in kept if p.is_dir() or p.suffix in suffixes]


def _matching(fragment: str, texts: Iterable[str]) -> Offer:
    return Offer(fragment, list(dict.fromkeys(t for t in texts if t.startswith(fragment))))

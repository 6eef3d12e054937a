"""YAML that a user wrote (grids, batches): plain values only, read within bounds, mistakes told by line and column."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from workbench.errors import WorkbenchError, shown
from workbench.files import read_regular

MOST_BYTES = 1 << 20
MOST_DEPTH = 32
# Twice as many as there can be recipes.
MOST_VALUES = 20_000
# No setting is a whole number of more than 64 bits.
MOST_NUMBER = 2**63


def load_document(path: str | Path, what: str) -> Any:
    """Return what a YAML file holds; `what` names its kind in messages. Raises WorkbenchError as `read_document` does."""
    where = f"{what} {shown(str(path))}"
    data = read_regular(Path(path), what, MOST_BYTES)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise WorkbenchError(f"{where} cannot be read: line {line} is not UTF-8. Save it as UTF-8.") from None
    return read_document(text, where)


def read_document(text: str, where: str) -> Any:
    """Return what a YAML text holds: mappings, lists, texts, numbers, true, false and null.

    Raises WorkbenchError in one sentence for what is no YAML, for tags, for keys that are given twice, and for what is larger
    or deeper than anything that is meant.
    """
    if len(text) > MOST_BYTES:
        raise WorkbenchError(f"{where} has {len(text):,} characters. Allowed: at most {MOST_BYTES:,}.")
    loader: _Loader | None = None
    try:
        loader = _Loader(text)
        found = loader.get_single_data()
    except yaml.YAMLError as error:
        raise WorkbenchError(f"{where} is not valid YAML: {_sentence(error, text)}.") from None
    except (
        ValueError,
        OverflowError,
        RecursionError,
    ) as error:  # yaml lets through what an escape of no character raises
        at = f"{_place(loader.get_mark())}: " if loader else ""
        raise WorkbenchError(f"{where} is not valid YAML: {at}{str(error)[:200]}.") from None
    finally:
        if loader:
            loader.dispose()
    check_plain(found, where)
    return found


def check_plain(data: Any, where: str) -> None:
    """Raise WorkbenchError where data that somebody handed over is deeper or larger than anything that is meant, or holds half characters."""
    stack, values = [(data, 0)], 0
    while stack:
        value, depth = stack.pop()
        values += 1
        if depth > MOST_DEPTH:
            raise WorkbenchError(f"{where} is nested deeper than {MOST_DEPTH} levels.")
        if values > MOST_VALUES:
            raise WorkbenchError(f"{where} holds more than {MOST_VALUES:,} values.")
        if isinstance(value, dict):
            stack.extend((v, depth + 1) for pair in value.items() for v in pair)
        elif isinstance(value, (list, tuple)):
            if len(value) > MOST_VALUES:
                raise WorkbenchError(f"{where} holds a list of {len(value):,} values. Allowed: {MOST_VALUES:,} in all.")
            stack.extend((v, depth + 1) for v in value)
        elif isinstance(value, str) and re.search("[\ud800-\udfff]", value):
            raise WorkbenchError(f"{where} holds {shown(value)}, which is no text: half of a character stands alone.")
        elif isinstance(value, int) and not -MOST_NUMBER <= value < MOST_NUMBER:
            raise WorkbenchError(f"{where} holds a whole number of {value.bit_length():,} bits. Allowed: at most 64.")


class _Loader(yaml.SafeLoader):
    """The loader of plain YAML, which counts what it makes and refuses what has no use here.

    Numbers by 60 (`2:4` would be 124) and dates stay text.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._values = 0
        self._sizes: dict[str, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Return a node; an alias counts as all that it stands for."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs leave it out
        is_alias, mark = isinstance(event, yaml.AliasEvent), event.start_mark
        if not is_alias and getattr(event, "tag", None) is not None:
            raise _refused(f"the tag {shown(event.tag)} has no use here, write plain values", mark)
        if is_alias and event.anchor in self.anchors and event.anchor not in self._sizes:
            raise _refused(f"the alias *{event.anchor[:60]} stands within what it stands for", mark)
        before = self._values
        self._values += self._sizes.get(event.anchor, 1) if is_alias else 1
        if self._values > MOST_VALUES:
            raise _refused(f"more than {MOST_VALUES:,} values, aliases written out", mark)
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise _refused(f"nested deeper than {MOST_DEPTH} levels", mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if not is_alias and event.anchor is not None:
            self._sizes[event.anchor] = self._values - before
        return node

    def compose_mapping_node(self, anchor: Any) -> Any:
        """Return a mapping's node; a key that is given twice is a mistake."""
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    raise _refused(f"the key {shown(key.value)} is given twice", key.start_mark)
                seen.add((key.tag, key.value))
        return node

    def construct_yaml_int(self, node: Any) -> int:
        """Return a whole number of at most 64 bits."""
        text = str(node.value)
        try:
            number = int(super().construct_yaml_int(node)) if len(text) <= 100 else MOST_NUMBER
        except ValueError:
            raise _refused(f"{shown(text)} is no number", node.start_mark) from None
        if not -MOST_NUMBER <= number < MOST_NUMBER:
            raise _refused(f"{shown(text)} is a number of more than 64 bits", node.start_mark)
        return number


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
_PLAIN = {
    "tag:yaml.org,2002:int": re.compile(r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)"),
    "tag:yaml.org,2002:float": re.compile(
        r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
    ),
}
_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, re.compile(f"(?:{_PLAIN[tag].pattern})$") if tag in _PLAIN else pattern)
        for tag, pattern in resolvers
        if tag not in ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value")
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _refused(problem: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def _sentence(error: yaml.YAMLError, text: str) -> str:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        said = ", ".join(part for part in (error.context, error.problem) if part)
        return f"{_place(mark)}: {said[:300]}" if mark else said[:300]
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        column = error.position - text.rfind("\n", 0, error.position)
        return f"line {line}, column {column}: the character #x{int(error.character):04x} is not allowed"
    return str(error)[:300]


def _place(mark: Any) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}"

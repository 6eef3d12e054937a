"""What a verb gives back: a Python value, and the same as tables for people and as data for programs."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic_core import PydanticSerializationError

from workbench import names
from workbench.values.base import Value

Row = dict[str, Any]


class Table(NamedTuple):
    """Rows with the same keys, under a title; `empty` is said where there is none."""

    rows: Sequence[Row]
    title: str = ""
    empty: str = "nothing to show"


Block = Table | str


@dataclass
class Result:
    """The base: `value` is what Python works on, the methods give it to people and programs when asked.

    `form` is how it was asked to be printed: `table`, `json` or `csv`. `notes` are said beside the result, `code` is the exit
    status of a command.
    """

    value: Any
    form: str = "table"
    notes: tuple[str, ...] = ()
    code: int = 0

    def blocks(self) -> Iterable[Block]:
        """Return tables and lines for people."""
        return ()

    def data(self) -> Any:
        """Return JSON-shaped data; a verb without `--format` has no need of it."""
        raise NotImplementedError

    def texts(self) -> Iterator[str]:
        """Return the data as indented JSON, in pieces that are written one after another."""
        yield json_text(self.data())

    def rows(self) -> Sequence[Row]:
        """Return flat rows, for CSV; a verb without `--format` has no need of them."""
        raise NotImplementedError

    def said(self) -> tuple[str, ...]:
        """Return what is said beside the result, once that was made."""
        return self.notes

    # A result stands for its value: `found = %wb bench f.tflite` gives a list, `study = %wb sweep ...` a study.
    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.value, name)

    def __iter__(self) -> Any:
        return iter(self.value)

    def __len__(self) -> int:
        return len(self.value)

    def __getitem__(self, key: Any) -> Any:
        return self.value[key]

    def __bool__(self) -> bool:
        return True


@dataclass
class Said(Result):
    """A result that is told in lines."""

    lines: tuple[str, ...] = ()

    def blocks(self) -> Iterable[Block]:
        """Return the lines."""
        return self.lines


def csv_text(rows: Sequence[Row]) -> str:
    """Return rows as CSV with a header; nested values as JSON."""
    if not rows:
        return ""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: json.dumps(v) if isinstance(v, (list, dict)) else v for k, v in row.items()})
    return names.printable(text.getvalue())


# How an object of indented JSON ends.
CLOSED = "\n}"


def json_text(data: Any) -> str:
    """Return data as indented JSON, what is no text in it (a file's name that is no UTF-8) as escapes."""
    return names.printable(json.dumps(data, indent=2, ensure_ascii=False))


def value_text(value: Value) -> str:
    """Return a value as `json_text` has it, without its data being made first."""
    try:
        return value.model_dump_json(indent=2)
    except PydanticSerializationError:  # of what is no text in it
        return json_text(value.to_json())


def ascii_text(text: str) -> str:
    """Return JSON with all other characters escaped; the data stays the same."""
    return text if text.isascii() else _BEYOND.sub(lambda found: json.dumps(found[0])[1:-1], text)


# They stand in JSON only within texts.
_BEYOND = re.compile(r"[^\x00-\x7f]+")

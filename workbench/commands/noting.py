"""Verbs that tell what is in the store, and write on studies: `store info`, `store tag`, `store note`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import click

from workbench.commands import flags
from workbench.commands.cleaning import later
from workbench.commands.result import Block, Result, Row, Said, Table
from workbench.commands.tables import first_line
from workbench.errors import unknown
from workbench.names import shell
from workbench.store.info import Info, read_info
from workbench.store.reader import Reader
from workbench.store.store import Store
from workbench.store.tagging import change_tags, parse_tags, read_written, write_note
from workbench.views.units import size_text


@dataclass
class Stock(Result):
    """What is in a store."""

    value: Info
    place: str = field(kw_only=True)

    def blocks(self) -> Iterable[Block]:
        """Return studies, bytes by kind, machines, and what can be freed."""
        found = self.value
        size = "on its server" if found.database is None else size_text(found.database)
        yield f"Store {self.place}: layout {found.layout or '-'}, database {size}"
        studies = [{**s, "tags": ", ".join(s["tags"]), "note": first_line(s["note"])} for s in found.studies]
        yield Table(studies, "Studies", "none yet; `workbench demo` makes one")
        yield Table([{**f, "bytes": size_text(f["bytes"])} for f in found.files], "Files", "none")
        machines = [{**m.to_json(), "memory": "-" if m.memory is None else size_text(m.memory)} for m in found.machines]
        yield Table(machines, "Machines", "none has measured or built anything here")
        yield f"`workbench store gc` can free {size_text(found.garbage.bytes)} ({len(found.garbage.items):,} files and folders){later(found.garbage)}"

    def data(self) -> dict[str, Any]:
        """Return all of it; `database` is in bytes, null where it is a server's."""
        found = self.value
        return {
            "store": self.place,
            "layout": found.layout,
            "database": found.database,
            "studies": found.studies,
            "files": found.files,
            "machines": [{**m.to_json(), "title": m.title} for m in found.machines],
            "garbage": {
                "bytes": found.garbage.bytes,
                "files": len(found.garbage.items),
                "executions": len(found.garbage.executions),
                "young": {"files": found.garbage.kept, "bytes": found.garbage.kept_bytes},
            },
        }

    def rows(self) -> list[Row]:
        """Return one row per kind of file, the database first."""
        database = {"part": "database", "kind": "rows", "files": 1, "bytes": self.value.database}
        return [database, *self.value.files]


@click.command()
@flags.store_option
@flags.format_option
def info(store: str | None, form: str) -> Stock:
    """Show what is in the store: studies, bytes by kind, machines, and what `store gc` would free."""
    opened = Reader(store)
    found = read_info(opened)
    notes = (
        opened.notes() if opened.exists else (f"there is no store at {opened.location!r} yet; --store names another",)
    )
    return Stock(found, form, notes, place=opened.location)


@click.command()
@click.argument("study")
@click.argument("tags", nargs=-1, required=True, metavar="TAG...")
@click.option("--remove", is_flag=True, help="take them off")
@flags.store_option
def tag(study: str, tags: tuple[str, ...], remove: bool, store: str | None) -> Said:
    """Put TAGs on STUDY; `workbench studies --tag TAG` lists those that have one."""
    parse_tags(tags)
    has = change_tags(_opened(study, store), study, tags, remove)
    return Said(has, lines=(f"study {study!r} has {'the tags ' + ', '.join(has) if has else 'no tags'}",))


@click.command()
@click.argument("study")
@click.argument("text", required=False)
@flags.store_option
def note(study: str, text: str | None, store: str | None) -> Said:
    """Write TEXT as the note on STUDY, in place of the one before; without TEXT show it, with an empty one remove it."""
    if text is None:
        reader = Reader(store)
        _check(reader, study)
        found = read_written(reader)[study].note
        empty = f"no note on study {study!r}; `{shell(['workbench', 'store', 'note', study])} TEXT` writes one"
        return Said(found, notes=reader.notes(), lines=(found or empty,))
    write_note(_opened(study, store), study, text)
    return Said(text, lines=(f"wrote the note on study {study!r}" if text else f"removed the note on study {study!r}",))


def _opened(study: str, store: str | None) -> Store:
    """Open for writing a store that has a study; one that is not there is not made."""
    _check(Reader(store), study)
    return Store(store)


def _check(reader: Reader, study: str) -> None:
    known = reader.study_names()
    if study not in known:
        raise unknown("study", study, known, f"The store is {reader.location!r}; --store names another.")

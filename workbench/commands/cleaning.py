"""Verbs that take out of the store what is not wanted any more: `store rm`, `store gc`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import click

from workbench.commands import flags
from workbench.commands.host import FrontEnd, pass_host
from workbench.commands.result import Block, Result, Row, Said, Table
from workbench.errors import unknown
from workbench.store.cleaning import Garbage, compact, find_garbage, free, remove_study, study_rows
from workbench.store.reader import Reader
from workbench.store.store import Store
from workbench.store.use import alone
from workbench.views.units import size_text


@click.command()
@click.argument("study")
@click.option("--yes", is_flag=True, help="do not ask")
@flags.store_option
@pass_host
def rm(host: FrontEnd, study: str, yes: bool, store: str | None) -> Said:
    """Remove STUDY: its record, trials and measurements.

    Its files stay until `store gc`, since other studies may share them.
    """
    reader = Reader(store)
    known = study_rows(reader)
    if study not in known:
        raise unknown("study", study, known, f"The store is {reader.location!r}; --store names another.")
    question = f"Remove study {study!r} with {_count(known[study], 'trial')} from {reader.location!r}? What was measured is lost."
    if not yes and not host.confirm(question):
        return Said(None, lines=(f"study {study!r} was not removed",), code=1)
    opened = Store(store)
    with alone(opened.place, "`store rm`"):
        removed = remove_study(opened, study)
        left = find_garbage(opened)
    lines = [
        f"removed study {study!r}: {_count(removed['trials'], 'trial')}, {_count(removed['measurements'], 'measurement')}",
        f"its files stay: `workbench store gc` can free {size_text(left.bytes)}" + later(left),
    ]
    return Said(removed, notes=opened.notes(), lines=tuple(lines))


@dataclass
class Collected(Result):
    """What was freed of a store, or can be."""

    value: Garbage
    place: str = field(kw_only=True)
    dry: bool = False
    database: int = 0

    def blocks(self) -> Iterable[Block]:
        """Return the files where they are only listed, and the sum in a line."""
        what = "can be freed" if self.dry else "freed"
        if self.dry:
            yield Table(
                [{**row, "bytes": size_text(row["bytes"])} for row in self.rows()],
                f"What no trial needs in {self.place}",
            )
        kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(Counter(self.value.executions.values()).items()))
        executions = _count(len(self.value.executions), "execution") + (f" ({kinds})" if kinds else "")
        yield f"{size_text(self.value.bytes)} {what}: {_count(len(self.value.items), 'file or folder', 'files and folders')}, {executions}"
        if self.database:
            yield f"{size_text(self.database)} freed in the database"

    def data(self) -> dict[str, Any]:
        """Return the store, what was freed or can be, and what is kept for its age."""
        return {
            "store": self.place,
            "dry_run": self.dry,
            "bytes": self.value.bytes,
            "database_bytes": self.database,
            "executions": len(self.value.executions),
            "young": {"files": self.value.kept, "bytes": self.value.kept_bytes},
            "unfinished": self.value.open,
            "files": self.rows(),
        }

    def rows(self) -> list[Row]:
        """Return one row per file or folder."""
        return [item._asdict() for item in self.value.items]


@click.command()
@click.option("--dry-run", "dry", is_flag=True, help="list what would be freed, and change nothing")
@flags.store_option
@flags.format_option
def gc(dry: bool, store: str | None, form: str) -> Collected:
    """Free what no trial needs: files, and what is recorded of how they were made.

    What is less than an hour old stays, what no row refers to stays for a day, and so does all that was made of the model of a study with
    unfinished trials. While a sweep works in the store nothing is freed. What was freed and is needed again is made again.
    """
    reader = Reader(store)
    if not reader.exists:
        note = f"there is no store at {reader.location!r} yet; --store names another"
        return Collected(Garbage(), form, (note,), place=reader.location, dry=dry)
    if dry:
        found = find_garbage(reader)
        return Collected(found, form, (*reader.notes(), *_kept(found)), place=reader.location, dry=True)
    opened = Store(store)
    with alone(opened.place, "`store gc`"):
        found = find_garbage(opened)
        failed = free(opened, found)
        database, why = compact(opened)
    notes = (*opened.notes(), *failed, *_kept(found), *([why] if why else []))
    return Collected(found, form, notes, int(bool(failed)), place=opened.location, database=database)


def _kept(found: Garbage) -> Iterable[str]:
    if found.kept:
        yield f"{size_text(found.kept_bytes)} that nothing needs are kept: {_count(found.kept, 'file')} too young to be freed (an hour; a day where no row refers to them)"
    for study, number in found.open.items():
        yield f"study {study!r} has {_count(number, 'unfinished trial')}, so all that was made of its model is kept; sweep again to finish, or remove it with `workbench store rm`"


def later(found: Garbage) -> str:
    """Return the end of a sentence on what gc can free: how much more there is that is too young yet."""
    return f", and {size_text(found.kept_bytes)} more when it is older" if found.kept else ""


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"

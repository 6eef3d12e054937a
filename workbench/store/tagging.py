"""What people write on studies: tags and a note."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import sqlalchemy as sa

from workbench.errors import WorkbenchError, shown, unknown
from workbench.names import printable
from workbench.store.reader import Reader
from workbench.store.store import Store
from workbench.store.tables import STUDIES

_TAG = re.compile(r"\w[\w.:/+@=-]{0,49}")
MOST_LETTERS = 10_000


class Written(NamedTuple):
    """The tags of a study, in the order of the alphabet, and its note, "" where there is none."""

    tags: tuple[str, ...] = ()
    note: str = ""


def read_written(store: Reader) -> dict[str, Written]:
    """Return what is written on each study; a cell that cannot be read counts as empty."""
    columns = (STUDIES.c.name, sa.cast(STUDIES.c.tags, sa.Text), sa.cast(STUDIES.c.note, sa.Text))
    (rows,) = store.database.rows(sa.select(*columns))
    return {name: Written(_tags(tags), note if isinstance(note, str) else "") for name, tags, note in rows}


def parse_tags(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the tags of words, or of lists parted by commas or spaces; raises WorkbenchError for one that is none."""
    tags = [t for text in texts for t in re.split(r"[\s,]+", text) if t]
    for tag in tags:
        if not _TAG.fullmatch(tag):
            raise WorkbenchError(
                f"tag {shown(tag)} cannot be used. Allowed: 1 to 50 letters, digits and . : / + @ = _ -, a letter or digit first."
            )
    if not tags:
        raise WorkbenchError("no tag is given. Name one or more, parted by spaces or commas.")
    return tuple(sorted({*tags}))


def change_tags(store: Store, study: str, tags: Iterable[str], remove: bool = False) -> tuple[str, ...]:
    """Add tags to a study, or take them off, and return those that it has; raises WorkbenchError for an unknown study, or a tag to take off that it does not have."""
    chosen = parse_tags(tags)
    columns = sa.select(sa.cast(STUDIES.c.tags, sa.Text)).where(STUDIES.c.name == study)
    with store.database.writing() as db:
        # A change of nothing first: it takes the write lock, so that two at once do not lose one another's.
        db.execute(sa.update(STUDIES).where(STUDIES.c.name == study).values(name=STUDIES.c.name))
        row = db.execute(columns).first()
        if row is None:
            raise unknown("study", study, store.study_names())
        had = _tags(row[0])
        for tag in chosen if remove else ():
            if tag not in had:
                raise unknown("tag", tag, had, f"They are those of study {study!r}.")
        has = sorted({*had} - {*chosen} if remove else {*had, *chosen})
        db.execute(sa.update(STUDIES).where(STUDIES.c.name == study).values(tags=has))
    return tuple(has)


def write_note(store: Store, study: str, text: str) -> None:
    """Write a study's note in place of the one before, "" for none; raises WorkbenchError for an unknown study or a text too long."""
    if len(text) > MOST_LETTERS:
        raise WorkbenchError(
            f"the note has {len(text):,} characters. Allowed: at most {MOST_LETTERS:,}; keep longer texts in a file and name that."
        )
    if study not in store.study_names():
        raise unknown("study", study, store.study_names())
    with store.database.writing() as db:
        db.execute(sa.update(STUDIES).where(STUDIES.c.name == study).values(note=printable(text) or None))


def _tags(text: Any) -> tuple[str, ...]:
    try:
        found = json.loads(text) if isinstance(text, str) else []
    except (ValueError, RecursionError):
        return ()
    return tuple(sorted({printable(t) for t in found if isinstance(t, str)})) if isinstance(found, list) else ()

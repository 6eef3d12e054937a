"""The tables of layout 1 as the version that made them had them, filled from a store of that layout (`frozen/layout1.zip`)."""

from __future__ import annotations

import io
import sqlite3
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import sqlalchemy as sa

ARCHIVE = Path(__file__).parent / "frozen" / "layout1.zip"
META = sa.MetaData()


def _table(name: str, *columns: tuple[str, Any, bool]) -> sa.Table:
    return sa.Table(
        name, META, *(sa.Column(n, t, primary_key=key, nullable=n == "samples_ns") for n, t, key in columns)
    )


_STUDY, _TRIAL = ("study", sa.String(200), True), ("trial", sa.String(40), True)
_RUNTIME, _KEY = ("runtime", sa.String(300), True), ("key", sa.String(64), False)
_table("layout", ("version", sa.Integer, True))
_table("studies", ("name", sa.String(200), True), ("started", sa.String(40), False), ("record", sa.JSON, False))
_table(
    "trials",
    *(_STUDY, ("id", sa.String(40), True), ("position", sa.Integer, False), ("state", sa.String(12), False)),
    *(_KEY, ("trial", sa.JSON, False)),
)
_table(
    "measurements",
    *(_STUDY, _TRIAL, _RUNTIME, ("at", sa.Float, False)),
    *(_KEY, ("measurement", sa.JSON, False), ("samples_ns", sa.LargeBinary, False)),
)
_table("op_profiles", _STUDY, _TRIAL, _RUNTIME, ("profile", sa.JSON, False))
_table(
    "stages",
    ("key", sa.String(64), True),
    ("kind", sa.String(40), False),
    ("seconds", sa.Float, False),
    ("result", sa.JSON, False),
)
_table("profiles", _STUDY, ("started", sa.String(40), True), ("profile", sa.JSON, False))
_table("checked", ("name", sa.String(300), True), ("stamp", sa.String(200), False))


def fill(engine: sa.Engine) -> None:
    """Make the tables of layout 1 in an empty database, and put in the rows of the frozen store."""
    with zipfile.ZipFile(ARCHIVE) as archive, tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "store.db"
        file.write_bytes(io.BytesIO(archive.read("store.db")).getvalue())
        old = sa.create_engine("sqlite://", creator=lambda: sqlite3.connect(file), poolclass=sa.pool.NullPool)
        with old.connect() as source, engine.begin() as target:
            META.create_all(target)
            for table in META.sorted_tables:
                rows = [dict(row) for row in source.execute(sa.select(table)).mappings()]
                if rows:
                    target.execute(sa.insert(table), rows)


def files(folder: Path) -> None:
    """Put the files of the frozen store into a folder."""
    with zipfile.ZipFile(ARCHIVE) as archive:
        archive.extractall(folder, [n for n in archive.namelist() if n != "store.db"])


def dump(db: sa.Connection, prefix: str = "") -> dict[str, list[str]]:
    """Return all rows of the tables of layout 1, whatever they are called now; those put aside begin with `prefix`."""
    found = {}
    there = set(sa.inspect(db).get_table_names())
    for table in META.sorted_tables:
        name = prefix + table.name if prefix + table.name in there else table.name
        columns = [sa.column(c.name, c.type) for c in table.columns]
        found[table.name] = sorted(repr(tuple(r)) for r in db.execute(sa.select(*columns).select_from(sa.table(name))))
    return found

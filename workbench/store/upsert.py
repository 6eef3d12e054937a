"""Rows written in place of those with the same keys, in one statement, as each database has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite

from workbench.store.columns import MYSQL

INSERTS: dict[str, Any] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
    **dict.fromkeys(MYSQL, mysql.insert),
}


def upsert(table: sa.Table, dialect: str, columns: Sequence[str]) -> sa.Insert:
    """Return a statement that writes some columns of a row, in place of one with the same key; the row's others stay."""
    insert = INSERTS[dialect](table)
    keys = [c.name for c in table.primary_key.columns]
    changed = [c for c in columns if c not in keys]
    found: sa.Insert
    if dialect in MYSQL:
        found = insert.on_duplicate_key_update({c: insert.inserted[c] for c in changed})
    else:
        found = insert.on_conflict_do_update(index_elements=keys, set_={c: insert.excluded[c] for c in changed})
    return found

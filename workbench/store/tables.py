"""The tables of a store. A change to them is a migration in `migrations/versions` and another LAYOUT."""

from __future__ import annotations

import sqlalchemy as sa

from workbench.store.columns import BYTES, LONG_TEXT, REAL, Json, Name

META = sa.MetaData()
# An older store is migrated, a newer one is refused rather than misread.
LAYOUT = 2
# The layout while tables get their names, after all rows were carried over (see `migrations/versions`).
MOVING = -2
LAYOUT_TABLE = sa.Table("layout", META, sa.Column("version", sa.Integer, primary_key=True))
STUDIES = sa.Table(
    "studies",
    META,
    sa.Column("name", Name(200), primary_key=True),
    sa.Column("started", Name(40), nullable=False),
    sa.Column("record", Json, nullable=False),
    sa.Column("tags", Json, nullable=True),
    sa.Column("note", LONG_TEXT, nullable=True),
)
TRIALS = sa.Table(
    "trials",
    META,
    sa.Column("study", Name(200), primary_key=True),
    sa.Column("id", Name(40), primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("state", Name(12), nullable=False),
    # The execution that the trial ends in.
    sa.Column("key", Name(64), nullable=False),
    sa.Column("trial", Json, nullable=False),
)
MACHINES = sa.Table(
    "machines",
    META,
    sa.Column("id", Name(16), primary_key=True),
    sa.Column("machine", Json, nullable=False),
)
MEASUREMENTS = sa.Table(
    "measurements",
    META,
    sa.Column("study", Name(200), primary_key=True),
    sa.Column("trial", Name(40), primary_key=True),
    sa.Column("runtime", Name(300), primary_key=True),
    sa.Column("machine", Name(16), primary_key=True),
    sa.Column("at", REAL, nullable=False),
    sa.Column("key", Name(64), nullable=False),
    sa.Column("measurement", Json, nullable=False),
    sa.Column("samples_ns", BYTES, nullable=True),
)
# Apart from the measurements, which are read all at once: a profile is long and looked at alone.
OP_PROFILES = sa.Table(
    "op_profiles",
    META,
    sa.Column("study", Name(200), primary_key=True),
    sa.Column("trial", Name(40), primary_key=True),
    sa.Column("runtime", Name(300), primary_key=True),
    sa.Column("machine", Name(16), primary_key=True),
    sa.Column("profile", Json, nullable=False),
)
EXECUTIONS = sa.Table(
    "executions",
    META,
    sa.Column("key", Name(64), primary_key=True),
    sa.Column("kind", Name(40), nullable=False),
    sa.Column("seconds", REAL, nullable=False),
    # What it made, as the stages that start from it read it; apart from what is known of it, which only people ask for.
    sa.Column("result", Json, nullable=False),
    sa.Column("execution", Json, nullable=False),
)
PROFILES = sa.Table(
    "profiles",
    META,
    sa.Column("study", Name(200), primary_key=True),
    sa.Column("started", Name(40), primary_key=True),
    sa.Column("profile", Json, nullable=False),
)
# What was found intact, by name below the store's folder, as it looked then (see `intact.py`).
CHECKED = sa.Table(
    "checked",
    META,
    sa.Column("name", Name(300), primary_key=True),
    sa.Column("stamp", Name(200), nullable=False),
)

"""The tables of a store. A change to them is a migration in `migrations/versions` and another LAYOUT."""

from __future__ import annotations

import sqlalchemy as sa

META = sa.MetaData()
# An older store is migrated, a newer one is refused rather than misread.
LAYOUT = 2
LAYOUT_TABLE = sa.Table("layout", META, sa.Column("version", sa.Integer, primary_key=True))
STUDIES = sa.Table(
    "studies",
    META,
    sa.Column("name", sa.String(200), primary_key=True),
    sa.Column("started", sa.String(40), nullable=False),
    sa.Column("record", sa.JSON, nullable=False),
    sa.Column("tags", sa.JSON, nullable=True),
    sa.Column("note", sa.Text, nullable=True),
)
TRIALS = sa.Table(
    "trials",
    META,
    sa.Column("study", sa.String(200), primary_key=True),
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("state", sa.String(12), nullable=False),
    # The execution that the trial ends in.
    sa.Column("key", sa.String(64), nullable=False),
    sa.Column("trial", sa.JSON, nullable=False),
)
MACHINES = sa.Table(
    "machines",
    META,
    sa.Column("id", sa.String(16), primary_key=True),
    sa.Column("machine", sa.JSON, nullable=False),
)
MEASUREMENTS = sa.Table(
    "measurements",
    META,
    sa.Column("study", sa.String(200), primary_key=True),
    sa.Column("trial", sa.String(40), primary_key=True),
    sa.Column("runtime", sa.String(300), primary_key=True),
    sa.Column("machine", sa.String(16), primary_key=True),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("key", sa.String(64), nullable=False),
    sa.Column("measurement", sa.JSON, nullable=False),
    sa.Column("samples_ns", sa.LargeBinary, nullable=True),
)
# Apart from the measurements, which are read all at once: a profile is long and looked at alone.
OP_PROFILES = sa.Table(
    "op_profiles",
    META,
    sa.Column("study", sa.String(200), primary_key=True),
    sa.Column("trial", sa.String(40), primary_key=True),
    sa.Column("runtime", sa.String(300), primary_key=True),
    sa.Column("machine", sa.String(16), primary_key=True),
    sa.Column("profile", sa.JSON, nullable=False),
)
EXECUTIONS = sa.Table(
    "executions",
    META,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    # What it made, as the stages that start from it read it; apart from what is known of it, which only people ask for.
    sa.Column("result", sa.JSON, nullable=False),
    sa.Column("execution", sa.JSON, nullable=False),
)
PROFILES = sa.Table(
    "profiles",
    META,
    sa.Column("study", sa.String(200), primary_key=True),
    sa.Column("started", sa.String(40), primary_key=True),
    sa.Column("profile", sa.JSON, nullable=False),
)
# What was found intact, by name below the store's folder, as it looked then (see `intact.py`).
CHECKED = sa.Table(
    "checked",
    META,
    sa.Column("name", sa.String(300), primary_key=True),
    sa.Column("stamp", sa.String(200), nullable=False),
)

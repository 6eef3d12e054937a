"""Layout 2: measurements by machine, executions in place of stages, tags and notes; on servers, types that keep what SQLite keeps.

What layout 1 did not record (a trial's own settings, what a stage was made from and with) stays empty; nothing is guessed. The
machine of a measurement is told from the environment that was written with it.

New tables are filled beside the old ones, which are read only; then all get their names. SQLite and PostgreSQL do that in one
transaction. MySQL does not: killed before the layout is `MOVING`, all is done again; after it, names are given to the rest.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any

import sqlalchemy as sa
from alembic import op

from workbench.store.columns import BYTES, LONG_TEXT, MYSQL, REAL, Json, Name
from workbench.values.base import digest

revision = "2"
down_revision = "1"
MOVING = -2
# What a table is called until it gets its name, and after another one got it.
NEW, OLD = "layout2_", "layout1_"
# By the name in layout 2: the name in layout 1, "" for none.
CARRIED = {
    "studies": "studies",
    "trials": "trials",
    "measurements": "measurements",
    "op_profiles": "op_profiles",
    "executions": "stages",
    "profiles": "profiles",
    "checked": "checked",
    "machines": "",
}
_LAYOUT = sa.table("layout", sa.column("version", sa.Integer))


def upgrade() -> None:
    """Change the tables and carry every row over."""
    db = op.get_bind()
    if db.execute(sa.select(_LAYOUT.c.version)).scalar() != MOVING:
        _carry_all(db)
        db.execute(sa.update(_LAYOUT).values(version=MOVING))
    _give_names(db)
    db.execute(sa.update(_LAYOUT).values(version=2))


def _carry_all(db: sa.Connection) -> None:
    there = set(sa.inspect(db).get_table_names())
    if db.dialect.name == "postgresql":
        # That of the layout first, as whoever reads does.
        for name in ("layout", *sorted({*CARRIED.values()} & there)):
            op.execute(f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE")
    for name in CARRIED:
        if NEW + name in there:
            op.drop_table(NEW + name)  # of a migration that was killed
    made = {name: op.create_table(NEW + name, *columns) for name, columns in _columns().items()}
    new: dict[str, dict[str, Any]] = {
        "studies": {"tags": sa.null(), "note": sa.null()},
        "measurements": {"machine": sa.literal("")},
        "op_profiles": {"machine": sa.literal("")},
        "executions": {"execution": sa.literal("{}")},
    }
    for name, old in CARRIED.items():
        if old in there:
            _carried(db, old, made[name], **new.get(name, {}))
    machines = _tell_machines(db, made["measurements"], made["op_profiles"])
    if machines:
        op.bulk_insert(made["machines"], [{"id": i, "machine": machine} for i, machine in machines.items()])
    _tell_executions(db, made["executions"])


def _columns() -> dict[str, list[sa.Column[Any]]]:
    measured = ("study", Name(200)), ("trial", Name(40)), ("runtime", Name(300)), ("machine", Name(16))

    def keys(*names: tuple[str, Name]) -> list[sa.Column[Any]]:
        return [sa.Column(name, type_, primary_key=True) for name, type_ in names]

    return {
        "studies": [
            *keys(("name", Name(200))),
            sa.Column("started", Name(40), nullable=False),
            sa.Column("record", Json, nullable=False),
            sa.Column("tags", Json, nullable=True),
            sa.Column("note", LONG_TEXT, nullable=True),
        ],
        "trials": [
            *keys(("study", Name(200)), ("id", Name(40))),
            sa.Column("position", sa.Integer, nullable=False),
            sa.Column("state", Name(12), nullable=False),
            sa.Column("key", Name(64), nullable=False),
            sa.Column("trial", Json, nullable=False),
        ],
        "measurements": [
            *keys(*measured),
            sa.Column("at", REAL, nullable=False),
            sa.Column("key", Name(64), nullable=False),
            sa.Column("measurement", Json, nullable=False),
            sa.Column("samples_ns", BYTES, nullable=True),
        ],
        "op_profiles": [*keys(*measured), sa.Column("profile", Json, nullable=False)],
        "executions": [
            *keys(("key", Name(64))),
            sa.Column("kind", Name(40), nullable=False),
            sa.Column("seconds", REAL, nullable=False),
            sa.Column("result", Json, nullable=False),
            sa.Column("execution", Json, nullable=False),
        ],
        "profiles": [*keys(("study", Name(200)), ("started", Name(40))), sa.Column("profile", Json, nullable=False)],
        "checked": [*keys(("name", Name(300))), sa.Column("stamp", Name(200), nullable=False)],
        "machines": [*keys(("id", Name(16))), sa.Column("machine", Json, nullable=False)],
    }


def _carried(db: sa.Connection, name: str, made: sa.Table, **new: Any) -> None:
    """Copy all rows within the database, with values for columns that are new: what cannot be read is to be told of later."""
    names = [c.name for c in made.columns]
    # Their types are not those of the columns that they go to, and nothing is made of what is in them.
    old = sa.table(name, *(sa.column(n) for n in names if n not in new))
    keys = [c.name for c in made.primary_key.columns if c.name not in new]
    whole = sa.and_(*(old.c[k].is_not(None) for k in keys))
    values: list[Any] = [new[n] if n in new else old.c[n] for n in names]
    target = sa.table(made.name, *(sa.column(n) for n in names))
    db.execute(sa.insert(target).from_select(names, sa.select(*values).where(whole)))


def _tell_machines(db: sa.Connection, measurements: sa.Table, profiles: sa.Table) -> dict[str, dict[str, Any]]:
    """Give each measurement, and the time of its operators, the machine that its environment tells of; returns all by id."""
    machines: dict[str, dict[str, Any]] = {}
    runs, ops = _texts(measurements), _texts(profiles)
    for row in db.execute(sa.select(runs.c.study, runs.c.trial, runs.c.runtime, runs.c.measurement)).all():
        machine = _machine(row.measurement)
        if machine is None:
            continue
        machines[machine["id"]] = machine
        same = sa.and_(runs.c.study == row.study, runs.c.trial == row.trial, runs.c.runtime == row.runtime)
        values = {"machine": machine["id"], "measurement": _with_machine(row.measurement, machine["id"])}
        _where_text(db, sa.update(runs).where(same).values(**values))
    same = sa.and_(runs.c.study == ops.c.study, runs.c.trial == ops.c.trial, runs.c.runtime == ops.c.runtime)
    machine_of = sa.select(sa.func.max(runs.c.machine)).where(same).scalar_subquery()
    db.execute(sa.update(ops).values(machine=sa.func.coalesce(machine_of, "")))
    return machines


def _tell_executions(db: sa.Connection, executions: sa.Table) -> None:
    """Give each execution what layout 1 says of it."""
    texts = _texts(executions)
    for row in db.execute(sa.select(texts.c.key, texts.c.kind, texts.c.seconds, texts.c.result)).mappings().all():
        known = {
            "key": row["key"],
            "kind": row["kind"],
            "seconds": row["seconds"] if isinstance(row["seconds"], (int, float)) else 0.0,
            "outputs": _outputs(row["result"]),
        }
        update = sa.update(texts).where(texts.c.key == row["key"]).values(execution=json.dumps(known))
        _where_text(db, update)


def _give_names(db: sa.Connection) -> None:
    """Put the old tables aside, and give the new ones their names; what has its name already keeps it.

    SQLite's old tables go: there is a copy of its file.
    """
    there = set(sa.inspect(db).get_table_names())
    asides = [(old, OLD + old) for old in CARRIED.values() if old]
    if db.dialect.name == "sqlite":
        for old in {old for old, _ in asides} & there:
            op.drop_table(old)
            there.discard(old)
    moves = []
    for name, to in (*asides, *((NEW + name, name) for name in CARRIED)):
        if name in there and to not in there:
            moves.append((name, to))
            there = there - {name} | {to}
    if db.dialect.name in MYSQL and moves:
        op.execute(f"RENAME TABLE {', '.join(f'{name} TO {to}' for name, to in moves)}")
        return
    for name, to in moves:
        op.rename_table(name, to)


def _texts(table: sa.Table) -> sa.TableClause:
    """Return a table whose columns are read and written as they lie there."""
    return sa.table(table.name, *(sa.column(c.name) for c in table.columns))


def _where_text(db: sa.Connection, update: sa.Update) -> None:
    """Change a row; one whose texts are no UTF-8 stays as it was carried over."""
    with contextlib.suppress(UnicodeEncodeError):
        db.execute(update)


def _machine(text: Any) -> dict[str, Any] | None:
    """Return the machine that a measurement's environment tells of, with the id that it has in layout 2 where it is not named."""
    environment = (_read(text) or {}).get("environment")
    if not isinstance(environment, dict):
        return None
    processor, cores, system = (environment.get(k) for k in ("processor", "cores", "system"))
    if not isinstance(processor, str) or not isinstance(cores, int) or not isinstance(system, str):
        return None
    parts = {"processor": processor, "cores": cores, "system": system, "name": ""}
    try:
        return {"id": digest(parts)[:12], "memory": None, **parts}
    except UnicodeEncodeError:
        return None


def _with_machine(text: Any, machine: str) -> str:
    return json.dumps({**(_read(text) or {}), "machine": machine})


def _outputs(text: Any) -> list[dict[str, Any]]:
    file = (_read(text) or {}).get("artifact")
    names = ("path", "sha256", "kind")
    whole = isinstance(file, dict) and all(isinstance(file.get(k), str) for k in names)
    return [{k: file[k] for k in names}] if whole else []  # type: ignore[index]  # it is a dict then


def _read(text: Any) -> dict[str, Any] | None:
    try:
        found = json.loads(text) if isinstance(text, (str, bytes)) else text
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None

"""The verbs that look after the store, and the one that looks at all of it: `store check`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import click

from workbench.commands import flags
from workbench.commands.group import Verbs
from workbench.commands.result import Block, Result, Row, Table
from workbench.data.materialize import stored_sha256
from workbench.store.check import Checked, check_store
from workbench.store.intact import DAMAGED
from workbench.store.reader import Reader
from workbench.store.store import Store
from workbench.views.units import size_text

store = Verbs(
    {
        "info": (
            "workbench.commands.noting:info",
            "Show what is in it: studies, bytes by kind, machines, what gc would free.",
        ),
        "check": ("workbench.commands.storing:check", "Read all of it, and say what is damaged, missing or unknown."),
        "rm": ("workbench.commands.cleaning:rm", "Remove a study; its files stay until gc."),
        "gc": ("workbench.commands.cleaning:gc", "Free what no trial needs; --dry-run lists it first."),
        "tag": ("workbench.commands.noting:tag", "Put tags on a study, or take them off."),
        "note": ("workbench.commands.noting:note", "Write a note on a study, or show it."),
    },
    what="store verb",
    name="store",
    help="Look after the store.",
)


@dataclass
class StoreCheck(Result):
    """What was found in a store that was read whole."""

    value: Checked
    place: str = field(kw_only=True)

    def blocks(self) -> Iterable[Block]:
        """Return the findings, and the sum of them in a line."""
        rows = [{**row, "used by": _few(row.pop("used_by"))} for row in self.rows()]
        yield Table(rows, f"Store {self.place}", "all is well")
        counts = Counter(f.state for f in self.value.findings)
        found = ", ".join(f"{n} {state}" for state, n in counts.items()) or "nothing amiss"
        yield f"{self.value.files} files and folders, {size_text(self.value.bytes)}: {found}"

    def data(self) -> dict[str, Any]:
        """Return the store, what was read, and the findings."""
        done = self.value
        return {
            "store": self.place,
            "ok": done.ok,
            "files": done.files,
            "bytes": done.bytes,
            "set_aside": done.set_aside,
            "kept_aside": done.kept_aside,
            "findings": self.rows(),
        }

    def rows(self) -> list[Row]:
        """Return one row per finding."""
        return [{**f._asdict(), "used_by": list(f.used_by)} for f in self.value.findings]


@click.command()
@click.option(
    "--set-aside",
    is_flag=True,
    help="move what is damaged to the store's folder `damaged`; the next sweep builds it again",
)
@flags.store_option
@flags.format_option
def check(set_aside: bool, store: str | None, form: str) -> StoreCheck:
    """Read every row and hash every file of the store; exit 0 when all is well, 1 when not.

    `damaged`, `missing` and `unreadable` are mended by the same sweep again; `absent` is made again when it is needed, `unknown` and
    `unfinished` are in nobody's way.
    """
    opened = Store(store) if set_aside else Reader(store)
    found = check_store(opened, lambda folder, info: stored_sha256(folder, info.inputs, info.class_names), set_aside)
    notes = list(opened.database.notes)
    if not opened.exists:
        notes.append(f"there is no store at {opened.location!r} yet; --store names another")
    if found.set_aside:
        notes.append(f"{found.set_aside} set aside; run the same sweeps again to build them")
    if found.kept_aside:
        notes.append(
            f"{found.kept_aside} in {str(opened.root / DAMAGED)!r}, set aside now or earlier; delete them when nobody wants to look at them"
        )
    # What was just set aside is damaged no more, but what stood on it has to be built again.
    return StoreCheck(found, form, tuple(notes), int(not found.ok), place=opened.location)


def _few(users: list[str]) -> str:
    return ", ".join(users[:2]) + (f" and {len(users) - 2} more" if len(users) > 2 else "")

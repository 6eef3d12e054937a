"""Where a store is: a folder, or a database by its SQLAlchemy URL with its files in a folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa

from workbench.errors import WorkbenchError
from workbench.files import check_current_folder
from workbench.names import without_password
from workbench.store.servers import with_driver

DEFAULT_STORE = ".workbench"
DATABASE = "store.db"


class StorePlace(NamedTuple):
    """`root` holds the files, `url` is the database, `file` its file where it is SQLite's; `location` is how to name it, without a password."""

    root: Path
    url: sa.URL
    file: Path | None
    location: str


def find_place(location: str | Path | None = None) -> StorePlace:
    """Return the place named by an argument, else by `WORKBENCH_STORE`, else `.workbench`; nothing is looked at or made.

    A URL's files are in `WORKBENCH_ARTIFACTS` (default `.workbench`). Raises WorkbenchError for a text that is no URL.
    """
    chosen = str(location or os.environ.get("WORKBENCH_STORE") or DEFAULT_STORE)
    if "://" not in chosen:
        if not os.path.isabs(chosen):
            check_current_folder()
        root = Path(chosen).resolve()
        return StorePlace(root, sa.URL.create("sqlite", database=str(root / DATABASE)), root / DATABASE, str(root))
    shown = without_password(chosen)
    try:
        url = sa.make_url(chosen)
        if "@" in (url.host or ""):
            raise ValueError
    except (sa.exc.ArgumentError, ValueError):
        # What they say is wrong can hold a part of the password.
        raise WorkbenchError(
            f"store {shown!r} is no SQLAlchemy URL. Name a folder, or dialect://USER:PASSWORD@HOST/DATABASE with %40 for @, %2F for / and %3A for : in user and password."
        ) from None
    root = Path(os.environ.get("WORKBENCH_ARTIFACTS", DEFAULT_STORE)).resolve()
    named = url.database or ""
    plain = url.get_backend_name() == "sqlite" and named not in ("", ":memory:") and not named.startswith("file:")
    return StorePlace(root, with_driver(url), Path(named).resolve() if plain else None, shown)


def reason(error: BaseException) -> str:
    """Return in one line what a database or the system says is wrong."""
    return next(iter(str(getattr(error, "orig", None) or error).splitlines()), type(error).__name__)

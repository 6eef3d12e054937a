"""What pages ask to be done with studies: small writes in threads of the server, verbs in a process of their own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.server.places import Places
from workbench.store.cleaning import remove_study
from workbench.store.reader import Reader
from workbench.store.store import Store
from workbench.store.tagging import change_tags, write_note
from workbench.store.underway import ask_to_stop
from workbench.store.use import alone

# A report of a large study takes a minute or two.
VERB_SECONDS = 900.0
_MOST_SAID = 4_000
_NOTEBOOK = re.compile(r"[a-z_]{1,40}")


class FileWork:
    """Changes to the studies of the stores below the server's root."""

    def __init__(self, places: Places) -> None:
        self.places = places

    def tag(self, store: str, study: str, tags: Sequence[str], remove: bool) -> list[str]:
        """Put tags on a study, or take them off, and return those that it has."""
        return list(change_tags(self._opened(store, study), study, tags, remove))

    def note(self, store: str, study: str, text: str) -> None:
        """Write a study's note in place of the one before."""
        write_note(self._opened(store, study), study, text)

    def delete(self, store: str, study: str) -> dict[str, int]:
        """Remove a study as `workbench store rm` does; raises WorkbenchError while a sweep works in its store."""
        opened = self._opened(store, study)
        with alone(opened.place, "The panel"):
            return remove_study(opened, study)

    def stop(self, store: str, study: str) -> bool:
        """Ask the sweep of a study to stop, wherever it runs, and return whether one runs."""
        return ask_to_stop(self.places.store(store), study)

    async def report(self, store: str, study: str, out: str) -> str:
        """Write a study's report as `workbench report` does, and return its path from the server's root."""
        path = self.places.new_file(out)
        await self._verb("report", "--out", str(path), "--store", str(self.places.store(store)), "--", study)
        return path.relative_to(self.places.root).as_posix()

    async def export(self, store: str, study: str, trial: str, out: str) -> str:
        """Export a trial as `workbench export` does, and return its folder's path from the server's root."""
        path = self.places.folder(out)
        await self._verb("export", "--out", str(path), "--store", str(self.places.store(store)), "--", study, trial)
        return path.relative_to(self.places.root).as_posix()

    async def notebook(self, name: str, folder: str) -> str:
        """Copy one of the notebooks that come along, as `workbench notebook` does, and return its path from the server's root; one that is there is kept."""
        where = self.places.folder(folder) if folder else self.places.root
        if not _NOTEBOOK.fullmatch(name):
            raise WorkbenchError(f"notebook {name!r} is none. `workbench notebook` lists those there are.")
        path = where / f"{name}.ipynb"
        if not path.exists():
            await self._verb("notebook", "--out", str(where), "--", name)
        return path.relative_to(self.places.root).as_posix()

    def _opened(self, store: str, study: str) -> Store:
        root: Path = self.places.store(store)
        with contextlib.closing(Reader(root)) as reader:
            reader.study(study)
        return Store(root)

    async def _verb(self, verb: str, *words: str) -> None:
        """Run a verb of the command line to its end; raises WorkbenchError with what it said where it failed."""
        command = [sys.executable, "-m", "workbench", verb, *words]
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=self.places.root,
            env={k: v for k, v in os.environ.items() if k != "WORKBENCH_STORE"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            said, _ = await asyncio.wait_for(process.communicate(), VERB_SECONDS)
        except (TimeoutError, asyncio.CancelledError):
            process.kill()
            await process.wait()
            raise WorkbenchError(f"`workbench {verb}` took longer than {VERB_SECONDS:.0f} s and was ended.") from None
        if process.returncode:
            raise WorkbenchError(said.decode(errors="replace").strip()[-_MOST_SAID:] or f"`workbench {verb}` failed")

"""The handlers: each checks who asks, and has threads do what takes long, so that the server answers others meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

from jupyter_server.base.handlers import APIHandler
from tornado import web

from workbench.errors import MissingExtra, WorkbenchError
from workbench.server.inspection import inspect_file
from workbench.server.listing import StudiesListing, study_rows, with_progress
from workbench.server.places import NotThere, Places
from workbench.server.tabs import Tabs
from workbench.server.work import FileWork
from workbench.store.place import DEFAULT_STORE
from workbench.store.reader import Reader

T = TypeVar("T")
_MOST_MESSAGES = 200


class Services(NamedTuple):
    """What all requests share."""

    places: Places
    listing: StudiesListing
    tabs: Tabs
    work: FileWork


class WorkbenchHandler(APIHandler):
    """A handler of ours: answers are JSON unless it says otherwise, and a user's mistake is a message with its status."""

    _track_activity = False

    def initialize(self, shared: Services) -> None:
        """Take what all requests share."""
        self.shared = shared

    async def prepare(self) -> None:  # type: ignore[override]
        """Refuse who has no token, and pages of other sites, whatever the method."""
        await super().prepare()
        if self.current_user is None:
            raise web.HTTPError(403)
        self.check_xsrf_cookie()

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with the message of a user's mistake as it is; any other error as Jupyter does."""
        error = (kwargs.get("exc_info") or (None, None))[1]
        if isinstance(error, Refusal):
            self.finish(json.dumps({"message": error.said, "reason": None}))
        else:
            super().write_error(status_code, **kwargs)

    async def apart(self, work: Callable[[], T]) -> T:
        """Return what `work` returns, from a thread; raises HTTPError with the message of a user's mistake."""
        with _told():
            return await asyncio.get_running_loop().run_in_executor(None, work)

    async def answer_with(self, work: Callable[[], Any]) -> None:
        """Answer with the JSON of what `work` returns, both made in a thread."""
        text = await self.apart(lambda: plain_json(work()))
        self.set_header("Cache-Control", "no-store")
        self.finish(text)

    def asked(self) -> dict[str, Any]:
        """Return the JSON object of the request's body; raises HTTPError for anything else."""
        found = self.get_json_body() or {}
        if not isinstance(found, dict):
            raise web.HTTPError(400, "a JSON object is meant")
        return found

    def store(self) -> str:
        """Return the store that the request names, by its path from the root."""
        return str(self.get_query_argument("store", DEFAULT_STORE))

    def read_study(self, name: str) -> Reader:
        """Return the store of a study; raises NotThere where it has none of that name."""
        reader = Reader(self.shared.places.store(self.store()))
        try:
            reader.study(name)
        except WorkbenchError as error:
            raise NotThere(str(error)) from None
        return reader


class InspectHandler(WorkbenchHandler):
    """`inspect?path=`: what is in a `.tflite` file."""

    @web.authenticated
    async def get(self) -> None:
        """Answer with the census, the operators, warnings and a summary."""
        name = self.get_query_argument("path", "")
        await self.answer_with(lambda: inspect_file(self.shared.places.file(name), name))


class StoresHandler(WorkbenchHandler):
    """`stores`: the stores below the root."""

    @web.authenticated
    async def get(self) -> None:
        """Answer with their paths and how many studies they have."""
        await self.answer_with(lambda: {"stores": self.shared.listing.stores()})


class StudiesHandler(WorkbenchHandler):
    """`studies`: the studies of all stores below the root."""

    @web.authenticated
    async def get(self) -> None:
        """Answer with a row for each study, latest first."""
        await self.answer_with(self.shared.listing.studies)


class StudyHandler(WorkbenchHandler):
    """`study/NAME`: one study, which can be removed."""

    @web.authenticated
    async def get(self, name: str) -> None:
        """Answer with its row, model, dataset, grid, environment, command."""

        def told() -> Any:
            with contextlib.closing(self.read_study(name)) as reader:
                (row,) = (r for r in study_rows(reader, self.store()) if r["study"] == name)
                return {**with_progress([row], reader.root)[0], "record": reader.study(name).to_json()}

        await self.answer_with(told)

    @web.authenticated
    async def delete(self, name: str) -> None:
        """Remove it, as `workbench store rm` does."""

        def remove() -> Any:
            self.read_study(name).close()
            return {"removed": self.shared.work.delete(self.store(), name)}

        await self.answer_with(remove)


class NotebooksHandler(WorkbenchHandler):
    """`notebooks`: copies of the notebooks that come along."""

    @web.authenticated
    async def post(self) -> None:
        """Copy the notebook `name` into `folder`, and answer with its path."""
        asked = self.asked()
        with _told():
            path = await self.shared.work.notebook(str(asked.get("name") or ""), str(asked.get("folder") or ""))
        self.finish(json.dumps({"path": path}))


class MessagesHandler(WorkbenchHandler):
    """`study/NAME/messages`: what a page of its dashboard asks, and what it is told."""

    @web.authenticated
    async def post(self, name: str) -> None:
        """Answer `messages` of a `page`, none of them to see whether something changed."""
        asked, store = self.asked(), self.store()
        messages = [m for m in asked.get("messages") or [] if isinstance(m, dict)][:_MOST_MESSAGES]
        page = str(asked.get("page", ""))

        def told() -> Any:
            self.read_study(name).close()
            return self.shared.tabs.answer(store, name, page, messages)

        await self.answer_with(told)


class WorkHandler(WorkbenchHandler):
    """`study/NAME/tags`, `note`, `stop`, `report`, `export`: what is done with a study."""

    @web.authenticated
    async def post(self, name: str, what: str) -> None:
        """Do it, and answer with what came of it."""
        asked, store, work = self.asked(), self.store(), self.shared.work
        await self.apart(lambda: self.read_study(name).close())
        if what == "tags":
            tags = [str(t) for t in asked.get("tags") or []]
            remove = bool(asked.get("remove"))
            await self.answer_with(lambda: {"tags": work.tag(store, name, tags, remove)})
        elif what == "note":
            text = str(asked.get("text") or "")
            await self.answer_with(lambda: work.note(store, name, text))
        elif what == "stop":
            await self.answer_with(lambda: {"stopping": work.stop(store, name)})
        else:
            out = str(asked.get("out") or "")
            with _told():
                if what == "report":
                    path = await work.report(store, name, out)
                else:
                    path = await work.export(store, name, str(asked.get("trial") or ""), out)
            self.finish(json.dumps({"path": path}))


class Refusal(web.HTTPError):
    """A user's mistake as an answer; `said` is its message, in which tornado would double each `%`."""

    def __init__(self, status: int, error: WorkbenchError) -> None:
        super().__init__(status, str(error))
        self.said = str(error)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Turn a user's mistake into an answer with its message: 404 for what is not there, 501 for what is not installed, else 400."""
    try:
        yield
    except NotThere as error:
        raise Refusal(404, error) from None
    except MissingExtra as error:
        raise Refusal(501, error) from None
    except WorkbenchError as error:
        raise Refusal(400, error) from None


def plain_json(data: Any) -> str:
    """Return data as JSON that a browser reads: numbers that are none become null."""
    try:
        return json.dumps(data, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(data))


def _finite(data: Any) -> Any:
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    return [_finite(value) for value in data] if isinstance(data, (list, tuple)) else data

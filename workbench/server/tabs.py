"""Dashboards without a kernel: a page's questions, answered from the store, while sweeps run wherever they run."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from workbench.dashboard.conversation import Conversation, Message
from workbench.engine.events import Event
from workbench.errors import WorkbenchError
from workbench.server.listing import stamp_of
from workbench.server.places import Places
from workbench.store.reader import Reader
from workbench.store.underway import Underway, ask_to_stop, underway
from workbench.study import Study

# A page that is gone says so, or is forgotten after so long; one that comes back is greeted anew.
FORGOTTEN_SECONDS = 600.0
MOST_TABS = 50
PHASES = ("prepare", "build", "measure", "done")


class StoredStudy(Study):
    """A study as a server sees it: `running` and Cancel are about a sweep of whatever process."""

    @property
    def sweep(self) -> Underway | None:
        """The sweep that works on it now."""
        return next((u for u in underway(self.store.root) if u.study == self.name), None)

    @property
    def running(self) -> bool:
        """Whether a sweep works on it, in any process."""
        return self.sweep is not None

    def subscribe(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Nothing is passed on: other processes' events are looked up, not heard."""
        return lambda: None

    def cancel(self) -> None:
        """Ask the sweep to stop, wherever it runs; finished trials stay."""
        ask_to_stop(self.store.root, self.name)


class Tab(Conversation):
    """One page's dashboard of a study; what it is told is gathered until its request is answered."""

    def __init__(self, study: StoredStudy, places: Places) -> None:
        super().__init__(study)
        self.study, self.places = study, places
        self.heard_at = time.monotonic()
        self._out: list[Message] = []
        self._seen: Any = None

    def answer(self, messages: Sequence[Message]) -> list[Message]:
        """Return what a page is told that sends these messages, or none to see whether something changed."""
        with self._lock:
            self.heard_at = time.monotonic()
            self._out = []
            self._look()
            for message in messages:
                self.hear(message)
            return self._out

    def _look(self) -> None:
        """Tell what changed in the store since the last answer."""
        sweep = self.study.sweep
        seen = (
            stamp_of(self.study.store.root),
            sweep and (sweep.phase, sweep.label, sweep.done, sweep.total, sweep.eta_s),
        )
        if sweep is not None and sweep.phase in PHASES:
            told = {"done": sweep.done, "total": sweep.total, "failed": sweep.failed, "eta_s": sweep.eta_s}
            self.state.event(Event("phase", sweep.phase, sweep.label, **told))  # type: ignore[arg-type]
        if seen != self._seen and self._tabs:
            self._publish(self.state.refresh())
        self._seen = seen

    def _tell(self, what: str, content: Message, buffers: list[bytes] | None = None) -> None:
        packed = [base64.b64encode(b).decode() for b in buffers or ()]
        self._out.append({**content, "show": what, **({"buffers": packed} if packed else {})})

    def _tell_plotly(self) -> None:
        # The page fetches it, and keeps it for the next tab.
        self._tell("plotly", {"asset": "plotly.js"})

    def _export(self, message: Message) -> None:
        name = str(message.get("folder") or "").strip()
        path = self.source.export(str(message.get("id")), self.places.folder(name))
        where = path.resolve().relative_to(self.places.root)
        self._tell("notice", {"kind": "info", "text": f"Exported to {where}, below the server's root."})


class Tabs:
    """The dashboards that pages look at now, by the page's own name."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self._lock = threading.Lock()
        self._tabs: dict[str, Tab] = {}

    def answer(self, store: str, study: str, page: str, messages: Sequence[Message]) -> dict[str, Any]:
        """Return `messages` for a page, and `gone` where it has to say `ready` once more, since this server does not know it.

        Raises WorkbenchError for a store or study that is not there.
        """
        key = f"{store}\0{study}\0{page}"
        opens = any(m.get("do") == "ready" for m in messages)
        tab = self._known(key)
        if tab is None and not opens:
            self.places.store(store)
            return {"messages": [], "gone": True}
        if tab is None:
            tab = self._opened(key, store, study)
        try:
            return {"messages": tab.answer(messages), "gone": False}
        except WorkbenchError:
            # The study was removed, or its store cannot be read any more.
            self._forget(key)
            raise
        finally:
            if any(m.get("do") == "closed" for m in messages):
                self._forget(key)

    def _known(self, key: str) -> Tab | None:
        with self._lock:
            return self._tabs.get(key)

    def _opened(self, key: str, store: str, study: str) -> Tab:
        reader = Reader(self.places.store(store))
        tab = Tab(StoredStudy(reader, reader.study(study).name), self.places)
        with self._lock:
            old = time.monotonic() - FORGOTTEN_SECONDS
            kept = sorted(
                ((k, t) for k, t in self._tabs.items() if t.heard_at > old), key=lambda item: -item[1].heard_at
            )
            self._tabs = dict(kept[: MOST_TABS - 1])
            return self._tabs.setdefault(key, tab)

    def _forget(self, key: str) -> None:
        with self._lock:
            self._tabs.pop(key, None)

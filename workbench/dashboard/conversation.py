"""What a page of the dashboard asks, and what it is told: messages that a notebook's widget or a server carries."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workbench.dashboard.download import measured_file
from workbench.dashboard.source import TrialSource, Working
from workbench.dashboard.state import DashboardState
from workbench.errors import WorkbenchError

log = logging.getLogger(__name__)

CHOICES = ("x", "y", "x_log", "y_log", "colour", "symbol")
ARRANGEMENT = ("sort", "descending", "filter", "state", "page")
TABS = ("tradeoff", "table", "parallel", "failures", "environment")

Message = dict[str, Any]


class Conversation:
    """What pages of one dashboard ask and are told; who carries the messages says how in `_tell` and `_tell_plotly`."""

    def __init__(self, source: TrialSource) -> None:
        self.source = source
        # Messages come on the kernel's threads, events on the sweep's.
        self._lock = threading.RLock()
        self._state: DashboardState | None = None
        self._tabs: dict[str, str] = {}

    @property
    def state(self) -> DashboardState:
        """What is shown; the trials are read when it is first asked for."""
        with self._lock:
            if self._state is None:
                self._state = DashboardState(self.source)
            return self._state

    def _tell(self, what: str, content: Message, buffers: list[bytes] | None = None) -> None:
        """Send pages what is to be shown."""
        raise NotImplementedError

    def _tell_plotly(self) -> None:
        """Send pages the chart's program."""
        raise NotImplementedError

    # ---- what the page asks

    def hear(self, message: Message) -> None:
        """Do what a message of the page asks; a mistake becomes a notice there, and nothing ends the connection."""
        try:
            # Not behind a refresh, which may take its time.
            if message["do"] == "cancel" and isinstance(self.source, Working):
                self.source.cancel()
            if message["do"] == "ready":
                self._greet(message)
                return
            with self._lock:
                self._answers()[message["do"]](message)
        except WorkbenchError as error:
            self._tell("notice", {"kind": "error", "text": str(error)})
        except Exception:
            log.exception("the dashboard could not do %r", message)
            text = "This did not work because of an error in Workbench; the log has the traceback."
            self._tell("notice", {"kind": "error", "text": text})

    def _answers(self) -> dict[str, Callable[[Message], None]]:
        return {
            "choose": self._choose,
            "limit": self._limit,
            "select": self._select,
            "arrange": self._arrange,
            "tab": self._tab,
            "save": self._save,
            "export": self._export,
            "cancel": self._cancel,
            "refresh": self._refresh,
            "closed": self._closed,
        }

    def _greet(self, message: Message) -> None:
        """Answer a page that shows the dashboard from now on, once: it asks again where it had no answer yet."""
        view = str(message.get("view"))
        if view in self._tabs:
            return
        self._tabs[view] = "tradeoff"
        if not message.get("plotly"):
            # Not behind the first reading of the trials: the page is busy with it for a while.
            self._tell_plotly()
        with self._lock:
            self._everything()

    def _closed(self, message: Message) -> None:
        self._tabs.pop(str(message.get("view")), None)

    def _choose(self, message: Message) -> None:
        self.state.choose(**{name: message[name] for name in CHOICES if name in message})
        self._tell("figure", self.state.figure())
        self._tell("limits", self.state.limits())

    def _limit(self, message: Message) -> None:
        self.state.limit(dict(message.get("limits") or {}), message.get("runtime"))
        self._tell("limits", self.state.limits())

    def _select(self, message: Message) -> None:
        self.state.select([str(i) for i in message.get("ids") or []])
        self._tell_selection()

    def _arrange(self, message: Message) -> None:
        self.state.arrange(**{name: message[name] for name in ARRANGEMENT if name in message})
        self._tell("table", self.state.table())

    def _tab(self, message: Message) -> None:
        tab = str(message.get("tab"))
        if tab in TABS:
            self._tabs[str(message.get("view"))] = tab
            self._fill(tab)

    def _save(self, message: Message) -> None:
        name, content = measured_file(self.state.trial(str(message.get("id"))))
        self._tell("file", {"name": name, "view": message.get("view")}, [content])

    def _export(self, message: Message) -> None:
        folder = str(message.get("folder") or "").strip()
        if not folder:
            raise WorkbenchError("the export needs the name of a folder.")
        path = self.source.export(str(message.get("id")), Path(folder).expanduser())
        self._tell("notice", {"kind": "info", "text": f"Exported to {path.resolve()}"})

    def _cancel(self, _message: Message) -> None:
        self._tell("header", self.state.header())

    def _refresh(self, _message: Message) -> None:
        self._publish(self.state.refresh())

    # ---- what the page is told

    def _everything(self) -> None:
        self._tell("header", self.state.header())
        for tab in {"tradeoff", *self._tabs.values()}:
            self._fill(tab)

    def _fill(self, tab: str) -> None:
        if tab == "tradeoff":
            self._tell("figure", self.state.figure())
            self._tell("limits", self.state.limits())
            self._tell_selection()
        else:
            self._tell(tab, getattr(self.state, tab)())

    def _tell_selection(self) -> None:
        # A comparison has its own order, and not all that is selected.
        self._tell("selection", {**self.state.selection(), "selected": self.state.selected})

    def _publish(self, changed: bool) -> None:
        """Tell the header, and what is open where trials changed."""
        self._tell("header", self.state.header())
        if changed:
            # What is selected is shown beside the table too.
            for tab in {"tradeoff", *self._tabs.values()}:
                self._fill(tab)

"""The dashboard in a notebook: one widget, what it hears and tells, and the static picture that a saved notebook keeps.

This module imports anywidget, so it is itself only imported inside functions. The widget's state holds nearly nothing:
figures, tables and plotly.js travel as messages, which no saved notebook keeps.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from workbench.compat.ipykernel import hear_beside_cells
from workbench.compat.plotly import plotly_js
from workbench.dashboard.download import measured_file
from workbench.dashboard.kept import Kept, Snapshot, snapshot_of
from workbench.dashboard.live import Pulse
from workbench.dashboard.page import SCRIPTS, STYLES, joined
from workbench.dashboard.source import TrialSource, Working
from workbench.dashboard.state import DashboardState
from workbench.engine.events import Event
from workbench.errors import WorkbenchError

log = logging.getLogger(__name__)

CHOICES = ("x", "y", "x_log", "y_log", "colour", "symbol")
ARRANGEMENT = ("sort", "descending", "filter", "state", "page")
TABS = ("tradeoff", "table", "parallel", "failures", "environment")
# A view that asks for nothing so long after it was shown stands behind a kernel that is busy.
PATIENCE_S = 3.0
# A page that asked for nothing so long is only looked at.
QUIET_S = 2.0
# So many trials take long to be drawn.
MANY = 1_000

Message = dict[str, Any]


class DashboardWidget(anywidget.AnyWidget):
    """The widget that a front end shows; `key` ties it to the static picture that it hides while it lives."""

    _esm = joined(SCRIPTS)
    _css = joined(STYLES)
    key = traitlets.Unicode().tag(sync=True)

    def open(self) -> None:
        """Connect to the page; Cancel and all else is heard while a cell keeps the kernel busy, too."""
        super().open()
        hear_beside_cells(self)


class Dashboard:
    """The live trade-off dashboard of a study: the last value of a cell shows it, and `show()` does anywhere.

    It is put out twice: as a widget, and as a static chart and table that the widget hides while it lives, so
    that a saved notebook is read without a kernel too.
    """

    def __init__(self, source: TrialSource) -> None:
        self.source = source
        self.widget = DashboardWidget(key=secrets.token_hex(4))
        self.widget.on_msg(lambda _widget, content, _buffers: self.hear(content))
        self._kept = Kept(self.widget.key)
        # Messages come on the kernel's threads, events on the sweep's.
        self._lock = threading.RLock()
        self._state: DashboardState | None = None
        self._keeping = threading.Lock()
        self._ending = threading.Lock()
        self._tabs: dict[str, str] = {}
        self._pulse: Pulse | None = None
        self._unsubscribe: Callable[[], None] | None = None
        self._shown_at = 0.0
        self._heard_at = 0.0
        self._asked = False
        self._answered = threading.Event()

    @property
    def state(self) -> DashboardState:
        """What is shown; the trials are read when it is first asked for."""
        with self._lock:
            if self._state is None:
                self._state = DashboardState(self.source)
            return self._state

    def show(self) -> None:
        """Put the dashboard out in the cell that runs."""
        from IPython.display import display

        # The page is answered meanwhile; only the end of a sweep waits, so that what it keeps comes last.
        with self._keeping:
            # The widget comes first: its page prepares itself while the trials are read.
            data, metadata = self.widget._repr_mimebundle_() or ({}, {})
            display({**data, "text/plain": self._about()}, metadata=metadata, raw=True)
            with self._lock:
                self._up_to_date()
                many = len(self.state.columns.trials) > MANY
            if many and self._tabs:
                # A page waits for its answer, from which this would take its time.
                self._answered.wait(PATIENCE_S)
            with self._lock:
                snapshot = snapshot_of(self.state)
            self._kept.show(snapshot, picture=not many)
        if many:
            threading.Thread(target=self._draw_later, args=(snapshot,), daemon=True).start()

    def _draw_later(self, snapshot: Snapshot) -> None:
        self._answered.wait(PATIENCE_S)
        # Whoever moves a slider is answered first.
        while time.monotonic() - self._heard_at < QUIET_S:
            time.sleep(QUIET_S / 4)
        with self._keeping:
            # A sweep that ended meanwhile has left a newer picture.
            if self._pulse is None and self.state.columns is snapshot.columns:
                self._kept.update(snapshot)

    def embed(self) -> DashboardWidget:
        """Return the widget alone, to stand within another one."""
        self._up_to_date()
        return self.widget

    def _up_to_date(self) -> None:
        with self._lock:
            again = self._state is not None
            self._follow()
            if again:
                self.state.refresh()
        self._shown_at = time.monotonic()

    def _ipython_display_(self) -> None:
        self.show()

    def __repr__(self) -> str:
        return f"<Dashboard of study {self.source.name!r}>"

    def _about(self) -> str:
        return f"Dashboard of study {self.source.name!r}: alive where a kernel runs; what it found is kept below."

    # ---- what the page asks

    def hear(self, message: Message) -> None:
        """Do what a message of the page asks; a mistake becomes a notice there, and nothing ends the connection."""
        self._heard_at = time.monotonic()
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
            text = "This did not work because of an error in Workbench; the kernel's log has the traceback."
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
        self._asked = True
        self._tabs[view] = "tradeoff"
        if not message.get("plotly"):
            # Not behind the first reading of the trials: the page is busy with it for a while.
            self._tell_plotly()
        with self._lock:
            self._everything()
        self._answered.set()

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

    def _tell(self, what: str, content: Message, buffers: list[bytes] | None = None) -> None:
        self.widget.send({**content, "show": what}, buffers)

    def _tell_plotly(self) -> None:
        self._tell("plotly", {}, [plotly_js()])

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

    # ---- a sweep that runs

    def _follow(self) -> None:
        """Follow a sweep of this process from now on; its events are heard once, however often the dashboard is shown."""
        if self._pulse is None and isinstance(self.source, Working) and self.source.running:
            self._pulse = Pulse(self._beat, lambda: self.source.running, lambda: self._finish(wait=False))
            self._unsubscribe = self.source.subscribe(self._event)

    def _event(self, event: Event) -> None:
        self.state.event(event)
        if event.phase == "done":
            self._finish(wait=True)
        elif self._pulse:
            self._pulse.poke()

    def _beat(self) -> None:
        """Tell what the events since the last beat changed; called about twice a second, from a thread of its own."""
        with self._lock:
            changed = self.state.refresh()
            if not self._asked and self._shown_at and time.monotonic() - self._shown_at > PATIENCE_S:
                # The page's first question waits behind a busy cell, so it gets its answer unasked.
                self._asked = True
                self._tell_plotly()
                self._everything()
            else:
                self._publish(changed)

    def _finish(self, wait: bool) -> None:
        """Tell the end, to the page and to the static picture; returns when both are out."""
        # Both threads may see the end; the sweep's waits until all is out, the other leaves it to that one.
        if not self._ending.acquire(blocking=wait):
            return
        try:
            pulse, self._pulse = self._pulse, None
            if pulse is None:
                return
            pulse.stop()
            if self._unsubscribe:
                self._unsubscribe()
            with self._lock:
                self.state.refresh()
                self._publish(True)
                snapshot = snapshot_of(self.state)
            with self._keeping:
                self._kept.update(snapshot)
        except Exception:
            # It is called from the sweep's thread, which has nothing to do with what a page shows.
            log.exception("the dashboard could not show the end of the sweep")
        finally:
            self._ending.release()

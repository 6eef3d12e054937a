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

import anywidget
import traitlets

from workbench.compat.ipykernel import hear_beside_cells
from workbench.compat.plotly import plotly_js
from workbench.dashboard.conversation import Conversation, Message
from workbench.dashboard.kept import Kept, Snapshot, snapshot_of
from workbench.dashboard.live import Pulse
from workbench.dashboard.page import SCRIPTS, STYLES, joined
from workbench.dashboard.source import TrialSource, Working
from workbench.engine.events import Event

log = logging.getLogger(__name__)

# A view that asks for nothing so long after it was shown stands behind a kernel that is busy.
PATIENCE_S = 3.0
# A page that asked for nothing so long is only looked at.
QUIET_S = 2.0
# So many trials take long to be drawn.
MANY = 1_000


class DashboardWidget(anywidget.AnyWidget):
    """The widget that a front end shows; `key` ties it to the static picture that it hides while it lives."""

    _esm = joined(SCRIPTS)
    _css = joined(STYLES)
    key = traitlets.Unicode().tag(sync=True)

    def open(self) -> None:
        """Connect to the page; Cancel and all else is heard while a cell keeps the kernel busy, too."""
        super().open()
        hear_beside_cells(self)


class Dashboard(Conversation):
    """The live trade-off dashboard of a study: the last value of a cell shows it, and `show()` does anywhere.

    It is put out twice: as a widget, and as a static chart and table that the widget hides while it lives, so
    that a saved notebook is read without a kernel too.
    """

    def __init__(self, source: TrialSource) -> None:
        super().__init__(source)
        self.widget = DashboardWidget(key=secrets.token_hex(4))
        self.widget.on_msg(lambda _widget, content, _buffers: self.hear(content))
        self._kept = Kept(self.widget.key)
        self._keeping = threading.Lock()
        self._ending = threading.Lock()
        self._pulse: Pulse | None = None
        self._unsubscribe: Callable[[], None] | None = None
        self._shown_at = 0.0
        self._heard_at = 0.0
        self._asked = False
        self._answered = threading.Event()

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

    # ---- what the page asks, and is told

    def hear(self, message: Message) -> None:
        """Do what a message of the page asks; a mistake becomes a notice there, and nothing ends the connection."""
        self._heard_at = time.monotonic()
        super().hear(message)

    def _greet(self, message: Message) -> None:
        self._asked = True
        super()._greet(message)
        self._answered.set()

    def _tell(self, what: str, content: Message, buffers: list[bytes] | None = None) -> None:
        self.widget.send({**content, "show": what}, buffers)

    def _tell_plotly(self) -> None:
        self._tell("plotly", {}, [plotly_js()])

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

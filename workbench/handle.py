"""`RunningSweep`: a sweep in the background, and its study while it grows."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from workbench.engine.events import STAYS, Event, Listener
from workbench.errors import Cancelled, WorkbenchError
from workbench.store.reader import Reader
from workbench.study import Study


class RunningSweep(Study):
    """The handle of a sweep of this process: `wait`, `cancel`, `running`; and its study, of which everything can be asked as it grows.

    `study` is the study alone, which keeps nothing of the sweep alive.
    """

    def __init__(self, store: Reader, work: Work) -> None:
        super().__init__(store, "")
        self._work = work

    @property
    def name(self) -> str:
        """The study's name; waits until the sweep has found it."""
        return self._work.name()

    @property
    def study(self) -> Study:
        """The study, to be read; waits until the sweep has found it."""
        return Study(self.store, self.name)

    def wait(self) -> RunningSweep:
        """Wait for the sweep to end; raises what it raised. Ctrl-C stops the sweep, whose finished trials stay."""
        self._work.wait()
        return self

    result = wait

    def begun(self, seconds: float) -> bool:
        """Wait at most so many seconds for the sweep to pass its checks; raises what it raised before that."""
        return self._work.begun(seconds)

    def cancel(self) -> None:
        """Stop the sweep; finished trials stay."""
        self._work.cancel.set()

    @property
    def running(self) -> bool:
        """Whether the sweep has not ended yet."""
        return self._work.running

    @property
    def done(self) -> bool:
        """Whether the sweep has ended, however it did."""
        return not self._work.running

    @property
    def error(self) -> str | None:
        """What ended the sweep before its time, in words; None where nothing did."""
        error = self._work.error
        if error is None or isinstance(error, WorkbenchError):
            return str(error) if error else None
        return "cancelled" if isinstance(error, (Cancelled, KeyboardInterrupt)) else f"{type(error).__name__}: {error}"

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Have the sweep's events passed on, from its thread; returns what ends that.

        The last event is of phase `done`, however the sweep ends.
        """
        return self._work.subscribe(listener)


class Work:
    """A sweep in a thread of its own; the caller stays free.

    Whoever subscribes hears every event from that thread, and a last one of phase `done` however the sweep ended, when
    `running` is no longer true and before `wait` returns.
    """

    def __init__(self, run: Callable[[threading.Event, Callable[[str], None], Listener], Any]) -> None:
        self.cancel = threading.Event()
        self.running = True
        self.error: BaseException | None = None
        self._named = threading.Event()
        # Not `Thread.join`: in CPython 3.11 an interrupted join takes a running thread for ended.
        self._ended = threading.Event()
        self._name: str | None = None
        self._listeners: list[Listener] = []
        self._said: list[Event] = []
        self._lock = threading.Lock()
        self._last = Event("phase", "done", "")

        def work() -> None:
            try:
                run(self.cancel, self._found, self._tell)
            except BaseException as error:  # handed to whoever waits
                self.error = error
            finally:
                self.running = False
                self._named.set()
                self._pass_on(self._last)
                self._ended.set()

        self.thread = threading.Thread(target=work, name="workbench-sweep", daemon=True)
        self.thread.start()

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Have every further event passed on, and first what stays to be read of those before; returns what ends that. Where the sweep has ended, nothing comes any more."""
        with self._lock:
            said = list(self._said)
            self._listeners.append(listener)
        for event in said:
            listener(event)

        def leave() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return leave

    def name(self) -> str:
        """Return the study's name once it is known; raises what the sweep raised before it was."""
        self._named.wait()
        if self._name is None:
            raise self.error or WorkbenchError("the sweep ended before it began")
        return self._name

    def begun(self, seconds: float) -> bool:
        """Wait at most so long until the study is known, and say whether it is; raises what the sweep raised before."""
        if self._named.wait(seconds):
            self.name()
        return self._named.is_set()

    def wait(self) -> None:
        """Wait to the end; an interrupt (Ctrl-C) stops the sweep cleanly and is passed on."""
        try:
            while not self._ended.wait(0.2):
                pass
        except KeyboardInterrupt:
            self.cancel.set()
            self._ended.wait(30)
            raise
        if self.error:
            raise self.error

    def _found(self, name: str) -> None:
        self._name = name
        self._named.set()

    def _tell(self, event: Event) -> None:
        if event.phase == "done":
            self._last = event
        else:
            self._pass_on(event)

    def _pass_on(self, event: Event) -> None:
        with self._lock:
            if event.kind in STAYS:
                self._said.append(event)
            listeners = list(self._listeners)
        for listener in listeners:
            try:
                listener(event)
            except Exception:  # who looks on does not stop the work
                logging.getLogger(__name__).exception("a listener of the sweep failed")

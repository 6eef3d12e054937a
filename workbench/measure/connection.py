"""Questions to a process of ours in which strangers' code may run, and what becomes of them."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any, NoReturn

from workbench.errors import StageFailed, Unfit
from workbench.measure import protocol
from workbench.measure.channel import Channel, Frame
from workbench.measure.protocol import Message, NoMessage
from workbench.measure.watch import Waiting, Watch

if TYPE_CHECKING:
    import psutil

# An answer that takes longer than this is told to be waited for.
QUIET_SECONDS = 5.0
# How long a process whose connection has ended is given to be gone itself.
ENDED_SECONDS = 2.0


def process(pid: int) -> psutil.Process | None:
    """Return a process by its number, so that no later one of that number is taken for it; None where it has ended."""
    import psutil

    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None


class Connection:
    """A channel to one process; `label` says in messages what it holds.

    A question raises StageFailed, or Unfit, with the reason where it is refused. It raises StageFailed too where the process
    died, took too long or sent what is no answer, and Cancelled when the watch is asked to stop; the process is ended then.
    """

    def __init__(self, channel: Channel, label: str, peer: psutil.Process | None, watch: Watch) -> None:
        self.label, self.watch = label, watch
        self._channel, self._peer = channel, peer
        self._number = 0

    def ask(
        self,
        request: Message,
        seconds: float,
        *kinds: type[Any],
        arrays: int = 0,
        passing: socket.socket | None = None,
    ) -> tuple[Any, bytearray]:
        """Send a request and return the answer, which is one of `kinds`, and the bytes of its arrays, at most so many."""
        self._number += 1
        try:
            self._channel.send(self._number, protocol.encode(request), passing=passing)
        except OSError:
            self._lost()
        return self.hear(seconds, *kinds, arrays=arrays)

    def hear(self, seconds: float, *kinds: type[Any], arrays: int = 0) -> tuple[Any, bytearray]:
        """Return the answer to the last request; what a process says unasked counts as one to request 0."""
        try:
            frame = self._frame(seconds, arrays)
            answer = protocol.answer_in(frame.message, *kinds)
        except NoMessage as error:
            raise self.distrust(str(error)) from None
        except TimeoutError:
            self.kill()
            raise StageFailed(f"time limit: {self.label} gave no answer within {seconds:g} s and was ended") from None
        except (EOFError, OSError):
            self._lost()
        except BaseException:
            # Whoever stops waiting leaves nothing behind that goes on.
            self.kill()
            raise
        if isinstance(answer, protocol.Refused):
            raise (Unfit if answer.unfit else StageFailed)(answer.error)
        return answer, frame.arrays

    def _frame(self, seconds: float, arrays: int) -> Frame:
        waiting = Waiting(self.watch, QUIET_SECONDS)

        def meanwhile() -> None:
            waiting.go_on(f"waiting for {self.label}, for {waiting.seconds:.0f} s of at most {seconds:g} s")

        frame = self._channel.receive(arrays, seconds, meanwhile)
        if frame.number != self._number:
            raise NoMessage(f"an answer to request {frame.number}, where {self._number} was asked")
        return frame

    def distrust(self, reason: str) -> StageFailed:
        """End the process, which sent what cannot be, and return the failure to raise."""
        self.kill()
        return StageFailed(
            f"the process of {self.label} sent what is no answer and was ended: native code wrote into its connection ({reason})"
        )

    def kill(self) -> None:
        """End the process at once."""
        import psutil

        if self._peer is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                self._peer.kill()
        self.close()

    def close(self) -> None:
        """Let the process end."""
        self._channel.close()

    def _lost(self) -> NoReturn:
        """Raise StageFailed for a connection that has ended, with its process or without."""
        if self._ended():
            self.close()
            raise StageFailed(
                f"crash: the process of {self.label} died (a segmentation fault, or it was killed)"
            ) from None
        self.kill()
        raise StageFailed(
            f"the process of {self.label} closed its connection without an answer and was ended: native code closed its descriptors"
        ) from None

    def _ended(self) -> bool:
        import psutil

        if self._peer is None:
            return True
        try:
            self._peer.wait(ENDED_SECONDS)
            return True
        except psutil.TimeoutExpired:
            with contextlib.suppress(psutil.NoSuchProcess):
                return self._peer.status() == psutil.STATUS_ZOMBIE
            return True

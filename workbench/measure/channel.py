"""Numbered frames over a socket, each bounded in size and time: what comes may be anything, and costs no more than it is."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from workbench.measure.protocol import NoMessage

# Mark, the number of the request, bytes of the message, bytes of the arrays after it.
HEAD = struct.Struct("!4sIIQ")
MARK = b"\x93wb\x01"
MESSAGE_BYTES = 16 << 20
CHUNK = 1 << 20
# A frame that has begun is written without a pause; one that stops in the middle will not be completed.
REST_SECONDS = 60.0
POLL_SECONDS = 0.2


class Frame(NamedTuple):
    """A message with the number of its request, and the bytes of arrays."""

    number: int
    message: bytearray
    arrays: bytearray


class Channel:
    """One end of a connection between the calling process and a host."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    def send(
        self, number: int, message: bytes, arrays: Sequence[memoryview] = (), passing: socket.socket | None = None
    ) -> None:
        """Send a frame, with the descriptor of a socket where one is to be passed on. Raises OSError."""
        head = HEAD.pack(MARK, number, len(message), sum(a.nbytes for a in arrays))
        data = memoryview(head + message)
        self._socket.settimeout(None)
        if passing is not None:
            data = data[socket.send_fds(self._socket, [data], [passing.fileno()]) :]
        self._socket.sendall(data)
        for part in arrays:
            self._socket.sendall(part)

    def receive(
        self, arrays: int = 0, seconds: float | None = None, meanwhile: Callable[[], None] = lambda: None
    ) -> Frame:
        """Return the next frame; `meanwhile` is called now and then while none comes.

        Raises NoMessage for what is no frame, or one with more than `arrays` bytes of arrays; TimeoutError after `seconds`;
        EOFError and OSError where the other end has gone.
        """
        until = None if seconds is None else time.monotonic() + seconds
        return self._rest(self._read(HEAD.size, until, meanwhile), arrays, until is not None, meanwhile)

    def receive_passed(self) -> tuple[Frame, socket.socket]:
        """Return the next frame and the socket that was passed on with it."""
        data, descriptors, _, _ = socket.recv_fds(self._socket, HEAD.size, 1)
        if not data:
            raise EOFError
        if len(descriptors) != 1:
            raise NoMessage("no connection came along")
        passed = socket.socket(fileno=descriptors[0])
        head = bytearray(data) + self._read(HEAD.size - len(data), None, lambda: None)
        return self._rest(head, 0, False), passed

    def close(self) -> None:
        """Close this end."""
        with contextlib.suppress(OSError):
            self._socket.close()

    def _rest(self, head: bytearray, arrays: int, bounded: bool, meanwhile: Callable[[], None] = lambda: None) -> Frame:
        mark, number, message_bytes, array_bytes = HEAD.unpack(head)
        if mark != MARK:
            raise NoMessage(f"bytes that begin no message: {bytes(head[:8])!r}")
        if message_bytes > MESSAGE_BYTES or array_bytes > arrays:
            raise NoMessage(f"a message of {message_bytes} bytes with {array_bytes} bytes of arrays")
        until = time.monotonic() + REST_SECONDS if bounded else None
        try:
            message = self._read(message_bytes, until, meanwhile)
            return Frame(number, message, self._read(array_bytes, until, meanwhile))
        except TimeoutError:
            raise NoMessage(f"a message that was not whole after {REST_SECONDS:g} s") from None

    def _read(self, count: int, until: float | None, meanwhile: Callable[[], None]) -> bytearray:
        """Return so many bytes; they are held as they come, so that a number alone makes nobody allocate."""
        self._socket.settimeout(None if until is None else POLL_SECONDS)
        data = bytearray()
        while len(data) < count:
            try:
                chunk = self._socket.recv(min(count - len(data), CHUNK))
                if not chunk:
                    raise EOFError
                data += chunk
            except TimeoutError:
                meanwhile()
            if until is not None and len(data) < count and time.monotonic() > until:
                raise TimeoutError
        return data

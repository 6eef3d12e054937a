"""What the tests of hostile files share: things at a path that are no regular files, and how a refusal looks."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.errors import WorkbenchError, shown


def fifo(path: Path) -> None:
    os.mkfifo(path)


def listening_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def folder(path: Path) -> None:
    path.mkdir()


def dangling(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere")


def looping(path: Path) -> None:
    path.symlink_to(path.name)


def link_to_a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def link_to_a_terminal(path: Path) -> None:
    path.symlink_to("/dev/tty")


def link_to_a_fifo(path: Path) -> None:
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")


def link_to_a_folder(path: Path) -> None:
    path.symlink_to(path.parent)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def link_without_size(path: Path) -> None:
    """A regular file that says to have no bytes, and has some."""
    path.symlink_to("/proc/self/environ")


# None of these can be read as a file of any kind, and some make a careless reader wait for ever.
NO_FILES: list[Callable[[Path], None]] = [
    fifo, listening_socket, folder, dangling, looping, link_to_a_device, link_to_a_terminal, link_to_a_fifo, link_to_a_folder,
    empty, link_without_size,
]  # fmt: skip


def brief(value: object) -> str:
    """The name of a test's case, of whatever length the value is."""
    return ascii(shown(value))[1:40]


def refused(call: Callable[[], object], *said: str) -> str:
    """Hold that a call is refused with a message that has these words and is no essay; return the message."""
    with pytest.raises(WorkbenchError) as caught:
        call()
    message = str(caught.value)
    for words in said:
        assert words in message, (words, message)
    assert len(message) < 2500, len(message)
    assert "\n" not in message
    return message

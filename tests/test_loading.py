"""Ctrl-C while modules load ends the process, whatever the code that is being imported does with exceptions."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from interrupts import hear_interrupts

from workbench.cli.loading import loading

CARELESS = """
import os, signal, time
from workbench.cli.loading import loading

def careless():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
    except BaseException:
        pass

{body}
print("went on")
"""


def outcome(body: str) -> subprocess.CompletedProcess[str]:
    code = CARELESS.format(body=body)
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        preexec_fn=hear_interrupts,
    )


def test_it_ends_even_where_the_exception_would_be_swallowed() -> None:
    done = outcome("with loading():\n    careless()")
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "workbench: interrupted; finished work is kept, run the same command again to go on\n"


def test_without_it_the_interrupt_is_lost() -> None:
    done = outcome("careless()")
    assert (done.returncode, done.stdout) == (0, "went on\n")


@pytest.fixture
def restored() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("restored")
def test_afterwards_an_interrupt_is_an_exception_again() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with loading():
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("restored")
def test_what_was_started_to_ignore_interrupts_goes_on_ignoring_them() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with loading():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN

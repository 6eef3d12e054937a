"""Ctrl-C while modules load ends the process, whatever the code that is being imported does with exceptions."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

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
    return subprocess.run(
        [sys.executable, "-c", CARELESS.format(body=body)], capture_output=True, text=True, check=False, timeout=60
    )


def test_it_ends_even_where_the_exception_would_be_swallowed() -> None:
    done = outcome("with loading():\n    careless()")
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "workbench: interrupted; finished work is kept, run the same command again to go on\n"


def test_without_it_the_interrupt_is_lost() -> None:
    done = outcome("careless()")
    assert (done.returncode, done.stdout) == (0, "went on\n")


def test_afterwards_an_interrupt_is_an_exception_again() -> None:
    from workbench.cli.loading import loading

    before = signal.getsignal(signal.SIGINT)
    with loading():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)

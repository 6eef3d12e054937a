"""What a user has set of the process is the same during a sweep and after it, a dashboard, a report and a batch."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from process_state import changed, state

import workbench
from workbench.quiet import quiet

ROOT = Path(workbench.__file__).parents[1]


@pytest.mark.slow
def test_the_process_is_left_as_it_was(small_tflite: Path, tmp_path: Path) -> None:
    script = Path(__file__).with_name("process_state.py")
    done = subprocess.run(
        [sys.executable, script, small_tflite, tmp_path],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"during": [], "after": []}
    assert "distributed" not in done.stderr
    assert "A new study created" not in done.stderr


def test_the_check_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    before = state()
    assert changed(before, state()) == []
    monkeypatch.setattr(logging.getLogger("distributed"), "level", logging.CRITICAL)
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")
    assert [c.partition(":")[0] for c in changed(before, state())] == ["logger distributed", "environment"]


def test_what_one_thread_has_kept_quiet_others_say(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("papermill.of_this_test")
    log.setLevel(logging.INFO)

    def say(text: str) -> None:
        log.warning(text)

    with quiet("papermill", logging.ERROR):
        other = threading.Thread(target=say, args=("of another thread",))
        other.start()
        other.join()
        say("of this thread")
        log.error("an error")
    say("afterwards")
    assert [r.getMessage() for r in caplog.records] == ["of another thread", "an error", "afterwards"]
    assert log.level == logging.INFO
    assert not log.filters

"""Mutated files give a result or a message, in bounded time: a seeded 200 of the 2,000 that `tests/fuzz/run.py` tries."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

FUZZ = Path(__file__).parent / "fuzz"


@pytest.fixture
def fuzzing() -> Iterator[object]:
    sys.path.insert(0, str(FUZZ))
    import run

    yield run
    sys.path.remove(str(FUZZ))


@pytest.mark.slow
def test_two_hundred_mutated_models(tmp_path: Path) -> None:
    """No file ends the process, hangs or gives a traceback; some are read, some run in LiteRT."""
    command = [sys.executable, str(FUZZ / "run.py"), "--count", "200", "--seed", "12", "--keep", str(tmp_path / "bad")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    said = done.stdout.splitlines()[-1]
    assert "0 crash, 0 hang, 0 traceback" in said
    counts = {word: int(number) for number, word in (part.split()[-2:] for part in said.split(";")[0].split(","))}
    assert counts["ok"] + counts["refused"] == 200
    assert min(counts["ok"], counts["refused"]) > 20
    assert "native" in said


@pytest.mark.parametrize(
    ("word", "state", "text"),
    [
        ("fine", "ok", ""),
        ("refuse", "refused", ""),
        ("crash", "crash", "exit status -6"),
        ("hang", "hang", "no answer in 3 s"),
        ("", "traceback", "ZeroDivisionError"),
    ],
)
def test_what_none_may_is_noticed(fuzzing: object, tmp_path: Path, word: str, state: str, text: str) -> None:
    """A crash, a hang and a traceback are told apart, and the next file is tried all the same."""
    from run import Child  # type: ignore[import-not-found, unused-ignore]  # beside the command, not on the path

    child = Child(native=False, seconds=3.0 if word == "hang" else 60.0)
    try:
        bad, good = tmp_path / "bad.misbehave", tmp_path / "good.misbehave"
        bad.write_text(word)
        good.write_text("fine")
        if word == "hang":
            child.seconds = 60.0
            assert child.ask(good)[0] == "ok"
            child.seconds = 3.0
        found = child.ask(bad)
        assert (found[0], text in found[1]) == (state, True), found
        child.seconds = 60.0
        assert child.ask(good)[0] == "ok"
    finally:
        child.close()

"""The lock of measurements: where it lies, what may lie in its place, and how those who wait are told."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from workbench import files
from workbench.errors import Cancelled, WorkbenchError
from workbench.files import private_folder
from workbench.measure import lock, watch
from workbench.measure.lock import NAME, LockHolder, machine_lock
from workbench.measure.watch import Waiting, Watch

NOBODY = 65534
ROOT = Path(files.__file__).resolve().parent.parent
# Bounds of what happens at once on an idle machine.
SOON = 60.0


def as_root() -> None:
    if os.getuid() != 0:
        pytest.skip("only root can give files to other users")


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder, a home and no runtime folder, all of this test's own; the name of the private folder is free."""
    for name in ("tmp", "home", "elsewhere"):
        (tmp_path / name).mkdir()
    (tmp_path / "tmp").chmod(0o1777)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    return tmp_path


def name_of(places: Path) -> Path:
    return places / "tmp" / f"workbench-{os.getuid()}"


def is_private(folder: Path) -> bool:
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and stat.S_IMODE(found.st_mode) == 0o700


# ---- the folder


def test_the_folder_is_the_owners_alone(places: Path) -> None:
    before = os.umask(0)
    try:
        assert private_folder() == name_of(places)
    finally:
        os.umask(before)
    assert is_private(name_of(places))
    assert private_folder() == name_of(places)


def linked(name: Path) -> None:
    name.symlink_to(name.parent.parent / "elsewhere")


def linked_to_nothing(name: Path) -> None:
    name.symlink_to(name.parent.parent / "nothing")


def linked_to_itself(name: Path) -> None:
    name.symlink_to(name)


def plain(name: Path) -> None:
    name.write_text("precious")


def pipe(name: Path) -> None:
    os.mkfifo(name)


def door(name: Path) -> None:
    # By a short name: the address of a socket has room for 108 characters.
    here = os.open(name.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f"/proc/self/fd/{here}/{name.name}")
    os.close(here)


def foreign(name: Path) -> None:
    as_root()
    name.mkdir(mode=0o700)
    os.chown(name, NOBODY, NOBODY)


def foreign_and_open(name: Path) -> None:
    as_root()
    name.mkdir()
    name.chmod(0o777)
    os.chown(name, NOBODY, NOBODY)


def foreign_with_a_lock(name: Path) -> None:
    foreign(name)
    (name / NAME).write_text("{}")
    os.chown(name / NAME, NOBODY, NOBODY)


def linked_to_foreign(name: Path) -> None:
    foreign(name.parent.parent / "foreign")
    name.symlink_to(name.parent.parent / "foreign")


def foreign_link_to_ours(name: Path) -> None:
    as_root()
    name.symlink_to(name.parent.parent / "elsewhere")
    os.chown(name, NOBODY, NOBODY, follow_symlinks=False)


PLANTED_FOLDERS = (
    linked, linked_to_nothing, linked_to_itself, plain, pipe, door, foreign, foreign_and_open, foreign_with_a_lock,
    linked_to_foreign, foreign_link_to_ours,
)  # fmt: skip


@pytest.mark.parametrize("plant", PLANTED_FOLDERS, ids=lambda f: f.__name__)
def test_what_was_planted_in_the_folders_place_is_left_alone(plant: Callable[[Path], None], places: Path) -> None:
    name = name_of(places)
    plant(name)
    before = name.lstat()
    inside = sorted(p.name for p in (places / "elsewhere").iterdir())
    found = private_folder()
    assert found == places / "home" / ".cache" / "workbench"
    assert is_private(found)
    with machine_lock("x"):
        assert (found / NAME).is_file()
    after = name.lstat()
    assert (after.st_mode, after.st_uid, after.st_ino) == (before.st_mode, before.st_uid, before.st_ino)
    assert sorted(p.name for p in (places / "elsewhere").iterdir()) == inside
    assert not (places / "nothing").exists()


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o755, 0o750, 0o701, 0o710, 0o720, 0o740, 0o1777, 0o2770])
def test_a_folder_of_ours_that_is_open_is_closed(mode: int, places: Path) -> None:
    name_of(places).mkdir()
    name_of(places).chmod(mode)
    assert private_folder() == name_of(places)
    assert is_private(name_of(places))


def test_where_nothing_can_be_had_it_says_so(places: Path) -> None:
    plain(name_of(places))
    (places / "home" / ".cache").write_text("")
    with pytest.raises(
        WorkbenchError,
        match=r"no folder that is this user's alone can be made; tried .*workbench-.*\.cache.* or set TMPDIR",
    ):
        private_folder()


def test_the_runtime_folder_comes_first(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (places / "run").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(places / "run"))
    assert private_folder() == places / "run" / "workbench"
    assert is_private(places / "run" / "workbench")
    assert not name_of(places).exists()


@pytest.mark.parametrize("mode", [0o755, 0o777, 0o710, 0o701, 0o1777])
def test_a_runtime_folder_that_is_open_is_not_used(mode: int, places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (places / "run").mkdir()
    (places / "run").chmod(mode)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(places / "run"))
    assert private_folder() == name_of(places)
    assert stat.S_IMODE((places / "run").stat().st_mode) == mode


@pytest.mark.parametrize("value", ["", "run", "./run", "/nowhere/at/all", "/dev/null", "link"])
def test_a_runtime_folder_that_is_none_is_not_used(value: str, places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if value == "link":
        (places / "real").mkdir(mode=0o700)
        (places / "link").symlink_to(places / "real")
        value = str(places / "link")
    monkeypatch.chdir(places)
    monkeypatch.setenv("XDG_RUNTIME_DIR", value)
    assert private_folder() == name_of(places)


# ---- the file


def put_link(path: Path, target: Path) -> None:
    path.symlink_to(target)


def put_dangling(path: Path, target: Path) -> None:
    path.symlink_to(target.parent / "nothing")


def put_link_to_folder(path: Path, target: Path) -> None:
    path.symlink_to(target.parent)


def put_link_to_device(path: Path, target: Path) -> None:
    path.symlink_to("/dev/null")


def put_circle(path: Path, target: Path) -> None:
    path.symlink_to(path)


def put_pipe(path: Path, target: Path) -> None:
    os.mkfifo(path)


def put_folder(path: Path, target: Path) -> None:
    path.mkdir()


def put_socket(path: Path, target: Path) -> None:
    door(path)


def put_second_name(path: Path, target: Path) -> None:
    os.link(target, path)


def put_foreign(path: Path, target: Path) -> None:
    as_root()
    path.write_text("theirs")
    os.chown(path, NOBODY, NOBODY)


def put_device(path: Path, target: Path) -> None:
    as_root()
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("no device can be made here")


PLANTED_FILES = (
    put_link, put_dangling, put_link_to_folder, put_link_to_device, put_circle, put_pipe, put_folder, put_socket,
    put_second_name, put_foreign, put_device,
)  # fmt: skip


@pytest.mark.timeout(120)
@pytest.mark.parametrize("plant", PLANTED_FILES, ids=lambda f: f.__name__)
def test_what_was_planted_in_the_files_place_is_not_followed(plant: Callable[[Path, Path], None], places: Path) -> None:
    target = places / "elsewhere" / "precious"
    target.write_text("precious")
    path = private_folder() / NAME
    plant(path, target)
    before = path.lstat()
    said = r"lock of measurements '.*measure\.lock'.*emove what is there"
    with pytest.raises(WorkbenchError, match=said), machine_lock("x"):
        pytest.fail("it was taken")
    assert target.read_text() == "precious"
    assert not (places / "elsewhere" / "nothing").exists()
    after = path.lstat()
    assert (after.st_mode, after.st_uid, after.st_size) == (before.st_mode, before.st_uid, before.st_size)


def test_the_file_says_who_has_it_and_is_nobody_elses(places: Path) -> None:
    with machine_lock("bench x.tflite"):
        path = private_folder() / NAME
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        said = json.loads(path.read_text())
        assert (said["pid"], said["what"]) == (os.getpid(), "bench x.tflite")
        assert path.read_text().endswith("}\n")
    assert path.read_text() == ""


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 5000, b"{}", b"null", b"[1]", b'{"pid": -1, "what": "", "since": 0}', b'{"pid": 1}', b"\xff\xfe", b"[" * 4096,
     b'{"pid": 1, "what": "' + b"x" * 4000 + b'", "since": 0}', b'{"pid": 1, "what": "", "since": NaN}',
     b'{"pid": 1, "what": "", "since": 0, "more": 1}'],
)  # fmt: skip
def test_a_file_that_says_nothing_sensible_is_taken_all_the_same(content: bytes, places: Path) -> None:
    path = private_folder() / NAME
    path.write_bytes(content)
    file = os.open(path, os.O_RDONLY)
    assert lock.holder(file) is None
    os.close(file)
    with machine_lock("mine"):
        assert json.loads(path.read_text())["what"] == "mine"


@pytest.mark.parametrize("what", ["x" * 10_000, "\x1b[2Jgone", "a\nb", "\U0001f600" * 300, "\udcff.tflite", "\0"])
def test_any_name_is_told_in_one_harmless_line(what: str, places: Path) -> None:
    with machine_lock(what):
        path = private_folder() / NAME
        file = os.open(path, os.O_RDONLY)
        found = lock.holder(file)
        os.close(file)
    assert found is not None
    assert found.text.isprintable()
    assert len(found.text) < 300


def test_what_a_file_says_is_no_command_for_a_terminal() -> None:
    assert LockHolder(pid=1, what="\x1b[2J", since=0.0).text.isprintable()


# ---- waiting


@pytest.fixture
def held(places: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the lock until it hears a line."""
    code = (
        "import sys, tempfile\ntempfile.tempdir = sys.argv[1]\nfrom workbench.measure.lock import machine_lock\n"
        "with machine_lock('bench x.tflite'):\n    print('mine', flush=True)\n    sys.stdin.readline()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(places / "tmp")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "mine\n"
    yield process
    process.kill()
    process.communicate()


def release(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_who_waits_is_told_for_whom_and_goes_on_when_it_is_free(held: subprocess.Popen[str]) -> None:
    told: list[str] = []
    busy: list[float] = []

    def on_wait(text: str) -> None:
        told.append(text)
        release(held)

    with machine_lock("mine", watch=Watch(on_wait=on_wait), on_busy=lambda: busy.append(time.monotonic())):
        pass
    assert told[0].startswith(f"waiting for another measurement: process {held.pid}, `bench x.tflite`, for ")
    assert told[0].endswith(" s")
    assert len(busy) == 1


def test_one_that_is_killed_has_it_no_longer(held: subprocess.Popen[str]) -> None:
    held.kill()
    with machine_lock("mine", wait=SOON):
        pass


def test_cancelling_ends_the_wait(held: subprocess.Popen[str]) -> None:
    cancel = threading.Event()
    told: list[str] = []

    def on_wait(text: str) -> None:
        told.append(text)
        cancel.set()

    with pytest.raises(Cancelled), machine_lock("mine", watch=Watch(cancel, on_wait=on_wait)):
        pytest.fail("it was taken")
    assert told
    assert held.poll() is None


def test_an_interrupt_ends_the_wait(held: subprocess.Popen[str]) -> None:
    interrupted = Watch(on_wait=lambda text: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt), machine_lock("mine", watch=interrupted):
        pytest.fail("it was taken")


@pytest.mark.parametrize("wait", [0.0, 0.05, 0.5])
def test_waiting_has_an_end_that_says_what_to_do(wait: float, held: subprocess.Popen[str]) -> None:
    with pytest.raises(WorkbenchError) as caught, machine_lock("mine", wait=wait):
        pytest.fail("it was taken")
    said = str(caught.value)
    for part in (f"process {held.pid}", "`bench x.tflite`", f"{wait:g} s", f"kill {held.pid}", "--wait"):
        assert part in said


def test_measurements_one_after_the_other_are_not_one_that_hangs(held: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """The bound is for one holder: others that come in between start it anew."""
    changes = iter(range(1, 10_000))
    monkeypatch.setattr(lock, "holder", lambda file: LockHolder(pid=7, what="", since=float(next(changes))))
    seen = 0

    def on_wait(text: str) -> None:
        release(held)

    # Shorter than the time after which the first word comes, and much longer than one look.
    with machine_lock("mine", wait=0.9 * watch.QUIET_SECONDS, watch=Watch(on_wait=on_wait)):
        seen = next(changes)
    assert seen > 1


def test_threads_of_one_process_take_turns(places: Path) -> None:
    inside, most, done = [0], [0], []

    def work() -> None:
        with machine_lock("x", wait=SOON):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.02)
            inside[0] -= 1
        done.append(1)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    assert (most[0], len(done)) == (1, 6)


def test_a_process_forked_meanwhile_does_not_keep_it(places: Path) -> None:
    with machine_lock("x"):
        child = os.fork()
        if child == 0:
            signal.pause()
            os._exit(0)
    try:
        with machine_lock("y", wait=0.0):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_program_started_meanwhile_has_no_way_to_it(places: Path) -> None:
    code = "import os; print([os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{n}')])"
    with machine_lock("x"):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, close_fds=False, check=True)
    assert NAME not in done.stdout


def test_words_come_at_once_and_then_now_and_then() -> None:
    now, told = [0.0], []
    waiting = Waiting(Watch(on_wait=lambda text: told.append(now[0])), clock=lambda: now[0])
    for tick in range(300):
        now[0] = tick / 10
        waiting.go_on("words")
    assert told == [pytest.approx(1.0), pytest.approx(11.0), pytest.approx(21.0)]


# ---- from another user


def as_nobody(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    as_root()
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("setpriv is not installed")
    command = [setpriv, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", sys.executable, "-I", "-c", code]
    done = subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=SOON)
    if "ermission denied" in done.stderr and "python" in done.stderr.partition("\n")[0]:
        pytest.skip("another user cannot run this Python")
    return done


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A temporary folder that others can write into, as /tmp."""
    as_root()
    folder = Path(tempfile.mkdtemp(dir=tempfile.gettempdir()))
    folder.chmod(0o1777)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    "attempt",
    ["open(path, 'r+')", "open(path)", "os.listdir(os.path.dirname(path))", "os.unlink(path)", "os.rename(os.path.dirname(path), path + 'x')",
     "os.symlink('/etc/passwd', path + '2')", "os.chmod(path, 0o666)", "os.stat(path)", "os.rmdir(os.path.dirname(path))",
     "os.chown(path, 65534, 65534)"],
)  # fmt: skip
def test_another_user_cannot_come_near_the_lock(attempt: str, shared: Path) -> None:
    with machine_lock("mine"):
        path = private_folder() / NAME
        assert path.is_relative_to(shared)
        done = as_nobody(f"import os, sys; path = sys.argv[1]; {attempt}", path)
        assert done.returncode == 1
        assert "PermissionError" in done.stderr
        assert json.loads(path.read_text())["pid"] == os.getpid()


@pytest.mark.parametrize(
    "plant",
    ["os.mkdir(name)", "os.mkdir(name, 0o777); os.chmod(name, 0o777)", "os.symlink('/etc', name)", "open(name, 'w')", "os.mkfifo(name)"],
)  # fmt: skip
def test_what_another_user_planted_is_not_used(plant: str, shared: Path, tmp_path: Path) -> None:
    done = as_nobody(f"import os, sys; name = sys.argv[1]; {plant}", shared / f"workbench-{os.getuid()}")
    assert done.returncode == 0, done.stderr
    assert private_folder() == tmp_path / ".cache" / "workbench"
    with machine_lock("mine"):
        assert (tmp_path / ".cache" / "workbench" / NAME).exists()

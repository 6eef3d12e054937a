"""What a host process may send: anything; it costs its own measurement, and nothing of it is run, waited for or allocated."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import Cancelled, StageFailed, Unfit
from workbench.measure import channel, connection, protocol
from workbench.measure.channel import HEAD, MARK, MESSAGE_BYTES, Channel
from workbench.measure.connection import Connection
from workbench.measure.hosts import Hosts
from workbench.measure.protocol import ArrayHead, NoMessage, answer_in, arrays_in, encode, heads_of, request_in
from workbench.measure.session import Measured, MeasureOptions, Pair, side_by_side
from workbench.measure.watch import Watch
from workbench.recipes.grammar import parse_runtime
from workbench.values.settings import Measure

SOON = 60.0
TIMED = protocol.Times(samples_ns=(5, 6))
OPENED = protocol.Opened(ops_total=1, ops_delegated=1, partitions=1, init_ms=1.0, first_ms=1.0, peak_bytes=1)
MESSAGES: tuple[protocol.Message, ...] = (
    protocol.Ready(),
    protocol.Forked(pid=4711),
    protocol.Refused(error="no \N{SNOWMAN}"),
    protocol.Refused(error="", unfit=True),
    OPENED,
    OPENED.model_copy(update={"left": ("A", "B"), "memory": {"arena": 3}, "device": "d", "software": True}),
    protocol.Estimated(ops_total=3, ops_delegated=0, partitions=0, latency=0.5, cycles={"all": 9}),
    TIMED,
    protocol.Given(arrays=(ArrayHead(name="", dtype="float32", shape=(1, 0, 3)),)),
    protocol.Profiled(profile=None),
)


def frame(message: bytes, number: int = 1, arrays: bytes = b"", mark: bytes = MARK) -> bytes:
    return HEAD.pack(mark, number, len(message), len(arrays)) + message + arrays


def hear(data: bytes, *kinds: type[Any], arrays: int = 0, end: bool = True) -> tuple[Any, bytearray]:
    """What the calling process makes of an answer to its first request."""
    mine, theirs = socket.socketpair()
    asking = Connection(Channel(mine), "it", None, Watch())
    with theirs, contextlib.closing(asking):
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        theirs.setblocking(False)
        theirs.send(data)
        if end:
            theirs.shutdown(socket.SHUT_WR)
        return asking.ask(protocol.Time(count=2, warm_ns=0), SOON, *kinds or (protocol.Times,), arrays=arrays)


# ---- messages


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_messages_come_back(message: protocol.Message) -> None:
    assert answer_in(encode(message), type(message)) == message


@pytest.mark.parametrize("name", [b"/a/b.tflite", b"/a\xff\xfe/\x01", "/\N{SNOWMAN}".encode(), b"", b"/a b\nc"])
def test_any_file_name_reaches_a_host(name: bytes) -> None:
    request = protocol.Open(path=name, runtime="x", options={"threads": 2, "library": "\N{SNOWMAN}"})
    assert request_in(encode(request)) == request
    asked = protocol.Outputs(samples=name, count=3, seconds=0.5)
    assert request_in(encode(asked)) == asked


@given(st.binary(max_size=300))
def test_random_bytes_are_no_answer(data: bytes) -> None:
    for decode in (answer_in, request_in, protocol.fork_in):
        with pytest.raises(NoMessage):
            decode(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | st.sampled_from(["answer", "samples_ns", "error"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(JSON, st.sampled_from(MESSAGES), st.sampled_from(["set", "drop", "add", "whole"]), st.randoms())
def test_any_json_is_an_answer_of_the_right_shape_or_none(
    value: Any, message: protocol.Message, how: str, draw: Any
) -> None:
    data: Any = message.to_json() if not isinstance(message, protocol.Open) else {}
    key = draw.choice(sorted(data))
    if how == "set":
        data[key] = value
    elif how == "drop":
        del data[key]
    elif how == "add":
        data["more"] = value
    else:
        data = value
    text = json.dumps(data).encode()
    try:
        found = answer_in(text, type(message))
    except NoMessage:
        return
    assert how in ("set", "drop")
    assert answer_in(encode(found), type(found)) == found or "NaN" in text.decode()


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"a":' * 100_000, '{"answer": "timed", "samples_ns": [' + "9" * 10_000 + "]}", '{"answer": "timed", "samples_ns": [1e400]}',
     '{"answer": "timed", "samples_ns": [0]}', '{"answer": "timed", "samples_ns": [-1]}', '{"answer": "timed", "samples_ns": ["1"]}',
     '{"answer": "timed", "samples_ns": [1.0]}', '{"answer": "timed", "samples_ns": [true]}', '{"answer": "timed", "samples_ns": null}',
     '{"answer": "timed"}', '{"answer": "timed", "samples_ns": [1], "extra": 1}', '{"answer": "other"}', '{"samples_ns": [1]}',
     '{"answer": "opened"}', '{"answer": "timed", "samples_ns": [1]} x', "null", "[]", '"timed"', '{"answer": {"answer": "timed"}}',
     '{"answer": "refused", "error": "' + "x" * 6000 + '"}', '{"answer": "refused", "error": "\\ud800"}'],
    ids=range(22),
)  # fmt: skip
def test_what_is_nearly_an_answer_is_none(text: str) -> None:
    with pytest.raises(NoMessage):
        answer_in(text.encode(), protocol.Times)


def test_an_answer_to_another_question_is_none() -> None:
    with pytest.raises(NoMessage, match="another question, 'opened'"):
        answer_in(encode(OPENED), protocol.Times)


# ---- arrays

DTYPES = st.sampled_from(["bool", "int8", "uint8", "int32", "int64", "float16", "float32", "float64", "complex64"])


@given(st.lists(st.tuples(DTYPES, st.lists(st.integers(0, 3), max_size=3)), min_size=1, max_size=4), st.integers(1, 3))
def test_arrays_come_back(kinds: list[tuple[str, list[int]]], samples: int) -> None:
    draw = np.random.default_rng(0)
    arrays = {f"n{i}": (draw.random((samples, *shape)) * 5).astype(dtype) for i, (dtype, shape) in enumerate(kinds)}
    heads = heads_of(arrays)
    assert answer_in(encode(protocol.Given(arrays=heads)), protocol.Given).arrays == heads
    found = arrays_in(heads, b"".join(a.tobytes() for a in arrays.values()), samples)
    assert list(found) == list(arrays)
    for name, values in arrays.items():
        assert (found[name].dtype, found[name].shape) == (values.dtype, values.shape)
        assert np.array_equal(found[name], values)


HEADS = st.lists(
    st.builds(ArrayHead, name=st.text(max_size=3), dtype=DTYPES, shape=st.lists(st.integers(0, 2**61), min_size=1, max_size=6).map(tuple)),
    min_size=1, max_size=3,
).map(tuple)  # fmt: skip


@given(HEADS, st.binary(max_size=64), st.integers(0, 5))
def test_what_a_head_claims_is_not_allocated(heads: tuple[ArrayHead, ...], data: bytes, most: int) -> None:
    try:
        found = arrays_in(heads, data, most)
    except NoMessage:
        return
    assert sum(a.nbytes for a in found.values()) == len(data)
    assert all(1 <= len(a) <= most for a in found.values())


@pytest.mark.parametrize(
    ("shapes", "size", "most"),
    [([(2, 3)], 23, 2), ([(2, 3)], 25, 2), ([(2, 3)], 24, 1), ([(0, 3)], 0, 2), ([(2,), (1,)], 12, 2), ([(2**61, 2**61)], 24, 2),
     ([(1, 2**61, 0)], 4, 2), ([(1,)], 0, 2), ([(4, 1)], 16, 3), ([(2, 3), (2, 3)], 24, 2), ([(1,) * 32], 8, 1)],
)  # fmt: skip
def test_arrays_that_do_not_fit_are_no_message(shapes: list[tuple[int, ...]], size: int, most: int) -> None:
    heads = tuple(ArrayHead(name=str(i), dtype="float32", shape=s) for i, s in enumerate(shapes))
    with pytest.raises(NoMessage):
        arrays_in(heads, bytes(size), most)


@pytest.mark.parametrize("dtype", ["O", "U4", "S3", "datetime64[s]", "V8", "longdouble", "f4,i4", ">f4x", "", "object"])
def test_other_types_are_not_read(dtype: str) -> None:
    text = json.dumps({"answer": "given", "arrays": [{"name": "a", "dtype": dtype, "shape": [1]}]})
    with pytest.raises(NoMessage):
        answer_in(text.encode(), protocol.Given)


# ---- frames


@given(st.binary(min_size=1, max_size=200))
def test_random_bytes_on_the_connection_are_a_failure_with_a_reason(data: bytes) -> None:
    with pytest.raises(StageFailed, match=r"what is no answer|crash: the process of it died"):
        hear(data)


@given(st.integers(0, 59), st.integers(0, 255), st.sampled_from(["flip", "cut", "insert"]))
def test_a_changed_answer_is_the_same_another_or_a_failure(place: int, value: int, how: str) -> None:
    data = bytearray(frame(encode(TIMED)))
    place = min(place, len(data) - 1)
    if how == "flip":
        data[place] ^= value
    elif how == "cut":
        del data[place:]
    else:
        data.insert(place, value)
    try:
        found, _ = hear(bytes(data))
    except StageFailed:
        return
    assert all(s > 0 for s in found.samples_ns)


PICKLED = pickle.dumps(print)
BAD_FRAMES = {
    "zeros": bytes(100),
    "ones": b"\xff" * 100,
    "text": b"INFO: Created TensorFlow Lite delegate for everything.\n",
    "pickle": PICKLED,
    "a pickle as multiprocessing sends it": struct.pack("!i", len(PICKLED)) + PICKLED,
    "a pickle in a frame": frame(PICKLED),
    "a huge message": HEAD.pack(MARK, 1, 2**32 - 1, 0),
    "a message over the limit": HEAD.pack(MARK, 1, MESSAGE_BYTES + 1, 0),
    "huge arrays": HEAD.pack(MARK, 1, 10, 2**63),
    "arrays nobody asked for": frame(encode(TIMED), arrays=b"1234"),
    "another mark": frame(encode(TIMED), mark=b"\x93wb\x02"),
    "the answer to no request": frame(encode(TIMED), number=0),
    "the answer to a later request": frame(encode(TIMED), number=2),
    "the answer to another question": frame(encode(OPENED)),
    "nothing in a frame": frame(b""),
    "deep JSON": frame(b"[" * 50_000),
    "half of it, and a whole one": frame(encode(TIMED))[:30] + frame(encode(TIMED)),
}  # fmt: skip


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", BAD_FRAMES)
def test_what_is_no_answer_is_told_at_once(name: str) -> None:
    """The other end stays open: nobody waits for what a number promises."""
    before = psutil.Process().memory_info().rss
    with pytest.raises(
        StageFailed, match="the process of it sent what is no answer and was ended: native code wrote into"
    ):
        hear(BAD_FRAMES[name], end=False)
    assert psutil.Process().memory_info().rss - before < 200e6


def test_an_answer_given_twice_is_found_out_at_the_next_question() -> None:
    mine, theirs = socket.socketpair()
    asking = Connection(Channel(mine), "it", None, Watch())
    with theirs:
        theirs.sendall(frame(encode(TIMED)) * 2)
        asking.ask(protocol.Time(count=2, warm_ns=0), SOON, protocol.Times)
        with pytest.raises(StageFailed, match="an answer to request 1, where 2 was asked"):
            asking.ask(protocol.Time(count=2, warm_ns=0), SOON, protocol.Times)


@pytest.mark.parametrize("drip", [False, True])
def test_a_message_that_never_ends_is_not_waited_for(drip: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "REST_SECONDS", 0.3)
    mine, theirs = socket.socketpair()
    over = threading.Event()

    def write() -> None:
        with contextlib.suppress(OSError):
            theirs.sendall(HEAD.pack(MARK, 1, 1 << 20, 0))
            while drip and not over.wait(0.01):
                theirs.sendall(b"x")

    writer = threading.Thread(target=write)
    writer.start()
    with pytest.raises(StageFailed, match=r"not whole after 0\.3 s"):
        Connection(Channel(mine), "it", None, Watch()).ask(protocol.Time(count=2, warm_ns=0), SOON, protocol.Times)
    over.set()
    writer.join(SOON)
    theirs.close()


def test_a_number_makes_nobody_allocate() -> None:
    mine, theirs = socket.socketpair()
    with theirs, contextlib.closing(Channel(mine)) as reading:
        theirs.sendall(HEAD.pack(MARK, 1, 0, protocol.OUTPUT_BYTES) + b"x")
        theirs.shutdown(socket.SHUT_WR)
        before = psutil.Process().memory_info().rss
        with pytest.raises(EOFError):
            reading.receive(protocol.OUTPUT_BYTES, SOON)
        assert psutil.Process().memory_info().rss - before < protocol.OUTPUT_BYTES / 4


def test_large_arrays_come_whole() -> None:
    values = np.arange(3_000_000, dtype=np.float32).reshape(3, -1)
    mine, theirs = socket.socketpair()
    given_ = encode(protocol.Given(arrays=heads_of({"x": values})))

    def write() -> None:
        Channel(theirs).send(1, given_, [memoryview(values.tobytes())])

    writer = threading.Thread(target=write)
    writer.start()
    asked = protocol.Outputs(samples=None, count=3, seconds=1.0)
    found, data = Connection(Channel(mine), "it", None, Watch()).ask(asked, SOON, protocol.Given, arrays=1 << 28)
    writer.join(SOON)
    assert np.array_equal(arrays_in(found.arrays, data, 3)["x"], values)


@pytest.mark.parametrize(("unfit", "kind"), [(False, StageFailed), (True, Unfit)])
def test_a_refusal_is_told_in_its_own_words(unfit: bool, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=r"^no such thing$"):
        hear(frame(encode(protocol.Refused(error="no such thing", unfit=unfit))))


def test_waiting_for_an_answer_is_told_and_can_be_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "QUIET_SECONDS", 0.0)
    cancel, told = threading.Event(), []

    def on_wait(text: str) -> None:
        told.append(text)
        cancel.set()

    mine, theirs = socket.socketpair()
    with subprocess.Popen(["sleep", "1000"]) as sleeper, theirs:
        asking = Connection(Channel(mine), "x.tflite on y", psutil.Process(sleeper.pid), Watch(cancel, on_wait=on_wait))
        with pytest.raises(Cancelled):
            asking.ask(protocol.Time(count=2, warm_ns=0), 300.0, protocol.Times)
        # Nothing is left behind that goes on.
        assert sleeper.wait(SOON) == -9
    assert told == ["waiting for x.tflite on y, for 0 s of at most 300 s"]


# ---- native code in a real host

# What it does is chosen by its options: `say=FILE` writes a file's bytes into every descriptor, `later=1` does so from a
# thread of its own while the model is timed, and more.
HOSTILE = r"""
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
typedef struct D {
  void* data; int (*Prepare)(void*, struct D*); void* a; void* b; void* c; long long flags; void* o; void* p;
} D;
static char payload[1 << 20];
static long size, again;
static int prepare(void* context, D* delegate) { return 0; }
static void say(void) {
  for (int f = 0; f < 64; f++) {
    ssize_t done = write(f, payload, size);
    (void)done;
  }
}
static void* later(void* unused) { do { usleep(2000); say(); } while (again); return 0; }
D* tflite_plugin_create_delegate(const char* const* keys, const char* const* values, size_t n, void (*report)(const char*)) {
  pthread_t thread; int delayed = 0;
  for (size_t i = 0; i < n; i++) {
    if (!strcmp(keys[i], "later")) delayed = 1;
    if (!strcmp(keys[i], "again")) again = 1;
    if (!strcmp(keys[i], "say")) { int f = open(values[i], O_RDONLY); size = read(f, payload, sizeof payload); close(f); }
  }
  if (size > 0) { if (delayed) pthread_create(&thread, 0, later, 0); else say(); }
  for (size_t i = 0; i < n; i++) {
    if (!strcmp(keys[i], "close")) for (int f = 0; f < 64; f++) close(f);
    if (!strcmp(keys[i], "shut")) for (int f = 3; f < 64; f++) shutdown(f, SHUT_RDWR);
    if (!strcmp(keys[i], "hang")) for (;;) pause();
    if (!strcmp(keys[i], "exit")) _exit(0);
    if (!strcmp(keys[i], "crash")) *(volatile int*)0 = 1;
  }
  D* made = calloc(1, sizeof(D));
  made->Prepare = prepare;
  return made;
}
void tflite_plugin_destroy_delegate(D* delegate) { free(delegate); }
"""


class Trap:
    """Runs a command where it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.marker),)


def forged(marker: Path) -> dict[str, bytes]:
    trap = pickle.dumps(Trap(marker))
    framed = struct.pack("!i", len(trap)) + trap
    return {
        "noise": np.random.default_rng(0).bytes(4000),
        "text": b"INFO: Created delegate.\n" * 20,
        "trap": trap,
        "framed trap": framed,
        "framed traps": framed * 50,
        "trap in a frame": frame(trap),
        "huge": HEAD.pack(MARK, 1, 2**32 - 1, 2**63),
        "huge of old": struct.pack("!iQ", -1, 2**62),
        "a head alone": HEAD.pack(MARK, 1, 4000, 0),
        "three bytes": MARK[:3],
        "two answers": frame(encode(OPENED)) * 2,
        "an answer": frame(encode(OPENED)),
        "deep": frame(b"[" * 100_000),
        "a refusal and more": frame(encode(protocol.Refused(error="no"))) + b"more",
    }


BEHAVIOURS = [
    *((f"say={name}", f"say={{folder}}/{name.replace(' ', '-')}") for name in forged(Path())),
    ("noise while it is timed", "say={folder}/noise&later=1"),
    ("noise without an end", "say={folder}/noise&later=1&again=1"),
    ("traps while it is timed", "say={folder}/framed-traps&later=1&again=1"),
    ("closing all", "close=1"),
    ("closing all, then hanging", "close=1&hang=1"),
    ("saying noise, then hanging", "say={folder}/noise&hang=1"),
    ("shutting all", "shut=1"),
    ("leaving", "exit=1"),
    ("crashing", "crash=1"),
]  # fmt: skip


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A delegate library that does what its options say, beside what it may say."""
    folder = tmp_path_factory.mktemp("hostile")
    source, library = folder / "hostile.c", folder / "libhostile.so"
    source.write_text(HOSTILE)
    subprocess.run(["cc", "-shared", "-fPIC", "-pthread", "-o", str(library), str(source)], check=True, timeout=SOON)
    for name, content in forged(folder / "unpickled").items():
        (folder / name.replace(" ", "-")).write_bytes(content)
    return library


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    with contextlib.closing(Hosts()) as opened:
        yield opened


@pytest.mark.parametrize(("name", "options"), BEHAVIOURS, ids=[b[0] for b in BEHAVIOURS])
def test_native_code_that_meddles_costs_its_own_measurement(
    name: str, options: str, hostile: Path, hosts: Hosts, small_tflite: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of a message that was begun the rest is not waited for so long.
    monkeypatch.setattr(channel, "REST_SECONDS", 3.0)
    text = f"delegate:{hostile}?{options.format(folder=hostile.parent)}"
    pairs = [Pair("hostile", small_tflite, parse_runtime(text)), Pair("other", small_tflite, parse_runtime("builtin"))]
    found: dict[str, Measured] = {}

    def keep(measured: Measured) -> None:
        found[measured.subject] = measured

    before = psutil.Process().memory_info().rss
    side_by_side(
        pairs[:1], pairs[1:], MeasureOptions(Measure(budget=0.3, half_width=0.9, samples=10)), keep, None, hosts
    )
    bad, other = found["hostile"].measurement, found["other"].measurement
    assert (other.state, other.error) == ("ok", None)
    # Bytes that native code writes while nothing is asked may come too late to be seen.
    allowed = ("failed", "ok") if options.endswith("later=1") else ("failed",)
    assert bad.state in allowed, bad
    if name == "say=a refusal and more":
        assert bad.error == "no"
    elif bad.state == "failed":
        assert any(
            words in (bad.error or "")
            for words in ("sent what is no answer", "closed its connection without an answer", "crash: the process of small.tflite")
        ), bad.error  # fmt: skip
    assert not (hostile.parent / "unpickled").exists(), "a pickle was loaded"
    assert psutil.Process().memory_info().rss - before < 300e6


def test_one_that_answers_in_a_hosts_name_is_not_believed_for_long(hostile: Path, hosts: Hosts, small_tflite: Path) -> None:  # fmt: skip
    """A forged answer comes first; the true one is then one too many."""
    spec = parse_runtime(f"delegate:{hostile}?say={hostile.parent}/an-answer")
    host = hosts.open(small_tflite, spec)
    with pytest.raises(StageFailed, match="an answer to request 1, where 2 was asked"):
        host.time(1, 0, SOON)
    assert_gone(host.pid)


def assert_gone(pid: int) -> None:
    until = time.monotonic() + SOON
    while psutil.pid_exists(pid) and time.monotonic() < until:
        time.sleep(0.01)
    assert not psutil.pid_exists(pid)


def test_nothing_is_left_of_those_that_meddled(hosts: Hosts) -> None:
    (started, _), *_ = hosts._parents.values()
    until = time.monotonic() + SOON
    while (left := psutil.Process(started.pid).children()) and time.monotonic() < until:
        time.sleep(0.01)
    assert left == []


# ---- what a host can reach


def descriptors(pid: int) -> dict[int, str]:
    folder = Path(f"/proc/{pid}/fd")
    if not folder.is_dir():
        pytest.skip("descriptors of a process cannot be listed here")
    return {int(p.name): os.readlink(p) for p in folder.iterdir()}


def test_a_host_holds_its_own_connection_and_no_other(hosts: Hosts, small_tflite: Path) -> None:
    opened = [hosts.open(small_tflite, parse_runtime(name)) for name in ("builtin", "xnnpack", "builtin")]
    (started, _), *_ = hosts._parents.values()
    sockets = {h.pid: [t for t in descriptors(h.pid).values() if t.startswith("socket")] for h in opened}
    control = {t for t in descriptors(started.pid).values() if t.startswith("socket")}
    assert [len(s) for s in sockets.values()] == [1, 1, 1]
    everything = {s for found in sockets.values() for s in found} | control
    assert len(everything) == 3 + len(control) == 4
    for host in opened:
        found = descriptors(host.pid)
        assert [found[n] for n in (0, 1, 2)] == ["/dev/null"] * 3
        assert all(t in ("/dev/null", str(small_tflite)) or t.startswith("socket") for t in found.values()), found
        host.close()


def test_there_is_no_address_that_another_could_connect_to(hosts: Hosts, small_tflite: Path) -> None:
    listed = Path("/proc/net/unix")
    if not listed.exists():
        pytest.skip("sockets cannot be listed here")
    with contextlib.closing(hosts.open(small_tflite, parse_runtime("builtin"))) as host:
        (started, _), *_ = hosts._parents.values()
        inodes = {
            t[8:-1] for pid in (host.pid, started.pid) for t in descriptors(pid).values() if t.startswith("socket")
        }
        lines = [line.split() for line in listed.read_text().splitlines()[1:]]
        named = [line[7] for line in lines if len(line) > 7 and line[6] in inodes]
    assert len(inodes) == 2
    assert named == []


def test_modules_in_the_current_folder_are_not_a_hosts(tmp_path: Path, small_tflite: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    names = (
        "numpy",
        "workbench",
        "ai_edge_litert",
        "pydantic",
        "socket",
        "random",
        "signal",
        "psutil",
        "json",
        "typing",
    )
    for name in names:
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'a').write({name!r})\n")
    monkeypatch.chdir(tmp_path)
    with (
        contextlib.closing(Hosts()) as own,
        contextlib.closing(own.open(small_tflite, parse_runtime("builtin"))) as host,
    ):
        assert len(host.time(2, 0, SOON)) == 2
    assert not (tmp_path / "ran").exists()


def test_no_file_is_left_in_the_temporary_folder(tmp_path: Path, small_tflite: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with contextlib.closing(Hosts()) as own, contextlib.closing(own.open(small_tflite, parse_runtime("builtin"))):
        assert list(tmp_path.iterdir()) == []

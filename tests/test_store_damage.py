"""What is damaged in a store is never taken as good: it is found, set aside, said, and made again."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damages import FILES, FOLDERS, Damage, a_dangling_link, a_link, emptied, longer, removed
from elsewhere import NOBODY, reachable, told_as_nobody
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stored import store_study
from trials import make_record, make_trial

import workbench
from workbench.cli.app import run
from workbench.data.dataset import from_arrays
from workbench.data.materialize import dataset_sha256, materialize, open_split, stored_sha256
from workbench.errors import WorkbenchError
from workbench.files import file_sha256
from workbench.store import intact
from workbench.store.artifacts import Artifacts
from workbench.store.check import check_store
from workbench.store.intact import DAMAGED, LOG, News
from workbench.store.kept import hash_beside, keep_file
from workbench.store.reader import Reader
from workbench.store.store import Store
from workbench.values.graph import Artifact, Execution
from workbench.values.trial import Trial

CONTENT = b"a model" * 1000
Array = np.ndarray[Any, Any]


def names(damage: Damage) -> str:
    return damage.__name__


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def file_stage(store: Store, key: str = "k", content: bytes = CONTENT) -> Path:
    """A finished stage that made a file; it is looked at once, so that it is known to be intact."""
    artifact = store.artifacts.put_bytes(content, "tflite")
    return known(store, key, artifact)


def folder_stage(store: Store, key: str = "k") -> Path:
    """A finished stage that made a folder."""
    return known(store, key, store.artifacts.put_folder(tree(store), "savedmodel"))


def tree(store: Store) -> Path:
    folder = store.artifacts.scratch()
    (folder / "variables").mkdir()
    (folder / "saved_model.pb").write_bytes(CONTENT)
    (folder / "variables" / "variables.index").write_bytes(b"index")
    return folder


def known(store: Store, key: str, artifact: Artifact) -> Path:
    store.save_execution(Execution(key=key, kind="convert", seconds=1.0), {"artifact": artifact.to_json(), "data": {}})
    settle(Path(artifact.path))
    assert store.stage(key) is not None
    return Path(artifact.path)


def settle(path: Path) -> None:
    """Wait until a file counts as settled, so that it is remembered."""
    changed = max(p.lstat().st_ctime_ns for p in (path, *path.rglob("*")))
    while time.time_ns() - changed <= intact.SETTLED_NS:
        time.sleep(0.01)


def aside(store: Reader) -> list[str]:
    """The names of what was set aside, without their times."""
    folder = store.root / DAMAGED
    found = sorted(p.name for p in folder.iterdir() if p.name != LOG) if folder.exists() else []
    return [name.rpartition(".")[0] for name in found]


# ---- artifacts


@pytest.mark.parametrize("again", [False, True], ids=["same process", "next process"])
@pytest.mark.parametrize("damage", FILES, ids=names)
def test_a_damaged_file_is_no_finished_stage(store: Store, damage: Damage, again: bool) -> None:
    path = file_stage(store)
    damage(path)
    seen = Store(store.root) if again else store
    assert seen.stage("k") is None
    assert not os.path.lexists(path), "it is out of the way"
    assert aside(store) == [path.name]
    assert seen.artifacts.put_bytes(CONTENT, "tflite").path == str(path)
    assert seen.stage("k") is not None
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("damage", FOLDERS, ids=names)
def test_a_damaged_folder_is_no_finished_stage(store: Store, damage: Damage) -> None:
    path = folder_stage(store)
    damage(path)
    assert store.stage("k") is None
    assert not os.path.lexists(path)
    assert aside(store) == [path.name]
    assert store.artifacts.put_folder(tree(store), "savedmodel").path == str(path)
    assert store.stage("k") is not None


@pytest.mark.parametrize("damage", FILES, ids=names)
def test_a_new_file_does_not_trust_what_has_its_name(store: Store, damage: Damage) -> None:
    path = Path(store.artifacts.put_bytes(CONTENT, "tflite").path)
    damage(path)
    assert Path(store.artifacts.put_bytes(CONTENT, "tflite").path).read_bytes() == CONTENT
    assert not path.is_symlink()
    assert aside(store) == [path.name]
    assert not list(store.artifacts.folder.glob("partial-*"))


@pytest.mark.parametrize("damage", FOLDERS, ids=names)
def test_a_new_folder_does_not_trust_what_has_its_name(store: Store, damage: Damage) -> None:
    path = Path(store.artifacts.put_folder(tree(store), "savedmodel").path)
    damage(path)
    assert store.artifacts.put_folder(tree(store), "savedmodel").path == str(path)
    assert (path / "saved_model.pb").read_bytes() == CONTENT
    assert sorted(p.name for p in path.rglob("*") if p.is_file()) == ["saved_model.pb", "variables.index"]
    assert aside(store) == [path.name]


def test_what_is_intact_stays(store: Store) -> None:
    path = Path(store.artifacts.put_bytes(CONTENT, "tflite").path)
    before = path.stat()
    store.artifacts.put_bytes(CONTENT, "tflite")
    assert path.stat() == before
    assert aside(store) == []


def test_what_is_gone_is_not_damaged(store: Store) -> None:
    for path in (file_stage(store, "file"), folder_stage(store, "folder")):
        removed(path)
    assert store.stages(["file", "folder"]) == {}
    assert aside(store) == []


def test_two_damaged_at_once_and_one_twice(store: Store) -> None:
    first, second, good = (file_stage(store, k, k.encode()) for k in "abc")
    emptied(first)
    a_link(second)
    assert store.stages("abc").keys() == {"c"}
    assert sorted(aside(store)) == sorted([first.name, second.name])
    store.artifacts.put_bytes(b"a", "tflite")
    emptied(first)
    assert store.stages("abc").keys() == {"c"}
    assert sorted(aside(store)) == sorted([first.name, first.name, second.name])
    assert good.exists()


def test_an_evaluation_stands_on_the_file_it_is_about(store: Store) -> None:
    file, outputs = (store.artifacts.put_bytes(c, k) for c, k in ((b"model", "tflite"), (b"outputs", "npz")))
    store.save_execution(
        Execution(key="e", kind="evaluate", seconds=1.0),
        {"artifact": outputs.to_json(), "data": {"file": file.to_json()}},
    )
    assert store.stage("e") is not None
    emptied(Path(file.path))
    assert store.stage("e") is None


@given(content=st.binary(min_size=1, max_size=300), place=st.integers(0), bit=st.integers(0, 7))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_any_bit(store: Store, content: bytes, place: int, bit: int) -> None:
    artifact = store.artifacts.put_bytes(content, "bin")
    assert store.intact(artifact)
    changed = bytearray(content)
    changed[place % len(content)] ^= 1 << bit
    Path(artifact.path).write_bytes(changed)
    assert not store.intact(artifact)
    assert not Path(artifact.path).exists()


def test_what_was_set_aside_is_kept_whole_and_told(store: Store) -> None:
    path = file_stage(store)
    news, other = News(store.root), News(store.root)
    path.write_bytes(b"damaged")
    assert store.stage("k") is None
    (kept,) = [p for p in (store.root / DAMAGED).iterdir() if p.name != LOG]
    assert kept.read_bytes() == b"damaged"
    line = f"artifacts/{path.name}: its content is not what was put there"
    assert (news.told(), news.told()) == ([line], [])
    a_dangling_link(file_stage(store, "l", b"other"))
    assert store.stage("l") is None
    assert [t.partition(": ")[2] for t in news.told()] == ["it is a symbolic link, not a file"]
    assert len(other.told()) == 2
    assert News(store.root).told() == []


# ---- how often it is read


class Counted:
    """Counts how often files are hashed."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.paths: list[str] = []

        def counting(path: Path) -> str:
            self.paths.append(path.name)
            return file_sha256(path)

        patch.setattr(intact, "file_sha256", counting)


def test_it_is_hashed_when_it_was_touched_and_only_then(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch)
    path = file_stage(store)
    for opened in (store, Store(store.root), Store(store.root)):
        assert opened.stage("k") is not None
    assert counted.paths == [path.name]
    os.utime(path)
    settle(path)
    assert store.stage("k") is not None
    assert Store(store.root).stage("k") is not None
    assert counted.paths == [path.name] * 2


def test_a_copied_store_is_hashed_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    path = file_stage(store)
    store.close()
    shutil.copytree(store.root, store.root.with_name("copy"))
    counted = Counted(monkeypatch)
    settle(store.root.with_name("copy") / "artifacts" / path.name)
    for _ in range(3):
        assert Store(store.root.with_name("copy")).stage("k") is not None
    assert counted.paths == [path.name]


def test_what_changed_just_now_is_not_remembered(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may change again within the same tick of the clock, which its time would not tell."""
    monkeypatch.setattr(intact, "SETTLED_NS", 10**12)
    counted = Counted(monkeypatch)
    artifact = store.artifacts.put_bytes(CONTENT, "tflite")
    for _ in range(3):
        assert store.intact(artifact)
    assert len(counted.paths) == 3


def test_a_store_without_the_table_is_given_one(store: Store) -> None:
    """As an earlier version of this layout made it."""
    path = file_stage(store)
    with store.engine.begin() as db:
        db.exec_driver_sql("drop table checked")
    store.close()
    assert Store(store.root).stage("k") is not None
    emptied(path)
    assert Store(store.root).stage("k") is None


WORKER = """
import sys, time
from workbench.store.store import Store
store = Store(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
print(len(store.stages([str(i) for i in range(50)])))
"""


def test_processes_that_find_the_same_damage(store: Store) -> None:
    paths = [file_stage(store, str(i), str(i).encode()) for i in range(50)]
    for path in paths[::2]:
        emptied(path)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(store.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    found = [process.communicate("\n", timeout=600)[0] for process in processes]
    assert found == ["25\n"] * 3
    assert sorted(aside(store)) == sorted(p.name for p in paths[::2])


def test_a_file_that_may_not_be_read_is_damaged_too() -> None:
    def ask() -> str:
        store = Store(root)
        file = store.artifacts.put_bytes(b"x", "bin")
        folder = store.artifacts.put_folder(store.artifacts.scratch(), "savedmodel")
        for artifact in (file, folder):
            os.chmod(artifact.path, 0)
        return f"{store.intact(file)} {store.intact(folder)} {os.path.exists(file.path)} {os.path.exists(folder.path)}"

    with reachable() as shared:
        if os.geteuid() == 0:
            os.chown(shared, NOBODY, NOBODY)
        root = shared / "store"
        assert told_as_nobody(ask) == "False False False False"
        assert len(aside(Reader(root))) == 2
        assert "cannot be read: " in (root / DAMAGED / LOG).read_text()


def test_what_cannot_be_set_aside_is_a_message(store: Store) -> None:
    path = file_stage(store)
    emptied(path)
    (store.root / DAMAGED).write_text("a file where the folder should be")
    with pytest.raises(WorkbenchError, match=r"is damaged \(it is empty\) and cannot be moved to .*Remove it"):
        store.stage("k")
    assert path.exists()


# ---- datasets


def arrays(samples: int = 30) -> dict[str, Any]:
    draw = np.random.default_rng(0)
    return {
        "x_train": draw.random((samples, 4), dtype=np.float32),
        "y_train": np.arange(samples) % 3,
        "x_test": draw.random((samples, 4), dtype=np.float32),
        "y_test": np.arange(samples) % 3,
        "class_names": ["a", "b", "c"],
    }


def in_npy(change: Callable[[Path], None], name: str = "x_test..npy") -> Damage:
    def damage(folder: Path) -> None:
        change(folder / name)

    damage.__name__ = f"{name.partition('.')[0]} {change.__name__}"
    return damage


def header(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:10] + b"X" * 20 + data[30:])


def no_magic(path: Path) -> None:
    path.write_bytes(b"PK\3\4" + path.read_bytes()[4:])


def another_shape(path: Path) -> None:
    np.save(path, np.load(path).reshape(4, -1))


def another_type(path: Path) -> None:
    np.save(path, np.load(path).astype(np.float64))


def absurd_shape(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data.replace(b"(30, 4)", b"(9999999999999, 4)"[:7].ljust(7), 1))


def pickled(path: Path) -> None:
    np.save(path, np.array([print], dtype=object), allow_pickle=True)


def one_more(folder: Path) -> None:
    np.save(folder / "x_test.more.npy", np.zeros((30, 4)))


def no_labels(folder: Path) -> None:
    (folder / "y_test.npy").unlink()


def one_split_more(folder: Path) -> None:
    shutil.copy(folder / "x_test..npy", folder / "x_calibration..npy")


DATA: list[Damage] = [
    # What follows the last value is no content of an array, and not read.
    *(
        in_npy(d)
        for d in (
            *(f for f in FILES if f is not longer),
            header,
            no_magic,
            another_shape,
            another_type,
            absurd_shape,
            pickled,
            removed,
        )
    ),
    *(in_npy(d, "y_train.npy") for d in (emptied, header, removed)),
    one_more,
    no_labels,
    one_split_more,
    *(
        d
        for d in FOLDERS
        if d.__name__ in ("emptied_folder", "a_file_instead", "a_link_instead", "a_link_in_it", "a_pipe_in_it")
    ),
]


@pytest.mark.parametrize("damage", DATA, ids=names)
def test_damaged_arrays_are_written_again(store: Store, damage: Damage) -> None:
    dataset = from_arrays(arrays())
    info = materialize(dataset, store.data, store.keeps)
    folder = store.data / info.sha256
    settle(folder)
    assert materialize(dataset, store.data, store.keeps) == info
    before = (folder / "x_test..npy").read_bytes()
    damage(folder)
    assert materialize(dataset, store.data, store.keeps) == info
    assert (folder / "x_test..npy").read_bytes() == before
    np.testing.assert_array_equal(open_split(folder, "test").y, dataset.test.y)
    assert aside(store) == [folder.name]
    assert not list(store.data.glob("partial-*"))


def test_intact_arrays_stay_and_are_read_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = from_arrays(arrays())
    info = materialize(dataset, store.data, store.keeps)
    settle(store.data / info.sha256)
    before = sorted((p.name, p.stat().st_mtime_ns) for p in (store.data / info.sha256).iterdir())
    materialize(dataset, store.data, store.keeps)
    monkeypatch.setattr("workbench.data.materialize.open_split", None)
    for opened in (store, Store(store.root)):
        materialize(dataset, opened.data, opened.keeps)
    assert sorted((p.name, p.stat().st_mtime_ns) for p in (store.data / info.sha256).iterdir()) == before
    assert aside(store) == []


def test_damaged_arrays_without_a_store_are_refused(tmp_path: Path) -> None:
    info = materialize(from_arrays(arrays()), tmp_path)
    header(tmp_path / info.sha256 / "x_test..npy")
    with pytest.raises(WorkbenchError, match="cannot be written into"):
        materialize(from_arrays(arrays()), tmp_path)


KINDS = ("u1", "i2", "<i8", ">f4", "f8", "?")


@given(
    kind=st.sampled_from(KINDS),
    inputs=st.permutations(["zeta", "alpha", "a b", "ä/ö", "."]),
    train=st.permutations(["zeta", "alpha", "a b", "ä/ö", "."]),
    count=st.integers(1, 5),
    labels=st.booleans(),
    fortran=st.booleans(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_the_hash_of_stored_arrays_is_that_of_the_dataset(
    tmp_path: Path, kind: str, inputs: list[str], train: list[str], count: int, labels: bool, fortran: bool
) -> None:
    def split(order: list[str]) -> dict[str, Array]:
        return {n: np.array(np.ones((4, 2, 3)), kind, order="F" if fortran else "C") for n in order[:count]}

    chosen = [n for n in train if n in inputs[:count]]
    data: dict[str, Any] = {"x_train": split(chosen), "x_test": split(inputs)}
    if labels:
        data |= {"y_train": np.arange(4), "y_test": np.arange(4)}
    dataset = from_arrays(data)
    info = materialize(dataset, tmp_path)
    assert (
        stored_sha256(tmp_path / info.sha256, info.inputs, info.class_names) == info.sha256 == dataset_sha256(dataset)
    )


# ---- models that were given as objects


@pytest.mark.parametrize("damage", [*FILES, removed], ids=names)
def test_a_damaged_kept_model_is_written_again(store: Store, damage: Damage) -> None:
    path = store.models / f"{'a' * 64}.h5"
    wrote: list[Path] = []

    def write(partial: Path) -> None:
        wrote.append(partial)
        partial.write_bytes(CONTENT)

    for _ in range(3):
        keep_file(path, write)
    assert len(wrote) == 1
    damage(path)
    keep_file(path, write)
    assert (len(wrote), path.read_bytes(), path.is_symlink()) == (2, CONTENT, False)
    assert aside(store) == ([] if damage is removed else [path.name])
    assert {p for p in store.models.iterdir() if not p.name.startswith("linked-")} == {path, hash_beside(path)}


@pytest.mark.parametrize(
    "text", [None, "", "x", "a" * 64, "\udcff"], ids=["none", "empty", "letter", "other", "no text"]
)
def test_a_kept_model_whose_hash_is_not_there_is_written_again(store: Store, text: str | None) -> None:
    path = store.models / "m.h5"
    keep_file(path, lambda partial: partial.write_bytes(CONTENT))
    hash_beside(path).unlink()
    if text is not None:
        hash_beside(path).write_bytes(os.fsencode(text))
    keep_file(path, lambda partial: partial.write_bytes(b"again"))
    assert path.read_bytes() == b"again"
    assert hash_beside(path).read_text() == f"{file_sha256(path)}  m.h5\n"


# ---- store check


@pytest.fixture
def whole(store: Store) -> tuple[Store, dict[str, Path]]:
    """A store with a trial's file, two stages between, a dataset and a kept model."""
    dataset = from_arrays(arrays())
    info = materialize(dataset, store.data, store.keeps)
    artifact = store.artifacts.put_bytes(CONTENT, "tflite")
    store.save_study(make_record(dataset=info))
    store.save_trial("digits-sweep", make_trial("int8").model_copy(update={"artifact": artifact}), "k", 0)
    model = store.models / f"{'b' * 64}.h5"
    keep_file(model, lambda partial: partial.write_bytes(CONTENT))
    paths = {
        "trial": Path(artifact.path),
        "ranges": file_stage(store, "r", b"{}"),
        "folder": folder_stage(store, "f"),
        "data": store.data / info.sha256,
        "model": model,
    }
    return store, paths


def checked(store: Reader, *options: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    code = run(["store", "check", "--format", "json", "--store", str(store.root), *options])
    return code, json.loads(capsys.readouterr().out)


def test_a_whole_store_is_well(whole: tuple[Store, dict[str, Path]], capsys: pytest.CaptureFixture[str]) -> None:
    store, _ = whole
    code, found = checked(store, capsys=capsys)
    assert (code, found["findings"], found["ok"], found["files"]) == (0, [], True, 5)
    assert run(["store", "check", "--store", str(store.root)]) == 0
    assert "5 files and folders" in capsys.readouterr().out
    assert run(["store", "check", "--format", "csv", "--store", str(store.root)]) == 0


@pytest.mark.parametrize(
    ("which", "damage"),
    [
        *((w, d) for w in ("trial", "model") for d in FILES),
        *(("folder", d) for d in FOLDERS),
        *(("data", d) for d in DATA),
    ],
    ids=lambda v: v if isinstance(v, str) else v.__name__,
)
def test_the_check_finds_it_and_sets_it_aside(
    whole: tuple[Store, dict[str, Path]], which: str, damage: Damage, capsys: pytest.CaptureFixture[str]
) -> None:
    store, paths = whole
    path = paths[which]
    damage(path)
    code, found = checked(store, capsys=capsys)
    grave = [f for f in found["findings"] if f["state"] == "damaged"]
    assert (code, [f["name"] for f in grave]) == (1, [path.relative_to(store.root).as_posix()])
    assert aside(store) == []
    code, found = checked(store, "--set-aside", capsys=capsys)
    assert (code, found["set_aside"], aside(store)) == (1, 1, [path.name])
    code, found = checked(store, capsys=capsys)
    states = {
        f["state"] for f in found["findings"] if not Path(f["name"]).name.startswith(("linked-", "other", "nowhere"))
    }
    assert (code, states) == {"trial": (1, {"missing"}), "model": (0, set())}.get(which, (0, {"absent"}))
    assert found["kept_aside"] == 1


def orphan(store: Store) -> None:
    store.artifacts.put_bytes(b"orphan", "bin")


def stranger(store: Store) -> None:
    (store.artifacts.folder / "notes.txt").write_text("x")


def unfinished(store: Store) -> None:
    store.artifacts.scratch()


def unfinished_data(store: Store) -> None:
    (store.data / "partial-x").mkdir()


def strange_data(store: Store) -> None:
    (store.data / ("c" * 64)).mkdir()


def kept_without_hash(store: Store) -> None:
    (store.models / "old.h5").write_bytes(b"x")


@pytest.mark.parametrize(
    ("change", "state"),
    [
        (orphan, "unknown"),
        (stranger, "unknown"),
        (unfinished, "unfinished"),
        (unfinished_data, "unfinished"),
        (strange_data, "unknown"),
        (kept_without_hash, "unknown"),
        (lambda store: removed(store.artifacts.path(hashlib.sha256(b"{}").hexdigest(), "tflite")), "absent"),
    ],
)
def test_what_is_in_nobodys_way_is_listed(
    whole: tuple[Store, dict[str, Path]],
    change: Callable[[Store], None],
    state: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store, _ = whole
    change(store)
    code, found = checked(store, capsys=capsys)
    assert (code, [f["state"] for f in found["findings"]]) == (0, [state])


def test_the_check_of_a_damaged_database_goes_on_with_the_files(
    whole: tuple[Store, dict[str, Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    store, paths = whole
    for i in range(300):
        store.save_trial("many", Trial(id=str(i), recipe="int8" * 50, steps=()), "k", i)
    store.close()
    database = store.root / "store.db"
    data = bytearray(database.read_bytes())
    for place in range(8 * 4096, len(data), 4096):
        data[place : place + 2048] = os.urandom(2048)
    database.write_bytes(data)
    emptied(paths["trial"])
    code, found = checked(Reader(store.root), capsys=capsys)
    assert code == 1
    named = {f["name"]: f["state"] for f in found["findings"]}
    assert named["database"] in ("damaged", "unreadable")
    assert named[f"artifacts/{paths['trial'].name}"] == "damaged"


def test_the_check_of_no_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["store", "check", "--store", str(tmp_path / "none")]) == 0
    assert "there is no store at" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_check_in_python(whole: tuple[Store, dict[str, Path]]) -> None:
    store, paths = whole
    found = check_store(Reader(store.root), lambda folder, info: "another hash")
    assert [(f.state, f.name) for f in found.findings] == [("damaged", f"data/{paths['data'].name}")]


# ---- files handed on


@pytest.mark.parametrize("damage", [*FILES, removed], ids=names)
def test_no_damaged_file_is_handed_on(tmp_path: Path, small_int8_tflite: Path, damage: Damage) -> None:
    store = Store(tmp_path / "store")
    artifact = store.artifacts.put_bytes(small_int8_tflite.read_bytes(), "tflite")
    store.close()
    store_study(store.root, "s", [make_trial("int8").model_copy(update={"artifact": artifact})])
    damage(Path(artifact.path))
    study = workbench.open_study("s", store.root)
    same = (
        not Path(artifact.path).is_fifo()
        and Path(artifact.path).is_file()
        and file_sha256(Path(artifact.path)) == artifact.sha256
    )
    if same:
        assert damage is a_link
        assert (study.export("int8", tmp_path / "out") / "model.tflite").read_bytes() == small_int8_tflite.read_bytes()
        return
    with pytest.raises(WorkbenchError, match=r"is gone|is not the file that was measured"):
        study.export("int8", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    if stat.S_ISREG(os.lstat(artifact.path).st_mode if os.path.lexists(artifact.path) else 0):
        for ask in (workbench.inspect, lambda path: workbench.bench(path, budget=0.01)):
            with pytest.raises(WorkbenchError, match=r"is not what its name says.*workbench store check"):
                ask(artifact.path)


def test_a_file_outside_a_store_may_have_any_name(tmp_path: Path, small_int8_tflite: Path) -> None:
    path = tmp_path / f"{'a' * 64}.tflite"
    shutil.copy(small_int8_tflite, path)
    assert workbench.inspect(path).operators


def test_artifacts_without_a_store_work_too(tmp_path: Path) -> None:
    """As a worker has them."""
    artifacts = Artifacts(tmp_path / "artifacts")
    path = Path(artifacts.put_bytes(CONTENT, "bin").path)
    emptied(path)
    assert Path(artifacts.put_bytes(CONTENT, "bin").path).read_bytes() == CONTENT
    assert len(list((tmp_path / DAMAGED).iterdir())) == 2

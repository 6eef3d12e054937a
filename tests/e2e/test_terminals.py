"""A command ends as its work does, wherever it was started: streams closed, full or left, odd terminals, odd folders."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from running import run, show
from terminals import ASCII, LOST, PLACES, Place

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
# Names that no ASCII terminal can print, in the study, the model's file and the folder.
STUDY = "größe-测试"
FOLDER = "Übung-📁"
GRID = ("--quantize", "float32,dynamic", "--jobs", "1", "--measure-budget", "0.1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, small_tflite: Path) -> Path:
    """A folder with a model, data, and a store with a study."""
    here = tmp_path_factory.mktemp("terminals") / FOLDER
    here.mkdir()
    (here / "modèle.tflite").write_bytes(small_tflite.read_bytes())
    draw, labels = np.random.default_rng(0), np.arange(40) % 6
    x = draw.random((40, 8, 8, 1), dtype=np.float32)
    np.savez(here / "data.npz", x_train=x, y_train=labels, x_test=x, y_test=labels)
    done = run(here, "sweep", "modèle.tflite", "--data", "data.npz", "--study", STUDY, *GRID)
    assert done.returncode == 0, done.stderr
    return here


# In every place.
VERBS: dict[str, tuple[str, ...]] = {"show": ("show", STUDY)}
# Where something else becomes of what is said on stderr, or of a code that is not 0, than where it is an ordinary command's.
MISTAKEN = ("closed-stderr", "all-closed", "full-stdout", "full-stderr", "both-full", "nobody-reads-either", "ascii", "posix", "latin", "zero-columns", "one-column", "ascii-terminal")  # fmt: skip
MISTAKE: dict[str, tuple[str, ...]] = {"mistake": ("show", "grosse")}
# In turn: what they print goes the same way.
OTHERS: dict[str, tuple[str, ...]] = {
    "help": ("--help",),
    "studies": ("studies",),
    "show-json": ("show", STUDY, "--format", "json"),
    "inspect": ("inspect", "modèle.tflite"),
}


# Those that differ in what becomes of progress and of what children inherit.
SWEPT = ("all-closed", "both-full", "nobody-reads-either", "zero-columns", "ascii-terminal")
MEASURED = ("both-full", "ascii-terminal")


def held(place: Place, code: int, arguments: tuple[str, ...], folder: Path) -> str:
    """Run a command, hold that it ends with the code of its work, in words, and return what was printed."""
    ended = place.run(list(arguments), folder)
    assert "Traceback" not in ended.out + ended.err, ended
    assert "Exception ignored" not in ended.out + ended.err, ended
    told = "workbench: the output could not be written" in ended.err
    if code == 0 and place.lost:
        assert (ended.code, told or place.silent) == (LOST, True), ended
    else:
        assert (ended.code, told) == (code, False), ended
    return ended.out


@pytest.mark.parametrize("place", PLACES, ids=lambda p: p.name)
def test_reading_verbs_end_as_their_work_does(place: Place, folder: Path) -> None:
    turn = list(OTHERS)[PLACES.index(place) % len(OTHERS)]
    also = {turn, "studies"} if place.name in ("ascii", "posix") else {turn}
    mistakes = MISTAKE if place.name in MISTAKEN else {}
    for name, arguments in [*VERBS.items(), *mistakes.items(), *((n, OTHERS[n]) for n in OTHERS if n in also)]:
        out = held(place, 2 if name == "mistake" else 0, arguments, folder)
        if name == "show-json" and place.size is None and not (place.silent or place.lost or place.name == "head"):
            assert json.loads(out)["study"] == STUDY, "escaped or not, the data are equal"
        if name == "studies" and place.name in ("ascii", "posix"):
            assert r"gr\xf6\xdfe-\u6d4b\u8bd5" in out


@pytest.mark.parametrize("place", [p for p in PLACES if p.name in SWEPT], ids=lambda p: p.name)
def test_a_sweep_and_a_measurement_end_as_their_work_does(place: Place, folder: Path) -> None:
    """Progress has nowhere to go, and the trials are in the store all the same."""
    arguments = ("sweep", "modèle.tflite", "--data", "data.npz", "--study", "s", "--store", place.name, *GRID)
    held(place, 0, arguments, folder)
    assert [t["state"] for t in show(folder, "s", folder / place.name)["trials"]] == ["ok", "ok"]
    if place.name in MEASURED:
        held(place, 0, ("bench", "modèle.tflite", "--budget", "0.1"), folder)


def test_a_sweep_in_a_unicode_folder_without_a_unicode_locale(folder: Path) -> None:
    """File names that the locale cannot say are found, kept in the store and printed as escapes."""
    place = Place("locale", variables=tuple(ASCII.items()))
    held(place, 0, ("sweep", "modèle.tflite", "--data", "data.npz", "--study", "s", "--store", "störe", *GRID), folder)
    assert [t["state"] for t in show(folder, "s", folder / "störe")["trials"]] == ["ok", "ok"]


@pytest.mark.parametrize("variables", [{"LANG": "C"}, {"LC_ALL": "POSIX"}], ids=["c", "posix"])
def test_a_file_and_a_study_are_found_in_locales_that_python_makes_unicode(
    variables: dict[str, str], folder: Path
) -> None:
    place = Place("locale", variables=tuple(variables.items()))
    assert json.loads(held(place, 0, ("show", STUDY, "--format", "json"), folder))["study"] == STUDY
    held(place, 0, ("inspect", "modèle.tflite"), folder)


def test_help_is_given_in_a_deleted_folder(tmp_path: Path) -> None:
    place = Place("deleted", f'mkdir "{tmp_path}/gone" && cd "{tmp_path}/gone" && rmdir "{tmp_path}/gone" && "$@"')
    ended = place.run(["sweep", "--help"], tmp_path)
    assert (ended.code, bool(re.search("Usage: workbench", ended.out))) == (0, True), ended


@pytest.mark.parametrize(
    "arguments",
    [
        ("studies",),
        ("inspect", "m.tflite"),
        ("sweep", "digits_small", "--data", "digits"),
        ("export", STUDY, "int8"),
        ("batch", "b.yaml"),
        ("doctor",),
    ],
    ids=lambda a: a[0],
)
def test_a_deleted_folder_is_told_in_one_sentence(arguments: tuple[str, ...], tmp_path: Path) -> None:
    place = Place("deleted", f'mkdir "{tmp_path}/gone" && cd "{tmp_path}/gone" && rmdir "{tmp_path}/gone" && "$@"')
    ended = place.run(list(arguments), tmp_path)
    assert ended.code == 2, ended
    assert ended.err.endswith(
        "workbench: the current folder was deleted. Go to a folder that exists, and try again.\n"
    ), ended
    assert "Traceback" not in ended.err

"""Targets of exports: the C array against a compiler, and what a folder keeps and loses when it is exported to again."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_export import models, record_of, trial_of  # noqa: F401  # the fixture

from workbench import registry
from workbench.commands.files import export as export_command
from workbench.errors import WorkbenchError
from workbench.files import file_sha256
from workbench.recipes.target import parse_target, target_text
from workbench.targets.base import Export, NoParams, Target
from workbench.targets.export import PYTHON, export_trial, files_of
from workbench.values.target import TargetSpec
from workbench.values.trial import Trial

PRINT = """
#include <stdio.h>
#include <stdint.h>
#include "{name}.h"
int main(void) {{
  if ((uintptr_t){name} % {align}) return 9;
  return fwrite({name}, 1, {name}_len, stdout) == {name}_len ? 0 : 8;
}}
"""


@pytest.fixture
def trial(models: dict[str, Path]) -> Trial:  # noqa: F811
    return trial_of(models["int8"], "int8")


# ---- c


@pytest.mark.parametrize(
    ("text", "name", "align", "compilers"),
    [
        ("c", "model_data", 16, (["g++", "-std=c++11"], ["g++", "-std=c++20"])),
        ("c:net_8[align=64,language=c]", "net_8", 64, (["gcc", "-std=c11"], ["gcc", "-std=c17"])),
    ],
)
def test_the_c_array_is_the_file(
    trial: Trial, tmp_path: Path, text: str, name: str, align: int, compilers: tuple[list[str], ...]
) -> None:
    spec = parse_target(text)
    out = export_trial(record_of(), trial, tmp_path / "out", spec)
    ending = spec.options["language"]
    (out / f"main.{ending}").write_text(PRINT.format(name=name, align=align))
    for number, compiler in enumerate(compilers):
        program = tmp_path / f"program{number}"
        strict = ["-Wall", "-Wextra", "-Werror", "-pedantic-errors"]
        sources = [str(out / f"{stem}.{ending}") for stem in ("main", name)]
        subprocess.run([*compiler, *strict, *sources, "-o", str(program)], check=True, timeout=600)
        done = subprocess.run([str(program)], check=True, capture_output=True, timeout=600)
        assert done.stdout == (out / "model.tflite").read_bytes()
    header = (out / f"{name}.h").read_text()
    card = json.loads((out / "card.json").read_text())
    assert card["files"]["model.tflite"] in header
    (tensor,) = card["inputs"]
    assert f"input 0: int8 (?, 2, 3), scale {tensor['scale']:.9g}, zero point -128" in header


def test_nothing_ends_the_comment_of_the_header(trial: Trial, tmp_path: Path) -> None:
    strange = trial.model_copy(update={"recipe": 'int8 @ */ #error "x" \\\n??/'})
    header = (export_trial(record_of(), strange, tmp_path, parse_target("c")) / "model_data.h").read_text()
    assert header.count("*/") == 2  # that of the comment, and that behind #endif
    assert "#error" not in header
    assert "\\" not in header
    assert "??/" not in header


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("c:int", "a name in C"),
        ("c:2net", "a name in C"),
        ("c:a/b", "a name in C"),
        ("c[align=3]", "align = '3'"),
        ("c[aling=16]", "Did you mean 'align'"),
        ("c:a[name=b]", "options go into brackets"),
        ("python:3", "python takes no options. Write python."),
        ("python[x=1]", "unknown parameter of target 'python' 'x'"),
        ("pyton", "unknown target 'pyton'. Did you mean 'python'? Allowed: c, python"),
        ("c[", "target 'c[' is not understood"),
    ],
)
def test_mistakes_are_told(text: str, said: str) -> None:
    with pytest.raises(WorkbenchError) as caught:
        parse_target(text)
    assert said in str(caught.value)


def test_texts_leave_defaults_out() -> None:
    assert target_text(parse_target("c[align=16,name=model_data]")) == "c"
    assert target_text(parse_target("c[align=32,name=net]")) == "c:net[align=32]"
    assert parse_target(" python ") == PYTHON == TargetSpec(name="python")


# ---- a folder that is exported to again


def names(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))


def test_what_somebody_changed_or_put_there_stays(trial: Trial, tmp_path: Path) -> None:
    out = export_trial(record_of(), trial, tmp_path / "out", parse_target("c"))
    (out / "model_data.h").write_text("/* mine now */")
    (out / "main.cc").write_text("int main() {}")
    export_trial(record_of(()), trial, out)
    assert names(out) == ["card.json", "main.cc", "model.tflite", "model_data.h", "predict.py"]
    assert files_of(out) == ["card.json", "model.tflite", "predict.py"]


def test_a_card_from_before_files_were_listed_loses_its_labels_alone(trial: Trial, tmp_path: Path) -> None:
    out = export_trial(record_of(), trial, tmp_path / "out")
    card = json.loads((out / "card.json").read_text())
    del card["files"], card["target"]
    (out / "card.json").write_text(json.dumps(card))
    export_trial(record_of(()), trial, out, parse_target("c"))
    assert names(out) == ["card.json", "model.tflite", "model_data.cc", "model_data.h", "predict.py"]


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"files": 3}', '{"files": [1]}', "[" * 100_000, '{"files": {"": ""}}']
)
def test_a_card_that_is_none_stops_nothing(trial: Trial, tmp_path: Path, text: str) -> None:
    (tmp_path / "card.json").write_text(text)
    export_trial(record_of(), trial, tmp_path)
    assert names(tmp_path) == ["card.json", "labels.txt", "model.tflite", "predict.py"]


def test_a_card_from_elsewhere_removes_nothing_elsewhere(trial: Trial, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious.txt").write_text("precious")
    out = tmp_path / "out"
    (out / "deep").mkdir(parents=True)
    (out / "link").symlink_to(outside)
    (out / "precious.txt").symlink_to(outside / "precious.txt")
    sha256 = file_sha256(outside / "precious.txt")
    listed = (
        "../outside/precious.txt",
        str(outside / "precious.txt"),
        "link/precious.txt",
        "precious.txt",
        "deep",
        "..",
    )
    (out / "card.json").write_text(json.dumps({"files": dict.fromkeys(listed, sha256)}))
    export_trial(record_of(), trial, out)
    assert (outside / "precious.txt").read_text() == "precious"
    assert (out / "precious.txt").is_symlink()
    assert (out / "deep").is_dir()


# ---- targets that do what they should not


class Odd(Target[NoParams]):
    name, help = "odd", "does what the test says"

    def __init__(self, write: Callable[[Path], object], missing: str | None = None, reason: str | None = None) -> None:
        self._write, self._missing, self._reason = write, missing, reason

    def available(self) -> str | None:
        return self._missing

    def unfit(self, params: NoParams, export: Export) -> str | None:
        return self._reason

    def write(self, params: NoParams, export: Export, folder: Path) -> None:
        self._write(folder)


def fail(_folder: Path) -> None:
    raise KeyError("a wheel")


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (Odd(fail), r"target 'odd' failed: KeyError: 'a wheel' \(test_targets.py:\d+\)"),
        (Odd(lambda f: (f / "model.tflite").write_text("other")), "wrote 'model.tflite', which every export has"),
        (Odd(lambda f: (f / "card.json").write_text("{}")), "wrote 'card.json'"),
        (Odd(lambda f: (f / "passwords").symlink_to("/etc/passwd")), "wrote 'passwords', which is neither"),
        (Odd(lambda f: os.mkfifo(f / "pipe")), "wrote 'pipe', which is neither"),
        (Odd(print, missing="get a kit: install kit"), "target 'odd' cannot be written here: get a kit"),
        (Odd(print, reason="it has strings"), "trial 'int8' does not fit target 'odd': it has strings"),
    ],
    ids=["fails", "model", "card", "link", "pipe", "missing", "unfit"],
)
def test_what_a_target_may_not_do_leaves_the_folder_as_it_was(
    trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: Any, said: str
) -> None:
    out = export_trial(record_of(), trial, tmp_path / "out")
    before = {p: p.read_bytes() for p in out.iterdir()}
    monkeypatch.setitem(registry.targets.builtins, "odd", "tests:Odd")
    monkeypatch.setitem(registry.targets._loaded, "odd", target)
    if registry.targets._names is not None:
        monkeypatch.setitem(registry.targets._names, "odd", "tests:Odd")
    with pytest.raises(WorkbenchError, match=said):
        export_trial(record_of(()), trial, out, TargetSpec(name="odd"))
    assert {p: p.read_bytes() for p in out.iterdir()} == before


def test_help_lists_every_target_with_its_options() -> None:
    import click

    text = " ".join(export_command.get_help(click.Context(export_command)).split())
    for target in registry.targets.all().values():
        assert f": {target.help}" in text
    assert "c[name=model_data,align=16,language=cc]: the file as an aligned array" in text
    assert "[default: python]" in text

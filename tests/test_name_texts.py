"""Names of studies, classes and files where they become commands, lines, markup and paths."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trials import make_record, make_trial

import workbench
from workbench import names
from workbench.batches.matrix import read_matrix
from workbench.cli.app import app, run
from workbench.cli.output import print_table
from workbench.engine.options import SweepOptions
from workbench.engine.request import Request, _study_name, make_grid
from workbench.errors import WorkbenchError
from workbench.evaluate.interpreter import describe_ends
from workbench.report.asked import again
from workbench.sources.glance import glance
from workbench.sources.identify import identify
from workbench.sources.load import load_keras, read_signature
from workbench.store.store import Store
from workbench.views.card import code_of

STUDIES = (
    "a/b", "..", "../../etc/x", "/abs", "two\nlines", "quote's \"double\" `tick`", "x" * 200, "😀" * 200, "\u202ertl \u2066mix", "100%s {x} {1+1} $HOME",
    "-rf", "--help", "--", "-o", "[bold red]x[/bold red]", "[/]", "<b>$x$</b> & <script>", "a;b|c>d", "#no ?q=1&r", "\\n \\", "%wb sweep", "日本", "tab\tx", "\x1b[31mred", "'",
)  # fmt: skip
TEXTS = st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=40)


def in_shell(line: str, tmp_path: Path) -> list[str]:
    """The words that bash takes a line for, as Python takes arguments."""
    script = tmp_path / "line.sh"
    script.write_bytes(b"printf '%s\\0' " + line.encode())
    done = subprocess.run(["bash", str(script)], capture_output=True, check=True, timeout=600)
    return [os.fsdecode(word) for word in done.stdout.split(b"\0")[:-1]]


@pytest.mark.parametrize("name", [*STUDIES, "no \udcff utf \udc80", "' \n '", "$'x'", "a $' ' b\n"], ids=ascii)
def test_a_line_is_one_line_and_the_same_words(name: str, tmp_path: Path) -> None:
    words = ["sweep", name, "100$", f"x{name}", "it's"]
    line = names.shell(words)
    assert len(line.splitlines()) == 1 or not set(name) & set("\n\x1b\t")
    assert "\n" not in line
    line.encode()
    assert names.split(line) == words
    assert in_shell(line, tmp_path) == words


@given(words=st.lists(TEXTS, min_size=1, max_size=4))
def test_words_of_any_text_come_back(words: list[str]) -> None:
    told = [w for w in words if not any("\ud800" <= c < "\udc80" or "\udcff" < c <= "\udfff" for c in w)]
    assert names.split(names.shell(told)) == told


@given(line=st.text(st.sampled_from("ab $'\"\\{}\n"), max_size=30))
def test_lines_of_people_are_read_as_before(line: str) -> None:
    if "$'" in line:
        return
    try:
        expected = shlex.split(line)
    except ValueError:
        with pytest.raises(ValueError, match=r"No (closing quotation|escaped character)"):
            names.split(line)
    else:
        assert names.split(line) == expected


@pytest.mark.parametrize("name", STUDIES, ids=ascii)
def test_ipython_leaves_a_written_line_as_it_is(name: str) -> None:
    """It puts the values of variables in for `{x}` and `$x` before a magic sees the line."""
    from IPython.utils.text import DollarFormatter

    variables = {"x": 1, "HOME": "elsewhere", "s": 3}
    line = names.notebook(["show", name])
    assert "\n" not in line
    assert names.split(DollarFormatter().vformat(line, args=[], kwargs=variables)) == ["show", name]


@given(name=st.text(min_size=1, max_size=300))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_can_be_called_after_anything(name: str, tmp_path: Path) -> None:
    file = tmp_path / f"{names.file_stem(name)}.html"
    file.write_text("x")
    assert [p.name for p in tmp_path.iterdir()] == [file.name]
    file.unlink()
    assert names.file_stem("my study, 2:4") == "my study, 2:4"


def parsed(line: str) -> dict[str, Any]:
    """What the command line understands of a line that was written for it."""
    words = names.split(line)
    assert words[0] == "workbench"
    command = app.get_command(None, words[1])
    assert isinstance(command, click.Command)
    return dict(command.make_context(words[1], words[2:]).params)


@pytest.mark.parametrize("name", STUDIES, ids=ascii)
def test_written_commands_name_the_study(name: str) -> None:
    grid = make_grid({"quantize": ["float32"]}, None, None)
    record = make_record(name).model_copy(update={"command": "", "grid": grid.to_json()})
    code = code_of(make_trial("prune:0.5+int8"), name)
    found = parsed(code["cli"])
    assert (found["study"], found["trial"], found["out"]) == (name, "prune:0.5+int8", "exported")
    assert (
        eval(code["python"].partition(".export(")[0].removeprefix("import workbench; workbench.open_study")) == name
    )  # it is a literal in brackets
    line, _ = again(record, "/some where/store")
    sweep, _, report = line.partition(" \\\n  && ")
    assert parsed(sweep)["study"] == name
    reported = parsed(report)
    assert (reported["study"], reported["store"]) == (name, "/some where/store")
    assert "/" not in reported["out"]
    assert len(reported["out"].encode()) < 255


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a study of every odd name, of two trials."""
    folder = tmp_path_factory.mktemp("studies")
    opened = Store(folder)
    for name in STUDIES:
        opened.save_study(make_record(name))
        opened.save_trials(name, [(make_trial("float32"), "k", 0), (make_trial("int8"), "k", 1)])
    opened.close()
    return folder


@pytest.mark.parametrize("name", STUDIES, ids=ascii)
def test_studies_are_found_by_name(name: str, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for verb in (["show", "--format", "json"], ["show", "--format", "csv"], ["show"], ["pareto"], ["best"]):
        assert run([*verb, "--store", str(store), "--", name]) == 0
        out = capsys.readouterr().out
        assert out
        if "json" in verb:
            assert json.loads(out)["study"] == name
    assert run(["studies", "--format", "json", "--store", str(store)]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {s["study"] for s in listed} == set(STUDIES)
    assert workbench.open_study(name, store).name == name


def test_tables_show_names_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """In brackets a name is no markup, in the title, in the head, or in a cell."""
    for name in (
        "[bold]x[/bold]",
        "[/]",
        "[link=x]",
        "xnnpack[threads=2]",
        "[red]",
        ":smile:",
        "[@click]",
        "a[b]c",
        "[[x]]",
        "\\[x]",
    ):
        print_table([{name: name}], name)
        assert capsys.readouterr().out.count(name) == 3


def test_progress_shows_names_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.cli.progress import TerminalProgress
    from workbench.engine.events import Event

    progress = TerminalProgress()
    monkeypatch.setattr(progress, "live", True)
    with progress:
        for name in STUDIES:
            progress(Event("phase", "build", name, 1, 2))
            shown = progress.bar.columns[-1].render(progress.bar.tasks[0])  # type: ignore[union-attr]  # a column of text
            assert str(shown) == name


def request(study: str | None) -> Request:
    return Request(
        None, None, make_grid(None, None, None), Store(Path(os.environ["ODD_STORE"])), SweepOptions(study=study)
    )


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ODD_STORE", str(tmp_path / "store"))


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("name", STUDIES, ids=ascii)
def test_a_study_may_be_called_anything(name: str) -> None:
    record = make_record()
    assert _study_name(request(name), record.model, record.dataset) == name


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize(
    "name", ["", "  ", "x" * 201, "a\0b", "\udcff", "\0", "\n", "\t ", "x\udc80", "y\ud800"], ids=ascii
)
def test_what_no_study_can_be_called(name: str) -> None:
    record = make_record()
    with pytest.raises(WorkbenchError, match="study name"):
        _study_name(request(name), record.model, record.dataset)


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("name", ["x" * 250, "日" * 400, "a" * 200, "b" * 199], ids=len)
def test_a_study_without_a_name_gets_one_that_fits(name: str) -> None:
    record = make_record()
    found = _study_name(request(None), record.model.model_copy(update={"name": name}), record.dataset)
    assert len(found) <= 200
    other = record.model.model_copy(update={"name": name, "sha256": "f" * 64})
    assert len(f"{name}-{record.dataset.name}") <= 200 or _study_name(request(None), other, record.dataset) != found


# ---- files

FILES = (
    b"with space", b"-dash", b"--help", b"quo'te\"", b"quest?ion", b"ha#sh", b"new\nline", b"no\xff\xfeutf", b"\x80", b"per%20cent", b"[bracket]", b"{brace}", b"$HOME",
    b"back\\slash", b"\xe6\x97\xa5\xe6\x9c\xac", b"*star", b"semi;colon&", b"a.b.c", b"x" * 200, b"\x1b[31m", b"tilde~",
)  # fmt: skip


@pytest.mark.parametrize("name", FILES, ids=ascii)
def test_model_files_of_any_name(
    name: bytes, small_h5: Path, small_tflite: Path, small_images: Any, tmp_path: Path
) -> None:
    kinds = {".h5": small_h5, ".tflite": small_tflite}
    for suffix, source in kinds.items():
        path = Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name + suffix.encode())))
        shutil.copyfile(source, path)
        info = identify(path, tmp_path)
        assert Path(info.path) == path
        info.name.encode()
        assert type(info).model_validate(json.loads(json.dumps(info.to_json()))) == info
        seen = glance(info)
        assert seen is not None
        assert [t.name for t in seen.inputs] == ["image"]
        if suffix == ".tflite":
            assert [n for n, _ in describe_ends(path).inputs] == ["image"]
        else:
            assert load_keras(path).name == "small"


@pytest.mark.parametrize("name", [b"no\xff\xfeutf", b"-d a?#", b"new\nline", b"\x80"], ids=ascii)
def test_saved_models_in_folders_of_any_name(name: bytes, small_keras_model: Any, tmp_path: Path) -> None:
    small_keras_model.save(tmp_path / "plain", save_format="tf")
    path = Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name)))
    (tmp_path / "plain").rename(path)
    assert [t.name for t in read_signature(identify(path, tmp_path)).inputs] == ["image"]


def test_runs_of_a_batch_have_files_of_their_own(small_h5: Path, tmp_path: Path) -> None:
    """Names of models that are one text once they are fit for a file."""
    called = ["日本", "a/b", "a b", "a-b", "a:b", "é", "è", "..", "x" * 300, "x" * 301, "\u202ea", "'"]
    grids = {"one": {"quantize": ["float32"]}}
    matrix = {"matrix": {"models": {n: str(small_h5) for n in called}, "datasets": ["digits"], "grids": grids}}
    runs = read_matrix(matrix, tmp_path).runs
    assert len({r.id for r in runs}) == len(called)
    for r in runs:
        (tmp_path / f"{r.id}.ipynb").write_text("x")
    assert len(list(tmp_path.glob("*.ipynb"))) == len(called)

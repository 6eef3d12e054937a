"""`%wb`: the way from a line to a verb and back, in a real shell with real sweeps."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from notebook import Shell, shell  # noqa: F401  # the fixture

import workbench
from workbench.errors import Cancelled, WorkbenchError
from workbench.handle import RunningSweep
from workbench.notebook.ahead import NEEDED
from workbench.notebook.keeping import transform
from workbench.notebook.magics import split
from workbench.study import Study
from workbench.values.trial import Measurement, Trial

Array = np.ndarray[Any, Any]
LOAD = "from IPython.core.interactiveshell import InteractiveShell as S; s = S.instance()\n"


@pytest.fixture(scope="module")
def ready(shell: Shell, small_keras_model: Any, small_images: Array) -> Shell:  # noqa: F811  # the fixture
    """The shell with a model and data in variables, and both named."""
    labels = np.arange(100) % 6
    shell.names["net"] = small_keras_model
    shell.names["arrays"] = {"x_train": small_images, "y_train": labels, "x_test": small_images, "y_test": labels}
    shell.run("%wb model net")
    shell.run("%wb data arrays")
    return shell


# ---- loading


def test_loading_waits_for_few_modules() -> None:
    """All but the magics is imported in a thread; `tests/benchmarks/starting.py` prints the seconds."""
    # Threads that do not start leave what the shell itself waits for.
    code = f"{LOAD}import sys, threading; threading.Thread.start = lambda self: None; before = set(sys.modules)\n"
    code += "s.run_line_magic('load_ext', 'workbench'); print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = done.stdout.split()
    assert "workbench.notebook.magics" in loaded
    assert len(loaded) < 20, loaded


def test_loading_loads_nothing_heavy() -> None:
    wait = "import sys, threading\n[t.join() for t in threading.enumerate() if t.name == 'workbench-imports']\n"
    code = f"{LOAD}s.run_line_magic('load_ext', 'workbench')\n{wait}print('wb' in s.magics_manager.magics['line'], *sys.modules)"
    there, *loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()
    assert there == "True"
    assert not {"tensorflow", "tf_keras", "plotly", "distributed", "pandas"} & set(loaded)
    # All that was to be imported ahead is there: a name that is gone would be passed over.
    assert set(NEEDED) <= set(loaded)


def test_loading_twice_is_loading_once(shell: Shell) -> None:  # noqa: F811
    before = len(shell.ip.Completer.custom_matchers)
    shell.ip.extension_manager.loaded.discard("workbench")
    shell.ip.run_line_magic("load_ext", "workbench")
    assert len(shell.ip.Completer.custom_matchers) == before


# ---- the line


def test_a_name_after_o_keeps_the_result() -> None:
    assert split("-o best quantize int8") == (["quantize", "int8"], "best")
    assert split("quantize 'a b' -o best") == (["quantize", "a b"], "best")
    assert split("sweep --out x") == (["sweep", "--out", "x"], None)


@pytest.mark.parametrize("line", ["-o", "studies -o", "-o 3x studies", "-o a-b studies"])
def test_a_name_that_is_none_is_refused(line: str) -> None:
    with pytest.raises(WorkbenchError, match="no name for a variable"):
        split(line)


def test_an_open_quotation_is_a_message() -> None:
    with pytest.raises(WorkbenchError, match="cannot be split into words"):
        split("model 'a")


@pytest.mark.parametrize(
    ("cell", "becomes"),
    [
        ("s << %wb sweep x\n", "%wb -o s sweep x\n"),
        ("  s<<%wb show\n", "  %wb -o s show\n"),
        ("s << %%wb sweep\nquantize: [int8]\n", "%%wb -o s sweep\nquantize: [int8]\n"),
        ("\ns << %%wb sweep\n", "\n%%wb -o s sweep\n"),
        ("a = 1\ns << %%wb sweep\n", "a = 1\ns << %%wb sweep\n"),
        ("s << other\n", "s << other\n"),
        ("s << %wbx\n", "s << %wbx\n"),
        ("x = '%wb'\n", "x = '%wb'\n"),
    ],
)
def test_keeping_by_an_arrow(cell: str, becomes: str) -> None:
    assert "".join(transform(cell.splitlines(keepends=True))) == becomes


@given(st.lists(st.text(alphabet="abc <%=\n'\"wb", max_size=20), max_size=5))
def test_other_cells_are_left_alone(parts: list[str]) -> None:
    lines = "\n".join(parts).splitlines(keepends=True)
    if "<<" not in "".join(lines):
        assert transform(lines) == lines


# ---- mistakes


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("%wb sweeep", "unknown verb 'sweeep'. Did you mean 'sweep'"),
        ("%wb studies --fromat json", "--format"),
        ("%wb inspect nothing.tflite", "nothing.tflite"),
        ("%wb show nothing", "unknown study 'nothing'"),
        ("%wb model nothing.h5", "'nothing.h5' does not exist"),
        ("%wb data digit", "digits"),
        ("%wb bench --budget lots x.tflite", "'lots' is not a valid float"),
        ("%%wb show\nx: 1", "below `sweep` only"),
        ("%wb model 'a", "Close the quotation"),
    ],
)
def test_a_mistake_is_a_message_and_no_traceback(shell: Shell, cell: str, words: str) -> None:  # noqa: F811
    assert words in shell.fails(cell)


def test_a_bug_keeps_its_traceback(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    from workbench.store.reader import Reader

    monkeypatch.setattr(Reader, "studies", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        shell.run("%wb studies")
    assert "Traceback" in shell.printed


def test_help(shell: Shell) -> None:  # noqa: F811
    shell.run("%wb")
    assert "%%wb sweep" in shell.printed
    shell.run("%wb --help")
    assert "delegate" in shell.printed
    shell.run("%wb prune --help")
    assert "--schedule" in shell.printed
    assert "polynomial" in shell.printed


# ---- what is worked on


def test_model_and_data_of_variables(ready: Shell) -> None:
    ready.run("%wb model net")
    assert "input image" in ready.html
    assert "(?, 8, 8, 1)" in ready.html
    ready.run("found << %wb data arrays")
    assert "100 samples of (8, 8, 1) float32" in ready.html
    assert ready.names["found"].test.x.shape == (100, 8, 8, 1)


def test_a_plain_variable_hides_no_dataset(shell: Shell) -> None:  # noqa: F811
    shell.names["digits"] = 10
    assert shell.session.named("digits") == "digits"
    del shell.names["digits"]


@pytest.mark.slow
def test_a_technique_gives_a_trial_and_a_card(ready: Shell) -> None:
    ready.run("kept << %wb quantize int8")
    trial = ready.names["kept"]
    assert isinstance(trial, Trial)
    assert trial.recipe == "int8"
    assert trial.census is not None
    assert trial.census.weights["int8"] > 0
    assert "workbench-card" in ready.html
    assert "baseline" in ready.html
    assert any("int8" in o.get("text/plain", "") for o in ready.outputs)


@pytest.mark.slow
def test_steps_around_a_technique_and_several_values(ready: Shell) -> None:
    found = ready.run("%wb quantize dynamic,float16 --after prune:0.5 --study around")
    assert [t.recipe for t in found] == ["prune:0.5+dynamic", "prune:0.5+float16"]
    one = ready.run("%wb prune 0.25 --schedule constant --epochs 1 --then int8 --study around")
    assert one.recipe == "prune:0.25[schedule=constant]+int8"
    assert one.state == "ok"


@pytest.mark.slow
def test_delegate_measures_on_all_runtimes_named(ready: Shell) -> None:
    found = ready.run("%wb delegate xnnpack,reference --recipe dynamic").value
    by_runtime: dict[str, Measurement] = {m.runtime: m for m in found.measurements}
    assert set(by_runtime) == {"xnnpack", "reference"}
    assert by_runtime["reference"].ops_delegated in (None, 0)


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("%wb quantize int9", "Did you mean 'int8'"),
        ("%wb prune 2", "between 0 and 1"),
        ("%wb prune 0.5 --then int9", "int9"),
        ("%wb quantize int8 --runtime xnpack", "Did you mean 'xnnpack'"),
        ("%wb qat --then float16", "does not go with quantization-aware training"),
    ],
)
def test_a_technique_refuses_what_cannot_be(ready: Shell, cell: str, words: str) -> None:
    assert words in ready.fails(cell)


# ---- sweeps


def test_a_sweep_gives_a_study(ready: Shell) -> None:
    ready.run("s = %wb sweep --quantize float32,dynamic,int8 --study grid --measure-budget 1")
    handle = ready.names["s"]
    study = handle.result()
    assert isinstance(study, Study)
    assert [t.recipe for t in study.trials] == ["float32", "dynamic", "int8"]
    assert not study.running
    assert study.record.command == "%wb sweep --quantize float32,dynamic,int8 --study grid --measure-budget 1"
    ready.run("s")
    assert "3 trials: 3 ok" in ready.html


def test_a_grid_in_the_cell_in_a_variable_and_in_two_places(ready: Shell) -> None:
    study = ready.run("%%wb sweep --study cell\nquantize: [float32, dynamic]\nmeasure: {skip: true}\n").result()
    assert [t.recipe for t in study.trials] == ["float32", "dynamic"]
    assert "quantize: [float32, dynamic]" in study.record.command
    ready.names["lists"] = {"quantize": ["float16"], "measure": {"skip": True}}
    study = ready.run("%wb sweep --grid lists --study variable").result()
    assert [t.recipe for t in study.trials] == ["float32", "float16"]
    assert "exclude each other" in ready.fails("%%wb sweep --quantize int8\nquantize: [float32]\n")
    assert "not valid YAML" in ready.fails("%%wb sweep\nquantize: [float32\n")


def test_reading_verbs_are_about_the_last_study(ready: Shell) -> None:
    ready.run("%wb sweep --quantize float32,int8 --study last --measure-budget 1").result()
    ready.run("%wb show")
    assert "Study last" in ready.html
    sizes = {t.recipe: t.size.file for t in ready.session.current.trials if t.size}  # type: ignore[union-attr]  # it is there
    assert ready.run("%wb best --max-drop 1").value.recipe == min(sizes, key=lambda r: sizes[r])
    ready.run("%wb show --format json")
    assert '"study": "last"' in "".join(o.get("text/plain", "") for o in ready.outputs)
    ready.run("%wb export last int8 --out bundle")
    assert Path("bundle/model.tflite").is_file()


def test_a_function_of_the_notebook_is_a_task(ready: Shell) -> None:
    ready.run("limit = 2\ndef few(outputs, y):\n    return {'few': y < limit}")
    study = ready.run("%%wb sweep --study own --task few\nquantize: [float32]\nmeasure: {skip: true}\n").result()
    for trial in study.trials:
        assert trial.quality is not None, trial.error
        (figure,) = trial.quality.figures
        assert figure.value == np.mean(np.arange(100) % 6 < 2)


def test_a_sweep_returns_while_it_runs_and_cancel_keeps_what_is_finished_and_the_next_waits_its_turn(
    ready: Shell,
) -> None:
    # Longer than any test may take, so that what ends it is the cancelling.
    line = "%wb sweep --prune 0.1,0.2,0.3,0.4,0.5,0.6,0.7 --quantize float32,dynamic --epochs 1000 --study long"
    study: RunningSweep = ready.run(line).value
    assert study.running
    deadline = time.monotonic() + 300
    while not any(t.state == "ok" for t in study.trials):
        assert time.monotonic() < deadline, study.trials
        time.sleep(0.1)
    behind: RunningSweep = ready.run("%wb sweep --quantize float32,int8 --study behind --measure-budget 1").value
    assert behind.running
    study.cancel()
    with pytest.raises(Cancelled):
        study.wait()
    assert study.error == "cancelled"
    assert any(t.state == "ok" for t in study.trials)
    assert [t.state for t in behind.result().trials] == ["ok", "ok"]


def test_studies_are_found_again_by_another_notebook(ready: Shell) -> None:
    ready.run("%wb sweep --quantize float32 --study again").result()
    other = ready.session.__class__(ready.ip)
    assert other.study("again", None).trials[0].state == "ok"
    with pytest.raises(WorkbenchError, match="again"):
        other.study("agian", None)


def test_a_study_is_removed_only_by_its_name_and_with_yes(ready: Shell) -> None:
    ready.run("%wb sweep --quantize float32 --study doomed --measure-skip").result()
    ready.run("%wb store tag doomed good,small")
    ready.run("%wb store note doomed 'as shipped'")
    study = workbench.open_study("doomed")
    assert study is not None
    assert (study.tags, study.note) == (("good", "small"), "as shipped")
    assert "Nobody can be asked here; say it with --yes" in ready.fails("%wb store rm doomed")
    assert "Missing argument 'STUDY'" in ready.fails("%wb store rm --yes"), "the one looked at last is not meant"
    assert ready.run("%wb store rm doomed --yes").value["trials"] == 1
    assert "unknown study 'doomed'" in ready.fails("%wb store note doomed")
    assert ready.run("%wb store gc --dry-run").value.items == []


def test_a_verb_within_a_group_of_verbs(ready: Shell) -> None:
    ready.run("%wb studies")
    found = ready.run("%wb store check")
    assert found.value.ok
    assert "Did you mean 'check'?" in ready.fails("%wb store chek")
    ready.run("%wb store")
    assert "check" in ready.printed
    assert "Usage: %wb store" in ready.printed

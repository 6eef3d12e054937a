"""The batch file: what it may say, what it means, and that every mistake is found before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from workbench.batches.matrix import load_matrix
from workbench.errors import WorkbenchError
from workbench.report import templates

QUIET = {"quantize": ["float32", "int8"], "measure": {"skip": True}}


def batch(**changes: Any) -> dict[str, Any]:
    matrix = {"models": ["digits_cnn"], "grids": [QUIET], **changes.pop("matrix", {})}
    return {"matrix": matrix, **changes}


def test_the_example_is_two_models_by_two_seeds() -> None:
    found = load_matrix(templates.folder() / "batch_example.yaml")
    assert [r.id for r in found.runs] == [
        f"{model}-digits-grid-{seed}" for model in ("digits_cnn", "digits_small") for seed in (0, 1)
    ]
    assert all(r.measures and r.parameters["gate"]["max_size"] for r in found.runs)
    assert found.runs[0].parameters["model"] == "digits_cnn"


def test_the_matrix_is_every_combination_with_names_of_its_own() -> None:
    matrix = {
        "models": {"big": "digits_cnn", "tiny": "digits_small"},
        "grids": {"plain": {"quantize": ["float32"]}, "both": QUIET},
        "seeds": [0, 7, 7],
    }
    found = load_matrix(batch(matrix=matrix)).runs
    assert len({r.id for r in found}) == len(found) == 8
    assert found[0].id == "big-digits-plain-0"
    assert {r.grid: r.measures for r in found} == {"plain": True, "both": False}
    assert {r.parameters["seed"] for r in found} == {0, 7}


def test_files_are_looked_for_beside_the_batch_file(tmp_path: Path, small_tflite: Path) -> None:
    (tmp_path / "net.tflite").write_bytes(small_tflite.read_bytes())
    (tmp_path / "few.yaml").write_text(yaml.safe_dump(QUIET))
    file = tmp_path / "batch.yaml"
    file.write_text(yaml.safe_dump({"matrix": {"models": ["net.tflite"], "grids": ["few.yaml"], "seeds": [1]}}))
    (run,) = load_matrix(file).runs
    assert run.id == "net-digits-few-1"
    assert run.parameters["model"] == str((tmp_path / "net.tflite").resolve())
    before = run.inputs
    (tmp_path / "few.yaml").write_text(yaml.safe_dump({**QUIET, "quantize": ["float32"]}))
    after = load_matrix(file).runs[0].inputs
    assert {k for k in before if before[k] != after[k]} == {"grid"}


def test_who_reads_is_named_before_the_path(tmp_path: Path, small_tflite: Path) -> None:
    (tmp_path / "net.bin").write_bytes(small_tflite.read_bytes())
    (tmp_path / "rows.txt").write_text("a,label\n1,0\n2,1\n3,0\n4,1\n")
    file = tmp_path / "batch.yaml"
    matrix = {"models": ["tflite:net.bin"], "datasets": ["csv:rows.txt?test=0.5"], "grids": [QUIET], "seeds": [1]}
    file.write_text(yaml.safe_dump({"matrix": matrix}))
    (run,) = load_matrix(file).runs
    assert run.id == "net-rows-grid-1"
    assert run.parameters["model"] == f"tflite:{(tmp_path / 'net.bin').resolve()}"
    assert run.parameters["data"] == f"csv:{(tmp_path / 'rows.txt').resolve()}?test=0.5"
    with pytest.raises(WorkbenchError, match="unknown table setting 'tset'"):
        load_matrix({"matrix": {**matrix, "models": ["digits_cnn"], "datasets": [f"csv:{tmp_path}/rows.txt?tset=0.5"]}})


def test_without_seeds_the_grids_own_holds() -> None:
    (run,) = load_matrix(batch(matrix={"grids": [{**QUIET, "train": {"seed": 5}}]})).runs
    assert run.seed == run.parameters["seed"] == 5
    assert run.id.endswith("-5")


def test_gates_are_for_all_or_by_model() -> None:
    models = {"models": ["digits_cnn", "digits_small"]}
    everyone = load_matrix(batch(matrix=models, gates={"max_size": "100KB"})).runs
    assert [r.parameters["gate"] for r in everyone] == [{"max_size": 100_000}] * 2
    own = load_matrix(batch(matrix=models, gate={"max_drop": 0.1}, gates={"digits_small": {"max_size": 9}})).runs
    assert [r.parameters["gate"] for r in own] == [{"max_drop": 0.1}, {"max_size": 9, "max_drop": 0.1}]
    assert "gate" not in load_matrix(batch()).runs[0].parameters


def test_runtimes_of_the_batch_are_those_of_its_grids() -> None:
    (run,) = load_matrix(batch(runtimes=["reference"])).runs
    assert run.parameters["grid"]["runtimes"] == ["reference"]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"matrx": {}}, "Did you mean 'matrix'"),
        ({}, "needs `matrix:`"),
        ({"matrix": {"seeds": [0]}}, "needs 'models'"),
        (batch(matrix={"modles": []}), "Did you mean 'models'"),
        (batch(matrix={"models": []}), "empty list 'models'"),
        (batch(matrix={"models": ["nowhere.h5"]}), "does not exist"),
        (batch(matrix={"datasets": ["digit"]}), "Did you mean 'digits'"),
        (batch(matrix={"datasets": ["nowhere.npz"]}), "does not exist"),
        (batch(matrix={"grids": ["nowhere.yaml"]}), "cannot be read"),
        (batch(matrix={"grids": [{"quantise": ["int8"]}]}), "Did you mean 'quantize'"),
        (batch(matrix={"grids": [{"quantize": ["int9"]}]}), "Did you mean"),
        (batch(matrix={"seeds": ["x"]}), "no whole number"),
        (batch(matrix={"seeds": [-1]}), "no whole number"),
        (batch(matrix={"seeds": [True]}), "no whole number"),
        (batch(template="sweep_reprot"), "Did you mean 'sweep_report'"),
        (batch(template="quickstart"), "takes no"),
        (batch(parameters={"study": "x"}), "set by the batch itself"),
        (batch(parameters={"sed": 1}), "unknown parameter"),
        (batch(parameters=[1]), "is a mapping"),
        (batch(gates={"digits_cn": {"max_size": 1}}), "Did you mean 'digits_cnn'"),
        (batch(gates={"max_sise": 1}), "unknown"),
        (batch(gate={"max_sise": 1}), "Did you mean 'max_size'"),
        (batch(gate={"max_size": "big"}), "size 'big'"),
        (batch(gate={"max_latency_ms": 1, "runtime": "xnpack"}), "Did you mean 'xnnpack'"),
        (batch(gate={"runtime": "xnnpack"}), "needs a limit"),
        (batch(runtimes=["xnpack"]), "Did you mean 'xnnpack'"),
    ],
)
def test_mistakes_are_told(data: dict[str, Any], says: str) -> None:
    with pytest.raises(WorkbenchError, match=says):
        load_matrix(data)


def test_a_grid_that_does_not_fit_a_model_is_found_before_anything_runs(small_tflite: Path) -> None:
    with pytest.raises(WorkbenchError, match="does not fit model 'small'"):
        load_matrix(batch(matrix={"models": [str(small_tflite)], "grids": [{"prune": [0.5]}]}))


def test_names_that_meet_are_refused(tmp_path: Path, small_tflite: Path, small_int8_tflite: Path) -> None:
    for folder, source in (("a", small_tflite), ("b", small_int8_tflite)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "m.tflite").write_bytes(source.read_bytes())
    paths = [str(tmp_path / folder / "m.tflite") for folder in "ab"]
    with pytest.raises(WorkbenchError, match="two models have the name 'm'"):
        load_matrix(batch(matrix={"models": paths}))


def test_a_file_that_is_no_batch_is_told(tmp_path: Path) -> None:
    file = tmp_path / "b.yaml"
    for text, says in (("- 1", "is a mapping"), ("a: [", "not valid YAML")):
        file.write_text(text)
        with pytest.raises(WorkbenchError, match=says):
            load_matrix(file)
    with pytest.raises(WorkbenchError, match="cannot be read"):
        load_matrix(tmp_path / "none.yaml")

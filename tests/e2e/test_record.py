"""What a sweep writes down: another setting, tool or machine makes something new beside what is there, and each tells its own."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import workbench
from workbench.cli.app import run
from workbench.lineage.draw import svg
from workbench.lineage.graph import Lineage
from workbench.measure import environment
from workbench.study import Study
from workbench.values.trial import Trial
from workbench.views.columns import Columns

pytestmark = pytest.mark.slow

FROZEN = Path(__file__).parents[1] / "frozen"
PRUNED = "prune:0.5+int8"


def sweep(store: Path, jobs: int = 1, engine: workbench.Engine | None = None, **settings: Any) -> Study:
    """Sweep a tiny model; `settings` are keys of a grid."""
    grid = {
        "recipes": ["int8", PRUNED],
        "train": {"epochs": 1, "batch_size": 16},
        "calibration": {"samples": 10},
        "measure": {"samples": 10, "budget": 1},
        **settings,
    }
    where = {"jobs": jobs} if engine is None else {"engine": engine}
    return workbench.sweep(FROZEN / "tiny.h5", FROZEN / "blobs.npz", grid, study="tiny", store=store, **where)


class Swept(NamedTuple):
    """A study's trials after the first sweep, and after the others."""

    store: Path
    first: list[Trial]
    last: Study

    def named(self, recipe: str) -> Trial:
        """Return a trial by its text."""
        return self.last.trial(recipe)


@pytest.fixture(scope="module")
def swept(warm_engine: workbench.Engine, tmp_path_factory: pytest.TempPathFactory) -> Swept:
    """Sweep five times: as it is, with more epochs, more samples, another version of a tool, and on another machine."""
    store = tmp_path_factory.mktemp("record") / "store"
    first = sweep(store, engine=warm_engine).trials
    sweep(store, engine=warm_engine, train={"epochs": 2, "batch_size": 16})
    again: dict[str, Any] = {"train": {"epochs": 2, "batch_size": 16}, "calibration": {"samples": 20}}
    sweep(store, engine=warm_engine, **again)
    with pytest.MonkeyPatch.context() as patch:
        true = environment._version
        patch.setattr(environment, "_version", lambda name: "99.0" if name == "litert-quantizer" else true(name))
        sweep(store, engine=warm_engine, **again)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_MACHINE", "the other board")
        last = sweep(store, **again)
    return Swept(store, first, last)


def test_another_setting_makes_a_trial_beside_the_one_that_is_there(swept: Swept) -> None:
    # Four sweeps: pruning differs by epochs, ranges by samples, and whatever the quantizer writes by its version.
    pruned = [t.recipe for t in swept.last.trials if t.recipe.startswith(PRUNED)]
    assert len(pruned) == len(set(pruned)) == 4
    assert PRUNED in pruned
    assert f"{PRUNED} @ epochs=1, samples=10" in pruned
    assert f"{PRUNED} @ samples=10" in pruned
    assert f"{PRUNED} @ litert-quantizer 99.0" in pruned


def test_what_a_setting_does_not_touch_stays_one_trial(swept: Swept) -> None:
    int8 = {t.recipe for t in swept.last.trials if t.recipe.startswith("int8")}
    # Nothing was trained for it, so epochs are nothing to it.
    assert int8 == {"int8", "int8 @ samples=10", "int8 @ litert-quantizer 99.0"}
    assert [t.recipe for t in swept.last.trials if t.recipe.startswith("float32")] == ["float32"]


def test_what_was_there_is_as_it_was(swept: Swept) -> None:
    later = {t.id: t for t in swept.last.trials}
    for before in swept.first:
        now = later[before.id]
        assert (now.artifact, now.quality, now.settings) == (before.artifact, before.quality, before.settings)
        assert now.artifact is not None
        assert hashlib.sha256(Path(now.artifact.path).read_bytes()).hexdigest() == now.artifact.sha256


def test_each_trial_tells_its_own_settings(swept: Swept) -> None:
    old, new = swept.named(f"{PRUNED} @ epochs=1, samples=10").settings, swept.named(PRUNED).settings
    assert old is not None
    assert old.train is not None
    assert old.calibration is not None
    assert new is not None
    assert new.train is not None
    assert new.calibration is not None
    assert (old.train.epochs, old.calibration.samples) == (1, 10)
    assert (new.train.epochs, new.calibration.samples) == (2, 20)
    plain = swept.named("float32").settings
    assert plain is not None
    assert (plain.train, plain.calibration, plain.threads) == (None, None, None)
    assert "tensorflow" in plain.tools


def test_the_card_of_an_export_tells_its_own_settings(swept: Swept, tmp_path: Path) -> None:
    trial = swept.named(f"{PRUNED} @ epochs=1, samples=10")
    folder = swept.last.export(trial, tmp_path / "out")
    told = json.loads((folder / "card.json").read_text())
    assert told["settings"]["train"]["epochs"] == 1
    assert told["settings"]["calibration"]["samples"] == 10


def test_the_card_of_an_export_tells_what_made_the_file(swept: Swept, tmp_path: Path) -> None:
    # Not the tools and the machine of the study's last sweep.
    last = environment.machine()
    told = {}
    for name in (PRUNED, f"{PRUNED} @ litert-quantizer 99.0"):
        folder = swept.last.export(swept.named(name), tmp_path / name.partition(" @ ")[2])
        told[name] = json.loads((folder / "card.json").read_text())["environment"]
        assert (told[name]["machine"], told[name]["name"]) == (last.id, "")
    assert told[f"{PRUNED} @ litert-quantizer 99.0"]["versions"]["litert-quantizer"] == "99.0"
    assert told[PRUNED]["versions"]["litert-quantizer"] != "99.0"
    assert swept.last.record.environment["machine"] != last.id


def test_two_machines_keep_both_sets_of_figures(swept: Swept) -> None:
    trial = swept.named(PRUNED)
    places = {m.place for m in trial.measurements}
    assert len(places) == 2
    assert "the other board" in places
    assert len({m.machine for m in trial.measurements}) == 2
    # A trial that only the first machine measured has no figure on the second one's axis.
    alone = swept.named(f"{PRUNED} @ epochs=1, samples=10")
    assert {m.place for m in alone.measurements} == places - {"the other board"}


def test_a_chart_shows_which_machine_is_which(swept: Swept) -> None:
    columns = Columns(swept.last.trials)
    runtimes = columns.runtimes()
    assert len(runtimes) == 2
    assert all(" @ " in r for r in runtimes)
    assert any(r.endswith("@ the other board") for r in runtimes)
    for runtime in runtimes:
        place = runtime.partition(" @ ")[2]
        for i, value in enumerate(columns.values(columns.metric(f"latency@{runtime}"))):
            own = [m for m in columns.trials[i].measurements if m.place == place and m.latency_ms]
            assert value == (own[0].latency_ms.median if own and own[0].latency_ms else None)


def test_lineage_leads_from_model_and_data_to_the_file(swept: Swept) -> None:
    trial = swept.named(f"{PRUNED} @ epochs=1, samples=10")
    found = swept.last.lineage(trial)
    nodes = {n.id: n for n in found.nodes}
    assert trial.artifact is not None
    # By the bytes of the files that were given.
    assert nodes[hashlib.sha256((FROZEN / "tiny.h5").read_bytes()).hexdigest()].kind == "model"
    assert nodes[swept.last.record.dataset.sha256].kind == "dataset"
    assert nodes[trial.artifact.sha256].kind == "file"
    kinds = {n.detail["kind"] for n in found.nodes if n.kind == "execution"}
    assert {"train", "convert", "calibrate", "finish", "evaluate"} <= kinds
    (train,) = [n for n in found.nodes if n.detail.get("kind") == "train"]
    assert train.detail["settings"]["train"]["epochs"] == 1
    assert train.detail["tools"]["tensorflow-model-optimization"]
    assert train.detail["started"]
    assert train.detail["machine"]
    assert not found.notes
    # Every way back ends at a source.
    reached = {trial.artifact.sha256}
    while more := {e.start for e in found.edges if e.end in reached} - reached:
        reached |= more
    assert {n.kind for n in found.nodes if n.id in reached and not found.before(n.id)} == {"model", "dataset"}
    order = [n.id for n in found.nodes]
    assert all(order.index(e.start) < order.index(e.end) for e in found.edges)


def test_lineage_as_table_json_and_drawing(swept: Swept, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = ["--store", str(swept.store)]
    assert run(["lineage", "tiny", PRUNED, *store, "--format", "json"]) == 0
    found = Lineage.model_validate_json(capsys.readouterr().out)
    assert found.recipe == PRUNED
    assert run(["lineage", "tiny", PRUNED, *store, "--out", str(tmp_path / "l.svg")]) == 0
    assert "train prune:0.5" in capsys.readouterr().out.replace("\n", " ")
    drawn = (tmp_path / "l.svg").read_text()
    assert drawn == svg(found)
    # A file is a line in the box of what made it.
    assert drawn.count("<rect") == len([n for n in found.nodes if n.kind != "file"])
    for node in found.nodes:
        assert node.title in drawn


def test_threads_are_part_of_what_is_trained_and_of_nothing_else(swept: Swept) -> None:
    """Measured here: with another number of threads files without training have the same bytes, and keep their ids."""
    before = {t.recipe: t for t in swept.last.trials}
    after = {
        t.recipe: t
        for t in sweep(
            swept.store.parent / "other", jobs=2, train={"epochs": 2, "batch_size": 16}, calibration={"samples": 20}
        ).trials
    }
    for recipe in ("float32", "int8"):
        assert after[recipe].id == before[recipe].id
        made, was = after[recipe].artifact, before[recipe].artifact
        assert made is not None
        assert was is not None
        assert made.sha256 == was.sha256
    assert after[PRUNED].id != before[PRUNED].id


def test_warnings_of_a_measurement_are_replaced_on_its_machine_alone(swept: Swept) -> None:
    trial = swept.named(PRUNED)
    measured = [w for w in trial.warnings if w.machine]
    machines = {m.machine for m in trial.measurements}
    assert {w.machine for w in measured} <= machines
    # Said once for each machine, whatever was measured there how often, and never with the words of another.
    assert len({(w.kind, w.machine) for w in measured}) == len(measured)
    assert all(w.seen.startswith("on xnnpack:") and w.place for w in measured)
    assert all(w.told.endswith(f"(on {w.place})") for w in measured)


def test_the_machine_of_the_last_sweep_is_meant_where_none_is_named(swept: Swept) -> None:
    columns = Columns(swept.last.trials)
    assert columns.runtimes()[0].endswith("@ the other board")
    latency = columns.metrics["latency"]
    assert latency.runtime == columns.runtimes()[0]


def test_one_baseline_is_the_studys(swept: Swept) -> None:
    assert [t.recipe for t in swept.last.trials if t.baseline] == ["float32"]


def test_lineage_of_a_file_that_was_given(swept: Swept, tmp_path: Path) -> None:
    """A float `.tflite` is handed on as it is: source, import and baseline have the same bytes."""
    file = swept.named("float32").artifact
    assert file is not None
    (tmp_path / "given.tflite").write_bytes(Path(file.path).read_bytes())
    study = workbench.sweep(
        tmp_path / "given.tflite",
        FROZEN / "blobs.npz",
        {"quantize": ["dynamic"], "measure": {"skip": True}},
        study="given",
        store=tmp_path / "store",
        jobs=1,
    )
    for trial in study.trials:
        found = study.lineage(trial)
        assert found.nodes[0].kind in ("model", "dataset")
        assert {"import", "finish", "evaluate"} <= {n.detail.get("kind") for n in found.nodes}
        assert svg(found)

"""A sweep whose files are damaged, one kind at a time: run again it ends with the same files and the same figures."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from damages import Damage, a_file_cut, a_file_missing, a_folder, a_link, bit_flipped, emptied, removed, truncated
from elsewhere import look
from running import images, stage_rows

import workbench
from workbench.engine.events import Event
from workbench.errors import WorkbenchError
from workbench.report.weights import weights
from workbench.store.intact import DAMAGED, LOG
from workbench.store.reader import Reader
from workbench.store.store import Store
from workbench.study import Study

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

Outcome = dict[str, tuple[Any, ...]]
GRID = {
    "recipes": ["float32", "int8", "prune:0.5+int8", "int8[engine=converter]", "prune:0.5+cluster:4+int8"],
    "train": {"epochs": 1},
    "measure": {"budget": 0.2},
}


class Swept(NamedTuple):
    """A finished sweep, and what it takes to run it again."""

    store: Path
    model: Path
    data: Path
    engine: workbench.Engine
    outcome: Outcome

    def again(self, **changes: Any) -> tuple[Study, list[str]]:
        """Run it again; returns the study, and what was said of damage."""
        heard: list[Event] = []
        options = {"grid": GRID, "study": "kept", "store": self.store, "engine": self.engine, **changes}
        study = workbench.sweep(self.model, self.data, listener=heard.append, **options)
        return study, [e.label for e in heard if e.kind == "damaged"]

    def of(self, kind: str) -> list[Path]:
        """The artifacts of a kind."""
        return sorted((self.store / "artifacts").glob(f"*.{kind}"))


def outcome(study: Study) -> Outcome:
    """What has to be the same however often something was damaged: files and figures, times left out."""
    return {
        t.recipe: (
            t.state,
            t.artifact.sha256 if t.artifact else None,
            t.size,
            t.census,
            t.quality,
            [(m.runtime, m.state, m.ops_total, m.reference) for m in t.measurements],
        )
        for t in study.trials
    }


@pytest.fixture(scope="module")
def swept(small_h5: Path, warm_engine: workbench.Engine, tmp_path_factory: pytest.TempPathFactory) -> Swept:
    folder = tmp_path_factory.mktemp("damaged")
    data = images(folder / "random.npz")
    begun = Swept(folder / "store", small_h5, data, warm_engine, {})
    study, said = begun.again()
    assert said == []
    assert {t.state for t in study.trials} == {"ok"}, [t.error for t in study.trials]
    assert {p.suffix for p in (folder / "store" / "artifacts").iterdir()} == {
        ".tflite",
        ".npz",
        ".h5",
        ".json",
        ".savedmodel",
    }
    return begun._replace(outcome=outcome(study))


def aside(store: Path) -> set[str]:
    folder = store / DAMAGED
    return {p.name for p in folder.iterdir() if p.name != LOG} if folder.exists() else set()


def trial_file(swept: Swept, recipe: str) -> Path:
    (found,) = [t for t in Reader(swept.store).trials("kept") if t.recipe == recipe]
    assert found.artifact is not None
    return Path(found.artifact.path)


@pytest.mark.parametrize(
    "damage", [truncated, emptied, bit_flipped, a_folder, a_link, removed], ids=lambda d: d.__name__
)
@pytest.mark.parametrize("recipe", ["float32", "int8"])
def test_a_trials_file(swept: Swept, recipe: str, damage: Damage) -> None:
    path, before = trial_file(swept, recipe), aside(swept.store)
    damage(path)
    study, said = swept.again()
    assert outcome(study) == swept.outcome
    assert path.is_file()
    assert not path.is_symlink()
    new = aside(swept.store) - before
    assert len(said) == len(new) == (0 if damage is removed else 1)
    if new:
        assert path.name in said[0]
        assert str(swept.store / DAMAGED) in said[0]
    assert swept.again()[1] == []


@pytest.mark.parametrize("folders", [a_file_missing, a_file_cut], ids=lambda d: d.__name__)
def test_what_lies_between_is_made_only_where_it_is_needed(swept: Swept, folders: Damage) -> None:
    """Nothing is done again while all that was made from it is there; with the children gone, it is."""
    damages = {"h5": truncated, "ranges.json": emptied, "savedmodel": folders}
    between = {path: damage for kind, damage in damages.items() for path in swept.of(kind)}
    for path, damage in between.items():
        damage(path)
    rows = stage_rows(swept.store)
    study, _ = swept.again()
    assert outcome(study) == swept.outcome
    assert stage_rows(swept.store) == rows, "a stage was done again for nothing"
    for path in (swept.store / "artifacts").iterdir():
        if path not in between:
            removed(path)
    study, _ = swept.again()
    assert outcome(study) == swept.outcome
    assert all(swept.of(kind) for kind in damages)
    assert swept.again()[1] == []


def test_the_baselines_outputs_are_there_when_a_runtime_is_held_against_them(swept: Swept) -> None:
    for path in swept.of("npz"):
        bit_flipped(path)
    study, said = swept.again(runtimes=["xnnpack", "builtin"])
    assert len(said) == 1
    assert len(swept.of("npz")) == 1
    for trial in study.trials:
        assert {m.runtime for m in trial.measurements} == {"xnnpack", "builtin"}
        assert all(m.state == "ok" for m in trial.measurements)
    db = sqlite3.connect(swept.store / "store.db")
    db.execute("delete from measurements where runtime like 'builtin%'")
    db.commit()
    db.close()


@pytest.mark.parametrize("damage", [truncated, emptied, bit_flipped, removed], ids=lambda d: d.__name__)
def test_the_arrays(swept: Swept, damage: Damage) -> None:
    (folder,) = (swept.store / "data").iterdir()
    before = look(folder).keys()
    damage(folder / "x_test..npy")
    removed(trial_file(swept, "int8"))
    study, said = swept.again()
    assert outcome(study) == swept.outcome
    assert len(said) == 1
    assert look(folder).keys() == before


def test_everything_at_once(swept: Swept) -> None:
    paths = list((swept.store / "artifacts").iterdir())
    for path in paths:
        a_file_cut(path) if path.is_dir() else truncated(path)
    study, said = swept.again()
    assert outcome(study) == swept.outcome
    assert len(said) == len(paths)
    assert swept.again()[1] == []


def test_what_failed_for_damage_is_mended_by_trying_again(swept: Swept) -> None:
    """As an earlier version left it: the trial failed over a damaged file, and would for ever."""
    store = Store(swept.store)
    (trial,) = [t for t in store.trials("kept") if t.recipe == "prune:0.5+int8"]
    failed = trial.model_copy(update={"state": "failed", "error": "OSError: truncated file", "artifact": None})
    store.save_trial("kept", failed, store.trial_keys("kept")[trial.id], 2)
    for path in swept.of("h5"):
        truncated(path)
    removed(Path(trial.artifact.path if trial.artifact else ""))
    assert outcome(swept.again()[0])["prune:0.5+int8"][0] == "failed"
    study, _ = swept.again(retry_failed=True)
    assert outcome(study) == swept.outcome


def test_damaged_while_the_sweep_runs(swept: Swept, tmp_path: Path) -> None:
    """Whatever appears in the store is cut short for the first second of its life, now and then."""
    store = tmp_path / "store"
    stop = threading.Event()
    cut: set[str] = set()

    def spoil() -> None:
        while not stop.is_set() and len(cut) < 3:
            for path in (store / "artifacts").glob("*.[th]*") if (store / "artifacts").exists() else ():
                if path.name not in cut and not path.name.startswith("partial-") and len(cut) < 3:
                    truncated(path)
                    cut.add(path.name)
            time.sleep(0.002)

    thread = threading.Thread(target=spoil)
    thread.start()
    try:
        study, said = swept.again(store=store)
    finally:
        stop.set()
        thread.join()
    assert len(cut) == 3
    assert outcome(study) == swept.outcome
    assert said
    assert outcome(swept.again(store=store)[0]) == swept.outcome
    found = {p.name for p in (store / "artifacts").iterdir()}
    assert cut <= found


def test_stage_results_and_rows_of_a_wrong_shape_are_made_again(swept: Swept) -> None:
    db = sqlite3.connect(swept.store / "store.db")
    db.execute("update executions set result = '{\"artifact\": 7}' where kind in ('evaluate', 'finish')")
    db.execute("update trials set trial = '[]' where id = (select min(id) from trials)")
    db.execute("update measurements set measurement = 'null' where trial = (select max(trial) from measurements)")
    db.commit()
    db.close()
    study, _ = swept.again()
    assert outcome(study) == swept.outcome
    assert study.notes() == ()


def test_a_report_says_where_a_file_is_damaged(swept: Swept) -> None:
    from workbench.report.sections import Report

    path = trial_file(swept, "int8")
    kept = path.read_bytes()
    bit_flipped(path)
    study = workbench.open_study("kept", swept.store)
    section = weights(Report(study), "int8")
    assert "is not the file that was measured" in section.text
    with pytest.raises(WorkbenchError, match="is not the file that was measured"):
        study.export("int8", swept.store.parent / "out")
    path.write_bytes(kept)
    np.testing.assert_equal(
        json.loads(json.dumps(outcome(study), default=str)), json.loads(json.dumps(swept.outcome, default=str))
    )

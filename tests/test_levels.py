"""Warnings weigh what they cost: which are notes, and that notes are shown apart and not counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from stored import store_study
from trials import broken, make_profile, make_record, make_trial, measured

import workbench
from workbench.api import open_study
from workbench.commands.sweeping import Swept
from workbench.commands.tables import trials_table
from workbench.engine.warn import LITTLE, after_measuring
from workbench.flatbuffer.shares import shares_of
from workbench.notebook.cards import card_html
from workbench.report.sections import Report
from workbench.study import Study
from workbench.values.trial import Measurement, OpProfile, OpTime, Trial
from workbench.values.warning import Warning_, warning
from workbench.views.card import trial_card
from workbench.views.listing import listing, warnings
from workbench.views.picks import warned
from workbench.views.table import rows
from workbench.views.tradeoff import tradeoff_info


def partial(m: Measurement, file: Path | None = None) -> Warning_:
    (found,) = [w for w in after_measuring(m, True, True, file) if w.kind == "partial-delegation"]
    return found


def timed(left_ms: float) -> OpProfile:
    whole = make_profile(3)
    return whole.model_copy(
        update={
            "operators": (*whole.operators, OpTime(index=9, name="SOFTMAX", label="", place="LiteRT", ms=left_ms)),
        }
    )


LEFT = measured("xnnpack", 1.0, ops_delegated=6, partitions=1, left=("SOFTMAX",))
NOTED = warning("partial-delegation", "on xnnpack: 1 of 15 operators were left: SOFTMAX", "note")
REAL = warning("slower-than-baseline", "on xnnpack: 1.53x the baseline's latency")


# ---- what is a note


def test_by_the_time_of_operators() -> None:
    """The three others take 0.512, 0.256 and 0.128 ms: 0.896 together."""
    short = partial(LEFT.model_copy(update={"profile": timed(0.004)}))
    assert short.level == "note"
    assert short.seen.endswith("1 of 7 operators were left: SOFTMAX, 0.4 % of the time by operator")
    long = partial(LEFT.model_copy(update={"profile": timed(0.104)}))
    assert (long.level, long.seen.rpartition(", ")[2]) == ("warning", "10.4 % of the time by operator")


def test_what_nothing_tells_of_stays_a_warning(tmp_path: Path) -> None:
    (tmp_path / "damaged.tflite").write_bytes(b"no model")
    for file in (None, tmp_path / "damaged.tflite", tmp_path / "missing.tflite"):
        assert partial(LEFT, file).level == "warning"
    assert partial(LEFT.model_copy(update={"left": ("not named by the plugin",)})).level == "warning"
    assert partial(LEFT.model_copy(update={"left": ()})).seen.endswith("not named")


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dense layer of 64 x 256 whose 256 outputs are added up by a small one, then a softmax of three numbers."""
    import tensorflow as tf

    kernel = tf.constant(np.random.default_rng(0).normal(size=(64, 256)).astype(np.float32))
    small = tf.constant(np.random.default_rng(1).normal(size=(256, 3)).astype(np.float32))

    @tf.function(input_signature=[tf.TensorSpec([1, 64], tf.float32)])
    def run(x):  # type: ignore[no-untyped-def]
        return tf.nn.softmax(tf.nn.relu(x @ kernel) @ small)

    path = tmp_path_factory.mktemp("net") / "net.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([run.get_concrete_function()]).convert())
    return path


def test_shares_of_a_real_file(net: Path) -> None:
    operators = dict(workbench.inspect(str(net)).operators)
    assert operators == {"FULLY_CONNECTED": 2, "SOFTMAX": 1}
    # In and out: 64 -> 256 -> 3 -> 3.
    whole = (64 + 256) + (256 + 3) + (3 + 3)
    softmax, dense = shares_of(net, ["SOFTMAX"]), shares_of(net, ["FULLY_CONNECTED"])
    assert softmax is not None
    assert softmax.bytes == 0
    assert softmax.elements == pytest.approx(6 / whole)
    assert dense is not None
    assert dense.bytes == 1
    assert dense.elements == pytest.approx(1 - 6 / whole)
    assert shares_of(net, ["SOFTMAX", "CONV_2D"]) is None
    assert shares_of(net, []) is None


def test_by_the_file_where_time_is_not_known(net: Path) -> None:
    assert LITTLE < 6 / 585
    assert partial(LEFT, net).level == "warning"
    assert partial(LEFT, net).seen.endswith("SOFTMAX, 1.0 % of the activations' elements")
    dense = partial(LEFT.model_copy(update={"left": ("FULLY_CONNECTED",)}), net)
    assert (dense.level, dense.seen.rpartition(", ")[2]) == ("warning", "100.0 % of the weights' bytes")


def test_a_note_survives_the_store_and_an_old_warning_is_one() -> None:
    assert Warning_.model_validate(NOTED.to_json()) == NOTED
    old = {k: v for k, v in NOTED.to_json().items() if k != "level"}
    assert Warning_.model_validate(old).level == "warning"


# ---- who shows it


def some() -> list[Trial]:
    return [
        make_trial("float32"),
        make_trial("int8", warnings=(NOTED,)),
        make_trial("dynamic", warnings=(NOTED, REAL)),
    ]


@pytest.fixture
def study(tmp_path: Path) -> Study:
    store_study(tmp_path / "store", "it", some())
    return open_study("it", tmp_path / "store")


def test_notes_are_not_counted() -> None:
    trials = some()
    assert [p.warnings for p in tradeoff_info(trials).points] == [0, 0, 1]
    assert [line.warnings for line in listing(trials).lines] == [0, 0, 1]
    assert [(r["warnings"], r["notes"]) for r in rows(trials)] == [
        ("", ""),
        ("", "partial-delegation"),
        ("slower-than-baseline", "partial-delegation"),
    ]
    assert [warned(t) for t in trials] == ["", "", "slower-than-baseline"]
    table = trials_table("it", trials).rows
    assert [(r["warnings"], r["notes"]) for r in table] == [("", ""), ("", 1), ("slower-than-baseline", 1)]
    assert "notes" not in trials_table("it", trials[:1]).rows[0]
    assert [c.key for c in listing(trials).columns][-2:] == ["warnings", "notes"]
    assert "notes" not in [c.key for c in listing(trials[:1]).columns]


def test_a_sweep_counts_what_is_warned_of(study: Study) -> None:
    said = [b for b in Swept(study).blocks() if isinstance(b, str)]
    assert said[0].startswith("3 trials, 3 ok, 0 failed, 1 with warnings;")


def test_cards_and_report_show_notes_apart(study: Study) -> None:
    trials = some()
    card = trial_card(trials[2], trials, make_record()).to_json()
    assert [(w["kind"], w["level"]) for w in card["warnings"]] == [
        ("slower-than-baseline", "warning"),
        ("partial-delegation", "note"),
    ]
    page = card_html(card)
    assert 'class="note">Note, <b>partial-delegation' in page
    assert 'class="warning"><b>slower-than-baseline' in page
    assert [(n.kind, n.level, len(n.seen)) for n in warnings(trials)] == [
        ("slower-than-baseline", "warning", 1),
        ("partial-delegation", "note", 2),
    ]
    section = Report(study).warnings().body
    assert section.index("slower-than-baseline") < section.index("Notes, of what was seen") < section.index("SOFTMAX")


def test_a_failed_measurement_warns_of_nothing() -> None:
    assert after_measuring(broken("xnnpack", "no"), True, False) == ()

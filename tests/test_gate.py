"""The ship gate: what passes, what does not, what is missing; its exit codes and its JUnit XML."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from trials import broken, make_many, make_record, make_study, make_trial, measured

from workbench.cli.app import run
from workbench.errors import WorkbenchError
from workbench.store.store import Store
from workbench.values.limits import Limits, read_limits
from workbench.views.gate import GateVerdict, junit_xml, suite_of, verdict


def gate(**limits: Any) -> Limits:
    return read_limits(limits, "gate")


def states(found: GateVerdict) -> dict[str, str]:
    return {check.name: check.state for check in found.checks}


# ---- the verdict


def test_the_smallest_variant_that_keeps_all_limits_is_found() -> None:
    trials = make_study()
    found = verdict(trials, gate(max_size="150KB", max_drop=0.01, max_latency_ms=0.5, min_delegated=0.9))
    assert found.passed
    assert found.trial is not None
    assert set(states(found).values()) == {"pass"}
    for other in trials:
        if other.size and other.size.file < found.trial.size.file:  # type: ignore[union-attr]
            assert not verdict(trials, gate(max_size="150KB", max_drop=0.01, max_latency_ms=0.5), other).passed


def test_a_limit_is_kept_at_its_very_value() -> None:
    trials = [make_trial("float32", accuracy=0.9911), make_trial("int8", accuracy=0.9811, size=100_000)]
    assert verdict(trials, gate(max_size=100_000, max_drop=0.01), trials[1]).passed
    assert not verdict(trials, gate(max_size=99_999), trials[1]).passed
    assert not verdict(trials, gate(max_drop=0.0099), trials[1]).passed


def test_what_is_not_kept_is_told_with_figures() -> None:
    trials = make_study()
    found = verdict(trials, gate(max_size=1000, max_drop=0.5))
    assert not found.passed
    assert states(found) == {"max_size": "fail", "max_drop": "pass"}
    assert found.checks[0].bound == 1000
    assert found.checks[0].found == found.trial.size.file  # type: ignore[union-attr]
    assert "more than 1.00 kB" in found.checks[0].text


@pytest.mark.parametrize(
    ("measurements", "limits", "says"),
    [
        ([], {"max_latency_ms": 100}, "the study has measured nothing"),
        ([measured("xnnpack", 1)], {"max_latency_ms": 100, "runtime": "reference"}, "not measured on reference"),
        ([broken("xnnpack", "no such kernel")], {"max_latency_ms": 100, "runtime": "xnnpack"}, "no such kernel"),
        ([], {"min_delegated": 0.1}, "measured nothing"),
        (
            [measured("xnnpack", 1, ops_total=None, ops_delegated=None)],
            {"min_delegated": 0.1},
            "does not tell which operators",
        ),
    ],
)
def test_a_missing_measurement_is_no_pass_and_says_so(
    measurements: list[Any], limits: dict[str, Any], says: str
) -> None:
    trials = [make_trial("float32", measurements=measurements)]
    for found in (verdict(trials, gate(**limits)), verdict(trials, gate(**limits), trials[0])):
        assert not found.passed
        assert {c.state for c in found.checks} == {"missing"}
        assert says in found.checks[0].text


def test_a_missing_accuracy_is_no_pass() -> None:
    trials = [make_trial("float32", task="none")]
    found = verdict(trials, gate(max_drop=0.5))
    assert states(found) == {"max_drop": "missing"}
    alone = verdict([make_trial("int8")], gate(max_drop=0.5))
    assert "baseline has no accuracy" in alone.checks[0].text


def test_a_failed_trial_and_an_empty_study_do_not_pass() -> None:
    trials = [make_trial("float32"), make_trial("int8", state="failed", error="signal 11")]
    found = verdict(trials, gate(max_size="1GB"), trials[1])
    assert states(found) == {"runs": "fail", "max_size": "missing"}
    assert "signal 11" in found.checks[0].text
    assert not verdict(trials[1:], gate(max_size="1GB")).passed
    assert "no trials" in verdict([], gate(max_size="1GB")).checks[0].text


def test_the_share_of_operators_is_held_from_below() -> None:
    trials = [make_trial("float32", measurements=[measured("xnnpack", 1, ops_total=10, ops_delegated=9)])]
    assert verdict(trials, gate(min_delegated=0.9)).passed
    found = verdict(trials, gate(min_delegated=0.95))
    assert states(found) == {"min_delegated": "fail"}
    assert "less than 95.00 %" in found.checks[0].text


def test_an_estimate_is_told_to_be_one() -> None:
    trials = [make_trial("float32", measurements=[measured("ethos-u55-128", 2, kind="estimated")])]
    found = verdict(trials, gate(max_latency_ms=3, runtime="ethos-u55-128"))
    assert found.passed
    assert "estimated" in found.checks[0].text


def test_mistakes_are_told() -> None:
    with pytest.raises(WorkbenchError, match="no limits"):
        verdict(make_study(), gate())
    with pytest.raises(WorkbenchError, match="Did you mean 'max_drop'"):
        gate(max_dorp=1)
    with pytest.raises(WorkbenchError, match="Did you mean 'xnnpack'"):
        verdict(make_study(), gate(max_latency_ms=1, runtime="xnpack"))
    with pytest.raises(WorkbenchError, match="size 'big'"):
        gate(max_size="big")


def test_a_verdict_is_plain_data_and_quick_for_many_trials() -> None:
    trials = make_many(500)
    found = verdict(trials, gate(max_size=1, max_drop=0, max_latency_ms=0.001, min_delegated=1))
    assert GateVerdict.model_validate(json.loads(json.dumps(found.to_json()))) == found


# ---- JUnit XML


def test_junit_tells_failures_from_errors() -> None:
    trials = make_study()
    one = verdict(trials, gate(max_size=1000, max_drop=0.5))
    two = verdict(trials, gate(max_latency_ms=1, runtime="xnnpack[threads=7]"))
    root = ET.fromstring(junit_xml([suite_of("study <a>", one), suite_of("b", two)]))
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("3", "1", "1")
    suites = root.findall("testsuite")
    assert [s.get("name") for s in suites] == ["study <a>", "b"]
    assert suites[0].find("testcase/failure") is not None
    assert suites[0].find("testcase/error") is None
    assert "not measured" in suites[1].find("testcase/error").get("message", "")  # type: ignore[union-attr]


def test_junit_leaves_out_what_xml_refuses() -> None:
    trials = [make_trial("float32"), make_trial("int8", state="failed", error="\x1b[31mred\x00 & <b>")]
    root = ET.fromstring(junit_xml([suite_of("a", verdict(trials, gate(max_size=1), trials[1]))]))
    assert "[31mred & <b>" in root.find(".//failure").get("message", "")  # type: ignore[union-attr]


# ---- the verb


@pytest.fixture
def store(tmp_path: Path) -> str:
    opened = Store(tmp_path / "store")
    record = make_record("s")
    opened.save_study(record)
    trials = [make_trial("float32", measurements=[]), make_trial("int8", measurements=[])]
    opened.save_trials("s", [(t, t.id, i) for i, t in enumerate(trials)])
    for trial in trials:
        for m in (measured("xnnpack", 0.5),):
            opened.save_measurement("s", trial.id, m, "k", None)
    return str(tmp_path / "store")


@pytest.mark.parametrize(
    ("flags", "code", "found"),
    [
        (["--max-size", "150KB", "--max-drop", "0.01"], 0, ("0", "0")),
        (["--max-size", "1KB"], 1, ("1", "0")),
        (["--max-latency-ms", "9", "--runtime", "reference"], 1, ("0", "1")),
        (["--trial", "float32", "--max-size", "150KB"], 1, ("1", "0")),
        (["--trial", "int8", "--min-delegated", "0.5"], 0, ("0", "0")),
    ],
)
def test_exit_codes_and_the_file(
    store: str, tmp_path: Path, flags: list[str], code: int, found: tuple[str, str]
) -> None:
    path = tmp_path / "gate.xml"
    assert run(["gate", "s", *flags, "--junit", str(path), "--store", store]) == code
    root = ET.parse(path).getroot()
    assert (root.get("failures"), root.get("errors")) == found


def test_json_and_table(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["gate", "s", "--max-size", "150KB", "--format", "json", "--store", store]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["study"], told["recipe"], told["passed"]) == ("s", "int8", True)
    run(["gate", "s", "--max-size", "1KB", "--store", store])
    text = capsys.readouterr().out
    assert "not passed: of 1 limits 1 not kept by int8" in text.replace("\n", " ")
    with pytest.raises(WorkbenchError, match="no limits"):
        run(["gate", "s", "--store", store])

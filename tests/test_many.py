"""Very many variants: what is written piece by piece, packed or shown a page at a time holds the same figures."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from browser import open_page
from stored import store_study
from templates import Told, executed
from trials import broken, make_devices, make_many, make_record, make_study, make_trial, measured

from workbench.cli.app import run
from workbench.commands.asking import Trials
from workbench.commands.result import ascii_text
from workbench.errors import WorkbenchError
from workbench.report import packing
from workbench.report.chart import chart_data
from workbench.report.many import table_data
from workbench.report.packing import packed, unpacked
from workbench.report.page import page_html
from workbench.report.run import results_of
from workbench.report.sections import Report
from workbench.store.store import Store
from workbench.store.tables import TRIALS
from workbench.study import open_study
from workbench.values.trial import Trial
from workbench.values.warning import warning
from workbench.views.columns import Columns
from workbench.views.listing import listing
from workbench.views.metrics import outcome_of
from workbench.views.tradeoff import front_trials, tradeoff_info


def odd() -> list[Trial]:
    """Trials of every state on several runtimes and machines, one runtime tried again, with texts and numbers that JSON has ways of its own for."""
    trials = [t for t in make_study() if t.recipe != "float32"] + make_devices()[:1]
    twice = [broken("xnnpack", "busy"), measured("xnnpack", 1e-7), measured("xnnpack", 0.3, software=True)]
    return [
        *trials,
        make_trial("qat+int8", measurements=[*twice, measured("xnnpack", 0.31, place="Cortex", machine="m2")]),
        make_trial("cluster:8+int8", measurements=[measured("npu", float("inf"), init_ms=1e22), broken("npu", "no")]),
        make_trial("prune:0.3+int8", state="skipped", error="a \udcff byte, a \u2028 line and \U0001f600"),
        make_trial("prune:0.4+int8", state="failed", error='"quoted" \\ and\ttabbed'),
    ]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    trials = odd()
    store_study(
        tmp_path / "store",
        "odd",
        [t for t in trials if len({repr(m.options) + m.runtime for m in t.measurements}) == len(t.measurements)],
    )
    opened = Store(tmp_path / "store")
    with opened.database.writing() as db:
        db.execute(sa.update(TRIALS).where(TRIALS.c.position == 2).values(trial={"id": "what"}))
    opened.close()
    return tmp_path / "store"


# ---- JSON written piece by piece


def test_show_writes_the_trials_one_by_one_as_all_at_once(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = open_study("odd", store)
    result = Trials(study, "json", study=study)
    text = "".join(result.texts())
    found = result.data()
    assert len(found["trials"]) == len(study.trials) > 30
    assert text == json.dumps(found, indent=2, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()
    assert json.loads(ascii_text(text)) == json.loads(text)
    assert ascii_text(text).isascii() != text.isascii()
    assert run(["show", "odd", "--format", "json", "--store", str(store)]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == json.loads(text)
    assert "cannot be read and is left out" in err


def test_show_of_a_study_without_trials_is_json(tmp_path: Path) -> None:
    made = Store(tmp_path)
    made.save_study(make_record("empty"))
    made.close()
    study = open_study("empty", tmp_path)
    result = Trials(study, "json", study=study)
    assert json.loads("".join(result.texts())) == result.data()
    assert result.data()["trials"] == []


@pytest.mark.parametrize(
    "words", [["pareto", "odd"], ["best", "odd", "--max-drop", "0.05"], ["pareto", "odd", "--y", "latency"]]
)
def test_chosen_trials_have_the_rows_that_all_have(
    store: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--format", "csv", "--store", str(store)]
    assert run([*words, *where]) == 0
    chosen = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert run(["show", "odd", *where]) == 0
    every = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert chosen
    assert chosen == [row for row in every if row["id"] in {c["id"] for c in chosen}]


# ---- columns


def test_outcomes_are_those_that_each_trial_tells() -> None:
    columns = Columns(odd())
    assert len(columns.places) > 5
    for place in columns.places:
        told = [outcome_of(t, place) for t in columns.trials]
        assert columns.outcomes(place) == {i: m for i, m in enumerate(told) if m is not None}


def test_the_front_without_its_chart_is_that_of_the_chart() -> None:
    for trials in (odd(), make_many(300)):
        for x, y in (("size", "accuracy"), ("latency", "sqnr_db"), ("sparsity", "compressed")):
            info = tradeoff_info(trials, x, y)
            assert [t.id for t in front_trials(trials, x, y)] == [info.points[i].id for i in info.front]


def test_a_crowd_s_chart_has_the_figures_of_a_small_one(monkeypatch: pytest.MonkeyPatch) -> None:
    trials = [*odd(), make_trial("int4-dynamic", accuracy=1 / 3)]
    small = chart_data(trials)
    monkeypatch.setattr("workbench.views.tradeoff.CROWD", 5)
    crowd = chart_data(trials)
    assert small is not None
    assert crowd is not None
    for one, other in zip(small["metrics"], crowd["metrics"], strict=True):
        pairs = list(zip(one["values"], other["values"], strict=True))
        assert [v for _, v in pairs if v is not None] == pytest.approx([v for v, _ in pairs if v is not None], rel=1e-6)
        assert [v is None for v, _ in pairs] == [v is None for _, v in pairs]
        assert other["intervals"] == []
        assert {k: v for k, v in one.items() if k not in ("values", "intervals")} == {
            k: v for k, v in other.items() if k not in ("values", "intervals")
        }
    assert (small["ids"], small["pairs"]) == (crowd["ids"], crowd["pairs"])
    assert small["figure"]["layout"] == crowd["figure"]["layout"]
    drawn = [[t for t in data["figure"]["data"] if t["meta"]["role"] == "points"] for data in (small, crowd)]
    assert [t["meta"]["ids"] for t in drawn[0]] == [t["meta"]["ids"] for t in drawn[1]]
    assert all("error_x" in t for t in drawn[0])
    assert not any({"x", "y", "error_x"} & set(t) for t in drawn[1])


# ---- what is packed


def test_what_is_packed_is_the_same_again() -> None:
    data = {"a": [1, 2.5, None, "ä\u2028\U0001f600"], "b": float("inf")}
    assert unpacked(packed(data)) == data
    assert packed(data) == packed(data)


@pytest.mark.parametrize("text", ["", "no base64!", "AAAA", packed([1])[:20]])
def test_what_is_not_packed_is_said(text: str) -> None:
    with pytest.raises(WorkbenchError, match=r"packed results cannot be read: .*Run the notebook again"):
        unpacked(text)


def test_what_would_take_too_much_room_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    text = packed(["x" * 10_000])
    monkeypatch.setattr(packing, "MOST_BYTES", 5_000)
    with pytest.raises(WorkbenchError, match="more than 5,000 bytes"):
        unpacked(text)


def test_results_of_very_many_variants_are_packed_in_the_notebook_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(make_record(), odd())
    plain = results_of(executed("sweep_report", told))
    monkeypatch.setattr("workbench.report.sections.MANY", 10)
    notebook = executed("sweep_report", told)
    shown = (Report(told).results().data or {})["results"]
    assert "rows" not in shown
    assert results_of(notebook) == plain
    assert plain is not None
    assert len(plain["rows"]) == len(told.trials)


def test_the_table_s_data_are_its_cells() -> None:
    table = listing(odd())
    data = table_data(table)
    assert data["ids"] == [line.id for line in table.lines]
    assert len(data["columns"]) == len(table.columns)
    for k, (column, head) in enumerate(zip(data["columns"], table.columns, strict=True)):
        cells = [line.cells[k] for line in table.lines]
        assert column["number"] == (head.unit is not None)
        assert column["texts"] == [c.text for c in cells]
        assert [column["reasons"].get(i, "") for i in range(len(cells))] == [c.reason for c in cells]
        assert (column["details"] or [""] * len(cells)) == [c.detail for c in cells]
        if head.unit is not None:
            by_rank = sorted((r, i) for i, r in enumerate(column["ranks"]) if r is not None)
            by_value = sorted((float(c.sort), i) for i, c in enumerate(cells) if c.sort)
            assert [i for _, i in by_rank] == [i for _, i in by_value]


# ---- in a browser

PROBE = """<script>
const wait = setInterval(() => {
  const by = (id) => document.getElementById(id), table = by("trials"), chart = by("chart");
  if (!table || !chart.data || !chart.on) return;
  clearInterval(wait);
  const seen = {}, ids = () => [...table.tBodies[0].rows].map((r) => r.dataset.id);
  const button = (k) => table.tHead.rows[0].cells[k].querySelector("button");
  const [back, on] = document.querySelectorAll(".pages button"), told = () => document.querySelector(".pages output").value;
  seen.first = [ids(), told(), by("shown").value, back.disabled, on.disabled];
  seen.note = getComputedStyle(document.querySelector(".first")).display;
  on.click();
  seen.second = [ids()[0], told(), back.disabled];
  button(2).click();
  seen.small = [ids(), told(), table.tHead.rows[0].cells[2].getAttribute("aria-sort")];
  button(2).click();
  seen.large = ids();
  by("filter").value = "INT8 failed"; by("filter").dispatchEvent(new Event("input"));
  seen.filtered = [ids(), by("shown").value, told(), on.disabled];
  chart.emit("plotly_click", { points: [{ customdata: ["LAST"] }] });
  seen.picked = [...table.querySelectorAll("tr.picked")].map((r) => [r.dataset.id, r.querySelector("button").ariaPressed, r.querySelector("button").disabled]);
  seen.filter = by("filter").value;
  const trace = chart.data.filter((t) => t.meta.role === "points");
  seen.points = [trace.map((t) => t.type)[0], trace.flatMap((t) => t.x).length, Math.min(...trace.flatMap((t) => t.x))];
  seen.cells = [...table.querySelector("tr.picked").cells].map((c) => [c.tagName, c.className, c.textContent]);
  const out = document.createElement("pre"); out.id = "seen"; out.textContent = JSON.stringify(seen); document.body.append(out);
}, 50);
</script></body>"""


# As it is on a machine without it.
NO_WEBGL = """<head><script>
const context = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...more) { return /webgl/.test(kind) ? null : context.call(this, kind, ...more); };
</script>"""


def without_scripts(dom: str) -> str:
    """A page's DOM without its programs, which hold every text that they may show."""
    return re.sub(r"<script.*?</script>", "", dom, flags=re.S)


@pytest.fixture
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than 100 variants are very many, shown 20 at a time: what a browser does with them is the same, and sooner done."""
    monkeypatch.setattr("workbench.views.tradeoff.CROWD", 100)
    for name, value in (("sections.MANY", 100), ("sections.PAGE", 20), ("many.PAGE", 20)):
        monkeypatch.setattr(f"workbench.report.{name}", value)


def many_with_marks() -> list[Trial]:
    trials = make_many(130)
    trials[5] = make_trial(trials[5].recipe, state="failed", error="<b>no</b>")
    trials[-1] = trials[-1].model_copy(update={"warnings": (warning("noisy-measurement", "it is"),)})
    return trials


@pytest.mark.slow
@pytest.mark.usefixtures("few_are_many")
def test_a_page_of_very_many_variants_shows_them_a_page_at_a_time(tmp_path: Path) -> None:
    trials = many_with_marks()
    text = page_html(executed("sweep_report", Told(make_record(), trials)), "Sweep report")
    first = re.findall(r'<tr data-id="([^"]*)"', text)
    assert first == [t.id for t in trials[:20]]
    assert "The first 20 of 130 variants" in text
    path = tmp_path / "page.html"
    # With the policy: what draws a crowd needs more of it than all else.
    path.write_text(text.replace("</body>", PROBE.replace("LAST", trials[-1].id)), encoding="utf-8")
    opened = open_page(path, tmp_path)
    assert opened.requests == []
    match = re.search(r'<pre id="seen">(.*?)</pre>', opened.dom, re.S)
    assert match, "the page's script stopped early"
    seen: dict[str, Any] = json.loads(html.unescape(match[1]))
    assert seen["first"] == [first, "Page 1 of 7", "130 of 130 shown", True, False]
    assert seen["note"] == "none"
    assert seen["second"] == [trials[20].id, "Page 2 of 7", False]
    sizes = {t.id: t.size.file for t in trials if t.size}
    ordered = sorted(sizes.values())
    assert [sizes[i] for i in seen["small"][0]] == ordered[:20]
    assert seen["small"][1:] == ["Page 1 of 7", "ascending"]
    assert [sizes[i] for i in seen["large"]] == ordered[::-1][:20]
    found = [t.id for t in trials if t.state == "failed" and "int8" in t.recipe]
    assert seen["filtered"] == [found, f"{len(found)} of 130 shown", "Page 1 of 1", True]
    assert seen["picked"] == [[trials[-1].id, "true", False]]
    assert seen["filter"] == ""
    assert seen["points"] == ["scattergl", sum(t.state == "ok" for t in trials), ordered[0]]
    table = listing(trials)
    cells = [c.text + (f" {c.detail}" if c.detail else "") for c in table.lines[-1].cells]
    assert [c[2] for c in seen["cells"]] == [f"{trials[-1].recipe} 1 warning", *cells]
    assert [c[1] for c in seen["cells"][1:]] == ["number" if c.unit else "" for c in table.columns]
    assert seen["cells"][0][0] == "TH"
    assert "WebGL is not supported" not in without_scripts(opened.dom)


@pytest.mark.slow
@pytest.mark.usefixtures("few_are_many")
def test_a_crowd_is_drawn_without_webgl_too(tmp_path: Path) -> None:
    trials = many_with_marks()
    path = tmp_path / "page.html"
    text = page_html(executed("sweep_report", Told(make_record(), trials)), "Sweep report")
    path.write_text(text.replace("<head>", NO_WEBGL), encoding="utf-8")
    dom = without_scripts(open_page(path, tmp_path).dom)
    assert dom.count('<path class="point') >= sum(t.state == "ok" for t in trials) > 100


def test_warnings_and_reasons_of_very_many_are_counted() -> None:
    trials = make_many(1040)
    told = (warning("noisy-measurement", "it is"),)
    told_of = [
        make_trial(t.recipe, state="failed", error="no") if i % 2 else t.model_copy(update={"warnings": told})
        for i, t in enumerate(trials + trials)
    ]
    report = Report(Told(make_record(), told_of))
    assert "and 40 more, which the table shows" in report.warnings().body
    assert report.warnings().body.count("<li>") == 1001
    assert "and 40 more, which the table shows" in report.failures().body


def test_a_page_of_few_variants_needs_no_more_than_it_did() -> None:
    text = page_html(executed("sweep_report", Told(make_record(), make_study())), "Sweep report")
    assert "unsafe-eval" not in text.partition("<style>")[0]
    assert 'id="rows"' not in text.partition("plotly.js")[0]
    assert text.count("<tr data-id=") == 36

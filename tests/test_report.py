"""The report: complete in every state, escaped, self-contained, and alive in a real browser."""

from __future__ import annotations

import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from browser import open_page
from templates import Told, executed
from trials import broken, make_devices, make_many, make_profile, make_record, make_study, make_trial, measured

from workbench.report.chart import chart_data
from workbench.report.findings import findings
from workbench.report.page import page_html
from workbench.report.timing import Profiles, timed
from workbench.values.study import StudyRecord
from workbench.values.trial import Agreement, Trial
from workbench.views.listing import failures, listing, runtimes

CSP = re.compile(r"<meta http-equiv=\"Content-Security-Policy\"[^>]*>")


class Text(HTMLParser):
    """Collects the visible text and the start tags of a page."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._hidden = 0
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._hidden += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.text += data


def render(record: StudyRecord, trials: list[Trial], profiles: Profiles | None = None) -> str:
    """Return the page of `sweep_report`, its cells run in this process on a study that no store holds."""
    return page_html(executed("sweep_report", Told(record, trials, dict(profiles or {}))), "Sweep report")


def write_report(record: StudyRecord, trials: list[Trial], path: Path) -> Path:
    """Write the page and return its path."""
    path.write_text(render(record, trials), encoding="utf-8")
    return path


def page(record: StudyRecord, trials: list[Trial], profiles: Profiles | None = None) -> Text:
    """Return the parsed report."""
    return Text(render(record, trials, profiles))


# ---- findings


def test_findings_are_computed_from_the_trials() -> None:
    trials = [
        make_trial(
            "float32", size=440_000, accuracy=0.99, latency=1.0, measurements=[measured("xnnpack", 1.0, base=1.0)]
        ),
        make_trial("int8", size=128_000, accuracy=0.985, measurements=[measured("xnnpack", 0.28, base=1.0)]),
        make_trial("int4-dynamic", size=80_000, accuracy=0.9, measurements=[measured("xnnpack", 1.3, base=1.0)]),
    ]
    found = {f.title: f.text for f in findings(make_record(grid={}), trials)}
    assert found["Smallest within 1 point of accuracy"] == (
        "int8, 128 kB, accuracy 98.50 %: 0.29x the bytes, 3.57x faster on xnnpack, 0.50 points less accuracy"
    )
    assert found["Baseline"] == "float32, 440 kB, accuracy 99.00 %, 1.00 ms on xnnpack"
    assert found["Slower than the baseline"].startswith("1 of 2 measured variants on xnnpack")


def test_findings_answer_the_constraints_asked_for() -> None:
    trials = make_study()
    record = make_record(grid={"constraints": {"size": "1KB"}})
    assert ("Smallest that keeps the constraints asked for (at most 1.00 kB)", "none does") in findings(record, trials)


def test_findings_name_the_baseline_where_nothing_beats_it() -> None:
    trials = [make_trial("float32"), make_trial("int8", accuracy=0.5)]
    found = {f.title: f.text for f in findings(make_record(grid={}), trials)}
    assert found["Smallest within 1 point of accuracy"] == "the baseline itself; no variant is smaller"


def test_findings_without_labels_and_for_regression() -> None:
    regression = [make_trial(r, task="regression") for r in ("float32", "int8")]
    assert "Smallest within 5 % of the baseline's error" in {f.title for f in findings(make_record(), regression)}
    assert findings(make_record(), []) == []
    no_baseline = [make_trial("int8")]
    assert findings(make_record(grid={}), no_baseline)[0].title == "No baseline"


# ---- the page


@pytest.mark.parametrize("trials", [make_study(), make_many(60)], ids=["study", "many"])
def test_every_trial_has_a_row(trials: list[Trial]) -> None:
    document = page(make_record(), trials)
    assert [a["data-id"] for tag, a in document.tags if tag == "tr" and "data-id" in a] == [t.id for t in trials]


def test_report_of_a_study() -> None:
    document = page(make_record(), make_study())
    for words in (
        "digits-sweep",
        "36 variants: 33 ok, 3 failed",
        "Smallest within 1 point of accuracy",
        "Pruning and clustering pay in the compressed bytes",
        "segmentation fault",
        "operator DEQUANTIZE of type FLOAT16 is not taken by this runtime",
        "asked for 80 % zeros, found 61.2 %",
        "no longer training helps there",
        "workbench sweep digits_cnn.h5 --data digits",
        "x86-64, 2 cores",
        "prune: [none, 0.5, 0.8]",
    ):
        assert words in document.text
    assert "Latency on ethos-u55-128 (ms, estimated)" in document.text
    assert "Latency (estimated)" in document.text


def test_report_without_trials_and_with_failed_ones_only() -> None:
    empty = page(make_record(grid={}, command="", environment={}), [])
    assert "This study has no trials yet." in empty.text
    assert not [a for tag, a in empty.tags if tag == "select"]
    failed = page(
        make_record(),
        [make_trial("float32", state="failed", error="operator X is missing"), make_trial("int8", state="failed")],
    )
    assert "Every variant failed" in failed.text
    assert "operator X is missing" in failed.text
    assert "no reason recorded" in failed.text
    assert len(render(make_record(), [])) < 100_000, "a report without a chart does not carry plotly"


def test_report_of_a_sweep_under_way() -> None:
    waiting = page(make_record(), [make_trial("float32", state="running"), make_trial("int8", state="pending")])
    assert "No variant has run to its end yet." in waiting.text
    half = page(
        make_record(),
        [make_trial("float32"), make_trial("int8", measurements=()), make_trial("qat+int8", state="pending")],
    )
    assert "3 variants: 2 ok, 1 pending" in half.text


def test_what_comes_from_users_is_escaped() -> None:
    evil = "</script><script>document.title='owned'</script>"
    trial = make_trial("int8").model_copy(update={"recipe": evil})
    failed = make_trial("dynamic", state="failed", error=evil)
    document = page(
        make_record(evil, command=evil, environment={evil: evil}, grid={"note": evil}),
        [make_trial("float32"), trial, failed],
    )
    scripts = [a for tag, a in document.tags if tag == "script"]
    assert len(scripts) == 3
    assert document.text.count("document.title") >= 5


def test_code_in_messages_is_shown_as_code() -> None:
    text = render(make_record(), [make_trial("int8", state="failed", error="try `dynamic` <now>")])
    assert "try <code>dynamic</code> &lt;now&gt;" in text


def test_table_is_accessible() -> None:
    document = page(make_record(), make_study())
    scopes = [a.get("scope") for tag, a in document.tags if tag == "th"]
    assert set(scopes) == {"col", "row"}
    labelled = {a["for"] for tag, a in document.tags if tag == "label" and a.get("for")}
    controls = {a["id"] for tag, a in document.tags if tag in ("select", "input") and a.get("type") != "checkbox"}
    # The filter is made by the page's script, which is tested below.
    assert controls == labelled == {"x", "y"}


def test_columns_without_figures_are_left_out() -> None:
    keys = [c.key for c in listing([make_trial("float32")]).columns]
    assert "accuracy" in keys
    assert "rmse" not in keys
    assert keys[-1] == "warnings"


def test_runtimes_tell_what_was_delegated() -> None:
    (xnnpack, reference, npu) = runtimes(make_study())
    assert (xnnpack.kind, npu.kind) == ("measured", "estimated")
    assert xnnpack.taken.startswith("231 of 231")
    assert reference.trials == 27
    assert {f.what for f in failures(make_study())} == {"variant failed", "on reference"}


def test_runtimes_tell_what_each_one_is_and_did() -> None:
    xnnpack, gpu, micro, ethos = runtimes(make_devices())
    assert [u.figures for u in (xnnpack, gpu, micro, ethos)] == [
        "measured",
        "measured, software device",
        "measured, host time",
        "estimated",
    ]
    assert (gpu.devices, xnnpack.devices) == (("SwiftShader",), ())
    assert [(u.trials, u.skipped, u.failed) for u in (gpu, micro, ethos)] == [(3, 0, 1), (3, 1, 0), (2, 2, 0)]
    assert xnnpack.taken == "26 of 28 over all variants; every one in 3 of 4; from 5 of 7 to 7 of 7"
    assert xnnpack.left == ("SOFTMAX", "MEAN")
    assert gpu.reference == "at worst 6.2 dB, 88% same top (dynamic, 16 samples)"
    assert (xnnpack.reference, gpu.quality) == ("", "")
    assert micro.quality.startswith("98.00 % to 99.11 % on 449 samples; at most ")
    assert micro.quality.endswith(" points from the variant's own (int16x8)")


def test_equal_outputs_are_no_worst() -> None:
    equal = Agreement(samples=16, agreement=1.0)
    (use,) = runtimes([make_trial("float32", measurements=[measured("micro", 3.0, reference=equal)])])
    assert use.reference == "equal in every variant compared (16 samples)"


def test_runtimes_take_no_operators_where_kernels_run_them() -> None:
    (use,) = runtimes([make_trial("float32", measurements=[measured("reference", 3.0)])])
    assert use.taken == "none of 7"


def test_a_runtime_that_never_ran_is_told_with_its_reason() -> None:
    (use,) = runtimes([make_trial("float32", measurements=[broken("npu", "no device")])])
    assert (use.trials, use.failed, use.taken, use.quality) == (0, 1, "", "")
    assert [p.reason for p in use.problems] == ["no device"]


def test_reasons_alike_but_for_their_numbers_stand_together() -> None:
    (ethos,) = [u for u in runtimes(make_devices()) if u.name == "ethos-u55-128"]
    (problem,) = ethos.problems
    assert problem.recipes == ("float32", "dynamic")
    assert problem.reason == "26 or 36 tensors are not integer; choose int8"
    errors = [f"{n} tensors of CONV_2D are not int8 in 2.{n}" for n in range(6)]
    many = [
        make_trial(recipe, measurements=[broken("npu", error)])
        for recipe, error in zip(
            ("float32", "float16", "dynamic", "int8", "int16x8", "int4-block32"),
            errors[:1] * 3 + errors[1:4],
            strict=True,
        )
    ]
    assert [len(f.recipes) for f in failures(many)] == [3, 1, 1, 1], "a version's number is no count"
    counts = [
        make_trial(t.recipe, measurements=[broken("npu", f"{i} of 7 operators, int8")]) for i, t in enumerate(many)
    ]
    assert [f.reason for f in failures(counts)] == ["0 to 5 of 7 operators, int8"]


def test_page_tells_of_runtimes_and_their_reasons_once() -> None:
    document = page(make_record(grid={}), make_devices())
    for words in (
        "measured, software device",
        "measured, host time",
        "26 or 36 tensors are not integer",
        "SOFTMAX, MEAN",
        "2 skipped",
        "Host time is that of this machine",
    ):
        assert words in document.text
    assert document.text.count("Failed to initialize kernel.") == 1
    assert "What did not work" not in document.text
    assert "Where the time goes" not in document.text


def test_table_marks_times_that_are_no_device_s() -> None:
    table = listing(make_devices())
    headers = {c.key: c.header for c in table.columns}
    assert headers["latency_ms@xnnpack"] == "Latency"
    assert headers["latency_ms@gpu"] == "Latency (software device)"
    assert headers["ratio@micro"] == "Latency ratio (host time)"
    assert headers["estimated_latency_ms@ethos-u55-128"] == "Latency (estimated)"
    assert headers["memory_bytes@micro"] == "Arena"
    assert headers["estimated_memory_bytes@ethos-u55-128"] == "SRAM (estimated)"
    assert "memory_bytes@xnnpack" not in headers
    keys = [c.key for c in table.columns]
    cells = {(line.recipe, key): cell for line in table.lines for key, cell in zip(keys, line.cells, strict=True)}
    assert cells["int16x8", "latency_ms@gpu"][:3] == ("failed", "", "")
    assert cells["int16x8", "latency_ms@gpu"].reason == "Failed to initialize kernel."
    assert cells["dynamic", "latency_ms@micro"].text == "skipped"
    assert cells["dynamic", "ratio@micro"].text == "–"
    assert cells["int8", "memory_bytes@micro"].text == "32.0 kB"


def test_times_of_a_device_and_of_its_stand_in_share_no_column() -> None:
    trials = [
        make_trial("float32", measurements=[measured("gpu", 0.5)]),
        make_trial("int8", measurements=[measured("gpu", 7.0, software=True)]),
    ]
    table = listing(trials)
    found = [i for i, c in enumerate(table.columns) if c.key == "latency_ms@gpu"]
    assert [table.columns[i].header for i in found] == ["Latency", "Latency (software device)"]
    assert [[line.cells[i].text for i in found] for line in table.lines] == [["0.500 ms", "–"], ["–", "7.00 ms"]]


# ---- where the time goes


def test_operators_of_the_trials_that_matter_are_told_once_each() -> None:
    trials = make_devices()
    by = {t.recipe: t.id for t in trials}
    profiles = {(by[r], "xnnpack"): make_profile() for r in by} | {
        (by["int8"], "ethos-u55-128"): make_profile(3, "estimated")
    }
    float32, int8 = timed(trials, profiles)
    assert (float32.recipe, float32.why) == ("float32", "baseline")
    assert (int8.recipe, int8.why) == ("int8", "smallest and fastest within 1 point of accuracy")
    assert [t.place for t in int8.timings] == ["xnnpack", "ethos-u55-128 (estimated)"]
    (first, estimate) = int8.timings
    assert len(first.rows) == 10
    assert [first.rows[i]["ms"] for i in (0, 1, 9)] == ["0.512", "0.256", "0.001"]
    assert first.rows[0]["share"] == "50.0%"
    assert first.rest == "And 2 shorter operators in 0.07 % of the time."
    assert first.source == "LiteRT's own profiler; means of 30 inferences."
    assert (first.cycles, estimate.cycles, estimate.rest) == (False, True, "")


def test_trials_without_profiles_are_left_out_of_the_timing() -> None:
    trials = make_devices()
    int8 = next(t for t in trials if t.recipe == "int8")
    assert [t.recipe for t in timed(trials, {(int8.id, "xnnpack"): make_profile()})] == ["int8"]
    assert timed(trials, {}) == []
    assert timed([], {}) == []


def test_page_shows_where_the_time_goes_with_the_first_table_open() -> None:
    trials = make_devices()
    profiles = {(t.id, "xnnpack"): make_profile() for t in trials}
    profiles |= {(t.id, "ethos-u55-128"): make_profile(3, "estimated") for t in trials}
    document = page(make_record(grid={}), trials, profiles)
    assert "Where the time goes" in document.text
    assert "ethos-u55-128 (estimated)" in document.text
    assert "4,096" in document.text
    assert [("open" in a) for tag, a in document.tags if tag == "details"][:3] == [True, False, False]
    bars = [a["style"] for tag, a in document.tags if tag == "i"]
    assert bars[0] == "width: 50.0%"
    assert len(bars) == 23 + 1, "and one weight tensor"


def test_times_of_no_length_are_written_too() -> None:
    profile = make_profile(2)
    still = profile.model_copy(update={"operators": tuple(o.model_copy(update={"ms": 0.0}) for o in profile.operators)})
    trial = make_trial("float32")
    (found,) = timed([trial], {(trial.id, "xnnpack"): still})
    assert [r["ms"] for r in found.timings[0].rows] == ["0.000", "0.000"]


def test_a_constraint_left_empty_is_no_constraint() -> None:
    record = make_record(grid={"constraints": {"size": None}})
    assert not [f for f in findings(record, make_study()) if "constraints" in f.title]


def test_findings_say_whose_time_it_is() -> None:
    trials = [
        make_trial(r, measurements=[measured("micro", ms, clock="host")]) for r, ms in (("float32", 3.0), ("int8", 2.0))
    ]
    found = {f.title: f.text for f in findings(make_record(grid={}), trials)}
    assert found["Baseline"].endswith("3.00 ms on micro (host time)")
    assert "Fastest within 1 point of accuracy on micro (host time)" in found


def test_chart_data_has_the_front_of_every_pair() -> None:
    data = chart_data(make_study())
    assert data is not None
    count = len(data["metrics"])
    assert [len(row) for row in data["pairs"]] == [count] * count
    assert "latency" not in [m["label"] for m in data["metrics"]]
    assert all(len(m["values"]) == len(data["ids"]) for m in data["metrics"])
    front = data["pairs"][data["x"]][data["y"]]["front"]
    (drawn,) = [t for t in data["figure"]["data"] if t["meta"]["role"] == "front"]
    assert [data["ids"][i] for i in front] == drawn["meta"]["ids"]
    drop = next(m for m in data["metrics"] if m["label"].startswith("Accuracy drop"))
    assert not drop["log_possible"]


# ---- in a browser

PROBE = """<script>
window.addEventListener("load", () => setTimeout(() => {
  const seen = { labels: [...document.querySelectorAll("label[for]")].map((l) => l.htmlFor) }, by = (id) => document.getElementById(id), table = by("trials");
  const recipes = () => [...table.tBodies[0].rows].filter((r) => !r.hidden).map((r) => r.dataset.id);
  const choose = (id, label) => {
    by(id).value = [...by(id).options].findIndex((o) => o.text.startsWith(label));
    by(id).dispatchEvent(new Event("change"));
  };
  const title = (axis) => document.querySelector("." + axis + "title").textContent;
  const front = () => by("chart").data.find((t) => t.meta.role === "front");
  seen.before = [title("x"), title("y")];
  seen.points = document.querySelectorAll("#chart .points path.point").length;
  choose("x", "Latency on xnnpack"); choose("y", "Compressed size");
  seen.after = [title("x"), title("y")];
  seen.log = [by("x-log").checked, by("chart").layout.xaxis.type, by("y-log").checked];
  seen.front = [front().x, front().line.shape];
  seen.whiskers = document.querySelectorAll("#chart .errorbar").length > 0;
  const button = (k) => table.tHead.rows[0].cells[k].querySelector("button");
  button(2).click();
  seen.sorted = [table.tHead.rows[0].cells[2].getAttribute("aria-sort"), recipes()];
  button(2).click();
  seen.reversed = [table.tHead.rows[0].cells[2].getAttribute("aria-sort"), recipes()];
  by("filter").value = "PRUNE:0.8 cluster ok"; by("filter").dispatchEvent(new Event("input"));
  seen.filtered = [recipes().length, by("shown").value];
  const id = by("chart").data.find((t) => t.meta.role === "points").meta.ids[0];
  by("chart").emit("plotly_click", { points: [{ customdata: [id] }] });
  seen.picked = [...table.querySelectorAll("tr.picked")].map((r) => [r.dataset.id === id, r.hidden, r.querySelector("button").ariaPressed]);
  seen.background = by("chart").layout.paper_bgcolor;
  const out = document.createElement("pre"); out.id = "seen"; out.textContent = JSON.stringify(seen); document.body.append(out);
}, 200));
</script></body>"""


@pytest.mark.slow
def test_report_lives_in_a_browser_and_asks_for_nothing(tmp_path: Path) -> None:
    trials = make_study()
    path = write_report(make_record(), trials, tmp_path / "report.html")
    text = path.read_text(encoding="utf-8")
    # Without the policy, so that it does not hide what the page would ask for.
    assert CSP.search(text)
    path.write_text(CSP.sub("", text).replace("</body>", PROBE), encoding="utf-8")
    opened = open_page(path, tmp_path)
    assert opened.requests == []
    match = re.search(r'<pre id="seen">(.*?)</pre>', opened.dom, re.S)
    assert match, "the page's script stopped early"
    seen = json.loads(html.unescape(match[1]))
    ok = [t for t in trials if t.state == "ok"]
    assert seen["labels"] == ["x", "y", "filter"]
    assert seen["before"] == ["File size (bytes)", "Accuracy (%)"]
    assert seen["points"] >= len(ok)
    assert seen["after"] == ["Latency on xnnpack (ms)", "Compressed size (bytes)"]
    assert seen["log"] == [True, "log", False]
    assert seen["front"][0] == sorted(seen["front"][0])
    assert seen["front"][1] == "hv"
    assert seen["whiskers"]
    sizes = {t.id: t.size.file if t.size else None for t in trials}
    for state, key, backwards in (("ascending", "sorted", False), ("descending", "reversed", True)):
        assert seen[key][0] == state
        values = [sizes[i] for i in seen[key][1]]
        known = [v for v in values if v is not None]
        assert known == sorted(known, reverse=backwards)
        assert values[len(known) :] == [None, None, None]
    assert seen["filtered"] == [5, "5 of 36 shown"]
    assert seen["picked"] == [[True, False, "true"]]


@pytest.mark.slow
def test_report_is_dark_on_a_dark_page(tmp_path: Path) -> None:
    path = write_report(make_record(), make_study(), tmp_path / "report.html")
    light = open_page(path, tmp_path)
    dark = open_page(path, tmp_path, "--blink-settings=preferredColorScheme=0")
    background = [re.search(r'class="main-svg"[^>]*background: ([^;]*);', p.dom) for p in (light, dark)]
    assert [b and b[1] for b in background] == ["rgb(255, 255, 255)", "rgb(21, 24, 28)"]


def test_the_browser_check_sees_a_page_that_asks(tmp_path: Path) -> None:
    path = tmp_path / "leak.html"
    path.write_text(
        '<!DOCTYPE html><img src="https://fonts.invalid/x.png"><script>fetch("http://cdn.invalid/p.js").catch(() => 0)</script>'
    )
    assert open_page(path, tmp_path).requests == ["http://cdn.invalid/p.js", "https://fonts.invalid/x.png"]

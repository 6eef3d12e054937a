"""The dashboard's widget without a browser: what it answers, what it keeps, and how it follows a sweep."""

from __future__ import annotations

import base64
import json
import logging
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import IPython.display
import pytest
from trials import make_many, make_record, make_study, make_trial

from workbench.dashboard import live, widget
from workbench.dashboard.kept import MOST_ROWS, kept_html, snapshot_of
from workbench.dashboard.page import SCRIPTS, STYLES, joined
from workbench.dashboard.state import DashboardState
from workbench.dashboard.widget import Dashboard
from workbench.engine.events import Event
from workbench.errors import WorkbenchError
from workbench.files import file_sha256
from workbench.values.graph import Artifact
from workbench.values.study import StudyRecord
from workbench.values.trial import Trial

Sent = list[tuple[dict[str, Any], list[bytes] | None]]
ASSETS = Path(widget.__file__).parent / "assets"
DONE = Event("phase", "done", "")


class FakeStudy:
    """A source of trials; `tell` is what its sweep's thread would say."""

    def __init__(self, trials: Sequence[Trial] = (), running: bool = False) -> None:
        self.name = "digits-sweep"
        self.record: StudyRecord = make_record()
        self.trials = list(trials)
        self.running = running
        self.error: str | None = None
        self.listeners: list[Callable[[Event], None]] = []
        self.cancelled = 0
        self.read = 0

    def subscribe(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        self.listeners.append(listener)
        return lambda: self.listeners.remove(listener)

    def tell(self, event: Event) -> None:
        for listener in list(self.listeners):
            listener(event)

    def end(self) -> None:
        self.running = False
        self.tell(DONE)

    def cancel(self) -> None:
        self.cancelled += 1

    def export(self, trial: str | Trial, path: str | Path) -> Path:
        if str(path) == "taken":
            raise WorkbenchError("'taken' is a file; an export is a folder.")
        return Path(path)


@pytest.fixture
def outputs(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What is put out: `shown` in order, and by display id the `kept` output as it is now."""
    out: dict[str, Any] = {"shown": [], "kept": {}}

    def display(data: Any, metadata: Any = None, raw: bool = False, display_id: str = "") -> None:
        out["shown"].append(data)
        if display_id:
            out["kept"][display_id] = data

    def update(data: Any, raw: bool = False, display_id: str = "") -> None:
        assert display_id in out["kept"]
        out["kept"][display_id] = data

    monkeypatch.setattr(IPython.display, "display", display)
    monkeypatch.setattr(IPython.display, "update_display", update)
    return out


def opened(source: FakeStudy) -> tuple[Dashboard, Sent]:
    dashboard, sent = Dashboard(source), Sent()
    dashboard.widget.send = lambda content, buffers=None: sent.append((content, buffers))
    return dashboard, sent


def asked(dashboard: Dashboard, sent: Sent, **message: Any) -> list[dict[str, Any]]:
    """What the page is told in answer to a message."""
    sent.clear()
    dashboard.hear({"view": "a", **message})
    return [content for content, _ in sent]


def shows(messages: Sequence[dict[str, Any]]) -> list[str]:
    return [m["show"] for m in messages]


def wait_until(true: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.01)


# ---- answers


def test_the_picture_of_many_comes_after_the_page_is_answered(outputs: dict[str, Any]) -> None:
    dashboard, _ = opened(FakeStudy(make_many(1500)))
    dashboard.show()
    (before,) = outputs["kept"].values()
    assert "<table>" in before["text/html"]
    assert "<img" not in before["text/html"]
    dashboard.hear({"do": "ready", "view": "a"})
    assert not any("<img" in kept["text/html"] for kept in outputs["kept"].values()), "whoever looks may move a slider"
    wait_until(lambda: any("<img" in kept["text/html"] for kept in outputs["kept"].values()))


def test_ready_is_answered_with_everything_and_with_plotly_only_where_the_page_has_none() -> None:
    dashboard, sent = opened(FakeStudy(make_study()))
    answer = asked(dashboard, sent, do="ready", plotly=False)
    assert shows(answer) == ["plotly", "header", "figure", "limits", "selection"]
    (program,) = next(buffers for content, buffers in sent if content["show"] == "plotly") or []
    assert program.startswith(b"/**\n* plotly.js")
    assert b"window.Plotly = Plotly" in program[-200:]
    # A view asks again where its first question may have got stuck.
    assert asked(dashboard, sent, do="ready", plotly=False) == []
    # A second view, or a reloaded page with the same kernel, has a name of its own.
    other = asked(dashboard, sent, do="ready", plotly=True, view="b")
    assert shows(other) == ["header", "figure", "limits", "selection"]
    json.dumps(answer, allow_nan=False)


def test_choices_limits_and_selections_change_what_is_shown() -> None:
    study = make_study()
    dashboard, sent = opened(FakeStudy(study))
    figure, _limits = asked(dashboard, sent, do="choose", x="latency", x_log=False)
    assert figure["choices"]["x_log"] is False
    (loose,) = asked(dashboard, sent, do="limit", limits={"size": None, "accuracy_drop": None}, runtime=None)
    (tight,) = asked(dashboard, sent, do="limit", limits={"size": 100_000.0})
    assert len(tight["out"]) > len(loose["out"])
    assert tight["best"]["id"] not in tight["out"]
    (card,) = asked(dashboard, sent, do="select", ids=[study[1].id])
    assert card["kind"] == "card"
    assert card["card"]["id"] == study[1].id
    (compared,) = asked(dashboard, sent, do="select", ids=[study[1].id, study[0].id])
    assert compared["ids"] == [study[0].id, study[1].id]
    assert compared["selected"] == [study[1].id, study[0].id], "the page's own order, by which it knows its answer"


def test_only_open_tabs_are_filled() -> None:
    source = FakeStudy([t if i < 5 else make_trial(t.recipe, state="pending") for i, t in enumerate(make_study())])
    dashboard, sent = opened(source)
    asked(dashboard, sent, do="ready", plotly=True)
    assert shows(asked(dashboard, sent, do="tab", tab="table")) == ["table"]
    dashboard.hear({"do": "ready", "plotly": True, "view": "b"})
    dashboard.hear({"do": "tab", "tab": "failures", "view": "b"})
    assert shows(asked(dashboard, sent, do="refresh")) == ["header"], "nothing new"
    source.trials = make_study()
    told = shows(asked(dashboard, sent, do="refresh"))
    assert set(told) == {"header", "figure", "limits", "selection", "table", "failures"}
    dashboard.hear({"do": "closed", "view": "b"})
    source.trials = source.trials[:-1]
    assert "failures" not in shows(asked(dashboard, sent, do="refresh"))


def test_arranging_the_table() -> None:
    dashboard, sent = opened(FakeStudy(make_study()))
    (table,) = asked(dashboard, sent, do="arrange", sort="size_bytes", descending=True, filter="int8", page=0)
    assert table["show"] == "table"
    assert table["matched"] < table["total"]
    assert all("int8" in row["cells"][0]["text"] for row in table["rows"])


def test_saving_sends_the_bytes_to_the_view_that_asked(tmp_path: Path) -> None:
    file = tmp_path / "x.tflite"
    file.write_bytes(b"TFL3 model")
    good = make_trial("prune:0.5+int8").model_copy(
        update={"artifact": Artifact(path=str(file), sha256=file_sha256(file), kind="tflite")}
    )
    dashboard, sent = opened(FakeStudy([make_trial(), good, make_trial("dynamic", state="failed", error="no")]))
    (answer,) = asked(dashboard, sent, do="save", id=good.id)
    assert answer == {"show": "file", "name": "prune-0.5-int8.tflite", "view": "a"}
    assert sent[0][1] == [b"TFL3 model"]
    file.write_bytes(b"something else")
    for trial, words in ((good.id, "not the file that was measured"), (make_trial("dynamic").id, "no file"), ("x", "")):
        (answer,) = asked(dashboard, sent, do="save", id=trial)
        assert answer["show"] == "notice"
        assert answer["kind"] == "error"
        assert words in answer["text"]
    file.unlink()
    (answer,) = asked(dashboard, sent, do="save", id=good.id)
    assert "is gone" in answer["text"]


def test_exporting_tells_where(tmp_path: Path) -> None:
    dashboard, sent = opened(FakeStudy(make_study()))
    (answer,) = asked(dashboard, sent, do="export", id="x", folder=str(tmp_path / "out"))
    assert answer["kind"] == "info"
    assert str(tmp_path / "out") in answer["text"]
    (answer,) = asked(dashboard, sent, do="export", id="x", folder="taken")
    assert answer["kind"] == "error"
    assert "is a file" in answer["text"]
    (answer,) = asked(dashboard, sent, do="export", id="x", folder=" ")
    assert answer["kind"] == "error"


def test_cancel_reaches_the_sweep() -> None:
    source = FakeStudy(make_study(), running=True)
    dashboard, sent = opened(source)
    assert shows(asked(dashboard, sent, do="cancel")) == ["header"]
    assert source.cancelled == 1


def test_cancel_does_not_wait_for_a_refresh() -> None:
    source = FakeStudy(make_study(), running=True)
    dashboard, _ = opened(source)
    with dashboard._lock:
        threading.Thread(target=dashboard.hear, args=({"do": "cancel"},), daemon=True).start()
        wait_until(lambda: source.cancelled == 1)


# ---- errors


def test_a_mistake_is_a_notice_without_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    dashboard, sent = opened(FakeStudy(make_study()))
    (answer,) = asked(dashboard, sent, do="choose", x="sise")
    assert answer["show"] == "notice"
    assert "'size'" in answer["text"]
    assert not caplog.records
    assert shows(asked(dashboard, sent, do="ready", plotly=True))[0] == "header", "it lives on"


@pytest.mark.parametrize(
    "message",
    [{"do": "what"}, {}, {"do": "limit", "limits": 7}, {"do": "arrange", "page": "x"}, {"do": "select", "ids": 3}],
)
def test_an_error_is_logged_with_its_traceback_and_told(
    message: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    dashboard, sent = opened(FakeStudy(make_study()))
    with caplog.at_level(logging.ERROR):
        dashboard.hear(message)
    assert [content["kind"] for content, _ in sent] == ["error"]
    assert caplog.records
    assert caplog.records[0].exc_info
    assert shows(asked(dashboard, sent, do="ready", plotly=True))[0] == "header", "it lives on"


# ---- what a notebook keeps


def test_the_saved_state_is_small() -> None:
    dashboard, sent = opened(FakeStudy(make_many(2000)))
    asked(dashboard, sent, do="ready", plotly=False)
    state = dashboard.widget.get_state()
    assert len(json.dumps(state).encode()) < 90_000
    assert len(state["_esm"]) + len(state["_css"]) < 80_000
    ours = {name for name, value in state.items() if isinstance(value, str) and len(value) > 200}
    assert ours == {"_esm", "_css"}


def test_the_script_is_whole_and_names_no_address() -> None:
    script = joined(SCRIPTS)
    assert script.rstrip().endswith("};")
    assert "export default {" in script
    assert {p.name for p in ASSETS.iterdir()} == {*SCRIPTS, *STYLES}
    # The namespace of SVG is a name, not an address.
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", script + joined(STYLES))
    assert "innerHTML" not in script
    assert "outerHTML" not in script
    for path in ASSETS.iterdir():
        assert len(path.read_text().splitlines()) < 300, path.name


@pytest.mark.skipif(shutil.which("node") is None, reason="checks the script's grammar with node")
def test_the_script_is_javascript(tmp_path: Path) -> None:
    path = tmp_path / "dashboard.mjs"
    path.write_text(joined(SCRIPTS))
    subprocess.run(["node", "--check", str(path)], check=True)


def test_two_outputs_are_shown_of_which_one_needs_no_kernel(outputs: dict[str, Any]) -> None:
    dashboard, _ = opened(FakeStudy(make_study()))
    dashboard._ipython_display_()
    living, static = outputs["shown"]
    assert living["application/vnd.jupyter.widget-view+json"]["model_id"] == dashboard.widget.model_id
    assert "Dashboard of study 'digits-sweep'" in living["text/plain"]
    page = static["text/html"]
    assert f'class="workbench-static workbench-static-{dashboard.widget.key}"' in page
    (picture,) = re.findall(r'<img alt="([^"]+)" src="data:image/png;base64,([^"]+)"', page)
    assert "File size" in picture[0]
    assert base64.b64decode(picture[1]).startswith(b"\x89PNG")
    assert "<table>" in page
    assert "baseline" in page
    assert "best" in page
    assert "11 more variants are left out" in page
    assert "<script" not in page
    assert len(page) < 150_000
    assert "36 variants (33 ok, 3 failed)" in static["text/plain"]
    assert "Smallest of" in static["text/plain"]


def test_the_static_table_is_short_however_many_trials() -> None:
    page = kept_html(snapshot_of(DashboardState(FakeStudy(make_many(3000)))), "key")
    assert page.count("<tr>") - 1 <= MOST_ROWS
    assert "more variants are left out" in page
    assert len(page) < 150_000


def test_what_comes_from_names_is_escaped() -> None:
    source = FakeStudy(make_study())
    source.name = "<b>x</b>"
    page = kept_html(snapshot_of(DashboardState(source)), "key")
    assert "<b>x</b>" not in page
    assert "&lt;b&gt;x&lt;/b&gt;" in page


def test_a_study_without_results_keeps_a_sentence(outputs: dict[str, Any]) -> None:
    dashboard, _ = opened(FakeStudy())
    dashboard.show()
    page = outputs["shown"][1]["text/html"]
    assert "nothing has run yet" in page
    assert "<img" not in page
    assert "<table" not in page


# ---- following a sweep


def test_the_static_output_is_done_when_the_last_event_has_been_heard(outputs: dict[str, Any]) -> None:
    source = FakeStudy(make_study()[:3], running=True)
    dashboard, sent = opened(source)
    dashboard.show()
    (kept,) = outputs["kept"].values()
    assert "running" in kept["text/html"]
    assert "<img" not in kept["text/html"]
    source.trials = make_study()
    ended = threading.Thread(target=source.end)
    ended.start()
    ended.join(60)
    (kept,) = outputs["kept"].values()
    assert "<img" in kept["text/html"]
    assert "36 variants" in kept["text/plain"]
    headers = [content for content, _ in sent if content["show"] == "header"]
    assert headers[-1]["state"] == "done"
    assert headers[-1]["trials"] == 36
    assert not source.listeners


def test_an_end_that_nobody_told_is_seen(outputs: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LOOK_S", 0.02)
    source = FakeStudy(make_study(), running=True)
    dashboard, _ = opened(source)
    dashboard.show()
    source.running = False
    wait_until(lambda: "<img" in next(iter(outputs["kept"].values()))["text/html"])


def test_events_are_thinned_and_the_last_state_is_told(
    outputs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "BEAT_S", 0.1)
    source = FakeStudy(make_study()[:3], running=True)
    dashboard, sent = opened(source)
    dashboard.show()
    asked(dashboard, sent, do="ready", plotly=True)
    sent.clear()
    began = time.monotonic()
    for done in range(400):
        source.tell(Event("stage-done", "build", f"stage {done}", done=done, total=400))
        time.sleep(0.001)
    source.trials = make_study()
    source.tell(Event("trial", "build", "int8"))
    wait_until(lambda: any(content.get("trials") == 36 for content, _ in list(sent)))
    beats = sum(content["show"] == "header" for content, _ in list(sent))
    assert beats <= (time.monotonic() - began) / 0.1 + 2
    source.end()
    assert [c for c, _ in sent if c["show"] == "header"][-1]["state"] == "done"


def test_a_page_whose_question_waits_behind_a_busy_cell_is_told_unasked(
    outputs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(widget, "PATIENCE_S", 0.0)
    source = FakeStudy(make_study(), running=True)
    dashboard, sent = opened(source)
    dashboard.show()
    source.tell(Event("trial", "build", "int8"))
    wait_until(lambda: "selection" in [content["show"] for content, _ in list(sent)])
    assert [content["show"] for content, _ in sent][:2] == ["plotly", "header"]
    source.end()


def test_a_dashboard_shown_twice_follows_once(outputs: dict[str, Any]) -> None:
    source = FakeStudy(make_study(), running=True)
    dashboard, _ = opened(source)
    dashboard.show()
    dashboard.show()
    other, _ = opened(source)
    other.show()
    assert len(source.listeners) == 2
    source.end()
    assert not source.listeners
    assert len(outputs["kept"]) == 2
    assert all("<img" in kept["text/html"] for kept in outputs["kept"].values())


def test_trouble_while_showing_the_end_does_not_reach_the_sweep(
    outputs: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    source = FakeStudy(make_study(), running=True)
    dashboard, _ = opened(source)
    dashboard.show()
    monkeypatch.setattr(dashboard.state, "limits", lambda: 1 / 0)
    source.end()
    assert "could not show the end" in caplog.text

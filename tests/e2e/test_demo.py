"""`workbench demo` as a person meets it: what it writes, whether its figures are true, and that running it again is quick."""

from __future__ import annotations

import csv
import hashlib
import html.parser
import io
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import flatfile
import numpy as np
import pytest
from running import Json, artifact_times, environment, query, run, show, stage_rows, succeed

import workbench

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
Array = np.ndarray[Any, Any]
# Options of the command line, and which trials keep what they ask for.
Limits = tuple[tuple[str, ...], Callable[[Json], bool]]


class Demo(NamedTuple):
    """A demo that ran: its folder, and what `show --format json` printed."""

    folder: Path
    shown: Json
    printed: str

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def trials(self) -> list[Json]:
        found: list[Json] = self.shown["trials"]
        return found

    def trial(self, recipe: str) -> Json:
        return next(t for t in self.trials if t["recipe"] == recipe)

    def file(self, recipe: str) -> Path:
        return Path(self.trial(recipe)["artifact"]["path"])

    def ask(self, *arguments: object) -> Any:
        """Return what a command prints with `--format json`."""
        return json.loads(succeed(self.folder, *arguments, "--store", self.store, "--format", "json"))


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    folder = tmp_path_factory.mktemp("demo")
    begin = time.monotonic()
    printed = succeed(folder.parent, "demo", "--out", folder)
    print(f"\nworkbench demo: {time.monotonic() - begin:.1f} s")
    return Demo(folder, show(folder, "demo", folder / "store"), printed)


@pytest.fixture(scope="session")
def digits() -> tuple[Array, Array]:
    """The test split: images and classes."""
    test = workbench.load_dataset("digits").test
    assert not isinstance(test.x, dict)
    assert isinstance(test.y, np.ndarray)
    return test.x, test.y


@pytest.fixture(scope="session")
def predicted(demo: Demo, digits: tuple[Array, Array]) -> dict[str, Array]:
    """The classes that every trial's file gives, by recipe: a plain interpreter, one sample at a time."""
    return {
        t["recipe"]: flatfile.labels(Path(t["artifact"]["path"]), digits[0]) for t in demo.trials if t["state"] == "ok"
    }


# ---- what it tried and wrote


def test_it_tries_every_combination_and_each_ends(demo: Demo) -> None:
    assert len(demo.trials) >= 30
    assert len({t["id"] for t in demo.trials}) == len({t["recipe"] for t in demo.trials}) == len(demo.trials)
    for trial in demo.trials:
        assert trial["state"] == "ok" or (trial["state"] == "failed" and trial["error"].strip()), trial["recipe"]
    recipes = {t["recipe"] for t in demo.trials}
    prunes, clusters = ("", "prune:0.5+", "prune:0.8+"), ("", "cluster:16+")
    assert {
        f"{p}{c}{s}" for p in prunes for c in clusters for s in ("float32", "float16", "dynamic", "int8", "qat+int8")
    } <= recipes
    assert {
        "weight-only-int8",
        "int8-float-io",
        "int16x8",
        "int4-dynamic",
        "int4-weight-only",
        "int4-block32",
    } <= recipes
    assert [t["recipe"] for t in demo.trials if t["baseline"]] == ["float32"]


def test_it_says_what_it_did_and_what_comes_next(demo: Demo) -> None:
    for trial in demo.trials:
        assert f" {trial['recipe']} " in demo.printed
    assert f"{len(demo.trials)} trials, {len(demo.trials)} ok, 0 failed" in demo.printed
    assert str(demo.folder / "report.html") in demo.printed
    assert "workbench best demo" in demo.printed


class _Resources(html.parser.HTMLParser):
    """Collects what a page loads by markup, its styles, its own scripts, and its content security policy."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.styles: list[str] = []
        self.scripts: list[str] = []
        self.policy = ""
        self._open = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {k: v or "" for k, v in attrs}
        self.loads += [
            given[k]
            for k in ("src", "href", "xlink:href", "srcset", "data", "poster", "action", "background")
            if k in given and tag != "a"
        ]
        self.styles.append(given.get("style", ""))
        if tag == "meta" and given.get("http-equiv", "").lower() == "content-security-policy":
            self.policy = given["content"]
        self._open = tag

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        {"style": self.styles, "script": self.scripts}.get(self._open, []).append(data)


def test_the_report_loads_nothing_from_elsewhere(demo: Demo) -> None:
    text = (demo.folder / "report.html").read_text()
    page = _Resources()
    page.feed(text)
    assert [load for load in page.loads if not load.startswith(("data:", "#"))] == []
    assert not re.search(r"url\(\s*['\"]?(?!['\"]?(data:|#))|@import", "\n".join(page.styles))
    # The chart's library is far larger than the page's own scripts, and the policy forbids what it could ask for.
    own = [s for s in page.scripts if len(s) < 500_000]
    assert own
    assert len(own) < len(page.scripts)
    for script in own:
        assert not re.search(r"\bfetch\s*\(|XMLHttpRequest|\bimport\s*\(|sendBeacon|WebSocket|importScripts", script)
        assert not re.search(r"https?://(?!www\.w3\.org/)", script)
    assert "default-src 'none'" in page.policy
    assert "connect-src" not in page.policy
    assert "http" not in page.policy
    for trial in demo.trials:
        assert trial["recipe"] in text
        assert trial["id"] in text


# ---- acceptance figures, read from the files


def test_int8_is_a_third_of_float_and_as_accurate(
    demo: Demo, predicted: dict[str, Array], digits: tuple[Array, Array]
) -> None:
    assert demo.file("int8").stat().st_size <= 0.35 * demo.file("float32").stat().st_size
    accuracy = {r: float((predicted[r] == digits[1]).mean()) for r in ("float32", "int8", "prune:0.5+float32")}
    assert accuracy["float32"] > 0.95
    assert abs(accuracy["int8"] - accuracy["float32"]) <= 0.01
    assert abs(accuracy["prune:0.5+float32"] - accuracy["float32"]) <= 0.01


def test_pruning_pays_when_compressed(demo: Demo) -> None:
    assert flatfile.gzip_size(demo.file("prune:0.8+float32")) <= 0.55 * flatfile.gzip_size(demo.file("float32"))
    assert flatfile.zeros(demo.file("prune:0.8+float32")) >= 0.78
    assert flatfile.zeros(demo.file("float32")) < 0.02


@pytest.mark.parametrize(
    "recipe",
    [
        "cluster:16+float32",
        "cluster:16+int8",
        "cluster:16+qat+int8",
        "prune:0.5+cluster:16+float32",
        "prune:0.5+cluster:16+qat+int8",
        "prune:0.8+cluster:16+qat+int8",
    ],
)
def test_a_clustered_kernel_holds_sixteen_values(demo: Demo, recipe: str) -> None:
    assert flatfile.most_distinct(demo.file(recipe)) <= 16
    assert flatfile.most_distinct(demo.file("float32")) > 1000
    assert flatfile.most_distinct(demo.file("int8")) > 100


@pytest.mark.parametrize(
    "recipe",
    [
        "prune:0.5+float32",
        "prune:0.5+int8",
        "prune:0.5+qat+int8",
        "prune:0.5+cluster:16+float32",
        "prune:0.5+cluster:16+qat+int8",
    ],
)
def test_a_pruned_kernel_is_half_zeros(demo: Demo, recipe: str) -> None:
    assert flatfile.zeros(demo.file(recipe)) >= 0.48


# ---- every stored figure against the files


def test_every_stored_accuracy_is_what_a_plain_interpreter_gives(
    demo: Demo, predicted: dict[str, Array], digits: tuple[Array, Array]
) -> None:
    wrong = {}
    for trial in demo.trials:
        labels = predicted[trial["recipe"]]
        found = (
            int((labels == digits[1]).sum()) / len(digits[1]),
            int((labels == predicted["float32"]).sum()) / len(labels),
        )
        stored = (trial["quality"]["accuracy"], trial["quality"]["agreement"])
        if found != stored:
            wrong[trial["recipe"]] = (found, stored)
        assert trial["quality"]["samples"] == len(digits[1])
    assert not wrong


def test_every_stored_size_and_hash_is_the_files(demo: Demo) -> None:
    for trial in demo.trials:
        path = Path(trial["artifact"]["path"])
        assert path.parent == demo.store / "artifacts"
        assert hashlib.sha256(path.read_bytes()).hexdigest() == trial["artifact"]["sha256"]
        assert path.stat().st_size == trial["size"]["file"]
        assert flatfile.gzip_size(path) == trial["size"]["gzip"]


@pytest.mark.parametrize(
    "recipe", ["float32", "int8", "prune:0.8+float32", "prune:0.5+qat+int8", "cluster:16+qat+int8"]
)
def test_the_census_is_the_files(demo: Demo, recipe: str) -> None:
    census = demo.trial(recipe)["census"]
    assert census["sparsity"] == pytest.approx(flatfile.zeros(demo.file(recipe)), abs=1e-12)
    assert census["unique_weights"] == flatfile.most_distinct(demo.file(recipe))
    assert sum(t["kernel"] for t in census["tensors"]) == len(flatfile.kernels(demo.file(recipe)))


# ---- the documented fields

NUMBER = (int, float)
TRIAL: Json = {
    "id": str,
    "recipe": str,
    "steps": [{"technique": str, "params": dict}],
    "state": str,
    "error": (str, type(None)),
    "warnings": [{"kind": str, "seen": str, "advice": str, "level": str}],
    "artifact": {"path": str, "sha256": str},
    "size": {"file": int, "gzip": int},
    "census": {"weights": dict, "operators": dict, "sparsity": NUMBER, "unique_weights": int},
    "quality": {"accuracy": NUMBER, "agreement": NUMBER, "sqnr_db": (*NUMBER, type(None))},
    "measurements": [
        {
            "runtime": str,
            "options": dict,
            "kind": str,
            "latency_ms": {"median": NUMBER, "low": NUMBER, "high": NUMBER, "p90": NUMBER, "samples": int},
            "init_ms": NUMBER,
            "first_ms": NUMBER,
            "peak_bytes": int,
            "ops_total": int,
            "ops_delegated": int,
            "partitions": int,
        }
    ],
}
STUDY: Json = {"study": str, "model": dict, "dataset": dict, "environment": dict, "trials": list}
LISTED: Json = {
    "study": str,
    "model": str,
    "dataset": str,
    "trials": int,
    "ok": int,
    "failed": int,
    "started": str,
    "tags": list,
    "note": str,
}


def departures(value: Any, wanted: Any, where: str = "") -> list[str]:
    """Return where a value lacks a field or has one of another type."""
    if isinstance(wanted, dict):
        if not isinstance(value, dict):
            return [f"{where} is {type(value).__name__}"]
        missing = [f"{where}.{k} is missing" for k in wanted if k not in value]
        return missing + [d for k in wanted if k in value for d in departures(value[k], wanted[k], f"{where}.{k}")]
    if isinstance(wanted, list):
        if not isinstance(value, list):
            return [f"{where} is {type(value).__name__}"]
        return [d for i, v in enumerate(value) for d in departures(v, wanted[0], f"{where}[{i}]")]
    fits = isinstance(value, wanted) and not (
        isinstance(value, bool) and bool not in (wanted if isinstance(wanted, tuple) else (wanted,))
    )
    return [] if fits else [f"{where} is {type(value).__name__}"]


def test_departures_are_seen() -> None:
    assert departures({"a": {"b": 1}}, {"a": {"b": int, "c": str}}) == [".a.c is missing"]
    assert departures({"a": [{"b": "x"}]}, {"a": [{"b": int}]}) == [".a[0].b is str"]
    assert departures({"a": True}, {"a": int}) == [".a is bool"]


def test_show_prints_the_documented_fields(demo: Demo) -> None:
    assert departures(demo.shown, STUDY) == []
    assert [d for t in demo.trials for d in departures(t, TRIAL, t["recipe"])] == []
    for trial in demo.trials:
        assert trial["state"] in ("pending", "running", "ok", "failed", "skipped")
        assert [m["runtime"] for m in trial["measurements"]] == ["xnnpack", "builtin"]
        assert sum(trial["census"]["weights"].values()) < trial["size"]["file"]
        assert trial["recipe"].endswith(trial["steps"][-1]["params"]["scheme"])
        for m in trial["measurements"]:
            assert m["kind"] == "measured"
            latency = m["latency_ms"]
            assert 0 < latency["low"] <= latency["median"] <= latency["high"]
            assert latency["median"] <= latency["p90"]
            assert latency["samples"] >= 10
            assert 0 <= m["ops_delegated"] <= m["ops_total"]
            assert m["init_ms"] > 0
            assert m["first_ms"] > 0
    for fact in ("processor", "cores", "versions"):
        assert demo.shown["environment"][fact]


def test_the_stored_samples_are_as_many_as_said(demo: Demo) -> None:
    """Every raw sample is kept, and the median of a measurement is theirs."""
    rows = query(demo.store, "SELECT trial, runtime, samples_ns FROM measurements")
    assert len(rows) == 2 * len(demo.trials)
    by_trial = {(t["id"], m["runtime"]): m["latency_ms"] for t in demo.trials for m in t["measurements"]}
    for trial, runtime, raw in rows:
        samples = np.frombuffer(raw, dtype="<i8")
        said = by_trial[trial, re.match(r"\w+", runtime)[0]]  # type: ignore[index]  # it begins with the runtime's name
        assert len(samples) == said["samples"]
        assert said["median"] == pytest.approx(np.median(samples) / 1e6)
        assert said["p90"] == pytest.approx(np.percentile(samples, 90) / 1e6)


def test_studies_are_listed(demo: Demo) -> None:
    (listed,) = demo.ask("studies")
    assert set(listed) == set(LISTED)
    assert departures(listed, LISTED) == []
    assert (listed["study"], listed["trials"], listed["ok"], listed["failed"]) == (
        "demo",
        len(demo.trials),
        len(demo.trials),
        0,
    )
    rows = list(csv.DictReader(io.StringIO(succeed(demo.folder, "studies", "--store", demo.store, "--format", "csv"))))
    assert rows == [{k: str(v) for k, v in listed.items()}]
    assert "demo" in succeed(demo.folder, "studies", "--store", demo.store)


def test_csv_and_table_show_the_same_trials(demo: Demo) -> None:
    rows = list(
        csv.DictReader(io.StringIO(succeed(demo.folder, "show", "demo", "--store", demo.store, "--format", "csv")))
    )
    assert [r["id"] for r in rows] == [t["id"] for t in demo.trials]
    for row, trial in zip(rows, demo.trials, strict=True):
        assert (row["recipe"], row["state"]) == (trial["recipe"], trial["state"])
        assert (int(row["size_bytes"]), int(row["gzip_bytes"])) == (trial["size"]["file"], trial["size"]["gzip"])
        assert float(row["accuracy"]) == trial["quality"]["accuracy"]
        assert float(row["latency_ms@builtin"]) == trial["measurements"][1]["latency_ms"]["median"]
    table = succeed(demo.folder, "show", "demo", "--store", demo.store)
    assert all(t["id"] in table for t in demo.trials)


# ---- choosing


def latency(trial: Json, runtime: str) -> float:
    return float(next(m["latency_ms"]["median"] for m in trial["measurements"] if m["runtime"] == runtime))


def figure(trial: Json, name: str) -> float:
    """Return a figure as a cost: lower is better."""
    if name.startswith("latency@"):
        return latency(trial, name.partition("@")[2])
    costs = {
        "size": trial["size"]["file"],
        "compressed": trial["size"]["gzip"],
        "accuracy": -trial["quality"]["accuracy"],
    }
    return float(costs[name])


@pytest.mark.parametrize(("x", "y"), [("size", "accuracy"), ("compressed", "accuracy"), ("latency@builtin", "size")])
def test_the_front_is_what_nothing_beats(demo: Demo, x: str, y: str) -> None:
    costs = {t["id"]: (figure(t, x), figure(t, y)) for t in demo.trials}
    unbeaten = {
        i for i, a in costs.items() if not any(b[0] <= a[0] and b[1] <= a[1] and b != a for b in costs.values())
    }
    found = demo.ask("pareto", "demo", "--x", x, "--y", y)
    assert {t["id"] for t in found} == unbeaten
    assert 0 < len(unbeaten) < len(demo.trials)
    assert [costs[t["id"]][0] for t in found] == sorted(costs[t["id"]][0] for t in found)
    assert all(t == demo.trial(t["recipe"]) for t in found)


def within_drop(demo: Demo) -> Limits:
    base = demo.trial("float32")["quality"]["accuracy"]
    return ("--max-drop", "0.01"), lambda t: base - t["quality"]["accuracy"] <= 0.01 + 1e-9


def within_size_without_drop(demo: Demo) -> Limits:
    base = demo.trial("float32")["quality"]["accuracy"]
    return (
        ("--max-size", "125KB", "--max-drop", "0"),
        lambda t: t["size"]["file"] <= 125_000 and t["quality"]["accuracy"] >= base,
    )


def within_latency(demo: Demo) -> Limits:
    """The limit is this run's own: between its tenth and its eleventh variant, however fast the machine is."""
    times = sorted(latency(t, "builtin") for t in demo.trials)
    limit = (times[9] + times[10]) / 2
    return (
        ("--max-latency-ms", f"{limit!r}", "--runtime", "builtin"),
        lambda t: latency(t, "builtin") <= limit,
    )


@pytest.mark.parametrize("limits", [within_drop, within_size_without_drop, within_latency])
def test_the_best_is_the_smallest_that_keeps_the_limits(demo: Demo, limits: Callable[[Demo], Limits]) -> None:
    options, keeps = limits(demo)
    fit = [t for t in demo.trials if keeps(t)]
    assert fit
    smallest = min(t["size"]["file"] for t in fit)
    most_accurate = max(t["quality"]["accuracy"] for t in fit if t["size"]["file"] == smallest)
    (found,) = demo.ask("best", "demo", *options)
    assert found["id"] in {t["id"] for t in fit}
    assert (found["size"]["file"], found["quality"]["accuracy"]) == (smallest, most_accurate)


def test_no_trial_keeps_what_none_can(demo: Demo) -> None:
    done = run(demo.folder, "best", "demo", "--max-size", "1KB", "--store", demo.store)
    assert done.returncode == 1
    assert "no trial keeps these constraints" in done.stderr
    assert "Traceback" not in done.stderr


# ---- single files


def test_inspecting_the_file_gives_the_trials_census(demo: Demo) -> None:
    path = demo.file("int8")
    found = json.loads(succeed(demo.folder, "inspect", path, "--format", "json"))
    assert found["census"] == demo.trial("int8")["census"]
    assert found["size"] == demo.trial("int8")["size"]
    rows = list(csv.DictReader(io.StringIO(succeed(demo.folder, "inspect", path, "--format", "csv"))))
    assert [r["name"] for r in rows] == [t["name"] for t in found["census"]["tensors"]]
    table = succeed(demo.folder, "inspect", path)
    assert all(name in table for name in found["census"]["operators"])


def test_measuring_the_file_alone(demo: Demo) -> None:
    found = json.loads(
        succeed(
            demo.folder,
            "bench",
            demo.file("int8"),
            "--runtime",
            "xnnpack,reference",
            "--threads",
            "2",
            "--budget",
            "1",
            "--format",
            "json",
        )
    )
    assert [(m["runtime"], m["options"], m["state"]) for m in found] == [
        ("xnnpack", {"threads": 2}, "ok"),
        ("reference", {"threads": 2}, "ok"),
    ]
    assert [d for m in found for d in departures(m, TRIAL["measurements"][0])] == []
    assert found[0]["ops_delegated"] > 0
    assert found[1]["ops_delegated"] == 0


# Only the standard library, NumPy and LiteRT can be imported where this is on the path.
ONLY = """
import sys

class Only:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in {*sys.stdlib_module_names, "numpy", "ai_edge_litert"}:
            raise ImportError(f"{name} is kept away")

sys.meta_path.insert(0, Only())
"""


def test_the_exported_script_predicts_without_workbench(
    demo: Demo, digits: tuple[Array, Array], predicted: dict[str, Array], tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    succeed(demo.folder, "export", "demo", demo.trial("int8")["id"][:8], "--out", bundle, "--store", demo.store)
    assert (bundle / "model.tflite").read_bytes() == demo.file("int8").read_bytes()
    assert (bundle / "labels.txt").read_text().split() == [str(n) for n in range(10)]
    np.save(tmp_path / "images.npy", digits[0][:100])
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "sitecustomize.py").write_text(ONLY)
    env = {**environment(), "PYTHONPATH": str(tmp_path / "only")}
    for module in ("workbench", "tensorflow", "pydantic"):
        refused = subprocess.run(
            [sys.executable, "-c", f"import {module}"],
            env=env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "is kept away" in refused.stderr
    done = subprocess.run(
        [sys.executable, str(bundle / "predict.py"), str(tmp_path / "images.npy"), "--json"],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert [r["top"][0]["class"] for r in results] == predicted["int8"][:100].tolist()
    assert all(r["top"][0]["label"] == str(r["top"][0]["class"]) for r in results)


def test_the_report_can_be_written_anywhere(demo: Demo, tmp_path: Path) -> None:
    out = tmp_path / "new" / "page.html"
    succeed(demo.folder, "report", "demo", "--out", out, "--store", demo.store)
    text = out.read_text()
    assert text.startswith("<!DOCTYPE html>")
    assert all(t["recipe"] in text for t in demo.trials)


# ---- again


def test_running_it_again_is_quick_and_changes_nothing(demo: Demo) -> None:
    stages, times = stage_rows(demo.store), artifact_times(demo.store)
    measured = query(demo.store, "SELECT * FROM measurements ORDER BY study, trial, runtime")
    begin = time.monotonic()
    # As a person starts it.
    succeed(demo.folder.parent, "demo", "--out", demo.folder, fresh=True)
    print(f"\nworkbench demo again: {time.monotonic() - begin:.1f} s")
    assert len(stages) > 36
    assert stage_rows(demo.store) == stages
    assert artifact_times(demo.store) == times
    assert query(demo.store, "SELECT * FROM measurements ORDER BY study, trial, runtime") == measured
    assert show(demo.folder, "demo", demo.store)["trials"] == demo.trials

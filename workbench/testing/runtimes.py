"""What every runtime has to keep: all of it through the process in which a sweep measures."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pytest

from workbench import registry
from workbench.errors import StageFailed, Unfit, WorkbenchError
from workbench.measure.hosts import Hosts
from workbench.measure.session import Measured, MeasureOptions, Subject, measure
from workbench.recipes.grammar import parse_runtime, runtime_text
from workbench.testing.common import check_described, check_missing, write_files
from workbench.values.settings import Measure
from workbench.values.trial import RuntimeSpec

QUICK = Measure(budget=0.2, half_width=0.9, samples=10, profile=True)
BROKEN = "broken"


class Results(NamedTuple):
    """The runtime as it was parsed, and what came of each kind of file."""

    spec: RuntimeSpec
    by_kind: dict[str, Measured]


class RuntimeConformance:
    """The common tests; `text` names the runtime as on the command line, `{places}` in it come from the fixture of that name.

    `takes` lists the kinds of file that it has to run; any other it may skip. `files` gives a real file of each kind. A runtime that is not
    installed here is skipped with its own words, save for what can be said of it without running.
    """

    text: ClassVar[str]
    takes: ClassVar[tuple[str, ...]] = ("float32", "int8")

    @pytest.fixture(scope="class")
    def places(self) -> dict[str, object]:
        """What stands for the braces in `text`."""
        return {}

    @pytest.fixture(scope="class")
    def files(self, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
        """A float32 and a full int8 file."""
        return write_files(tmp_path_factory.mktemp("files"))

    @pytest.fixture(scope="class")
    def spec(self, places: dict[str, object]) -> RuntimeSpec:
        """The runtime with its options."""
        return parse_runtime(self.text.format(**places))

    @pytest.fixture(scope="class")
    def results(self, spec: RuntimeSpec, files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Results:
        """Every file measured once, and one that was cut in half."""
        backend = registry.runtimes.get(spec.name)
        missing = backend.check(backend.params.model_validate(spec.options))
        if missing:
            pytest.skip(missing)
        broken = tmp_path_factory.mktemp(BROKEN) / "broken.tflite"
        content = files["float32"].read_bytes()
        broken.write_bytes(content[: len(content) // 2])
        found: dict[str, Measured] = {}

        def keep(measured: Measured) -> None:
            assert measured.subject not in found, f"{measured.subject} was told twice"
            found[measured.subject] = measured

        subjects = [Subject(kind, path) for kind, path in {**files, BROKEN: broken}.items()]
        with contextlib.closing(Hosts()) as hosts:
            measure(subjects, [spec], MeasureOptions(QUICK, everywhere=True), keep, hosts=hosts)
        return Results(spec, found)

    def test_its_text_is_read_and_written(self, spec: RuntimeSpec) -> None:
        text = runtime_text(spec.name, spec.options)
        assert parse_runtime(text) == spec
        assert runtime_text(*_both(parse_runtime(text))) == text

    def test_it_says_what_it_is(self, spec: RuntimeSpec) -> None:
        backend = registry.runtimes.get(spec.name)
        check_described(backend, spec.name)
        assert backend.kind in ("measured", "estimated")
        assert backend.clock in ("device", "host")

    def test_it_says_what_is_missing(self, spec: RuntimeSpec) -> None:
        backend = registry.runtimes.get(spec.name)
        check_missing(backend.check(backend.params.model_validate(spec.options)))
        variables: Any = backend.environment(backend.params.model_validate(spec.options))
        assert all(isinstance(k, str) and isinstance(v, str) for k, v in variables.items())

    def test_every_file_gives_one_measurement(self, results: Results, files: dict[str, Path]) -> None:
        assert set(results.by_kind) == {*files, BROKEN}
        for kind in files:
            made = results.by_kind[kind].measurement
            assert (made.runtime, made.options) == (results.spec.name, results.spec.options)
            assert made.environment["processor"]
            if kind in self.takes:
                assert (made.state, made.error) == ("ok", None), f"{kind}: {made.error}"
            else:
                assert made.state in ("ok", "skipped"), f"{kind}: {made.error}"
            if made.state == "skipped":
                assert made.error, kind
                assert made.latency_ms is None
                assert results.by_kind[kind].samples_ns is None

    def test_operators_are_counted(self, results: Results) -> None:
        for kind, made in _ok(results):
            measurement = made.measurement
            total, taken = measurement.ops_total, measurement.ops_delegated
            assert total is not None, kind
            assert taken is not None, kind
            assert measurement.partitions is not None, kind
            assert total > 0, kind
            assert 0 <= taken <= total, kind
            assert 0 <= measurement.partitions <= total, kind
            assert all(name.strip() for name in measurement.left), kind
            assert all(n >= 0 for n in measurement.memory.values()), kind

    def test_time_is_measured_or_said_to_be_estimated(self, results: Results) -> None:
        backend = registry.runtimes.get(results.spec.name)
        for kind, made in _ok(results):
            measurement = made.measurement
            assert (measurement.kind, measurement.clock) == (backend.kind, backend.clock), kind
            latency = measurement.latency_ms
            if measurement.kind == "estimated":
                assert made.samples_ns is None, kind
                assert latency is None or latency.samples == 0, kind
                continue
            assert latency is not None, kind
            assert made.samples_ns is not None, kind
            assert latency.samples == len(made.samples_ns) >= 3, kind
            assert latency.samples >= QUICK.samples or latency.cut_short, kind
            assert (made.samples_ns > 0).all(), kind
            assert 0 < latency.low <= latency.median <= latency.high, kind
            assert latency.p90 >= latency.median, kind
            assert None not in (measurement.init_ms, measurement.first_ms, measurement.peak_bytes), kind

    def test_outputs_are_held_against_the_reference_kernels(self, results: Results) -> None:
        for kind, made in _ok(results):
            reference = made.measurement.reference
            if made.measurement.kind == "estimated":
                assert reference is None, kind
                continue
            assert reference is not None, kind
            assert reference.samples >= 1, kind
            assert reference.max_error >= 0, kind
            assert reference.sqnr_db is None or reference.sqnr_db > 10, kind

    def test_operators_times_are_no_less_than_nothing(self, results: Results) -> None:
        for kind, made in _ok(results):
            profile = made.measurement.profile
            if profile is not None:
                assert profile.source, kind
                assert profile.kind == made.measurement.kind, kind
                assert profile.operators, kind
                assert all(o.ms >= 0 and o.name for o in profile.operators), kind

    def test_a_truncated_file_is_a_measurement_with_a_reason(self, results: Results) -> None:
        made = results.by_kind[BROKEN].measurement
        assert made.state in ("failed", "skipped")
        assert made.error
        assert "crash" not in made.error
        assert made.latency_ms is None

    def test_opening_a_truncated_file_leaves_the_process_that_forks(
        self, results: Results, files: dict[str, Path], tmp_path: Path
    ) -> None:
        broken = tmp_path / "broken.tflite"
        broken.write_bytes(files["float32"].read_bytes()[:100])
        with contextlib.closing(Hosts()) as hosts:
            with pytest.raises(WorkbenchError) as caught:
                hosts.open(broken, results.spec)
            assert isinstance(caught.value, (StageFailed, Unfit))
            for kind in self.takes:
                hosts.open(files[kind], results.spec).close()


def _ok(results: Results) -> list[tuple[str, Measured]]:
    return [(kind, made) for kind, made in results.by_kind.items() if made.measurement.state == "ok"]


def _both(spec: RuntimeSpec) -> tuple[str, dict[str, Any]]:
    return spec.name, spec.options

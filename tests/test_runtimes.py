"""Every built-in runtime keeps the common rules, and each one's own figures agree with an independent account."""

from __future__ import annotations

import contextlib
import csv
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from models import to_tflite

from workbench import registry
from workbench.errors import StageFailed
from workbench.flatbuffer.census import read_census
from workbench.measure import interleave
from workbench.measure.hosts import OPEN_SECONDS, HostProcess, Hosts
from workbench.measure.session import Measured, MeasureOptions, Subject, measure
from workbench.measure.watch import Watch
from workbench.recipes.grammar import parse_runtime
from workbench.runtimes.npu import SDKS
from workbench.testing import RuntimeConformance
from workbench.values.settings import Measure
from workbench.values.trial import RuntimeSpec

Array = np.ndarray[Any, Any]

NOOP = """
#include <stdlib.h>
#include <string.h>
typedef struct D {
  void* data; int (*Prepare)(void*, struct D*); void* a; void* b; void* c; long long flags; void* o; void* p;
} D;
static int prepare(void* context, D* delegate) { return 0; }
D* tflite_plugin_create_delegate(const char* const* keys, const char* const* values, size_t n, void (*report)(const char*)) {
  for (size_t i = 0; i < n; i++)
    if (!strcmp(keys[i], "refuse")) {
      report(strcmp(values[i], "politely") ? "asked to refuse" : "asked to refuse, politely");
      return NULL;
    }
  D* made = calloc(1, sizeof(D));
  made->Prepare = prepare;
  return made;
}
void tflite_plugin_destroy_delegate(D* delegate) { free(delegate); }
"""


@pytest.fixture(scope="session")
def noop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A delegate library that takes no operator."""
    folder = tmp_path_factory.mktemp("delegate")
    source, library = folder / "noop.c", folder / "libnoop+1.so"
    source.write_text(NOOP)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True, timeout=600)
    return library


# ---- the rules for all


class TestXnnpack(RuntimeConformance):
    text = "xnnpack[threads=2]"


class TestBuiltin(RuntimeConformance):
    text = "builtin"


class TestReference(RuntimeConformance):
    text = "reference"


@pytest.mark.slow
class TestGpu(RuntimeConformance):
    text = "gpu"
    takes = ("float32",)


@pytest.mark.slow
class TestOpenVino(RuntimeConformance):
    text = "openvino"


class TestMicro(RuntimeConformance):
    text = "micro"


@pytest.mark.slow
class TestEthosU55(RuntimeConformance):
    text = "ethos-u55-128"
    takes: ClassVar[tuple[str, ...]] = ("int8",)


@pytest.mark.slow
class TestEthosU85(RuntimeConformance):
    text = "ethos-u85-256[optimise=Size]"
    takes: ClassVar[tuple[str, ...]] = ("int8",)


class TestDelegate(RuntimeConformance):
    text = "delegate:{noop}?quiet=1&level=2[threads=2]"

    @pytest.fixture(scope="class")
    def places(self, noop: Path) -> dict[str, object]:
        return {"noop": noop}


# ---- helpers


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    with contextlib.closing(Hosts()) as opened:
        yield opened


def need(text: str) -> RuntimeSpec:
    """Return the runtime, or skip with its own words where something is missing."""
    spec = parse_runtime(text)
    backend = registry.runtimes.get(spec.name)
    missing = backend.check(backend.params.model_validate(spec.options))
    if missing:
        pytest.skip(missing)
    return spec


def measured(path: Path, text: str, hosts: Hosts, budget: float = 0.1, samples: int = 10) -> Measured:
    """Return the one measurement of a file on a runtime that is there."""
    found: list[Measured] = []
    settings = Measure(budget=budget, half_width=0.9, samples=samples)
    measure([Subject("it", path)], [need(text)], MeasureOptions(settings, everywhere=True), found.append, hosts=hosts)
    (only,) = found
    return only


def python(code: str, *arguments: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, to its good end."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, **(env or {})},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def variables(spec: RuntimeSpec) -> dict[str, str]:
    backend = registry.runtimes.get(spec.name)
    return backend.environment(backend.params.model_validate(spec.options))


def network(name: str, size: int, channels: int, build: Callable[[Any, Any], Any]) -> Any:
    """Return a tf_keras model of `image` (size, size, channels) that `build(layers, image)` makes."""
    import tf_keras

    tf_keras.utils.set_random_seed(4)
    image = tf_keras.layers.Input((size, size, channels), batch_size=1, name="image")
    return tf_keras.Model(image, build(tf_keras.layers, image), name=name)


def convolution(layers: Any, x: Any, channels: int = 8) -> Any:
    return layers.Conv2D(channels, 3, padding="same", activation="relu")(x)


def fully_quantized(model: Any, path: Path) -> Path:
    """Write a model in full int8 by TensorFlow's own converter."""
    import tensorflow as tf

    draw = np.random.default_rng(1)
    shape = tuple(model.inputs[0].shape)
    samples = [[draw.random(shape, dtype=np.float32)] for _ in range(8)]
    served = tf.function(lambda image: model(image)).get_concrete_function(tf.TensorSpec(shape, tf.float32))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([served], model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: iter(samples)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    path.write_bytes(converter.convert())
    return path


@pytest.fixture(scope="module")
def heavy_tflite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight convolutions at 64x64: tens of milliseconds on a software GPU."""

    def build(layers: Any, x: Any) -> Any:
        for _ in range(8):
            x = convolution(layers, x, 16)
        return x

    return to_tflite(network("heavy", 64, 16, build), tmp_path_factory.mktemp("heavy") / "heavy.tflite")


@pytest.fixture(scope="module")
def dynamic_tflite(small_tflite: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`small_tflite` with 8-bit weights and float activations."""
    from workbench.techniques import quantizer_engine

    path = tmp_path_factory.mktemp("dynamic") / "dynamic.tflite"
    path.write_bytes(quantizer_engine.quantize(small_tflite, "dynamic", "channel", None))
    return path


# ---- delegates


@pytest.mark.parametrize("kind", ["small_tflite", "small_int8_tflite"])
def test_a_delegate_that_does_nothing_changes_nothing(
    noop: Path, kind: str, hosts: Hosts, request: pytest.FixtureRequest
) -> None:
    path: Path = request.getfixturevalue(kind)
    made = measured(path, f"delegate:{noop}", hosts).measurement
    operators = sum(read_census(path).operators.values())
    assert (made.state, made.ops_delegated, made.partitions, made.ops_total) == ("ok", 0, 0, operators)
    assert made.device == noop.name
    assert made.reference is not None
    assert made.reference.agreement == 1.0
    assert made.reference.max_error < 1e-5 if kind == "small_tflite" else made.reference.max_error < 0.02
    outputs = {}
    for text in (f"delegate:{noop}", "builtin"):
        with contextlib.closing(hosts.open(path, parse_runtime(text))) as host:
            outputs[text] = host.outputs(None, 4, 10.0)
    mine, theirs = outputs.values()
    assert mine.keys() == theirs.keys()
    for name in mine:
        np.testing.assert_array_equal(mine[name], theirs[name])


@pytest.mark.parametrize(("options", "said"), [("refuse=1", "asked to refuse"), ("a=b&refuse=politely", ", politely")])
def test_a_delegates_options_reach_it(noop: Path, small_tflite: Path, hosts: Hosts, options: str, said: str) -> None:
    made = measured(small_tflite, f"delegate:{noop}?{options}", hosts).measurement
    assert made.state == "failed"
    assert "asked to refuse" in (made.error or "")
    assert said in (made.error or "")
    assert noop.name in (made.error or "")


def test_a_missing_delegate_is_refused_before_anything_runs(tmp_path: Path, small_tflite: Path, hosts: Hosts) -> None:
    backend = registry.runtimes.get("delegate")
    missing = parse_runtime(f"delegate:{tmp_path / 'none.so'}?a=b")
    said = backend.check(backend.params.model_validate(missing.options)) or ""
    assert "none.so' does not exist" in said
    assert "a=b" not in said
    assert "it needs a library" in (backend.check(backend.params()) or "")
    with pytest.raises(StageFailed, match="does not exist"):
        hosts.open(small_tflite, missing)


def test_a_library_that_is_no_delegate_is_a_failure(tmp_path: Path, small_tflite: Path, hosts: Hosts) -> None:
    source, library = tmp_path / "other.c", tmp_path / "libother.so"
    source.write_text("int nothing(void) { return 0; }\n")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True, timeout=600)
    made = measured(small_tflite, f"delegate:{library}", hosts).measurement
    assert made.state == "failed"
    assert "libother.so" in (made.error or "")
    assert "crash" not in (made.error or "")


# ---- NPUs


@pytest.mark.parametrize("vendor", list(SDKS))
def test_an_npu_without_its_sdk_says_how_to_get_it(vendor: str, small_int8_tflite: Path, hosts: Hosts) -> None:
    backend = registry.runtimes.get("npu")
    spec = parse_runtime(f"npu[vendor={vendor}]")
    said = backend.check(backend.params.model_validate(spec.options))
    if said is None:
        pytest.skip(f"the SDK of {vendor} is installed")
    assert f"{vendor} SDK missing: " in said or "carries no" in said
    if vendor != "samsung" and "SDK missing" in said:
        assert f"pip install ai-edge-litert-sdk-{vendor.replace('_', '-')}" in said
    found: list[Measured] = []
    measure([Subject("it", small_int8_tflite)], [spec], MeasureOptions(Measure(budget=0.1)), found.append, hosts=hosts)
    assert [(f.measurement.state, f.measurement.error) for f in found] == [("failed", said)]
    assert found[0].measurement.kind == "estimated"


# ---- Ethos-U


def vela(path: Path, folder: Path, configuration: str) -> dict[str, str]:
    """Return the summary that the `vela` command writes of a file."""
    subprocess.run(
        [Path(sys.executable).parent / "vela", path, "--accelerator-config", configuration, "--output-dir", folder],
        check=True,
        capture_output=True,
        timeout=200,
    )
    (summary,) = folder.glob("*_summary_*.csv")
    with summary.open(newline="") as file:
        (row,) = csv.DictReader(file)
    return row


@pytest.mark.slow
@pytest.mark.parametrize("configuration", ["ethos-u55-128", "ethos-u85-512"])
def test_ethos_u_figures_are_velas_own(
    configuration: str, small_int8_tflite: Path, tmp_path: Path, hosts: Hosts
) -> None:
    made = measured(small_int8_tflite, configuration, hosts).measurement
    said = vela(small_int8_tflite, tmp_path, configuration)
    assert (made.state, made.kind) == ("ok", "estimated")
    assert made.latency_ms is not None
    assert made.latency_ms.median == pytest.approx(float(said["inference_time"]) * 1000, rel=1e-9)
    assert made.latency_ms.low == made.latency_ms.high == made.latency_ms.median > 0
    assert made.cycles["total"] == round(float(said["cycles_total"])) > 0
    assert made.cycles["npu"] == round(float(said["cycles_npu"]))
    kibibytes = {
        "SRAM": "sram_memory_used",
        "DRAM": "dram_memory_used",
        "on-chip flash": "on_chip_flash_memory_used",
        "off-chip flash": "off_chip_flash_memory_used",
    }
    expected = {part: round(float(said[column]) * 1024) for part, column in kibibytes.items() if float(said[column])}
    assert made.memory == expected
    assert "SRAM" in expected
    assert any("flash" in part or part == "DRAM" for part in expected)


@pytest.mark.parametrize("file", ["small_tflite", "dynamic_tflite"])
def test_ethos_u_skips_what_is_not_fully_quantized(file: str, hosts: Hosts, request: pytest.FixtureRequest) -> None:
    made = measured(request.getfixturevalue(file), "ethos-u55-128", hosts).measurement
    assert made.state == "skipped"
    assert "fully quantized" in (made.error or "")


@pytest.mark.slow
def test_ethos_u_counts_what_it_leaves(tmp_path: Path, hosts: Hosts) -> None:
    def build(layers: Any, x: Any) -> Any:
        import tensorflow as tf

        x = convolution(layers, x)
        x = layers.Lambda(lambda v: tf.gather(v, [3, 1, 2, 0, 5], axis=1))(x)
        x = convolution(layers, x)
        x = layers.Lambda(lambda v: tf.reverse(v, [1]))(x)
        return convolution(layers, x)

    path = fully_quantized(network("mixed", 8, 8, build), tmp_path / "mixed.tflite")
    assert read_census(path).operators == {"CONV_2D": 3, "GATHER": 1, "REVERSE_V2": 1}
    made = measured(path, "ethos-u55-128", hosts).measurement
    assert (made.state, made.ops_total, made.ops_delegated, made.partitions) == ("ok", 5, 3, 3)
    assert sorted(name.upper().replace("_", "") for name in made.left) == ["GATHERV2", "REVERSEV2"]


# ---- TensorFlow Lite Micro

ARENA = """
import sys
from tflite_micro.python.tflite_micro import runtime
interpreter = runtime.Interpreter.from_file(sys.argv[1])
interpreter.invoke()
interpreter.print_allocations()
"""


@pytest.mark.parametrize("file", ["small_tflite", "small_int8_tflite"])
def test_micros_arena_is_what_its_allocator_prints(file: str, hosts: Hosts, request: pytest.FixtureRequest) -> None:
    path: Path = request.getfixturevalue(file)
    made = measured(path, "micro", hosts).measurement
    printed = python(ARENA, path).stderr
    bytes_of = {part: int(n) for part, n in re.findall(r"Arena allocation (\w+) (\d+) bytes", printed)}
    assert set(bytes_of) == {"total", "head", "tail"}
    assert made.memory["arena"] == bytes_of["total"] > 0
    assert made.memory["arena head"] == bytes_of["head"]
    assert made.memory["arena tail"] == bytes_of["tail"]
    assert bytes_of["total"] == bytes_of["head"] + bytes_of["tail"]
    assert made.clock == "host"


def test_micro_skips_a_dynamic_file_and_says_why(dynamic_tflite: Path, hosts: Hosts) -> None:
    made = measured(dynamic_tflite, "micro", hosts).measurement
    assert made.state == "skipped"
    assert re.search("CONV_2D|FULLY_CONNECTED|Hybrid", made.error or ""), made.error


def test_micro_runs_a_small_file_with_large_activations(tmp_path: Path, hosts: Hosts) -> None:
    """What an arena has to hold is the activations, however few bytes the weights are."""

    def build(layers: Any, x: Any) -> Any:
        same = layers.Conv2D(16, 3, padding="same")
        return same(same(x))

    path = to_tflite(network("wide", 64, 16, build), tmp_path / "wide.tflite")
    activation = 64 * 64 * 16 * 4
    assert path.stat().st_size < activation / 10
    made = measured(path, "micro", hosts).measurement
    assert (made.state, made.error) == ("ok", None)
    assert made.memory["arena"] > 2 * activation


# ---- OpenVINO

COMPILE = """
import sys
from ai_edge_litert.compiled_model import (
    CompiledModel, Environment, EnvironmentOptions, HardwareAccelerator, IntelOpenVinoOptions, Options,
)
from pathlib import Path
import ai_edge_litert
folder = Path(ai_edge_litert.__file__).parent
places = EnvironmentOptions(
    runtime_path=str(folder),
    dispatch_library_path=str(folder / "vendors/intel_openvino/dispatch"),
    compiler_plugin_path=str(folder / "vendors/intel_openvino/compiler"),
)
options = Options(
    hardware_accelerators=HardwareAccelerator.NPU | HardwareAccelerator.CPU,
    intel_openvino_options=IntelOpenVinoOptions(graph_backend=IntelOpenVinoOptions.GRAPH_BACKEND.CPU),
)
CompiledModel.from_file(sys.argv[1], environment=Environment.create(options=places), options=options)
"""


def selected(path: Path, spec: RuntimeSpec) -> tuple[int, int]:
    """Return operators selected and in all, as the plugin's log tells."""
    done = python(COMPILE, path, env=variables(spec))
    found = re.search(r"selected (\d+) ops, from a total of (\d+) ops", done.stderr + done.stdout)
    assert found, done.stderr[-3000:]
    return int(found[1]), int(found[2])


@pytest.mark.slow
@pytest.mark.parametrize("file", ["small_tflite", "small_int8_tflite", "dynamic_tflite"])
def test_openvinos_count_is_its_logs(file: str, hosts: Hosts, request: pytest.FixtureRequest) -> None:
    path: Path = request.getfixturevalue(file)
    made = measured(path, "openvino", hosts).measurement
    assert (made.ops_delegated, made.ops_total) == selected(path, need("openvino"))
    assert made.ops_total == sum(read_census(path).operators.values())
    assert (made.partitions, made.left) == (1, ())
    assert "OpenVINO" in (made.device or "")


@pytest.fixture(scope="module")
def floored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """FLOOR, which OpenVINO's plugin does not take, behind and between two convolutions."""

    def build(between: bool) -> Callable[[Any, Any], Any]:
        def layered(layers: Any, x: Any) -> Any:
            import tensorflow as tf

            x = convolution(layers, x)
            x = layers.Lambda(lambda v: tf.floor(v * 9.0))(x) if between else convolution(layers, x)
            return convolution(layers, x) if between else layers.Lambda(lambda v: tf.floor(v * 9.0))(x)

        return layered

    folder = tmp_path_factory.mktemp("floored")
    return {
        name: to_tflite(network(name, 8, 8, build(name == "between")), folder / f"{name}.tflite")
        for name in ("behind", "between")
    }


@pytest.mark.slow
def test_openvino_counts_what_it_leaves(floored: dict[str, Path], hosts: Hosts) -> None:
    census = read_census(floored["behind"]).operators
    assert census == {"CONV_2D": 2, "MUL": 1, "FLOOR": 1}
    made = measured(floored["behind"], "openvino", hosts).measurement
    assert (made.state, made.ops_delegated, made.ops_total, made.partitions) == ("ok", 3, 4, 1)
    assert made.left
    assert made.reference is not None
    assert made.reference.cosine is not None
    assert made.reference.cosine > 0.99


@pytest.mark.slow
def test_openvino_runs_a_file_in_two_parts_or_says_why_not(floored: dict[str, Path], hosts: Hosts) -> None:
    made = measured(floored["between"], "openvino", hosts).measurement
    if made.state == "ok":
        assert (made.ops_delegated, made.ops_total, made.partitions) == (3, 4, 2)
        return
    assert made.state in ("skipped", "failed")
    # A place in somebody's source is no reason.
    assert re.search(r"NPU|librar|partition", made.error or ""), made.error


# ---- GPU

BY_HAND = """
import sys, time
import numpy as np
from ai_edge_litert.compiled_model import CompiledModel, CpuOptions, HardwareAccelerator, Options
options = Options(
    hardware_accelerators=HardwareAccelerator.GPU | HardwareAccelerator.CPU, cpu_options=CpuOptions(num_threads=1)
)
model = CompiledModel.from_file(sys.argv[1], options=options)
key = next(iter(model.get_signature_list()))
inputs, outputs = model.create_input_buffers(0), model.create_output_buffers(0)
(given,) = model.get_input_tensor_details(key).values()
(got,) = model.get_output_tensor_details(key).values()
inputs[0].write(np.random.default_rng(0).random(tuple(given["shape"]), dtype=np.float32))
count = int(np.prod(got["shape"]))
queued, took = [], []
for i in range(45):
    begin = time.perf_counter()
    model.run_by_index(0, inputs, outputs)
    queued.append(time.perf_counter() - begin)
    outputs[0].read(count, np.float32)
    took.append(time.perf_counter() - begin)
print(float(np.median(queued[5:])) * 1000, float(np.median(took[5:])) * 1000)
"""


@pytest.mark.slow
def test_a_gpus_time_holds_the_reading_of_its_outputs(heavy_tflite: Path, hosts: Hosts) -> None:
    spec = need("gpu")
    # By neighbours in time, since other work on the machine comes and goes.
    ours: list[float] = []
    by_hand: list[tuple[float, float]] = []
    for _ in range(3):
        latency = measured(heavy_tflite, "gpu", hosts, samples=15).measurement.latency_ms
        assert latency is not None
        ours.append(latency.median)
        queued, took = map(float, python(BY_HAND, heavy_tflite, env=variables(spec)).stdout.split()[-2:])
        by_hand.append((queued, took))
    print(f"\nmedians in ms: measured {ours}, by hand (queued, read) {by_hand}")
    # Otherwise nothing is told of reading.
    assert all(took > 9 * queued for queued, took in by_hand)
    # Far above the one and about the other, whatever else the machine does: thrice is between them.
    assert np.median([mine / queued for mine, (queued, _) in zip(ours, by_hand, strict=True)]) > 3
    assert 1 / 3 < np.median([mine / took for mine, (_, took) in zip(ours, by_hand, strict=True)]) < 3


@pytest.mark.slow
def test_a_gpu_names_what_it_leaves(tmp_path: Path, hosts: Hosts) -> None:
    def build(layers: Any, x: Any) -> Any:
        import tensorflow as tf

        x = convolution(layers, x)
        x = layers.Lambda(lambda v: tf.abs(tf.signal.rfft2d(tf.reshape(v, (8, 8, 8))))[None])(x)
        return convolution(layers, x)

    path = to_tflite(network("fourier", 8, 8, build), tmp_path / "fourier.tflite")
    made = measured(path, "gpu", hosts).measurement
    assert made.state == "ok"
    operators = read_census(path).operators
    assert made.ops_total == sum(operators.values())
    assert made.ops_delegated is not None
    assert 0 < made.ops_delegated < made.ops_total
    assert "RFFT2D" in {name.split(" ")[0] for name in made.left}
    assert {name.split(" ")[0] for name in made.left} <= set(operators), made.left


@pytest.mark.slow
def test_a_software_gpu_is_said_to_be_one(small_tflite: Path, hosts: Hosts) -> None:
    made = measured(small_tflite, "gpu[driver=software]", hosts).measurement
    assert (made.state, made.software) == ("ok", True)
    assert made.device


# ---- crashes


class Watched(Hosts):
    """Hosts that remember which process holds which file."""

    def __init__(self) -> None:
        super().__init__()
        self.pids: dict[str, int] = {}

    def open(
        self,
        path: Path,
        runtime: RuntimeSpec,
        watch: Watch | None = None,
        seconds: float = OPEN_SECONDS,
        inputs: dict[str, tuple[int, ...]] | None = None,
    ) -> HostProcess:
        host = super().open(path, runtime, watch or Watch(), seconds, inputs)
        self.pids[path.stem] = host.pid
        return host


@pytest.mark.slow
@pytest.mark.parametrize("text", ["gpu", "openvino", "micro"])
def test_a_process_killed_while_timing_costs_its_own_measurement(
    text: str, small_tflite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = tmp_path / "victim.tflite"
    victim.write_bytes(small_tflite.read_bytes())
    found: dict[str, Measured] = {}
    # The process of a block is ended with it, so a block has to outlast the blow.
    monkeypatch.setattr(interleave, "rounds_per_block", lambda *_: interleave.MAX_ROUNDS_PER_BLOCK)
    killed: list[int] = []

    with contextlib.closing(Watched()) as watched:

        def kill(label: str, done: int, total: int) -> None:
            if label.startswith("timing") and not killed:
                killed.append(watched.pids["victim"])
                os.kill(killed[0], 9)

        def keep(measured: Measured) -> None:
            found[measured.subject] = measured

        subjects = [Subject("victim", victim), Subject("other", small_tflite)]
        asked = MeasureOptions(Measure(budget=8, half_width=0.9, samples=10))
        measure(subjects, [need(text)], asked, keep, Watch(on_progress=kill), watched)
    assert len(killed) == 1
    lost, other = found["victim"].measurement, found["other"].measurement
    assert lost.state == "failed"
    assert f"crash: the process of victim.tflite on {text} died" in (lost.error or "")
    assert (lost.latency_ms, found["victim"].samples_ns) == (None, None)
    assert (other.state, other.error) == ("ok", None)
    assert other.latency_ms is not None


@pytest.mark.parametrize("name", ["xnnpack", "builtin", "micro"])
def test_opening_holds_nothing_that_is_read_for_our_own_sake(name: str, small_int8_tflite: Path) -> None:
    backend = registry.runtimes.get(name)
    if backend.available():
        pytest.skip(str(backend.available()))
    session = backend.open(small_int8_tflite, backend.params())  # type: ignore[attr-defined]
    assert "coverage" not in vars(session), "it was worked out while the clock ran"
    session.invoke()
    assert session.coverage.total > 0

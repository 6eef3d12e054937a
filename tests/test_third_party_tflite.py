"""`.tflite` files as third parties publish them: half precision, older operator codes, no signature, quantized, custom operators."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

import workbench
from workbench.flatbuffer import read_census
from workbench.flatbuffer.mend import mend
from workbench.flatbuffer.reader import read_model

Array = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def engine() -> Iterator[workbench.Engine]:
    with workbench.Engine(jobs=1) as made:
        yield made


def edited(content: bytes, edit: Callable[[Any], None]) -> bytes:
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    edit(model)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def older(model: Any) -> None:
    """What a converter of 2019 wrote: one field for codes, no signature."""
    for code in model.operatorCodes:
        code.deprecatedBuiltinCode, code.builtinCode = code.builtinCode, 0
    model.signatureDefs = None


def custom(name: str) -> Callable[[Any], None]:
    """Make the last operator's kind a custom one."""

    def edit(model: Any) -> None:
        code = model.operatorCodes[model.subgraphs[0].operators[-1].opcodeIndex]
        code.builtinCode = code.deprecatedBuiltinCode = 32
        code.customCode = name

    return edit


def half(path: Path) -> bytes:
    from workbench.techniques import quantizer_engine

    return quantizer_engine.quantize(path, "float16", "channel", None)


def outputs(content: bytes, x: Array) -> Array:
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    detail, found = interpreter.get_input_details()[0], []
    for sample in x:
        interpreter.set_tensor(detail["index"], sample[None])
        interpreter.invoke()
        found.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0])
    return np.stack(found)


@pytest.fixture(scope="module")
def sources(small_tflite: Path, small_images: Array, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    from workbench.techniques import quantizer_engine as q

    folder, plain = tmp_path_factory.mktemp("sources"), small_tflite.read_bytes()
    ranges = q.calibrate(small_tflite, [{"image": small_images[i : i + 1]} for i in range(20)], 1)
    contents = {
        "half": half(small_tflite),
        "half_older": edited(half(small_tflite), older),
        "older": edited(plain, older),
        "int8": q.quantize(small_tflite, "int8", "channel", ranges),
        "int16x8": q.quantize(small_tflite, "int16x8", "channel", ranges),
        "dynamic": edited(q.quantize(small_tflite, "dynamic", "channel", None), older),
        "custom": edited(plain, custom("Mine")),
        "select": edited(plain, custom("FlexErf")),
    }
    for name, content in contents.items():
        (folder / f"{name}.tflite").write_bytes(content)
    return {name: folder / f"{name}.tflite" for name in contents}


@pytest.fixture(scope="module")
def swept(sources: dict[str, Path], small_images: Array, engine: workbench.Engine, tmp_path_factory: Any) -> Any:
    store = tmp_path_factory.mktemp("store")

    def sweep(name: str) -> dict[str, Any]:
        grid = {"quantize": ["float32", "dynamic", "int8"], "measure": {"skip": True}}
        x = small_images[:60]
        study = workbench.sweep(
            sources[name], {"x_train": x, "x_test": x[:20]}, grid, store=store, study=name, engine=engine
        )
        return {t.recipe: t for t in study.trials}

    return sweep


@pytest.mark.parametrize("name", ["half", "half_older", "older"])
def test_float_files_of_all_ages_are_quantized(
    name: str, swept: Any, sources: dict[str, Path], small_images: Array
) -> None:
    trials = swept(name)
    assert {t.state for t in trials.values()} == {"ok"}, [t.error for t in trials.values()]
    assert set(trials["float32"].census.weights) == {"float32"}
    for scheme in ("dynamic", "int8"):
        weights = trials[scheme].census.weights
        assert weights["int8"] > weights.get("float32", 0)
        assert trials[scheme].quality.sqnr_db > 20
    told = [w.seen for w in trials["float32"].warnings if w.kind == "unfolded-weights"]
    assert len(told) == (name != "older")
    assert all(f"{sources[name].stat().st_size:,} bytes" in seen for seen in told)
    made, x = Path(trials["float32"].artifact.path).read_bytes(), small_images[:5]
    assert np.array_equal(outputs(made, x), outputs(sources[name].read_bytes(), x))


@pytest.mark.parametrize("name", ["int8", "dynamic", "int16x8"])
def test_a_quantized_file_is_measured_and_not_quantized_again(name: str, swept: Any, sources: dict[str, Path]) -> None:
    trials = swept(name)
    assert trials["float32"].state == "ok"
    assert "int8" in next(w.seen for w in trials["float32"].warnings if w.kind == "not-float32")
    assert trials["float32"].census.weights == read_census(sources[name]).weights
    for scheme in ("dynamic", "int8"):
        assert trials[scheme].state == "failed"
        assert "is quantized already" in trials[scheme].error
        assert "start from its float model" in trials[scheme].error


@pytest.mark.parametrize(
    ("name", "said"), [("custom", "custom operators, 'Mine'"), ("select", "Select TF), 'FlexErf'")]
)
def test_custom_operators_are_named(name: str, said: str, swept: Any, sources: dict[str, Path]) -> None:
    trials = swept(name)
    assert {t.state for t in trials.values()} == {"failed"}
    assert all(said in t.error for t in trials.values()), [t.error for t in trials.values()]
    assert read_census(sources[name]).custom == {"Mine" if name == "custom" else "FlexErf": 1}
    runtimes = [
        r for r in ("xnnpack", "builtin", "reference", "micro") if not workbench.registry.runtimes.get(r).available()
    ]
    for made in workbench.bench(sources[name], runtimes, budget=0.1):
        assert made.state in ("failed", "skipped")
        assert said in str(made.error), (made.runtime, made.error)


def test_inspect_names_custom_operators(sources: dict[str, Path]) -> None:
    from workbench.commands.files import Inspection
    from workbench.flatbuffer import read_sizes

    path = sources["custom"]
    shown = Inspection(workbench.inspect(path), "table", file=path.name, size=read_sizes(path))
    assert any("custom operators 'Mine': only a runtime" in str(block) for block in shown.blocks())


def test_a_file_that_lacks_nothing_stays_as_it_is(small_tflite: Path) -> None:
    content = small_tflite.read_bytes()
    assert mend(content, read_model(content, "x")).content == content


def test_mending_keeps_what_shares_data_shared(small_tflite: Path) -> None:
    content = half(small_tflite)

    def twice(model: Any) -> None:
        """Two tensors of one buffer, each behind a DEQUANTIZE of its own."""
        import copy

        graph = model.subgraphs[0]
        first = next(o for o in graph.operators if model.subgraphs[0].tensors[o.inputs[0]].type == 1)
        graph.tensors += [copy.deepcopy(graph.tensors[first.inputs[0]]), copy.deepcopy(graph.tensors[first.outputs[0]])]
        other = copy.deepcopy(first)
        other.inputs, other.outputs = [len(graph.tensors) - 2], [len(graph.tensors) - 1]
        graph.operators.insert(0, other)
        graph.outputs = [*graph.outputs, len(graph.tensors) - 1]
        model.signatureDefs = None

    changed = edited(content, twice)
    mended = mend(changed, read_model(changed, "x"))
    records = read_model(mended.content, "x")
    assert not [o for o in records.graphs[0].operators if o.name == "DEQUANTIZE"]
    constant = records.graphs[0].tensors[records.graphs[0].outputs[1]]
    assert len([t for t in records.graphs[0].tensors if t.buffer == constant.buffer]) == 2
    assert len(mended.content) < 2 * small_tflite.stat().st_size


def test_a_tiny_file_cannot_unfold_to_memory(monkeypatch: pytest.MonkeyPatch, small_tflite: Path) -> None:
    from workbench.errors import StageFailed
    from workbench.flatbuffer import mend as module

    monkeypatch.setattr(module, "_ALWAYS", 0)
    monkeypatch.setattr(module, "_GROWTH", 0)
    content = half(small_tflite)
    with pytest.raises(StageFailed, match="unfold to more than a file of its size may hold"):
        mend(content, read_model(content, "x"))

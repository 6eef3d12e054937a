"""Warnings where a file is not what its recipe says."""

from __future__ import annotations

import pytest

from workbench.flatbuffer import check_census
from workbench.values.trial import Census, TensorCensus


def _census(*tensors: TensorCensus, sparsity: float = 0.0) -> Census:
    return Census(weights={}, operators={}, sparsity=sparsity, unique_weights=0, inputs=(), outputs=(), tensors=tensors)


def _weight(
    type_: str, elements: int, operator: str = "CONV_2D", sparsity: float = 0.0, unique: int = 9
) -> TensorCensus:
    return TensorCensus(
        name=f"{operator}-{elements}", operator=operator, type=type_, shape=(1, elements), bytes=elements, sparsity=sparsity,
        unique=unique, unique_per_channel=unique, channels_quantized=False, kernel=operator != "DEPTHWISE_CONV_2D",
    )  # fmt: skip


@pytest.mark.parametrize("scheme", ["int8", "int8-float-io", "int16x8", "dynamic", "weight-only-int8"])
def test_mostly_float(scheme: str) -> None:
    """From half of the elements on, float weights in an integer scheme are told; bytes do not decide."""
    rest = check_census(_census(_weight("int8", 51), _weight("float32", 49, "DEPTHWISE_CONV_2D")), scheme=scheme)
    assert rest == ()
    (found,) = check_census(_census(_weight("int8", 50), _weight("float32", 50, "DEPTHWISE_CONV_2D")), scheme=scheme)
    assert found.kind == "mostly-float-int8"
    assert "50% of the weights (50 of 100)" in found.seen
    assert "DEPTHWISE_CONV_2D float32 50" in found.seen


@pytest.mark.parametrize(
    ("scheme", "kept"),
    [("int4-dynamic", "int4"), ("int4-weight-only", "int4"), ("int4-block32", "int4"), ("float16", "float16")],
)
def test_not_quantized(scheme: str, kept: str) -> None:
    """Schemes that promise a type warn when most of the weights have another."""
    assert check_census(_census(_weight(kept, 51), _weight("float32", 49)), scheme=scheme) == ()
    (found,) = check_census(_census(_weight(kept, 49), _weight("int8", 51)), scheme=scheme)
    assert (found.kind, f"are not {kept}" in found.seen) == ("not-quantized", True)


def test_float32_promises_nothing() -> None:
    """A float file is as it should be, and so is a file without weights."""
    assert check_census(_census(_weight("float32", 10)), scheme="float32") == ()
    assert check_census(_census(), scheme="int8") == ()


def test_sparsity_lost() -> None:
    """Zeros are judged over all kernels and in each, with two points of tolerance and four weights; the kernel that misses the most is named."""
    kept = (_weight("int8", 8, sparsity=0.0), _weight("int8", 1000, sparsity=0.48))
    assert check_census(_census(*kept, sparsity=0.48), scheme="int8", sparsity_target=0.5) == ()
    dense = (_weight("int8", 40, sparsity=0.0), _weight("int8", 1000, sparsity=0.5))
    (found,) = check_census(_census(*dense, sparsity=0.48), scheme="int8", sparsity_target=0.5)
    assert (found.kind, "'CONV_2D-40'" in found.seen, "1 of 2 kernels" in found.seen) == ("sparsity-lost", True, True)
    kernels = (_weight("int8", 10, sparsity=0.0), _weight("int8", 1000, sparsity=0.3))
    (found,) = check_census(_census(*kernels, sparsity=0.297), scheme="int8", sparsity_target=0.5)
    assert (found.kind, "29.7%" in found.seen, "'CONV_2D-1000'" in found.seen) == ("sparsity-lost", True, True)
    (found,) = check_census(_census(), scheme="int8", sparsity_target=0.5)
    assert "no kernel" in found.seen


def test_gates_are_one_kernel() -> None:
    """A recurrent kernel is cut into gates, of which each may have fewer zeros than the kernel."""
    gates = [_weight("float32", 100, "UNIDIRECTIONAL_SEQUENCE_LSTM", sparsity=s) for s in (0.3, 0.7, 0.6, 0.4)]
    assert check_census(_census(*gates, sparsity=0.5), scheme="float32", sparsity_target=0.5) == ()
    (found,) = check_census(_census(*gates[:1], sparsity=0.5), scheme="float32", sparsity_target=0.5)
    assert found.kind == "sparsity-lost"


@pytest.mark.parametrize("scheme", ["int8", "int8-float-io", "int16x8"])
def test_a_float_kernel_in_an_integer_file_is_named(scheme: str) -> None:
    """However few they are: of a hundredth of the weights it is a note."""
    for size, level in ((40, "warning"), (5, "note")):
        census = _census(_weight("int8", 1000), _weight("float32", size, "FULLY_CONNECTED"))
        (found,) = check_census(census, scheme=scheme)
        assert (found.kind, found.level, f"FULLY_CONNECTED-{size}" in found.seen) == ("kernels-float", level, True)


def test_clusters_lost() -> None:
    """One kernel with more distinct values than clusters is enough; depthwise kernels are not looked at."""
    free = _weight("int8", 10, "DEPTHWISE_CONV_2D", unique=200)
    assert check_census(_census(_weight("int8", 10, unique=16), free), scheme="int8", clusters=16) == ()
    (found,) = check_census(
        _census(_weight("int8", 10, unique=17), _weight("int8", 20, unique=90), free), scheme="int8", clusters=16
    )
    assert (found.kind, "2 of 2 kernels" in found.seen, "'CONV_2D-20' (CONV_2D): 90" in found.seen) == (
        "clusters-lost",
        True,
        True,
    )

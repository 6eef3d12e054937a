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
    assert check_census(_census(_weight("int8", 51), _weight("float32", 49)), scheme=scheme) == ()
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
    """Zeros are judged over all kernels, with two points of tolerance; the kernel that misses the most is named."""
    kernels = (_weight("int8", 10, sparsity=0.0), _weight("int8", 1000, sparsity=0.3))
    assert check_census(_census(*kernels, sparsity=0.48), scheme="int8", sparsity_target=0.5) == ()
    (found,) = check_census(_census(*kernels, sparsity=0.297), scheme="int8", sparsity_target=0.5)
    assert (found.kind, "29.7%" in found.seen, "'CONV_2D-1000'" in found.seen) == ("sparsity-lost", True, True)
    (found,) = check_census(_census(), scheme="int8", sparsity_target=0.5)
    assert "no kernel" in found.seen


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

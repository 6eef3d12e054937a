"""The census finds every kernel that a technique covers: of recurrent layers, loops, attention and transposed convolutions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench.flatbuffer.census import read_census
from workbench.flatbuffer.checks import check_census

pytestmark = pytest.mark.slow


def made(name: str) -> Any:
    import tf_keras as keras

    layers = keras.layers
    series = layers.Input((6, 8))
    middle: Any = {
        "lstm": lambda x: layers.LSTM(8)(x),
        "gru": lambda x: layers.GRU(8)(x),
        "rnn": lambda x: layers.SimpleRNN(8)(x),
        "attention": lambda x: layers.Flatten()(layers.MultiHeadAttention(2, 8)(x, x)),
        "transposed": lambda x: layers.Flatten()(layers.Conv1DTranspose(8, 3)(x)),
    }[name]
    return keras.Model(series, layers.Dense(4)(middle(series)))


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn", "attention", "transposed"])
def test_zeros_are_counted_in_every_kernel(name: str, tmp_path: Path) -> None:
    from workbench.sources.load import convert_float, has_loops, save_ordinary
    from workbench.techniques.layers import kernels

    model = made(name)
    assert has_loops(model) == (name in ("lstm", "gru", "rnn"))
    *inner, last = kernels(model)
    half = {k.ref(): np.where(np.abs(k) > np.median(np.abs(k)), k, 0) for k in (*inner, last)}
    last.assign(half[last.ref()])
    save_ordinary(model, tmp_path / "dense")
    census = read_census(convert_float(tmp_path / "dense"))
    assert sum(np.prod(t.shape) for t in census.tensors if t.kernel) == sum(v.size for v in half.values())
    (found,) = check_census(census, scheme="float32", sparsity_target=0.5)
    assert found.kind == "sparsity-lost"
    for kernel in inner:
        kernel.assign(half[kernel.ref()])
    save_ordinary(model, tmp_path / "pruned")
    census = read_census(convert_float(tmp_path / "pruned"))
    assert census.sparsity == pytest.approx(0.5, abs=0.02)
    assert check_census(census, scheme="float32", sparsity_target=0.5) == ()

"""What a worker keeps from one stage to the next."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from workbench.engine.residue import importing, none_left


@pytest.fixture(autouse=True)
def searching() -> Iterator[None]:
    """Give back what a test sets aside, and search for cycles as before."""
    yield
    gc.unfreeze()
    gc.enable()


def test_an_import_is_searched_neither_during_nor_after() -> None:
    gc.unfreeze()
    with importing():
        assert not gc.isenabled()
        made = [[] for _ in range(1000)]  # type: ignore[var-annotated]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= len(made)


def test_searching_goes_on_after_an_import_that_fails() -> None:
    with pytest.raises(ImportError), importing():
        raise ImportError("no such package")
    assert gc.isenabled()


def test_a_caller_that_does_not_search_is_left_so() -> None:
    gc.disable()
    with importing():
        pass
    assert not gc.isenabled()


def test_cycles_of_a_stage_are_gone_after_it() -> None:
    class Model:
        held = 0

        def __init__(self) -> None:
            Model.held += 1
            self.me = self

        def __del__(self) -> None:
            Model.held -= 1

    with importing():
        pass
    with none_left():
        Model()
        assert Model.held == 1
    assert Model.held == 0

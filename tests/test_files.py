"""What files and folders are made with, whatever the umask."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from workbench.errors import WorkbenchError
from workbench.files import make_private, make_within, open_private, write_atomic


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mask", [0o000, 0o002, 0o022, 0o027, 0o077])
def test_a_private_folder_is_the_owners_and_those_around_it_are_written_by_nobody_else(
    tmp_path: Path, mask: int
) -> None:
    folder = tmp_path / "a" / "b" / "store"
    with umask(mask):
        make_private(folder)
        make_within(folder / "artifacts")
    assert mode(folder) == mode(folder / "artifacts") == 0o700
    assert mode(tmp_path / "a") == mode(tmp_path / "a" / "b") == 0o755 & ~mask


@pytest.mark.parametrize("given", [0o700, 0o750, 0o755, 0o775, 0o777])
@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_a_folder_that_is_there_is_left_as_it_is_and_what_is_made_in_it_is_no_more_open(
    tmp_path: Path, given: int, mask: int
) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    folder.chmod(given)
    with umask(mask):
        make_private(folder)
        make_within(folder / "artifacts")
        make_within(folder / "artifacts")
    assert mode(folder) == given
    assert mode(folder / "artifacts") == given & ~mask


def write(path: Path) -> None:
    write_atomic(path, b"text")


def append(path: Path) -> None:
    with open_private(path) as file:
        file.write(b"text")


@pytest.mark.parametrize(("make", "most"), [(write, 0o644), (append, 0o600)])
@pytest.mark.parametrize("mask", [0o000, 0o002, 0o022, 0o027, 0o077])
def test_nobody_else_can_write_a_file_and_the_umask_says_who_reads_it(
    tmp_path: Path, make: Callable[[Path], None], most: int, mask: int
) -> None:
    path = tmp_path / "file"
    with umask(mask):
        make(path)
    assert mode(path) == most & ~mask
    assert path.read_bytes() == b"text"


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    write_atomic(tmp_path / "folder" / "file", b"old")
    write_atomic(tmp_path / "folder" / "file", b"new")
    assert (tmp_path / "folder" / "file").read_bytes() == b"new"
    (tmp_path / "taken").mkdir()
    with pytest.raises(WorkbenchError, match=r"taken. cannot be written"):
        write_atomic(tmp_path / "taken", b"new")
    assert {p.name for p in tmp_path.rglob("*")} == {"folder", "file", "taken"}, "nothing half written is left"

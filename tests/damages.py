"""Ways in which what is in a store goes wrong; each takes a path and leaves something else there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

Damage = Callable[[Path], None]


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def one_byte_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def bit_flipped(path: Path) -> None:
    """One bit in the middle, in place, and the time of the last change set back."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def longer(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"\0")


def other_content(path: Path) -> None:
    """Another file of the same size, moved over it."""
    other = path.with_name("other")
    other.write_bytes(bytes(path.stat().st_size))
    other.replace(path)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "inside").write_text("x")


def a_link(path: Path) -> None:
    """A symbolic link to the right content, which may change behind its back."""
    kept = path.with_name(f"linked-{path.name}")
    path.rename(kept)
    path.symlink_to(kept)


def a_dangling_link(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("nowhere"))


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


FILES: list[Damage] = [
    truncated,
    one_byte_short,
    emptied,
    bit_flipped,
    longer,
    other_content,
    a_folder,
    a_link,
    a_dangling_link,
    a_pipe,
]


def _some_file(folder: Path) -> Path:
    return max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: (p.stat().st_size, p.name))


def a_file_missing(folder: Path) -> None:
    _some_file(folder).unlink()


def a_file_more(folder: Path) -> None:
    (folder / "more").write_text("x")


def a_name_that_is_no_text(folder: Path) -> None:
    (folder / os.fsdecode(b"\xff\xfe")).write_text("x")


def a_file_changed(folder: Path) -> None:
    bit_flipped(_some_file(folder))


def a_file_emptied(folder: Path) -> None:
    emptied(_some_file(folder))


def a_file_cut(folder: Path) -> None:
    truncated(_some_file(folder))


def a_file_renamed(folder: Path) -> None:
    path = _some_file(folder)
    path.rename(path.with_name("renamed"))


def a_link_in_it(folder: Path) -> None:
    path = _some_file(folder)
    kept = folder.with_name(f"linked-{folder.name}")
    path.rename(kept)
    path.symlink_to(kept)


def a_pipe_in_it(folder: Path) -> None:
    os.mkfifo(folder / "pipe")


def emptied_folder(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def a_file_instead(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_bytes(b"x")


def a_link_instead(folder: Path) -> None:
    kept = folder.with_name(f"linked-{folder.name}")
    folder.rename(kept)
    folder.symlink_to(kept)


FOLDERS: list[Damage] = [
    a_file_missing,
    a_file_more,
    a_name_that_is_no_text,
    a_file_changed,
    a_file_emptied,
    a_file_cut,
    a_file_renamed,
    a_link_in_it,
    a_pipe_in_it,
    emptied_folder,
    a_file_instead,
    a_link_instead,
]


def removed(path: Path) -> None:
    """Not damaged, but gone."""
    shutil.rmtree(path) if path.is_dir() else path.unlink()

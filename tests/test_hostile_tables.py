"""`.npz` and `.csv` files that are not what they say: told by name, within bounds of time and memory."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from hostile import NO_FILES, brief, refused
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.batches.content import data_sha256
from workbench.data.dataset import from_arrays
from workbench.data.load import load_dataset
from workbench.errors import WorkbenchError

# ---- what lies there is no file


@pytest.mark.timeout(20)
@pytest.mark.parametrize("make", NO_FILES, ids=lambda m: m.__name__)
@pytest.mark.parametrize("suffix", [".npz", ".csv"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, make: Callable[[Path], None], suffix: str) -> None:
    make(tmp_path / f"bad{suffix}")
    refused(lambda: load_dataset(tmp_path / f"bad{suffix}"), f"bad{suffix}'")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("suffix", [".npz", ".csv"])
def test_a_batch_does_not_wait_for_a_fifo(tmp_path: Path, suffix: str) -> None:
    os.mkfifo(tmp_path / f"x{suffix}")
    refused(lambda: data_sha256(str(tmp_path / f"x{suffix}")), f"x{suffix}' cannot be read: it is a FIFO")


@pytest.mark.timeout(120)
def test_the_command_line_does_not_wait_for_a_fifo(tmp_path: Path) -> None:
    for name in ("x.npz", "x.csv"):
        os.mkfifo(tmp_path / name)
        line = [sys.executable, "-m", "workbench", "sweep", "digits_cnn", "--data", name, "--store", "store"]
        done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, "Traceback" in done.stderr) == (2, False)
        assert f"'{name}' cannot be read: it is a FIFO. Allowed: a regular file" in done.stderr


# ---- archives


def npy(shape: str = "(2,)", descr: str = "'<f4'", data: bytes = b"\0" * 8, version: tuple[int, int] = (1, 0), pad: int = 0) -> bytes:  # fmt: skip
    head = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode() + b" " * pad + b"\n"
    size = struct.pack("<H" if version == (1, 0) else "<I", len(head))
    return b"\x93NUMPY" + bytes(version) + size + head + data


def archive(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def patched(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))


def declared(path: Path, size: int) -> None:
    """Say in the table of contents that the only member has another size."""
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", size)
    path.write_bytes(data)


def said_larger(path: Path) -> None:
    archive(path, {"x.npy": npy()})
    declared(path, 3_000_000_000)


def said_smaller(path: Path) -> None:
    archive(path, {"x.npy": npy("(1000,)", data=b"\1" * 4000)})
    declared(path, 500)


def many_members(path: Path) -> None:
    archive(path, {f"x{i}.npy": b"" for i in range(65)}, zipfile.ZIP_STORED)


def endless_table_of_contents(path: Path) -> None:
    """An end record that says that the table before it has megabytes."""
    entry = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"x"
    table = entry * 60_000
    path.write_bytes(table + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 60_000, 60_000, len(table), 0, 0))


def twice(path: Path) -> None:
    archive(path, {"x.npy": npy(), "z.npy": npy()})
    patched(path, b"z.npy", b"x.npy")


def encrypted(path: Path) -> None:
    archive(path, {"x.npy": npy()})
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)


def another_sum(path: Path) -> None:
    archive(path, {"x.npy": npy()}, zipfile.ZIP_STORED)
    patched(path, b"\0" * 8 + b"PK\x01\x02", b"\1" * 8 + b"PK\x01\x02")


ARCHIVES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "shape of 2**60": (lambda p: archive(p, {"x.npy": npy("(1152921504606846976,)")}), "said to have shape (1152921504606846976,)"),
    "shape of 2**200": (lambda p: archive(p, {"x.npy": npy(f"({2**200},)")}), "said to have shape"),
    "shape of thousands of digits": (lambda p: archive(p, {"x.npy": npy("(" + "9" * 5000 + ",)")}), "is not a readable .npz"),
    "shape less than nothing": (lambda p: archive(p, {"x.npy": npy("(-2,)")}), "said to have shape (-2,)"),
    "two shapes less than nothing": (lambda p: archive(p, {"x.npy": npy("(-2, -1)")}), "is not a readable .npz"),
    "shape of nothing many times": (lambda p: archive(p, {"x.npy": npy("(1152921504606846976, 0)", data=b"")}), "its samples hold no values"),
    "shape of fractions": (lambda p: archive(p, {"x.npy": npy("(2.5,)")}), "is not a readable .npz"),
    "type of no bytes": (lambda p: archive(p, {"class_names.npy": npy("(1099511627776,)", "'<U0'", b"")}), "said to have shape (1099511627776,)"),
    "type of gigabytes": (lambda p: archive(p, {"x.npy": npy("(1,)", "'|V2000000000'")}), "2,000,000,000 bytes, but holds 8"),
    "too few bytes": (lambda p: archive(p, {"x.npy": npy("(3,)")}), "12 bytes, but holds 8"),
    "too many bytes": (lambda p: archive(p, {"x.npy": npy("(1,)")}), "4 bytes, but holds 8"),
    "header of megabytes": (lambda p: archive(p, {"x.npy": npy(version=(2, 0), pad=5_000_000)}), "is not a readable .npz"),
    "header of a code": (lambda p: archive(p, {"x.npy": npy("__import__('os').system('touch ran')")}), "is not a readable .npz"),
    "header nested deep": (lambda p: archive(p, {"x.npy": npy("(" * 4000)}), "is not a readable .npz"),
    "header of minus signs": (lambda p: archive(p, {"x.npy": npy("-" * 9000 + "1")}), "is not a readable .npz"),
    "objects": (lambda p: archive(p, {"x.npy": npy(descr="'|O'")}), "Object arrays cannot be loaded"),
    "structure of objects": (lambda p: archive(p, {"x.npy": npy(descr="[('a', '|O')]")}), "Object arrays cannot be loaded"),
    "version 9": (lambda p: archive(p, {"x.npy": npy(version=(9, 0))}), "is not a readable .npz"),
    "no npy": (lambda p: archive(p, {"x.npy": b"hello"}), "is not a readable .npz"),
    "empty member": (lambda p: archive(p, {"x.npy": b""}), "is not a readable .npz"),
    "another file": (lambda p: archive(p, {"x.npy": npy(), "run.py": b"1"}), "'run.py', which is no .npy"),
    "way out": (lambda p: archive(p, {"../../x.npy": npy()}), "'../../x'"),
    "way to the root": (lambda p: archive(p, {"/etc/x.npy": npy()}), "'/etc/x'"),
    "name of thousands": (lambda p: archive(p, {"x" * 60_000 + ".npy": npy()}), "(60,000 characters)"),
    "many members": (many_members, "it holds 65. Allowed: at most 64"),
    "endless table of contents": (endless_table_of_contents, "its table of contents has"),
    "a member twice": (twice, "'x.npy' twice"),
    "encrypted": (encrypted, "encrypted"),
    "another sum": (another_sum, "CRC"),
    "LZMA": (lambda p: archive(p, {"x.npy": npy()}, zipfile.ZIP_LZMA), "compressed in a way that numpy does not use"),
    "BZ2": (lambda p: archive(p, {"x.npy": npy()}, zipfile.ZIP_BZIP2), "compressed in a way that numpy does not use"),
    "said to be larger": (said_larger, "is not a readable .npz"),
    "said to be smaller": (said_smaller, "is not a readable .npz"),
    "nothing": (lambda p: p.write_bytes(b""), "(0 bytes): it is no zip archive"),
    "text": (lambda p: p.write_text("PK" * 100), "it is no zip archive"),
    "a pickle": (lambda p: p.write_bytes(b"\x80\x04\x95cos\nsystem\n(S'touch ran'\ntR."), "it is no zip archive"),
}  # fmt: skip


@pytest.mark.timeout(60)
@pytest.mark.parametrize("case", ARCHIVES)
def test_archives_that_are_no_arrays(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make, said = ARCHIVES[case]
    make(tmp_path / "data.npz")
    before = psutil.Process().memory_info().rss
    # What is wrong with arrays that could be read is told of the arrays, by the dataset's name.
    refused(lambda: load_dataset("data.npz"), said, "" if "samples" in said else "data")
    assert psutil.Process().memory_info().rss - before < 2e8
    assert not (tmp_path / "ran").exists()


def test_the_helper_makes_good_archives(tmp_path: Path) -> None:
    found = load_dataset(
        archive(tmp_path / "a.npz", {"x.npy": npy("(4, 2)", data=np.arange(8, dtype="<f4").tobytes())})
    )
    assert len(found.test) == 1
    found = load_dataset(archive(tmp_path / "a.npz", {"x.npy": npy("(2,)", version=(2, 0))}))
    assert len(found.test) == 1


def test_what_does_not_fit_into_memory_is_told_before_it_is_inflated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    np.savez_compressed(tmp_path / "bomb.npz", x=np.zeros((3_000_000,), np.float32))
    assert (tmp_path / "bomb.npz").stat().st_size < 50_000
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 20_000_000}))
    refused(
        lambda: load_dataset(tmp_path / "bomb.npz"),
        "bomb.npz' need about 27.0 MB of memory, but 20.0 MB are free. Use fewer samples",
    )
    np.savez_compressed(tmp_path / "bomb.npz", x_test=np.zeros((3_000_000,), np.float32))
    assert len(load_dataset(tmp_path / "bomb.npz").test) == 3_000_000


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=8), st.booleans())
def test_archives_with_a_few_other_bytes_are_read_or_refused(
    tmp_path: Path, at: int, data: bytes, packed: bool
) -> None:
    path = tmp_path / "data.npz"
    (np.savez_compressed if packed else np.savez)(path, x=np.arange(24.0).reshape(6, 4), y=np.arange(6))
    whole = bytearray(path.read_bytes())
    at %= len(whole)
    whole[at : at + len(data)] = data
    path.write_bytes(whole)
    try:
        load_dataset(path)
    except WorkbenchError as error:
        assert "data" in str(error) or "array '" in str(error)  # noqa: PT017  # either is right


# ---- tables


def wide(columns: int) -> bytes:
    return (
        ",".join(f"c{i}" for i in range(columns)) + "\n" + ",".join("1" * 1 for _ in range(columns)) + "\n"
    ).encode() * 1


def cells(text: str) -> bytes:
    return f"a,y\n1,0\n{text}\n".encode()


TABLES: dict[str, tuple[bytes, str]] = {
    "NUL": (b"a,y\n1,0\n\0,1\n", "it holds a byte 0, which text does not (at byte 8)"),
    "only NUL": (b"\0" * 1000, "it holds a byte 0"),
    "UTF-16": ("a,y\n1,0\n".encode("utf-16"), "it is UTF-16; save it as UTF-8"),
    "UTF-16 the other way round": (b"\xfe\xff" + "a,y\n1,0\n".encode("utf-16-be"), "it is UTF-16"),
    "Latin-1": ("a,y\n1,\xe4\n2,b\n".encode("latin-1"), "cannot be read as a table: 'utf-8' codec"),
    "half a character": (b"a,y\n1,\xed\xa0\x80\n", "cannot be read as a table"),
    "a spreadsheet": (b"PK\x03\x04" + bytes(range(1, 200)), "cannot be read as a table"),
    "nothing": (b"", "has 0 rows"),
    "blank lines": (b"\n" * 100_000, "has 0 rows"),
    "line without end": (b"a,y\n" + b"1" * 3_000_000, "field larger than field limit"),
    "name without end": (b"a" * 1_000_000 + b",y\n1,2\n", "field larger than field limit"),
    "quote without end": (b'a,y\n1,"' + b"x\n" * 100_000, "cannot be read as a table"),
    "long name twice": (b"," .join([b"a" * 100_000] * 2) + b"\n1,2\n", "(100,000 characters)"),
    "infinity": (cells("inf,1"), "row 3, column 'a' of"),
    "a number like infinity": (cells("1e999,1"), "is '1e999'. Expected a number; this one is not finite"),
    "a number beyond 32 bits": (cells("-4e38,1"), "is '-4e38'. Expected a number that fits into 32 bits"),
    "no number": (cells("nan,1"), "row 3, column 'a' of"),
    "thousands of digits": (cells("9" * 5000 + ",1"), "row 3, column 'a' of"),
    "class of thousands of digits": (cells("1," + "9" * 5000), "column 'y' of"),
    "class of less than thousands of digits": (cells("1,-" + "9" * 4500), "(4,501 characters). Expected a class of at most 64 bits"),
    "class beyond 64 bits": (cells(f"1,{2**63}"), "is '9223372036854775808'. Expected a class of at most 64 bits"),
    "class below 64 bits": (cells(f"1,{-(2**63) - 1}"), "Expected a class of at most 64 bits; ?labels=value"),
    "class that clears the screen": (b'a,y\n1,"x\x1bcy"\n2,z\n', "holds a control character ('\\x1b')"),
    "class of an escape": (b"a,y\n1,\x1b[2J\n2,z\n", "holds a control character ('\\x1b')"),
    "class of thousands of characters": (cells("1,x" + "y" * 5000) , "has 5,001 characters. Allowed: 1 to 255"),
    "column that is not there": (b"a,y\n1,0\n2,1\n", "unknown column"),
    "ragged": (b"a,y\n" + b"1,2\n" * 10 + b"1\n", "row 12 of"),
    "million columns": (wide(1_000_000).replace(b"c7,", b"c8,", 1), "two columns named 'c8'"),
    "unknown among a million columns": (wide(1_000_000) + b"1," * 999_999 + b"1\n", "and 999,900 more"),
}  # fmt: skip


@pytest.mark.timeout(120)
@pytest.mark.parametrize("case", TABLES)
def test_tables_that_are_no_tables(case: str, tmp_path: Path) -> None:
    data, said = TABLES[case]
    (tmp_path / "table.csv").write_bytes(data)
    asked = "?label=nowhere" if "unknown" in said or "more" in said else ""
    refused(lambda: load_dataset(f"{tmp_path / 'table.csv'}{asked}"), said, "table.csv")


@pytest.mark.timeout(120)
def test_a_table_of_many_columns_is_read(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes(wide(200_000) + b"1," * 199_999 + b"0\n")
    assert load_dataset(tmp_path / "table.csv").test.inputs[""].shape == (1, 199_999)


def test_one_long_cell_does_not_make_all_long(tmp_path: Path) -> None:
    """An array of text would take 400 kB for each of the 5,000 cells."""
    rows = b"1.5,0\n" * 5_000 + b"1." + b"5" * 100_000 + b",1\n"
    (tmp_path / "table.csv").write_bytes(b"a,y\n" + rows)
    before = psutil.Process().memory_info().rss
    assert len(load_dataset(tmp_path / "table.csv").test) == 1250
    assert psutil.Process().memory_info().rss - before < 5e8


def test_a_table_that_does_not_fit_into_memory(tmp_path: Path) -> None:
    with (tmp_path / "table.csv").open("wb") as file:
        file.write(b"a,y\n")
        file.truncate(1 << 42)  # of nothing, which takes no room
    refused(lambda: load_dataset(tmp_path / "table.csv"), "table.csv' need about 263,882.8 GB of memory, but", "Write large data as .npz")  # fmt: skip


@pytest.mark.parametrize(
    "query", ["label=", "label=%00", "split=y", "test=nan", "test=-0", "test=1e999", "labels=all", "label=" + "x" * 100_000, "x" * 100_000, "label=a&label=y"], ids=brief
)  # fmt: skip
def test_absurd_options_of_tables(query: str, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes(b"a,y\n1,0\n2,1\n")
    if query == "label=":
        assert load_dataset(f"{tmp_path / 'table.csv'}?{query}").labels == "class"
    else:
        refused(lambda: load_dataset(f"{tmp_path / 'table.csv'}?{query}"))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=300), st.text(st.sampled_from("01ay,;\"'\n\r\t -.eEnfi\ufeff\0é"), max_size=200)))
def test_random_tables_are_read_or_refused(tmp_path: Path, data: bytes | str) -> None:
    (tmp_path / "table.csv").write_bytes(data if isinstance(data, bytes) else data.encode())
    try:
        found = load_dataset(tmp_path / "table.csv")
    except WorkbenchError as error:
        assert "table" in str(error)  # noqa: PT017  # either is right
    else:
        assert np.isfinite(found.test.inputs[""]).all()


# ---- names of classes, by whatever way


@pytest.mark.parametrize(
    "names",
    [["a", ""], ["a", "x" * 256], ["a", "\0b"], ["a", "\x1b[31m"], ["a", "b\ud800"], ["a", "\udce9b"], ["a", "\x9f"], "ab", 3, [["a", "b"]], [1.5, 2.5]], ids=brief,
)  # fmt: skip
def test_names_of_classes_that_are_no_names(names: Any) -> None:
    refused(lambda: from_arrays({"x": np.zeros((4, 2)), "y": np.zeros(4, int), "class_names": names}, "d"), "'d'", "class").encode()  # fmt: skip


def test_arrays_of_samples_without_values() -> None:
    refused(lambda: from_arrays({"x": np.zeros((5, 0))}), "array 'x' has shape (5, 0); its samples hold no values")


def test_zeros_at_the_end_of_a_shape_are_told_before_they_are_drawn(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((2**40, 0), np.float32))
    refused(lambda: load_dataset(archive(tmp_path / "a.npz", {"x.npy": buffer.getvalue()})), "hold no values")

"""A model file that unfolds to too much, reads other files or takes too long is refused with what is wrong."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tampered

from workbench.errors import WorkbenchError
from workbench.sources import keras_file, unfolding
from workbench.sources.identify import identify
from workbench.sources.keras_file import CONFIG_BYTES, parse_keras_file, read_keras_file

METADATA = json.dumps({"keras_version": "2.21.0"})
CONFIG = json.dumps({"class_name": "Functional", "config": {"name": "m", "layers": []}})


ZEROS = bytes(8 << 20)


def archive(path: Path, members: Sequence[tuple[str, bytes | str]], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in members:
            file.writestr(name, content)
    return path


def beside(*members: tuple[str, bytes | str]) -> Callable[[Path], Path]:
    """Make an archive with good metadata and configuration, and more."""
    return lambda path: archive(path, [("metadata.json", METADATA), ("config.json", CONFIG), *members])


def config(text: bytes | str) -> Callable[[Path], Path]:
    return lambda path: archive(path, [("metadata.json", METADATA), ("config.json", text)])


def many_members(path: Path) -> Path:
    return beside(*((f"assets/{n}", b"") for n in range(unfolding.MEMBERS)))(path)


def declared(path: Path) -> Path:
    """A member whose size is told to be 64 GB, in the directory alone."""
    beside(("assets/a", b"12345678"))(path)
    content = bytearray(path.read_bytes())
    place = content.rindex(b"PK\x01\x02")
    content[place + 24 : place + 28] = (0xFFFFFFF0).to_bytes(4, "little")
    path.write_bytes(bytes(content))
    return path


def smaller_than_it_is(path: Path) -> Path:
    """A configuration that unfolds to more than it declares is cut there."""
    config(b" " * 90_000 + CONFIG.encode())(path)
    content = bytearray(path.read_bytes())
    place = content.rindex(b"PK\x01\x02")
    content[place + 24 : place + 28] = (100).to_bytes(4, "little")
    path.write_bytes(bytes(content))
    return path


def encrypted(path: Path) -> Path:
    config(CONFIG)(path)
    content = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = 0
        while (start := content.find(mark, start)) >= 0:
            content[start + place] |= 1
            start += 4
    path.write_bytes(bytes(content))
    return path


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (beside(("assets/zeros", ZEROS)), "unfolds to .* bytes (3 members of the archive)"),
        (beside(*((f"assets/{n}", ZEROS[: 1 << 20]) for n in range(5))), "unfolds to .* bytes (7 members of the archive)"),
        (beside(("model.weights.h5", ZEROS)), "unfolds to"),
        (config(ZEROS[:200_000]), "config.json has more than"),
        (declared, "unfolds to 42949"),
        (many_members, "10002 members, at most 10000"),
        (beside(("config.json", CONFIG)), "'config.json' is twice in the archive"),
        (beside(("../up", b"")), "'../up' is no name for a file within the archive"),
        (beside(("a/../../up", b"")), "no name for a file"),
        (beside(("/etc/passwd", b"")), "no name for a file"),
        (beside(("..\\up", b"")), "no name for a file"),
        (beside(("C:up", b"")), "no name for a file"),
        (beside(("n" * 2000, b"")), "no name for a file"),
        (smaller_than_it_is, "is a damaged .keras file"),
        (encrypted, "is a damaged .keras file"),
        (config("[" * 90_000), "is a damaged .keras file"),
        (config('{"a":' * 18_000), "is a damaged .keras file"),
        (config("9" * 10_000), "is a damaged .keras file"),
        (config("[]"), "its configuration is no object"),
        (config("null"), "its configuration is no object"),
        (config(b"\xff\xfe"), "is a damaged .keras file"),
    ],
)  # fmt: skip
def test_archives(make: Callable[[Path], Path], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Lower bounds, for bombs that a test can afford.
    monkeypatch.setattr(unfolding, "FREE_BYTES", 1 << 20)
    monkeypatch.setattr(keras_file, "CONFIG_BYTES", 100_000)
    with pytest.raises(WorkbenchError) as caught:
        parse_keras_file(make(tmp_path / "model.keras"))
    first, _, second = said.partition(" .* ")
    assert first in str(caught.value)
    assert second in str(caught.value)
    assert "'" in str(caught.value)


# ---- HDF5


def with_array(**options: Any) -> Callable[[Any], None]:
    return lambda file: file.create_dataset("model_weights/w", **options)


def virtual(file: Any) -> None:
    import h5py

    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "w", (4,))
    file.create_virtual_dataset("model_weights/v", layout)


def external_link(file: Any) -> None:
    import h5py

    file["model_weights/l"] = h5py.ExternalLink("/etc/passwd", "/x")


def link_at_the_root(file: Any) -> None:
    import h5py

    file["optimizer_weights"] = h5py.ExternalLink("other.h5", "/")


def strange_filter(file: Any) -> None:
    import h5py

    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((4,))
    properties.set_filter(32042, h5py.h5z.FLAG_OPTIONAL, (1, 2))
    kind, space = h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((4,))
    h5py.h5d.create(file["model_weights"].id, b"f", kind, space, properties)


def long_configuration(file: Any) -> None:
    file.attrs["model_config"] = " " * CONFIG_BYTES + file.attrs["model_config"]


def number_as_configuration(file: Any) -> None:
    file.attrs["model_config"] = 3


def numbers_as_configuration(file: Any) -> None:
    file.attrs["model_config"] = np.arange(10)


def deep_configuration(file: Any) -> None:
    file.attrs["model_config"] = "[" * 100_000


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (with_array(shape=(1 << 32,), dtype="f4", chunks=(1 << 20,), compression="gzip"), "unfolds to 171798"),
        (with_array(shape=(1 << 32,), dtype="f4"), "unfolds to 171798"),
        (with_array(shape=(1 << 20, 1 << 20, 1 << 10), dtype="f8", chunks=(1, 1, 16)), "unfolds to 90071992"),
        (with_array(shape=(4,), dtype="f4", external=[("/etc/passwd", 0, 16)]), "an array in the file '/etc/passwd'"),
        (with_array(shape=(4,), dtype="f4", external=[("a", 0, 8), ("b", 0, 8)]), "an array in the file"),
        (virtual, "a virtual array"),
        (external_link, "a link to the file '/etc/passwd'"),
        (link_at_the_root, "a link to the file 'other.h5'"),
        (strange_filter, "needs filter 32042"),
        (long_configuration, "its configuration has more than"),
        (number_as_configuration, "not text"),
        (numbers_as_configuration, "not text"),
        (deep_configuration, "is not a readable HDF5"),
    ],
)
def test_hdf5_files(edit: Callable[[Any], None], said: str, tmp_path: Path) -> None:
    import h5py

    path = tampered.save(tmp_path / "model.h5")
    with h5py.File(path, "r+") as file:
        edit(file)
    with pytest.raises(WorkbenchError) as caught:
        parse_keras_file(path)
    assert said in str(caught.value)
    assert "'model.h5'" in str(caught.value) or str(path) in str(caught.value)


@pytest.mark.parametrize("edit", [virtual, external_link, strange_filter])
def test_weights_within_an_archive(edit: Callable[[Any], None], tmp_path: Path) -> None:
    import h5py

    weights = tmp_path / "weights.h5"
    with h5py.File(weights, "w") as file:
        file.create_group("model_weights")
        edit(file)
    made = beside(("model.weights.h5", weights.read_bytes()))(tmp_path / "model.keras")
    with pytest.raises(WorkbenchError, match=r"is not whole|needs filter"):
        parse_keras_file(made)


def test_groups_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import h5py

    from workbench.sources import hdf5

    path = tampered.save(tmp_path / "model.h5")
    with h5py.File(path, "r+") as file:
        # A group that holds itself ends nowhere, and is no more than one link.
        file["model_weights/again"] = file["model_weights"]
        file["model_weights/soft"] = h5py.SoftLink("/model_weights/soft")
    found = parse_keras_file(path)
    assert found.parameters is not None
    monkeypatch.setattr(hdf5, "LINKS", 5)
    with pytest.raises(WorkbenchError, match="holds more than 5 groups and arrays"):
        parse_keras_file(path)


def test_compressed_by_hand_is_read(tmp_path: Path) -> None:
    import h5py

    path = tampered.save(tmp_path / "model.h5")
    with h5py.File(path, "r+") as file:
        file.create_dataset("model_weights/zeros", data=np.zeros((1 << 20,), "f4"), compression="gzip", shuffle=True)
    assert parse_keras_file(path).parameters == 30 + (1 << 20)
    packed = tampered.save(tmp_path / "model.keras")
    with zipfile.ZipFile(packed) as file:
        members = [(name, file.read(name)) for name in file.namelist()]
    assert parse_keras_file(archive(tmp_path / "packed.keras", members)).parameters == 30


# ---- time, memory, and what is no file


def library(folder: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Put another h5py before the real one."""
    (folder / "h5py.py").write_text(code)
    monkeypatch.syspath_prepend(folder)


def test_a_time_out_is_called_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tampered.save(tmp_path / "slow.h5")
    library(tmp_path, monkeypatch, "import time\ntime.sleep(600)\n")
    monkeypatch.setattr(keras_file, "READ_SECONDS", 1.0)
    with pytest.raises(WorkbenchError, match=r"slow\.h5' \(\d+ bytes\) was given up: reading took longer than 1 s"):
        read_keras_file(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "code",
    [
        "bytearray(64 << 30)",
        "import numpy\nnumpy.ones(8 << 30)",
        "held = []\nwhile True: held.append(bytearray(1 << 28))",
    ],
)
def test_memory_is_bounded(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tampered.save(tmp_path / "large.h5")
    library(tmp_path, monkeypatch, code)
    with pytest.raises(WorkbenchError, match=r"large\.h5' was given up: reading it takes more than 4 GB"):
        read_keras_file(path)


@pytest.mark.parametrize("name", ["model.h5", "model.keras", "model.tflite", "model.hdf5"])
def test_what_is_no_regular_file(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(WorkbenchError, match=rf"{name}' is no regular file"):
        identify(tmp_path / name, tmp_path)


@pytest.mark.parametrize("depth", [400, 980, 990, 2000])
@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_configuration_that_nests_too_deep_is_told(depth: int, suffix: str, tmp_path: Path) -> None:
    config = (
        '{"class_name": "Sequential", "config": {"name": "m", "layers": [], "q": ' + "[" * depth + "]" * depth + "}}"
    )
    path = _with_config(config, tmp_path / f"deep.{suffix}")
    with pytest.raises(WorkbenchError, match=r"deep\.(keras|h5)"):
        read_keras_file(path)


def test_a_configuration_of_too_many_values_is_told(tmp_path: Path) -> None:
    config = '{"class_name": "Sequential", "config": {"name": "m", "layers": [' + "[]," * 1_200_000 + "[]]}}"
    with pytest.raises(WorkbenchError, match="more than 1,000,000 values"):
        read_keras_file(_with_config(config, tmp_path / "many.keras"))


@pytest.mark.parametrize(
    "inner",
    [
        '{"class_name": "Dense", "registered_name": {"a": 1}, "config": {}}',
        '{"class_name": "Dense", "registered_name": ["a"], "config": {}}',
        '{"class_name": "Dense", "module": ["keras.layers"], "config": {}}',
        '{"class_name": "__typespec__", "spec_name": ["x"], "module": "m"}',
        '{"class_name": "__typespec__", "spec_name": "TensorSpec", "module": {}}',
        '{"class_name": "ClassMethod", "config": {"cls_symbol": {}, "method_name": []}}',
        '{"class_name": "InstanceMethod", "config": {"attr_name": {}}}',
        '{"class_name": "TFOpLambda", "config": {"function": ["math.add"]}}',
        '{"class_name": {"a": 1}, "config": {}}',
        '{"class_name": "function", "config": ["relu"]}',
    ],
)
@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_lists_and_objects_where_a_text_belongs_are_refused_by_name(inner: str, suffix: str, tmp_path: Path) -> None:
    config = '{"class_name": "Sequential", "config": {"name": "m", "layers": [' + inner + "]}}"
    found = read_keras_file(_with_config(config, tmp_path / f"odd.{suffix}"))
    assert found.fault


def _with_config(config: str, path: Path) -> Path:
    """Write a Keras file that has this configuration and no weights."""
    if path.suffix == ".keras":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("metadata.json", '{"keras_version": "2.21.0"}')
            archive.writestr("config.json", config)
    else:
        with h5py.File(path, "w") as file:
            file.attrs["keras_version"] = "2.21.0"
            file.attrs["model_config"] = config
    return path

"""Sweeps on a dask scheduler and worker that were started by hand, with TLS and without."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import pytest
from certificates import make_files
from running import MODEL, environment, images, run

import workbench
from workbench.engine import cluster as cluster_module
from workbench.errors import UnprotectedCluster, WorkbenchError

pytestmark = pytest.mark.slow
WHAT = ("--quantize", "float32", "--measure-skip")
SWEEP = ("sweep", MODEL, "--data", "digits", *WHAT)
Files = dict[str, str]


@contextlib.contextmanager
def dask_cluster(folder: Path, files: Files | None) -> Iterator[str]:
    """Start `dask scheduler` and `dask worker` as a user does; gives the scheduler's address."""
    tls: list[str] = []
    if files:
        tls = ["--tls-ca-file", files["ca"], "--tls-cert", files["cert"], "--tls-key", files["key"]]
    place = folder / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    scheduler = [*dask, "scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(place), *tls]
    scheme = "tls" if files else "tcp"
    with contextlib.ExitStack() as stack, (folder / "dask.log").open("wb") as log:

        def start(command: list[str]) -> None:
            process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=log, stderr=log)
            stack.callback(process.wait, 30)
            stack.callback(process.terminate)

        start([*scheduler, "--host", f"{scheme}://127.0.0.1"])
        deadline = time.monotonic() + 120
        while not place.exists() or not place.read_text().endswith("}"):
            assert time.monotonic() < deadline, (folder / "dask.log").read_text()[-2000:]
            time.sleep(0.1)
        address: str = json.loads(place.read_text())["address"]
        start([*dask, "worker", address, "--nthreads", "1", "--no-dashboard", "--local-directory", str(folder), *tls])
        yield address


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return make_files(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def protected(files: Files, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with dask_cluster(tmp_path_factory.mktemp("protected"), files) as address:
        yield address


def flags(files: Files) -> list[str]:
    return [word for name, path in files.items() for word in (f"--cluster-{name}", path)]


def test_with_its_certificates_a_cluster_takes_a_sweep(protected: str, files: Files, tmp_path: Path) -> None:
    done = run(tmp_path, *SWEEP, "--cluster-address", protected, *flags(files), "--store", tmp_path / "store")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "1 ok" in done.stdout
    assert "not protected" not in done.stderr


def test_and_with_dasks_own_security_or_configuration(protected: str, files: Files, tmp_path: Path) -> None:
    from distributed import Security

    security = Security(tls_ca_file=files["ca"], tls_client_cert=files["cert"], tls_client_key=files["key"])
    keys = {"ca": "ca-file", "cert": "client.cert", "key": "client.key"}
    for given, config in ((security, {}), (None, {f"distributed.comm.tls.{keys[n]}": p for n, p in files.items()})):
        with dask.config.set(config), workbench.Engine(cluster_address=protected, cluster_security=given) as engine:
            pool = engine.pool(tmp_path)
            assert pool.submit(pool.workers()[0], f"with {given}", abs, -1).result(timeout=600) == 1


def test_without_them_it_takes_none(
    protected: str, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "CONNECT_SECONDS", 4)
    other = make_files(tmp_path / "other")
    tries: list[tuple[str, Any]] = [
        (protected, other),
        (protected, {**files, "ca": other["ca"]}),
        (protected, {**other, "ca": files["ca"]}),
    ]
    for address, given in tries:
        engine = workbench.Engine(cluster_address=address, cluster_security=given)
        with pytest.raises(WorkbenchError, match=r"no dask scheduler answers at 'tls://.*Certificates that do not fit"):
            engine.pool(tmp_path)
    with pytest.raises(WorkbenchError, match="needs certificates"):
        workbench.Engine(cluster_address=protected)
    with pytest.warns(UnprotectedCluster):
        engine = workbench.Engine(cluster_address=protected.replace("tls", "tcp"))
    with pytest.raises(WorkbenchError, match="One that speaks TLS needs a tls:// address and certificates"):
        engine.pool(tmp_path)


def test_a_wrong_file_ends_a_command_before_it_begins(files: Files, tmp_path: Path) -> None:
    given = {**files, "key": str(tmp_path / "nothing.pem")}
    done = run(tmp_path, *SWEEP, "--cluster-address", "tls://127.0.0.1:1", *flags(given))
    assert done.returncode == 2
    assert f"workbench: file {given['key']!r} (--cluster-key" in done.stderr
    assert "Traceback" not in done.stderr
    done = run(tmp_path, *SWEEP, "--cluster-cert", files["cert"])
    assert done.returncode == 2
    assert "workbench: certificates of a cluster are given, but not its address" in done.stderr


def test_a_cluster_without_tls_works_and_is_said_to_be_unprotected(small_tflite: Path, tmp_path: Path) -> None:
    sweep = ("sweep", small_tflite, "--data", images(tmp_path / "random.npz"), *WHAT)
    with dask_cluster(tmp_path, None) as address:
        done = run(tmp_path, *sweep, "--cluster-address", address, "--store", tmp_path / "store")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "1 ok" in done.stdout
    said = [line for line in done.stderr.splitlines() if "not protected" in line]
    assert len(said) == 1
    assert said[0].startswith(f"workbench: the dask scheduler at {address!r} is not protected: ")

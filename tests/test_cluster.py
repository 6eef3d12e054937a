"""A cluster by address: which certificates are taken, what is said of wrong ones, and of none."""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import pytest
from certificates import lock_key, make_files

from workbench.engine.cluster import own_cluster
from workbench.engine.engine import Engine
from workbench.errors import UnprotectedCluster, WorkbenchError

TLS = "tls://127.0.0.1:8786"
Files = dict[str, str]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return make_files(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return make_files(tmp_path_factory.mktemp("others"))


def quiet(address: str | None, given: Any = None) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return own_cluster(address, given)


def test_right_files_are_taken_from_wherever_they_are_named(files: Files, tmp_path: Path) -> None:
    from distributed import Security

    both = tmp_path / "both.pem"
    both.write_text("".join(Path(files[n]).read_text() for n in ("key", "cert")))
    given = (
        files,
        {"ca": files["ca"], "cert": str(both)},
        {k: Path(v) for k, v in files.items()},
        Security.temporary(),
    )
    for one in given:
        assert quiet(TLS, one).security.get_connection_args("client")["ssl_context"]
    assert quiet("127.0.0.1:8786", files).address == TLS, "certificates mean TLS"
    with dask.config.set(
        {
            "distributed.comm.tls.ca-file": files["ca"],
            "distributed.comm.tls.client.cert": files["cert"],
            "distributed.comm.tls.client.key": files["key"],
        }
    ):
        assert quiet(TLS).security.get_connection_args("client")["ssl_context"]
        assert quiet(TLS, {"ca": files["ca"]}).security.tls_client_key == files["key"]
    assert quiet(None) is None


def der(files: Files, folder: Path) -> Path:
    path = folder / "cert.der"
    path.write_bytes(ssl.PEM_cert_to_DER_cert(Path(files["cert"]).read_text()))
    return path


def text(content: str) -> Callable[[Files, Path], Path]:
    def write(_: Files, folder: Path) -> Path:
        (folder / "text").write_text(content)
        return folder / "text"

    return write


def locked(files: Files, folder: Path) -> Path:
    lock_key(Path(files["key"]), folder / "locked.pem")
    return folder / "locked.pem"


def unreadable(_: Files, folder: Path) -> Path:
    (folder / "folder").mkdir()
    return folder / "folder"


def cut(files: Files, folder: Path) -> Path:
    (folder / "cut").write_text(Path(files["cert"]).read_text()[:300])
    return folder / "cut"


WRONG: dict[str, tuple[str, Callable[[Files, Path], Path], str]] = {
    **{f"no such {n}": (n, lambda _, p: p / "nothing", "cannot be read: No such file") for n in ("ca", "cert", "key")},
    **{f"{n} is a folder": (n, unreadable, "cannot be read: Is a directory") for n in ("ca", "cert", "key")},
    **{f"{n} is empty": (n, text(""), "holds no") for n in ("ca", "cert", "key")},
    **{f"{n} is text": (n, text("my certificate\n"), "holds no") for n in ("ca", "cert", "key")},
    "ca in DER": ("ca", der, "holds no certificate. A PEM file is expected"),
    "cert in DER": ("cert", der, "holds no certificate. A PEM file is expected"),
    "a cut certificate": ("cert", cut, "holds no certificate"),
    "key for ca": ("ca", lambda f, _: Path(f["key"]), "holds no certificate"),
    "key for cert": ("cert", lambda f, _: Path(f["key"]), "holds no certificate"),
    "cert for key": ("key", lambda f, _: Path(f["cert"]), "holds no private key"),
    "a locked key": ("key", locked, "holds a key with a passphrase, which dask cannot open"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_file_that_is_none_is_named(files: Files, tmp_path: Path, case: str) -> None:
    name, make, said = WRONG[case]
    path = make(files, tmp_path)
    with pytest.raises(WorkbenchError) as error:
        own_cluster(TLS, {**files, name: str(path)})
    assert f"file {str(path)!r} (--cluster-{name}, or distributed.comm.tls." in str(error.value)
    assert said in str(error.value)
    # The same where dask's configuration names it.
    keys = {"ca": "ca-file", "cert": "client.cert", "key": "client.key"}
    config = {f"distributed.comm.tls.{keys[n]}": p for n, p in {**files, name: str(path)}.items()}
    with dask.config.set(config), pytest.raises(WorkbenchError, match="of dask's configuration"):
        own_cluster(TLS)


def test_what_does_not_go_together_is_told(files: Files, others: Files) -> None:
    for given, said in (
        ({**files, "key": others["key"]}, "holds a key that does not belong to the certificate"),
        ({"ca": files["ca"], "cert": files["cert"]}, "holds no private key. Name its file with --cluster-key"),
        ({"cert": files["cert"], "key": files["key"]}, "--cluster-ca is not given"),
        ({"ca": files["ca"]}, "--cluster-cert is not given"),
        (None, "--cluster-ca and --cluster-cert are not given"),
        ({"crt": files["cert"]}, "unknown file of a cluster's security 'crt'"),
        ([files["ca"]], "is neither a mapping of files nor a distributed.Security"),
    ):
        with pytest.raises(WorkbenchError) as error:
            own_cluster(TLS, given)
        assert said in str(error.value)
    for scheme in ("tcp", "ws"):
        with pytest.raises(WorkbenchError, match="which is not encrypted: they would protect nothing"):
            own_cluster(f"{scheme}://127.0.0.1:8786", files)
    with pytest.raises(WorkbenchError, match="but not its address"):
        Engine(cluster_security=files)


@pytest.mark.parametrize(
    "address", ["tcp://10.1.2.3:8786", "tcp://127.0.0.1:8786", "127.0.0.1:8786", "somewhere:8786", "ws://somewhere:80"]
)
def test_a_cluster_without_encryption_is_said_to_be_unprotected(address: str) -> None:
    with pytest.warns(UnprotectedCluster, match="is not protected: whoever reaches its port can run code"):
        engine = Engine(cluster_address=address)
    assert engine.cluster is not None
    assert engine.cluster.address in (address, f"tcp://{address}")


def test_one_in_this_process_is_reached_by_nobody_else() -> None:
    assert quiet("inproc://10.0.0.1/1/1").address == "inproc://10.0.0.1/1/1"

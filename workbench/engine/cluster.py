"""A dask cluster of the user's own: its address, the certificates that open it, and what is said where it needs none."""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from workbench.errors import UnprotectedCluster, WorkbenchError, unknown
from workbench.files import kind_of

# By the name in `cluster_security` and the end of its flag: dask's name of the file, and the place in dask's configuration.
FILES = {
    "ca": ("tls_ca_file", "distributed.comm.tls.ca-file"),
    "cert": ("tls_client_cert", "distributed.comm.tls.client.cert"),
    "key": ("tls_client_key", "distributed.comm.tls.client.key"),
}
CONNECT_SECONDS = 30


class OwnCluster(NamedTuple):
    """Where a scheduler listens, and dask's own `Security` for it."""

    address: str
    security: Any

    def connect(self, loop: Any = None) -> Any:
        """Return a client, which lives in a running loop or one of its own; raises WorkbenchError where no scheduler answers or takes the certificates."""
        import distributed

        try:
            return distributed.Client(
                self.address, timeout=CONNECT_SECONDS, set_as_default=False, security=self.security, loop=loop
            )
        except (OSError, TimeoutError, ValueError) as error:
            reason = " ".join(filter(None, (str(error), str(error.__cause__ or ""))))
            raise WorkbenchError(
                f"no dask scheduler answers at {self.address!r}: {reason}. Start one with `dask scheduler`, or leave --cluster-address away. "
                f"{_hint(self.address)}"
            ) from None


def own_cluster(address: str | None, given: Any = None) -> OwnCluster | None:
    """Return the cluster at an address, None without one; `given` is a mapping of files (`ca cert key`), a `distributed.Security`, or None.

    What is not given stands in dask's configuration. Warns with UnprotectedCluster where nothing keeps others out. Raises WorkbenchError for a
    file that is no certificate or key.
    """
    if address is None:
        if given:
            raise WorkbenchError(
                "certificates of a cluster are given, but not its address. Add --cluster-address tls://HOST:PORT."
            )
        return None
    from distributed import Security

    files = {} if isinstance(given, Security) else _files(given)
    security = given if isinstance(given, Security) else Security(**{FILES[n][0]: path for n, path in files.items()})
    if "://" not in address:
        address = f"{'tls' if security.require_encryption else 'tcp'}://{address}"
    scheme = address.partition("://")[0]
    if scheme in ("tls", "wss"):
        _check(address, security)
    elif files:
        raise WorkbenchError(
            f"certificates are given for {address!r}, which is not encrypted: they would protect nothing. Write tls:// where the scheduler speaks TLS, or leave the certificates away."
        )
    elif scheme != "inproc":
        warnings.warn(_unprotected(address), UnprotectedCluster, stacklevel=3)
    return OwnCluster(address, security)


def _files(given: Any) -> dict[str, str]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise WorkbenchError(
            f"cluster_security {given!r} is neither a mapping of files nor a distributed.Security. Give the files as {{'ca': ..., 'cert': ..., 'key': ...}}."
        )
    for name in given:
        if name not in FILES:
            raise unknown("file of a cluster's security", str(name), FILES)
    return {name: str(Path(path).expanduser()) for name, path in given.items() if path is not None}


def _check(address: str, security: Any) -> None:
    """Raise WorkbenchError unless the files are there and belong together; what is in memory is the caller's own."""
    paths = {name: getattr(security, attribute) for name, (attribute, _) in FILES.items()}
    missing = [f"--cluster-{name}" for name in ("ca", "cert") if not paths[name]]
    if missing:
        raise WorkbenchError(
            f"{address!r} needs certificates, and {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not given: --cluster-ca FILE (who signed the scheduler's), "
            f"--cluster-cert FILE and --cluster-key FILE (this side's), cluster_security={{'ca': ..., 'cert': ..., 'key': ...}} in Python, or {FILES['ca'][1]} and its like in dask's configuration."
        )
    on_disk = {name: path for name, path in paths.items() if path and "\n" not in path}
    for name, path in on_disk.items():
        # Whatever would make its reader wait, such as a FIFO, also where dask's own configuration names it.
        if kind_of(Path(path)) == "other":
            raise _wrong(name, path, "is no regular file. A PEM file is expected")
        try:
            Path(path).read_bytes()
        except OSError as error:
            raise _wrong(name, path, f"cannot be read: {error.strerror}") from None
    for name in ("ca", "cert"):
        if name in on_disk:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=on_disk[name])
            except ssl.SSLError:
                raise _wrong(name, on_disk[name], "holds no certificate. A PEM file is expected") from None
    if "cert" in on_disk and (not paths["key"] or "key" in on_disk):
        _check_key(on_disk["cert"], on_disk.get("key"))


def _check_key(cert: str, key: str | None) -> None:
    def locked() -> str:
        # OpenSSL would ask for it at the terminal, in the middle of a sweep.
        raise _wrong("key" if key else "cert", key or cert, "holds a key with a passphrase, which dask cannot open")

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert, key, password=locked)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise _wrong("key", key or cert, f"holds a key that does not belong to the certificate {cert!r}") from None
        if key is None:
            raise _wrong("cert", cert, "holds no private key. Name its file with --cluster-key") from None
        raise _wrong("key", key, "holds no private key. A PEM file is expected") from None


def _wrong(name: str, path: str, what: str) -> WorkbenchError:
    return WorkbenchError(f"file {path!r} (--cluster-{name}, or {FILES[name][1]} of dask's configuration) {what}.")


def _unprotected(address: str) -> str:
    return (
        f"the dask scheduler at {address!r} is not protected: whoever reaches its port can run code as the user of its workers, and as you. "
        "Start it and its workers with --tls-ca-file, --tls-cert and --tls-key, and give a tls:// address with --cluster-ca, --cluster-cert and --cluster-key."
    )


def _hint(address: str) -> str:
    if address.startswith(("tls", "wss")):
        return "Certificates that do not fit end so too: --cluster-ca has to have signed the scheduler's, the scheduler's own --tls-ca-file that of --cluster-cert."
    return "One that speaks TLS needs a tls:// address and certificates (--cluster-ca, --cluster-cert, --cluster-key)."

"""Certificates and keys as files, made for a test."""

from __future__ import annotations

from pathlib import Path


def make_files(folder: Path) -> dict[str, str]:
    """Write a certificate that is its own authority, and its key; return the paths as `cluster_security` takes them."""
    from distributed import Security

    made = Security.temporary()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cert.pem").write_text(made.tls_client_cert)
    (folder / "key.pem").write_text(made.tls_client_key)
    return {"ca": str(folder / "cert.pem"), "cert": str(folder / "cert.pem"), "key": str(folder / "key.pem")}


def lock_key(path: Path, target: Path) -> None:
    """Write a key again, with a passphrase."""
    from cryptography.hazmat.primitives import serialization as s

    key = s.load_pem_private_key(path.read_bytes(), None)
    target.write_bytes(
        key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.BestAvailableEncryption(b"passphrase"))
    )

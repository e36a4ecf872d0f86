"""Certificates and kubeconfigs of a cluster. Owns one certificate authority in a folder; uses
the `openssl` program, P-256 keys, a year's life. Refuses to print keys: they are in files of
mode 0600."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
from typing import TYPE_CHECKING

from testbed import commands

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "365", "-batch"]


@dataclasses.dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its key, both PEM files."""

    certificate: Path
    key: Path


@dataclasses.dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority and the folder that holds everything it signed."""

    folder: Path
    pair: KeyPair

    def sign(self, name: str, *, user: str, groups: Sequence[str] = (), addresses: Sequence[str] = ()) -> KeyPair:
        """Make a key and a certificate for a Kubernetes user, or a server with these IPs and DNS names."""
        pair = KeyPair(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        extensions: list[str | Path] = ["-addext", "extendedKeyUsage=clientAuth,serverAuth"]
        if addresses:
            kinds = ("IP" if address.replace(".", "").isdigit() or ":" in address else "DNS" for address in addresses)
            names = ",".join(f"{kind}:{address}" for kind, address in zip(kinds, addresses, strict=True))
            extensions += ["-addext", f"subjectAltName={names}"]
        subject = "".join(f"/O={_escaped(group)}" for group in groups) + f"/CN={_escaped(user)}"
        _openssl(
            [
                "req",
                "-x509",
                "-CA",
                self.pair.certificate,
                "-CAkey",
                self.pair.key,
                *_NEW_KEY,
                "-subj",
                subject,
                *extensions,
                "-addext",
                "basicConstraints=critical,CA:FALSE",
            ],
            pair,
        )
        return pair

    def kubeconfig(self, path: Path, server: str, pair: KeyPair) -> Path:
        """Write a kubeconfig for this server (a URL) with the credentials inside, mode 0600."""
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "testbed",
                    "cluster": {"server": server, "certificate-authority-data": _encoded(self.pair.certificate)},
                }
            ],
            "users": [
                {
                    "name": "user",
                    "user": {
                        "client-certificate-data": _encoded(pair.certificate),
                        "client-key-data": _encoded(pair.key),
                    },
                }
            ],
            "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": "user"}}],
            "current-context": "testbed",
        }
        # JSON is YAML, and needs no library.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as handle:
            json.dump(document, handle, indent=1)
        return path


def make_authority(folder: Path) -> Authority:
    """Make a new certificate authority in this folder (made if needed)."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    pair = KeyPair(folder / "ca.crt", folder / "ca.key")
    _openssl(
        [
            "req",
            "-x509",
            *_NEW_KEY,
            "-subj",
            "/CN=testbed",
            "-addext",
            "basicConstraints=critical,CA:TRUE",
            "-addext",
            "keyUsage=critical,keyCertSign,cRLSign,digitalSignature",
        ],
        pair,
    )
    return Authority(folder, pair)


def load_authority(folder: Path) -> Authority:
    """Return the authority that was made in this folder."""
    return Authority(folder, KeyPair(folder / "ca.crt", folder / "ca.key"))


def make_signing_key(path: Path) -> Path:
    """Make the key that signs service account tokens."""
    commands.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", path])
    path.chmod(0o600)
    return path


def _openssl(arguments: Sequence[str | Path], pair: KeyPair) -> None:
    commands.run(["openssl", *arguments, "-keyout", pair.key, "-out", pair.certificate])
    pair.key.chmod(0o600)


def _escaped(name: str) -> str:
    return name.replace("\\", "\\\\").replace("/", "\\/").replace("+", "\\+")


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()

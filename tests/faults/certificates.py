"""Certificates made for a test: an authority, and leaves that are valid or have expired."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

EXPIRED = ("20200101000000Z", "20200201000000Z")
VALID = ("20200101000000Z", "20991231000000Z")

_GET_TOOL = Path(__file__).parents[2] / "scripts" / "get-debian-tool"

_CONFIG = """
[ca]
default_ca = authority
[authority]
new_certs_dir = .
database = index.txt
rand_serial = yes
default_md = sha256
policy = anything
copy_extensions = copy
[anything]
commonName = supplied
"""
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


@dataclass(frozen=True)
class Leaf:
    """A server's certificate and key."""

    certificate: Path
    key: Path


class Authority:
    """An authority of its own in ``folder``, made with openssl; ``certificate`` is what trusts it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.certificate = folder / "authority.pem"
        (folder / "authority.conf").write_text(_CONFIG, encoding="ascii")
        (folder / "index.txt").touch()
        self._openssl(
            "req", "-x509", *_KEY, "-subj", "/CN=authority", "-days", "30000",
            "-keyout", "authority.key", "-out", "authority.pem",
        )  # fmt: skip

    def leaf(self, name: str, period: tuple[str, str]) -> Leaf:
        """A certificate of 127.0.0.1 for ``period``."""
        self._openssl(
            "req", "-new", *_KEY, "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1",
            "-keyout", f"{name}.key", "-out", f"{name}.csr",
        )  # fmt: skip
        self._openssl(
            "ca", "-batch", "-notext", "-config", "authority.conf", "-startdate", period[0], "-enddate",
            period[1], "-cert", "authority.pem", "-keyfile", "authority.key",
            "-in", f"{name}.csr", "-out", f"{name}.pem",
        )  # fmt: skip
        return Leaf(self._folder / f"{name}.pem", self._folder / f"{name}.key")

    def encrypted(self, leaf: Leaf, password: str) -> Leaf:
        """The same, its key under a password."""
        key = leaf.key.with_suffix(".encrypted.key")
        self._openssl("ec", "-in", leaf.key.name, "-aes256", "-passout", f"pass:{password}", "-out", key.name)
        return Leaf(leaf.certificate, key)

    def _openssl(self, *arguments: str) -> None:
        subprocess.run([_openssl_path(), *arguments], cwd=self._folder, check=True, capture_output=True)


@cache
def _openssl_path() -> str:
    """The command, fetched when the machine has none."""
    found = shutil.which("openssl")
    if found is not None:
        return found
    fetched = subprocess.run([_GET_TOOL, "openssl", "openssl"], capture_output=True, text=True, check=False)
    assert fetched.returncode == 0, fetched.stderr
    return fetched.stdout.strip()

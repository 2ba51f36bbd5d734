"""TLS of the listening socket: its certificate, also when that is renewed on disk, and who may connect."""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from agent_service.core.clock import sleep

if TYPE_CHECKING:
    from pathlib import Path

    from agent_service.core.clock import Clock

_log = logging.getLogger("agent_service.server")

LOOK_SECONDS = 10.0
"""How often the files are looked at: soon enough for a renewal, and cheap."""


class TlsError(Exception):
    """The files cannot be used. The message is for whoever starts the service."""


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """What HTTPS is served with; all files are PEM.

    Attributes:
        certificate_file: the certificate, then the intermediate ones.
        key_file: its private key.
        key_password: of the key, when it is encrypted.
        client_ca_file: authorities of clients; without a certificate of theirs nobody may connect then.
    """

    certificate_file: Path
    key_file: Path
    key_password: str | None = field(default=None, repr=False)
    client_ca_file: Path | None = None


class Certificate:
    """What the server shows to its clients.

    Attributes:
        context: for the listening socket; it shows what was loaded last. TLS 1.2 or newer with Python's
            choice of ciphers.

    Args:
        options: the files.
        clock: says when to look whether they changed.
    """

    def __init__(self, options: TlsOptions, *, clock: Clock) -> None:
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._options = options
        self._clock = clock
        self._seen: tuple[tuple[int, int], ...] = ()

    def __repr__(self) -> str:
        return f"<Certificate of {self._options.certificate_file}>"

    @classmethod
    def load(cls, options: TlsOptions, *, clock: Clock) -> Certificate:
        """The certificate as it is on disk.

        Raises:
            TlsError: a file cannot be read, or they do not belong together.
        """
        loaded = cls(options, clock=clock)
        loaded.context.minimum_version = ssl.TLSVersion.TLSv1_2
        loaded.context.set_alpn_protocols(["http/1.1"])
        loaded._trust_clients()
        loaded.renew()
        return loaded

    def renew(self) -> bool:
        """Take over what changed on disk, for connections to come; returns whether anything did.

        Clients that are connected notice nothing. Authorities of clients are not looked at again.

        Raises:
            TlsError: a file cannot be read, or they do not belong together; what was loaded before is shown.
        """
        files = (self._options.certificate_file, self._options.key_file)
        found = tuple(map(_version, files))
        if found == self._seen:
            return False
        self._seen = found
        # A pair of which only one half is written yet must not replace the one that is shown.
        self._load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        self._load_into(self.context)
        return True

    async def keep_current(self) -> NoReturn:
        """Renew whenever the files change, until cancelled; files that cannot be used are told of once."""
        told = ""
        while True:
            await sleep(self._clock, LOOK_SECONDS)
            try:
                if self.renew():
                    _log.info("the certificate was renewed")
                    told = ""
            except TlsError as error:
                if str(error) != told:
                    told = str(error)
                    _log.error("the certificate cannot be renewed, the one before is shown: %s", told)

    def _load_into(self, context: ssl.SSLContext) -> None:
        options = self._options
        try:
            # Without a password Python would ask for one on the terminal.
            context.load_cert_chain(
                options.certificate_file, options.key_file, lambda: options.key_password or ""
            )
        except OSError as error:  # those of ssl are among them
            raise TlsError(_unusable(error)) from error

    def _trust_clients(self) -> None:
        authorities = self._options.client_ca_file
        if authorities is None:
            return
        _version(authorities)
        try:
            self.context.load_verify_locations(authorities)
        except OSError as error:
            raise TlsError("SERVER_TLS_CLIENT_CA_FILE must hold certificates in PEM") from error
        self.context.verify_mode = ssl.CERT_REQUIRED


def _version(path: Path) -> tuple[int, int]:
    """What is different when the file is; replaced files differ in the inode."""
    try:
        with path.open("rb"):
            status = path.stat()
    except OSError as error:
        raise TlsError(f"{path} cannot be read: {(error.strerror or '').lower()}") from error
    return status.st_mtime_ns, status.st_ino


def _unusable(error: OSError) -> str:
    if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
        return "SERVER_TLS_KEY_FILE is not the key of SERVER_TLS_CERT_FILE"
    return (
        "SERVER_TLS_CERT_FILE and SERVER_TLS_KEY_FILE must be a certificate and its key in PEM, "
        "the key encrypted with SERVER_TLS_KEY_PASSWORD or not at all"
    )

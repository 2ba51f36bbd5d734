"""Certificates as they are on disk, right and wrong, and what a client is shown."""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import TYPE_CHECKING, Any

import pytest

from agent_service.server.tls import LOOK_SECONDS, Certificate, TlsError, TlsOptions
from agent_service.testing import FakeClock
from tests.faults.certificates import EXPIRED, VALID, Authority, Leaf

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Signs all of these."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def first(authority: Authority) -> Leaf:
    """A good pair."""
    return authority.leaf("first", VALID)


@pytest.fixture(scope="module")
def second(authority: Authority) -> Leaf:
    """Another one."""
    return authority.leaf("second", VALID)


def _load(leaf: Leaf, **more: Any) -> Certificate:
    return Certificate.load(TlsOptions(leaf.certificate, leaf.key, **more), clock=FakeClock())


def _put(leaf: Leaf, folder: Path, *, key: bool = True) -> Leaf:
    """Replace what is in ``folder`` as renewals do: a new file takes the old one's name."""
    served = Leaf(folder / "served.pem", folder / "served.key")
    for source, target in ((leaf.certificate, served.certificate), (leaf.key, served.key))[: 1 + key]:
        (folder / "new").write_bytes(source.read_bytes())
        (folder / "new").replace(target)
    return served


def _shown(certificate: Certificate, authority: Authority, shows: Leaf | None = None) -> str:
    """Whose certificate a client of ``authority`` is shown, which itself may show one."""
    context = ssl.create_default_context(cafile=authority.certificate)
    context.check_hostname = False
    if shows is not None:
        context.load_cert_chain(shows.certificate, shows.key)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(to_client, to_server)
    server = certificate.context.wrap_bio(to_server, to_client, server_side=True)
    left = [client, server]
    while left:
        for end in tuple(left):
            try:
                end.do_handshake()
                left.remove(end)
            except ssl.SSLWantReadError:
                continue
    assert server.version() in {"TLSv1.2", "TLSv1.3"}
    subject: Any = (client.getpeercert() or {})["subject"]
    return str(dict(part[0] for part in subject)["commonName"])


def test_a_pair_is_shown_by_tls_of_today(authority: Authority, first: Leaf) -> None:
    """Nothing older than TLS 1.2, and no protocol but the one that is served."""
    certificate = _load(first)
    assert certificate.context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert _shown(certificate, authority) == "first"
    assert "secret" not in repr(TlsOptions(first.certificate, first.key, key_password="secret"))


def test_an_encrypted_key_is_opened_with_its_password_only(authority: Authority, first: Leaf) -> None:
    """Nobody is asked on the terminal for a password that is missing or wrong."""
    encrypted = authority.encrypted(first, "secret")
    assert _shown(_load(encrypted, key_password="secret"), authority) == "first"
    for password in (None, "wrong"):
        with pytest.raises(TlsError, match="SERVER_TLS_KEY_PASSWORD"):
            _load(encrypted, key_password=password)


def test_what_cannot_be_used_is_told_by_setting_or_path(first: Leaf, second: Leaf, tmp_path: Path) -> None:
    """Whoever starts the service learns which file to mend."""
    nowhere, no_pem = tmp_path / "nowhere.pem", tmp_path / "no.pem"
    no_pem.write_text("nothing", encoding="ascii")
    for leaf, more, said in (
        (Leaf(nowhere, first.key), {}, f"{nowhere} cannot be read: no such file"),
        (Leaf(first.certificate, tmp_path), {}, f"{tmp_path} cannot be read: is a directory"),
        (
            Leaf(first.certificate, second.key),
            {},
            "SERVER_TLS_KEY_FILE is not the key of SERVER_TLS_CERT_FILE",
        ),
        (Leaf(no_pem, first.key), {}, "must be a certificate and its key in PEM"),
        (Leaf(first.certificate, no_pem), {}, "must be a certificate and its key in PEM"),
        (first, {"client_ca_file": nowhere}, f"{nowhere} cannot be read"),
        (first, {"client_ca_file": no_pem}, "SERVER_TLS_CLIENT_CA_FILE must hold certificates in PEM"),
    ):
        with pytest.raises(TlsError, match=said):
            _load(leaf, **more)


def test_clients_need_a_certificate_of_their_authority(
    authority: Authority, first: Leaf, second: Leaf, tmp_path: Path
) -> None:
    """Who has none, one of another authority, or one that has expired, does not connect."""
    certificate = _load(first, client_ca_file=authority.certificate)
    assert _shown(certificate, authority, shows=second) == "first"
    strangers = Authority(tmp_path)
    for shows in (None, strangers.leaf("stranger", VALID), authority.leaf("expired", EXPIRED)):
        with pytest.raises(ssl.SSLError):
            _shown(certificate, authority, shows=shows)


def test_a_renewed_pair_is_shown_from_then_on(
    authority: Authority, first: Leaf, second: Leaf, tmp_path: Path
) -> None:
    """What did not change is not loaded again."""
    certificate = _load(_put(first, tmp_path))
    assert not certificate.renew()
    _put(second, tmp_path)
    assert _shown(certificate, authority) == "first"
    assert certificate.renew()
    assert _shown(certificate, authority) == "second"
    assert not certificate.renew()


def test_half_a_renewal_changes_nothing(
    authority: Authority, first: Leaf, second: Leaf, tmp_path: Path
) -> None:
    """Certificate and key are two files; between the writing of one and the other they do not fit."""
    certificate = _load(_put(first, tmp_path))
    _put(second, tmp_path, key=False)
    with pytest.raises(TlsError):
        certificate.renew()
    assert _shown(certificate, authority) == "first"
    _put(second, tmp_path)
    assert certificate.renew()
    assert _shown(certificate, authority) == "second"


async def _look(clock: FakeClock) -> None:
    """Time for one look, and for the turns of the loop before and after it."""
    await asyncio.sleep(0)
    clock.advance(LOOK_SECONDS)
    await asyncio.sleep(0)


async def test_renewals_are_noticed_and_told_once(
    authority: Authority,
    first: Leaf,
    second: Leaf,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Files that stay wrong are told of once; the certificate from before goes on until they are mended."""
    caplog.set_level(logging.INFO)
    clock = FakeClock()
    served = _put(first, tmp_path)
    certificate = Certificate.load(TlsOptions(served.certificate, served.key), clock=clock)
    keeping = asyncio.ensure_future(certificate.keep_current())
    await _look(clock)
    served.key.unlink()
    for _ in range(3):
        await _look(clock)
    assert _shown(certificate, authority) == "first"
    _put(second, tmp_path)
    await _look(clock)
    keeping.cancel()
    await asyncio.wait({keeping})

    assert _shown(certificate, authority) == "second"
    wrong = f"{served.key} cannot be read: no such file or directory"
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("ERROR", f"the certificate cannot be renewed, the one before is shown: {wrong}"),
        ("INFO", "the certificate was renewed"),
    ]

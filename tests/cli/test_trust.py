from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import click
import pytest

from agent_service.cli.trust import trust_of
from tests.faults.certificates import Authority

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_takes_the_place_of_the_systems_authorities(tmp_path: Path) -> None:
    """Nobody else is trusted then, and names are checked."""
    trust = trust_of(Authority(tmp_path).certificate)
    assert len(trust.get_ca_certs()) == 1
    assert (trust.verify_mode, trust.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert trust_of(None).verify_mode == ssl.CERT_REQUIRED


def test_a_file_without_authorities_is_wrong_usage(tmp_path: Path) -> None:
    """In the words of the option."""
    (tmp_path / "no.pem").write_text("nothing", encoding="ascii")
    with pytest.raises(click.BadParameter, match="holds no certificates in PEM"):
        trust_of(tmp_path / "no.pem")

"""``--ca-file``: whom commands trust that ask a service over HTTPS."""

from __future__ import annotations

import ssl
from pathlib import Path

import click

ca_file_option = click.option(
    "--ca-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Trust these authorities (PEM) of an https:// URL, instead of the system's.",
)


def trust_of(ca_file: Path | None) -> ssl.SSLContext:
    """Trust in the authorities of ``ca_file``, by default in the system's.

    Raises:
        click.BadParameter: it holds none.
    """
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise click.BadParameter(f"{ca_file} holds no certificates in PEM", param_hint="--ca-file") from error

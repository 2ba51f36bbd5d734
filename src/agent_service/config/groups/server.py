"""Where the service listens, in how many processes, and how it stops."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - pydantic evaluates the annotations

from pydantic import BaseModel, SecretStr

from agent_service.config.values import Word, setting


class ServerSettings(BaseModel):
    """Where the service listens, in how many processes, and how it stops."""

    server_host: Word = setting("address to listen on", "0.0.0.0", allowed="a host name or address")  # noqa: S104 - a container's port is published on purpose
    server_port: int = setting("port to listen on; 0 takes a free one", 3000, low=0, high=65535)
    server_workers: int = setting("processes that serve", 1, low=1, high=256)
    server_tls_cert_file: Path | None = setting(
        "the certificate, and after it the intermediate ones: serves HTTPS instead of HTTP",
        allowed="a path of a PEM file; goes with `SERVER_TLS_KEY_FILE`",
    )
    server_tls_key_file: Path | None = setting(
        "the certificate's private key", allowed="a path of a PEM file"
    )
    server_tls_key_password: SecretStr | None = setting(
        "the password of the private key", allowed="any text; none when the key is not encrypted"
    )
    server_tls_client_ca_file: Path | None = setting(
        "authorities of clients: only those with a certificate of theirs may connect, probes included",
        allowed="a path of a PEM file",
    )
    shutdown_delay_secs: float = setting(
        "how long queries are answered after a stop is asked for, while `/ready` is 503 already: for load "
        "balancers to notice",
        0.0,
        low=0,
        high=600,
    )
    shutdown_grace_secs: float = setting(
        "how long queries in flight may finish when the service stops", 30.0, low=0, high=3600
    )

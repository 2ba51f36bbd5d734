"""An identity provider of the tests' own: it signs tokens, and publishes its keys on loopback."""

from __future__ import annotations

import json
import threading
import time
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

ISSUER = "https://issuer.example"
AUDIENCE = "agent-service"


@cache
def rsa_key(name: str = "any") -> rsa.RSAPrivateKey:
    """A key for ``RS256``; the same name has the same one."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def ec_key(name: str = "any") -> ec.EllipticCurvePrivateKey:
    """A key for ``ES256``; the same name has the same one."""
    return ec.generate_private_key(ec.SECP256R1())


def jwk_of(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, **more: Any) -> dict[str, Any]:
    """Its public half as it is published."""
    algorithm = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    written: dict[str, Any] = json.loads(algorithm.to_jwk(key.public_key()))  # type: ignore[arg-type] # its own kind
    written.pop("key_ops", None)
    return written | more


def key_set(*members: dict[str, Any]) -> bytes:
    """A key set with these members."""
    return json.dumps({"keys": list(members)}).encode()


def claims(at_epoch_seconds: float | None = None, **more: Any) -> dict[str, Any]:
    """What a good token says; ``None`` leaves a claim out."""
    at = int(time.time() if at_epoch_seconds is None else at_epoch_seconds)
    good = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "scope": "openid agent:query", "exp": at + 300}
    return {name: value for name, value in {**good, **more}.items() if value is not None}


def token(key: Any = None, *, algorithm: str = "ES256", kid: str | None = "e1", **told: Any) -> str:
    """A token that says ``told`` besides what a good one says."""
    headers = {} if kid is None else {"kid": kid}
    return jwt.encode(claims(**told), key or ec_key(), algorithm=algorithm, headers=headers)


class IdentityProvider:
    """Publishes ``body`` with ``status`` at ``url``; close it."""

    def __init__(self) -> None:
        self.body = key_set(jwk_of(ec_key(), kid="e1"))
        self.status = 200
        self.fetches = 0
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.fetches += 1
                self.send_response(provider.status)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", str(len(provider.body)))
                self.end_headers()
                self.wfile.write(provider.body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where the keys are."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/keys"

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

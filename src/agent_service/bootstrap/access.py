"""The composition root's part for keys: who knows the callers, and what keeps that knowledge fresh."""

from __future__ import annotations

import ipaddress
import logging
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from agent_service.config import options as options_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from agent_service.access.base import Identifying, SigningKeySource
    from agent_service.config import Settings
    from agent_service.core.clock import Clock
    from agent_service.core.observer import Observer

    Work = Callable[[], Coroutine[Any, Any, None]]

_log = logging.getLogger(__name__)

_OPEN_TO_ALL = (
    "no key is asked for: whoever reaches this port may ask as any user. Make one with `agent-service keys "
    "create --file keys.json` and set API_KEYS_FILE=keys.json, or listen to this machine alone with "
    "SERVER_HOST=127.0.0.1"
)


@dataclass(frozen=True)
class Access:
    """Who knows the callers, None when nobody is asked; ``background`` runs while the service does."""

    identifying: Identifying | None = None
    background: list[Work] = field(default_factory=list)


def build_access(settings: Settings, *, clock: Clock, observer: Observer) -> Access:
    """Read the files that the settings name, and wire what knows their keys; warn where everybody may ask.

    Raises:
        UnreadableError: a file cannot be read, or is wrong.
    """
    if _is_open_to_all(settings):
        _log.warning(_OPEN_TO_ALL)
    keys = _keys(settings, clock=clock, observer=observer)
    tokens = _tokens(settings, clock=clock, observer=observer)
    background = [*keys.background, *tokens.background]
    if keys.identifying is None or tokens.identifying is None:
        return Access(keys.identifying or tokens.identifying, background)
    from agent_service.access.identities import Identities  # noqa: PLC0415 - most services need none of it

    return Access(Identities(keys=keys.identifying, tokens=tokens.identifying), background)


def _is_open_to_all(settings: Settings) -> bool:
    """Whether others than this machine's own users may ask without a key."""
    asks = settings.api_keys_file or settings.jwt_jwks_url or settings.jwt_jwks_file
    return not asks and not _is_loopback(settings.server_host)


def _keys(settings: Settings, *, clock: Clock, observer: Observer) -> Access:
    if settings.api_keys_file is None:
        return Access()
    from agent_service.access.key_file import parse_keys  # noqa: PLC0415 - as above
    from agent_service.access.keyring import Keyring  # noqa: PLC0415 - as above
    from agent_service.access.watched_file import WatchedFile  # noqa: PLC0415 - as above

    keyring = Keyring(clock=clock)
    file = WatchedFile(
        settings.api_keys_file,
        source="keys",
        parse=parse_keys,
        use=keyring.replace,
        observer=observer,
        clock=clock,
    )
    file.load()
    return Access(keyring, [file.run])


def _tokens(settings: Settings, *, clock: Clock, observer: Observer) -> Access:
    options = options_of.token_options(settings)
    if options is None:
        return Access()
    from agent_service.access.tokens import Tokens  # noqa: PLC0415 - as above

    keys, work = _signing_keys(settings, clock=clock, observer=observer)
    return Access(Tokens(keys=keys, options=options, clock=clock), [work])


def _signing_keys(settings: Settings, *, clock: Clock, observer: Observer) -> tuple[SigningKeySource, Work]:
    from agent_service.access.signing_keys import FileKeys, SigningKeys  # noqa: PLC0415 - as above

    parse = partial(SigningKeys.parse, algorithms=settings.jwt_algorithms)
    if settings.jwt_jwks_file is None:
        from agent_service.access.jwks_client import JwksClient  # noqa: PLC0415 - as above
        from agent_service.access.published_keys import PublishedKeys  # noqa: PLC0415 - as above

        client = JwksClient(str(settings.jwt_jwks_url))
        published = PublishedKeys(fetch=client.fetch, parse=parse, observer=observer, clock=clock)

        async def run() -> None:
            try:
                await published.run()
            finally:
                await client.close()

        return published, run
    from agent_service.access.watched_file import WatchedFile  # noqa: PLC0415 - as above

    keys = FileKeys()
    file = WatchedFile(
        settings.jwt_jwks_file, source="jwks", parse=parse, use=keys.replace, observer=observer, clock=clock
    )
    file.load()
    return keys, file.run


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

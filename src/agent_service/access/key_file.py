"""The file of API keys: read whole or not at all, written atomically under a lock, readable by its owner.

It is JSON: ``{"version": 1, "keys": [key, ...]}``, see ``Key`` for the fields. It holds no key, only hashes.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from agent_service.access.key import Key  # noqa: TC001 - pydantic resolves annotations at run time
from agent_service.access.watched_file import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MAX_PROBLEMS = 5


class _KeyFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    version: Literal[1]
    keys: tuple[Key, ...]

    @field_validator("keys")
    @classmethod
    def _each_id_once(cls, keys: tuple[Key, ...]) -> tuple[Key, ...]:
        if len({key.id for key in keys}) < len(keys):
            raise ValueError("each id must be there only once")
        return keys


def parse_keys(content: bytes) -> tuple[Key, ...]:
    """The keys of a file, in its order.

    Raises:
        UnreadableError: it is not what the format says; names the first five places.
    """
    try:
        return _KeyFile.model_validate_json(content).keys
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        told = "; ".join(
            f"{'.'.join(map(str, at['loc'])) or 'file'}: {at['msg']}" for at in problems[:_MAX_PROBLEMS]
        )
        raise UnreadableError(f"is no file of API keys: {told}") from None


def read_keys(path: Path) -> tuple[Key, ...]:
    """The keys in the file at ``path``; none when there is no file.

    Raises:
        OSError: it cannot be read.
        UnreadableError: see ``parse_keys``.
    """
    try:
        return parse_keys(path.read_bytes())
    except FileNotFoundError:
        return ()


def add_key(path: Path, key: Key) -> None:
    """Write ``key`` behind the others; makes the file when there is none.

    Raises:
        OSError: the file cannot be read or written.
        UnreadableError: see ``parse_keys``.
    """
    with _changing(path) as target:
        _write(target, [*read_keys(target), key])


def remove_key(path: Path, key_id: str) -> Key | None:
    """Take the key out, and return what was kept of it; None when there is no such key.

    Raises:
        OSError: the file cannot be read or written.
        UnreadableError: see ``parse_keys``.
    """
    with _changing(path) as target:
        keys = read_keys(target)
        removed = next((key for key in keys if key.id == key_id), None)
        if removed is not None:
            _write(target, [key for key in keys if key is not removed])
        return removed


@contextmanager
def _changing(path: Path) -> Iterator[Path]:
    """Within, nobody else changes the file; a link is followed, so that it stays one."""
    target = path.resolve()
    lock = os.open(f"{target}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield target
    finally:
        os.close(lock)


def _write(path: Path, keys: Sequence[Key]) -> None:
    """Replace the file: whoever reads it finds the old or the new one, also after a crash."""
    content = _KeyFile(version=1, keys=tuple(keys)).model_dump_json(indent=2) + "\n"
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            _keep_owner(path, descriptor)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise
    _sync_folder(path.parent)


def _keep_owner(path: Path, descriptor: int) -> None:
    """An administrator's change must leave the file to the service's user."""
    if os.geteuid() == 0 and path.exists():
        owner = path.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

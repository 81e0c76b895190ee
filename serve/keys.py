"""Access keys: a file with their ids, secrets, owners and policies, readable by its owner alone.

An HMAC needs the secret itself, so the file holds it; it is shown once, when the key is made.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import stat
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from schemas.errors import NotFound, UsageError
from serve.policies import Statement, parse_policy

_ID = re.compile(r"[A-Za-z0-9._-]{4,128}", re.ASCII)
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"
DEFAULT_OWNER = "1000000000000000"


@dataclass(frozen=True)
class Key:
    """An access key. `policies` are as written: names of ready-made ones, or documents."""

    key_id: str
    secret: str
    owner: str
    policies: tuple[Any, ...]
    enabled: bool
    create_time: str
    statements: tuple[Statement, ...]

    def __repr__(self) -> str:
        return f"Key({self.key_id!r}, owner={self.owner!r}, enabled={self.enabled})"  # no secret in any log


class KeyFile:
    """The keys of a file, read anew when it changed."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._seen: tuple[int, ...] | None = None
        self._keys: Mapping[str, Key] = {}
        self._lock = threading.Lock()

    def get(self, key_id: str) -> Key | None:
        """The key of this id. UsageError where the file is missing, readable by others, or not well formed."""
        return self.all().get(key_id)

    def all(self) -> Mapping[str, Key]:
        """All keys by id."""
        state = _state(self.path)
        with self._lock:
            if state != self._seen:
                self._keys = _read(self.path)
                self._seen = state
            return self._keys


def create_key(path: str, *, owner: str, policies: tuple[Any, ...]) -> Key:
    """Makes a key and adds it to the file, which is made if it is not there."""
    if not policies:
        raise UsageError("a key without a policy may do nothing: give one at least")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", owner):
        raise UsageError(f"owner {owner!r} is not an account: 1 to 64 letters, digits, - and _ are accepted")
    statements = _statements("the new key", policies)
    key = Key(
        "LTAI" + _random(20),
        _random(30),
        owner,
        policies,
        True,
        datetime.now(UTC).isoformat(timespec="seconds"),
        statements,
    )
    with _changing(path) as keys:
        keys[key.key_id] = key
    return key


def disable_key(path: str, key_id: str) -> None:
    """Makes the server refuse a key. Raises NotFound where there is none of this id."""
    with _changing(path) as keys:
        keys[key_id] = Key(**{**vars(_existing(keys, key_id)), "enabled": False})


def delete_key(path: str, key_id: str) -> None:
    """Takes a key out of the file. Raises NotFound where there is none of this id."""
    with _changing(path) as keys:
        del keys[_existing(keys, key_id).key_id]


def _existing(keys: Mapping[str, Key], key_id: str) -> Key:
    if key_id not in keys:
        raise NotFound(f"there is no access key {key_id!r}; `lakealbum keys list` shows those that are there")
    return keys[key_id]


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _state(path: str) -> tuple[int, ...]:
    try:
        found = os.stat(path)
    except OSError as error:
        raise UsageError(
            f"credentials {path!r} cannot be read: {error.strerror}; `lakealbum keys create` makes some"
        ) from None
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o177 or not stat.S_ISREG(found.st_mode):
        raise UsageError(
            f"credentials {path!r} have mode {mode:04o}; 0600, a plain file for its owner alone, is accepted"
        )
    return found.st_mtime_ns, found.st_size, found.st_ino, mode


def _read(path: str) -> dict[str, Key]:
    try:
        with open(path, encoding="utf-8") as file:
            rows = json.load(file)["keys"]
        keys = [_key(f"{path}: key {n}", row) for n, row in enumerate(rows, start=1)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"credentials {path!r} cannot be read: {error!r}; `lakealbum keys` writes such files"
        ) from None
    found = {key.key_id: key for key in keys}
    if len(found) < len(keys):
        raise UsageError(f"credentials {path!r} have an access key id twice")
    return found


def _key(where: str, row: Mapping[str, Any]) -> Key:
    if strange := sorted(set(row) - {"id", "secret", "owner", "policies", "enabled", "create_time"}):
        raise UsageError(f"{where} has the fields {', '.join(strange)}, which are not known")
    key_id, secret, owner, enabled = row["id"], row["secret"], row["owner"], row.get("enabled", True)
    if not (isinstance(key_id, str) and _ID.fullmatch(key_id)) or not (isinstance(secret, str) and secret):
        raise UsageError(f"{where} has no well-formed id and secret")
    if not isinstance(owner, str) or not isinstance(enabled, bool):
        raise UsageError(f"{where}: owner is a text, and enabled true or false")
    policies = tuple(row["policies"])
    return Key(key_id, secret, owner, policies, enabled, row.get("create_time", ""), _statements(where, policies))


def _statements(where: str, policies: tuple[Any, ...]) -> tuple[Statement, ...]:
    return tuple(
        statement
        for n, policy in enumerate(policies, start=1)
        for statement in parse_policy(f"{where}: policy {n}", policy)
    )


@contextmanager
def _changing(path: str) -> Iterator[dict[str, Key]]:
    """The keys of the file, to be changed inside; written as a whole, one writer at a time."""
    with _locked(path):
        keys = dict(KeyFile(path).all()) if os.path.exists(path) else {}
        yield keys
        rows = [
            {
                "id": key.key_id,
                "secret": key.secret,
                "owner": key.owner,
                "policies": list(key.policies),
                "enabled": key.enabled,
                "create_time": key.create_time,
            }
            for key in keys.values()
        ]
        _write(path, json.dumps({"keys": rows}, ensure_ascii=False, indent=2) + "\n")


@contextmanager
def _locked(path: str) -> Iterator[None]:
    try:
        lock = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise UsageError(f"credentials {path!r} cannot be written: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _write(path: str, content: str) -> None:
    new = f"{path}.{os.getpid()}.new"
    with os.fdopen(os.open(new, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)

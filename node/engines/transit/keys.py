"""Named keys as they are stored: what holds for all versions under one name, each version under its own.

Pure. So an operation opens two small entries however many versions there are.
Invariants
  K1  stored are the versions from `min_available_version` (1 if that is 0) to `latest_version`, all of them
  K2  min_available <= min_decryption <= latest, and min_encryption is 0 or in min_decryption..latest
  K3  no version below `min_decryption_version` is used for anything, nor shown
  K4  at most VERSIONS_MAX versions are stored: rotating beyond asks for a trim
Source: Vault API, transit, "Update key configuration", "Trim key".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ...request import Refusal, StaleLabour
from ..entries import Found, drop, find, put
from .key_types import KeyType, Kind, key_type
from .material import Hidden, RsaDraw, Version, new_version

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster import Draft

    from ...request import RawRequest
    from ..base import Context

FOLDER = "policy/"
VERSIONS_MAX = 500
NS = 1_000_000_000
_NO_VERSION = "no such key version"


class Key(Hidden):
    """What holds for all versions. `backup` and `restored`: when (ns), and the latest version then."""

    type: str
    latest_version: int = 1
    min_decryption_version: int = 1
    min_encryption_version: int = 0
    min_available_version: int = 0
    rotated_ns: int = 0
    derived: bool = False
    convergent_encryption: bool = False
    exportable: bool = False
    allow_plaintext_backup: bool = False
    deletion_allowed: bool = False
    auto_rotate_period_s: int = 0
    key_bytes: int = 0
    backup: tuple[int, int] | None = None
    restored: tuple[int, int] | None = None

    @property
    def stored(self) -> range:
        """The versions that are stored."""
        return range(max(1, self.min_available_version), self.latest_version + 1)

    @property
    def usable(self) -> range:
        """The versions that may be used at all."""
        return range(max(1, self.min_decryption_version, self.min_available_version), self.latest_version + 1)


class NamedKey:
    """A key that is worked with in one request: what is stored of it, and each version that was needed so far."""

    def __init__(self, context: Context, name: str, key: Key, fresh: dict[int, Version] | None = None) -> None:
        """`fresh` are versions that the request itself makes."""
        self._context = context
        self.name = name
        self.key = key
        self.type: KeyType = key_type(key.type)
        self._versions = dict(fresh or {})

    def __repr__(self) -> str:
        return "<NamedKey>"

    def version(self, number: int) -> Version:
        """A version that may be used. Raises Refusal."""
        if number not in self.key.usable:
            raise Refusal(400, _NO_VERSION)
        known = self._versions.get(number)
        if known is None:
            found = find(self._context, version_name(self.name, number), Version)
            if found is None:
                raise Refusal(400, _NO_VERSION)
            known = self._versions[number] = found.value
        return known

    def to_make(self, number: int, purpose: str) -> int:
        """The version that encrypts or signs if `number` was asked for, 0 being the latest. Raises Refusal."""
        if number == 0:
            return self.key.latest_version
        if number < 0:
            raise Refusal(400, f"requested version for {purpose} is negative")
        if number > self.key.latest_version:
            raise Refusal(400, f"requested version for {purpose} is higher than the latest key version")
        if number < self.key.min_encryption_version:
            raise Refusal(400, f"requested version for {purpose} is less than the minimum encryption key version")
        return number

    def to_open(self, number: int, what: str) -> int:
        """The version that made something, if it may still open or verify it. Raises Refusal."""
        if number > self.key.latest_version:
            raise Refusal(400, f"invalid {what}: version is too new")
        if number < self.key.min_decryption_version:
            raise Refusal(400, "ciphertext or signature version is disallowed by policy (too old)")
        return number

    def usable(self) -> Iterator[tuple[int, Version]]:
        """Every version that may be used."""
        for number in self.key.usable:
            yield number, self.version(number)


def version_name(name: str, number: int) -> str:
    """The entry of one version."""
    return f"version/{name}/{number}"


def find_key(context: Context, name: str) -> Found[Key] | None:
    """What is stored under the name of a key."""
    return find(context, FOLDER + name, Key)


def open_key(context: Context, name: str, missing: str) -> NamedKey:
    """The key of that name. Raises Refusal with the text `missing`."""
    found = find_key(context, name)
    if found is None:
        raise Refusal(400, missing)
    return NamedKey(context, name, found.value)


def put_key(context: Context, draft: Draft, name: str, key: Key, before: Found[Key] | None) -> None:
    """The draft stores what holds for all versions."""
    put(context, draft, FOLDER + name, key, before)


def create(context: Context, request: RawRequest, draft: Draft, name: str, key: Key) -> NamedKey:
    """The draft stores a new key with its first version. Raises StaleLabour where a key of RSA was not drawn."""
    key = msgspec.structs.replace(key, rotated_ns=context.now_ns)
    first = _fresh(context, request, key)
    put_key(context, draft, name, key, None)
    put(context, draft, version_name(name, 1), first, None)
    return NamedKey(context, name, key, {1: first})


def rotate(
    context: Context, request: RawRequest, draft: Draft, name: str, before: Found[Key], key: Key | None = None
) -> NamedKey:
    """The draft stores one version more, and `key` if it is changed besides. Raises Refusal and StaleLabour."""
    key = before.value if key is None else key
    if len(key.stored) >= VERSIONS_MAX:
        raise Refusal(400, f"the key has {VERSIONS_MAX} versions, the most there can be: trim it first")
    number = key.latest_version + 1
    version = _fresh(context, request, key)
    rotated = msgspec.structs.replace(key, latest_version=number, rotated_ns=context.now_ns)
    put_key(context, draft, name, rotated, before)
    put(context, draft, version_name(name, number), version, None)
    return NamedKey(context, name, rotated, {number: version})


def drop_versions(context: Context, draft: Draft, name: str, numbers: range) -> None:
    """The draft removes these versions."""
    for number in numbers:
        found = find(context, version_name(name, number), Version)
        if found is not None:
            drop(context, draft, version_name(name, number), found)


def rotation_is_due(key: Key, now_ns: int) -> bool:
    """Whether the period is over; not where that would need a trim first."""
    period_ns = key.auto_rotate_period_s * NS
    return 0 < period_ns <= now_ns - key.rotated_ns and len(key.stored) < VERSIONS_MAX


def _fresh(context: Context, request: RawRequest, key: Key) -> Version:
    type_ = key_type(key.type)
    drawn = b""
    if type_.kind is Kind.RSA:
        if not isinstance(request.labour, RsaDraw) or request.labour.bits != type_.bits:
            raise StaleLabour
        drawn = request.labour.key
    return new_version(type_, context.random, context.now_ns, key_bytes=key.key_bytes, rsa_key=drawn)

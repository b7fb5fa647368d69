"""Passwords: what is kept of one, and the work of comparing with it.

Argon2id. The work is done in a thread, before the brackets (engines/base.py, Labour); nothing here keeps a password.
Invariants
  P1  what a piece of work found out is bound to the salt it was done with; every password that is set draws a new one,
      so the result fits no other password, of nobody
  P2  a name that nobody has costs the same work as one that somebody has
Source: RFC 9106; OWASP Password Storage Cheat Sheet (19 MiB, two passes, one lane).
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

if TYPE_CHECKING:
    from collections.abc import Callable

SALT_BYTES = 16
_KEY_BYTES = 32
MEMORY_KIB, PASSES, LANES = 19_456, 2, 1
_NOBODY = b"nobody has it..."  # the salt of names that nobody has


class Hashed(msgspec.Struct, array_like=True):
    """What is kept of a password, with its cost: a later version may ask for more. New fields go at the end."""

    salt: bytes
    key: bytes
    memory_kib: int = MEMORY_KIB
    passes: int = PASSES
    lanes: int = LANES

    def __repr__(self) -> str:
        return "<Hashed>"


@dataclass(frozen=True, slots=True)
class Proof:
    """What a password gives with a salt; None is nobody's."""

    salt: bytes | None
    key: bytes

    def __repr__(self) -> str:
        return "<Proof>"

    def is_of(self, stored: Hashed | None) -> bool:
        """Whether the work was done with what is stored now."""
        return self.salt == (None if stored is None else stored.salt)

    def opens(self, stored: Hashed) -> bool:
        """Whether the password is the one that is stored."""
        return self.salt == stored.salt and hmac.compare_digest(self.key, stored.key)


def hashing(password: str, salt: bytes) -> Callable[[], Hashed]:
    """The work of hashing a password that is set; `salt` is fresh."""

    def work() -> Hashed:
        return Hashed(salt=salt, key=_derive(password, Hashed(salt=salt, key=b"")))

    return work


def proving(password: str, stored: Hashed | None) -> Callable[[], Proof]:
    """The work of deriving what a password gives with what is stored; None: as much of it, for nothing."""
    by = Hashed(salt=_NOBODY, key=b"") if stored is None else stored

    def work() -> Proof:
        return Proof(None if stored is None else stored.salt, _derive(password, by))

    return work


def _derive(password: str, by: Hashed) -> bytes:
    by_cost = Argon2id(
        salt=by.salt, length=_KEY_BYTES, iterations=by.passes, lanes=by.lanes, memory_cost=by.memory_kib
    )
    return by_cost.derive(password.encode())

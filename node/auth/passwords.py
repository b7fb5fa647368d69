"""Passwords: what is kept of one, and the work of comparing with it.

Argon2id for what is set here, and bcrypt for hashes that were made elsewhere. The work is done in a thread, before the
brackets (engines/base.py, Labour); nothing here keeps a password.
Invariants
  P1  what a piece of work found out is bound to the salt it was done with; every password that is set draws a new one,
      so the result fits no other password, of nobody. The salt of a bcrypt hash, with its cost, came with it: with the
      same one the same password gives the same key
  P2  a name that nobody has costs the same work as one that somebody has: where bcrypt is used at all, every comparison
      is filled up to one Argon2id and 2^`dearest` rounds of bcrypt, whatever the hash
Source: RFC 9106; OWASP Password Storage Cheat Sheet (19 MiB, two passes, one lane); Provos and Mazieres, "A
Future-Adaptable Password Scheme".
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import bcrypt
import msgspec
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from ..request import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

SALT_BYTES = 16
_KEY_BYTES = 32
MEMORY_KIB, PASSES, LANES = 19_456, 2, 1
_NOBODY = b"nobody has it..."  # the salt of names that nobody has
BCRYPT_COST_MIN, BCRYPT_COST_MAX = 10, 14  # 50 ms, and 0.8 s of one of the few threads
_BCRYPT = re.compile(r"\$2[aby](\$([0-9]{2})\$[./A-Za-z0-9]{22})([./A-Za-z0-9]{31})")
_BCRYPT_BYTES_MAX = 72  # it looks at no more: who has a longer password has not proved the rest
_BCRYPT_SALT_BYTES = len("$2b$12$") + 22


class Hashed(msgspec.Struct, array_like=True):
    """What is kept of a password, with its cost: a later version may ask for more. New fields go at the end.

    Of a bcrypt hash `salt` is what it begins with, its cost within, and `key` what it ends with.
    """

    salt: bytes
    key: bytes
    memory_kib: int = MEMORY_KIB
    passes: int = PASSES
    lanes: int = LANES

    @property
    def bcrypt_cost(self) -> int:
        """The cost of a bcrypt hash; 0: it is one of Argon2id, whose salts are shorter."""
        return int(self.salt[4:6]) if len(self.salt) == _BCRYPT_SALT_BYTES else 0

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


def given(text: str) -> Hashed:
    """What is kept of a password whose bcrypt hash is given. Raises Refusal, which does not repeat it."""
    found = _BCRYPT.fullmatch(text)
    if found is None:
        raise Refusal(400, "password_hash is no bcrypt hash")
    cost = int(found[2])
    if not BCRYPT_COST_MIN <= cost <= BCRYPT_COST_MAX:
        raise Refusal(400, f"the cost of password_hash must be from {BCRYPT_COST_MIN} to {BCRYPT_COST_MAX}")
    return Hashed(salt=f"$2b{found[1]}".encode(), key=found[3].encode())


def proving(password: str, stored: Hashed | None, dearest: int = 0) -> Callable[[], Proof]:
    """The work of deriving what a password gives with what is stored; None: as much of it, for nothing.

    `dearest`: the highest cost of a bcrypt hash among those that could have been asked for, 0 without one.
    """
    salt = None if stored is None else stored.salt

    def work() -> Proof:
        if stored is None or stored.bcrypt_cost:
            key = _derive(password, Hashed(salt=_NOBODY, key=b""))
        else:
            key = _derive(password, stored)
        if stored is not None and stored.bcrypt_cost:
            key = _bcrypt(password, stored.salt)
            _fill(stored.bcrypt_cost, dearest)
        elif dearest:
            _bcrypt(password, _nobodys(dearest))
        return Proof(salt, key)

    return work


def _derive(password: str, by: Hashed) -> bytes:
    by_cost = Argon2id(
        salt=by.salt, length=_KEY_BYTES, iterations=by.passes, lanes=by.lanes, memory_cost=by.memory_kib
    )
    return by_cost.derive(password.encode())


def _bcrypt(password: str, salt: bytes) -> bytes:
    """What the hash of the password ends with; of one that is longer than bcrypt looks, nothing that any ends with."""
    raw = password.encode()
    key = bcrypt.hashpw(raw[:_BCRYPT_BYTES_MAX], salt)[-31:]
    return key if len(raw) <= _BCRYPT_BYTES_MAX else b""


def _fill(done: int, dearest: int) -> None:
    """As many rounds as 2^`done` lacks to 2^`dearest`."""
    for cost in range(done, dearest):
        _bcrypt("", _nobodys(cost))


def _nobodys(cost: int) -> bytes:
    return b"$2b$%02d$%b" % (cost, b"." * 22)

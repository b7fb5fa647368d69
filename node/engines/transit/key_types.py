"""Types of keys: what each can do, and what one use of it costs.

Pure. A table. Invariant: what a type cannot do is asked here, so that no operation reaches a key of another type.
Source: Vault API, transit, "Create key".
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from ...auth.typed_fields import shown
from ...request import Refusal

BUDGET_US = 10_000  # of work in one request: the loop is held as long


class Kind(enum.Enum):
    """Families of keys that are worked with alike."""

    AEAD = enum.auto()
    ED25519 = enum.auto()
    EC = enum.auto()
    RSA = enum.auto()
    HMAC = enum.auto()


class Work(enum.Enum):
    """What is done with a key, by what it costs: with the private or symmetric key, or with the public one."""

    PRIVATE = enum.auto()
    PUBLIC = enum.auto()
    BOTH = enum.auto()  # rewrap: opened by the one, sealed by the other
    MAC = enum.auto()
    EXPORT = enum.auto()


@dataclass(frozen=True, slots=True)
class KeyType:
    """`bits` of the key, of the curve or of the modulus; the costs are of one operation, measured, rounded up."""

    name: str
    kind: Kind
    bits: int
    private_us: int
    public_us: int = 0
    export_us: int = 20

    def __str__(self) -> str:
        return self.name

    @property
    def encrypts(self) -> bool:
        """Whether it can encrypt and decrypt."""
        return self.kind in {Kind.AEAD, Kind.RSA}

    @property
    def signs(self) -> bool:
        """Whether it can sign and verify."""
        return self.kind in {Kind.ED25519, Kind.EC, Kind.RSA}

    @property
    def derives(self) -> bool:
        """Whether a key of its own can be derived for each context."""
        return self.kind in {Kind.AEAD, Kind.ED25519}

    @property
    def is_asymmetric(self) -> bool:
        """Whether it has a public half."""
        return self.signs

    @property
    def curve(self) -> str:
        """The name that Vault shows beside each version."""
        return f"P-{self.bits}" if self.kind is Kind.EC else self.name

    def items_max(self, work: Work) -> int:
        """How many operations fit one request."""
        if work is Work.MAC:
            return BUDGET_US // _MAC_US
        cost_us = {
            Work.PRIVATE: self.private_us,
            Work.PUBLIC: self.public_us or self.private_us,
            Work.BOTH: self.private_us + (self.public_us or self.private_us),
            Work.EXPORT: self.export_us,
        }[work]
        return max(1, BUDGET_US // cost_us)


_MAC_US = 10
_TABLE = (
    KeyType("aes128-gcm96", Kind.AEAD, 128, 20),
    KeyType("aes256-gcm96", Kind.AEAD, 256, 20),
    KeyType("chacha20-poly1305", Kind.AEAD, 256, 20),
    KeyType("ed25519", Kind.ED25519, 256, 100, 140, 60),
    KeyType("ecdsa-p256", Kind.EC, 256, 80, 125, 40),
    KeyType("ecdsa-p384", Kind.EC, 384, 650, 850, 250),
    KeyType("ecdsa-p521", Kind.EC, 521, 650, 850, 250),
    KeyType("rsa-2048", Kind.RSA, 2048, 800, 60),
    KeyType("rsa-3072", Kind.RSA, 3072, 1800, 80),
    KeyType("rsa-4096", Kind.RSA, 4096, 4000, 100),
    KeyType("hmac", Kind.HMAC, 256, _MAC_US),
)
TYPES = {type_.name: type_ for type_ in _TABLE}
DEFAULT = "aes256-gcm96"
ITEMS_MAX = max(type_.items_max(work) for type_ in _TABLE for work in Work)


def key_type(name: str) -> KeyType:
    """The type of that name. Raises Refusal."""
    found = TYPES.get(name)
    if found is None:
        raise Refusal(400, f"unknown key type {shown(name)}")
    return found

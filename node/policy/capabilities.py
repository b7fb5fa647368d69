"""The words of a policy as a set of bits, and which of them an operation needs.

Pure. Invariant: a set that holds DENY holds nothing else, because deny anywhere wins and clears the rest.
Source: Vault, "Policies: Capabilities"; OpenBao for `scan`.
"""

from __future__ import annotations

import enum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Capability(enum.IntFlag):
    """What a rule grants on the paths it matches; the empty set grants nothing."""

    DENY = 1
    CREATE = 2
    READ = 4
    UPDATE = 8
    DELETE = 16
    LIST = 32
    SUDO = 64
    PATCH = 128
    SCAN = 256


NOTHING = Capability(0)

# The word in a policy → its bit.
WORDS = MappingProxyType({str(capability.name).lower(): capability for capability in Capability})

# The old words (`policy = "write"`) → what they have always meant.
OLD_WORDS = MappingProxyType(
    {
        "deny": Capability.DENY,
        "read": Capability.READ | Capability.LIST,
        "write": Capability.CREATE | Capability.READ | Capability.UPDATE | Capability.DELETE | Capability.LIST,
        "sudo": Capability.CREATE
        | Capability.READ
        | Capability.UPDATE
        | Capability.DELETE
        | Capability.LIST
        | Capability.SUDO,
    }
)

# Operation → the capability it needs. An operation that is not here (header) is allowed to root only; help is
# allowed to every valid token and never asks.
NEEDS = MappingProxyType(
    {
        "read": Capability.READ,
        "list": Capability.LIST,
        "scan": Capability.SCAN,
        "create": Capability.CREATE,
        "update": Capability.UPDATE,
        "patch": Capability.PATCH,
        "delete": Capability.DELETE,
        "revoke": Capability.UPDATE,
        "renew": Capability.UPDATE,
        "rollback": Capability.UPDATE,
    }
)


def union(capabilities: Iterable[Capability]) -> Capability:
    """All of them together; only DENY if one of them is DENY."""
    joined = NOTHING
    for capability in capabilities:
        joined |= capability
    return Capability.DENY if joined & Capability.DENY else joined


def words(capabilities: Capability) -> list[str]:
    """The sorted words, as `sys/capabilities` answers them; `["deny"]` for DENY and for the empty set."""
    if capabilities & Capability.DENY or not capabilities:
        return ["deny"]
    return sorted(word for word, capability in WORDS.items() if capabilities & capability)

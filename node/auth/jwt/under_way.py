"""Sign-ins that were begun and have not ended, in the memory of the leader.

Touches nothing else. Whoever begins one has proved nothing yet, so both bounds are about strangers. Invariants
  U1  at most UNDER_WAY_MAX are kept, and at most EACH_MAX that one address began (IPv6: one network of 64 bits): the
      oldest give way, those of the same address first, so that nobody drives out the others
  U2  what is older than TTL_S, or has ended, is not found
Source: docs/threat-model.md, "Logins that others vouch for".
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .keys import Place

TTL_S = 600
UNDER_WAY_MAX = 10_000
EACH_MAX = 1_000
NS = 1_000_000_000

State = tuple[bytes, str]
"""Uuid of a mount, and what it drew for a sign-in."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A sign-in that was begun."""

    place: Place
    role: str
    redirect_uri: str
    nonce: str
    verifier: str
    client_nonce: str
    begun_ns: int
    address: str = ""

    def __repr__(self) -> str:
        return "<Pending>"


class UnderWay:
    """Of every mount of a node."""

    def __init__(self) -> None:
        self._begun: OrderedDict[State, Pending] = OrderedDict()
        self._by: dict[str, OrderedDict[State, None]] = {}

    def __len__(self) -> int:
        return len(self._begun)

    def begin(self, state: State, pending: Pending) -> None:
        """It is under way; what is too old, or too much, no longer is (U1, U2)."""
        while self._begun and not self._is_recent(oldest := next(iter(self._begun)), pending.begun_ns):
            self.end(oldest)
        of_same = self._by.setdefault(_origin(pending.address), OrderedDict())
        while len(of_same) >= EACH_MAX:
            self.end(next(iter(of_same)))
        while len(self._begun) >= UNDER_WAY_MAX:
            self.end(next(iter(self._begun)))
        self._begun[state] = pending
        self._by.setdefault(_origin(pending.address), OrderedDict())[state] = None

    def find(self, state: State, now_ns: int) -> Pending | None:
        """What was begun with this state, if it still may end."""
        return self._begun.get(state) if self._is_recent(state, now_ns) else None

    def end(self, state: State) -> None:
        """It is over."""
        pending = self._begun.pop(state, None)
        if pending is not None:
            origin = _origin(pending.address)
            self._by[origin].pop(state)
            if not self._by[origin]:
                del self._by[origin]

    def _is_recent(self, state: State, now_ns: int) -> bool:
        pending = self._begun.get(state)
        return pending is not None and now_ns - pending.begun_ns <= TTL_S * NS


def _origin(address: str) -> str:
    """The address, or the network of 64 bits that a machine with IPv6 draws its own from."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address) or found.ipv4_mapped is not None:
        return str(getattr(found, "ipv4_mapped", None) or found)
    return str(ipaddress.IPv6Network((int(found) >> 64 << 64, 64)))

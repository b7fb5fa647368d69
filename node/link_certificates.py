"""The certificates of the cluster as security events: this node's own at its start, and each change of another's.

A node's certificate is what its links and the hand-out of keys go by, and is replaced by files and a restart; so a
change is seen where it arrives, at the nodes it is shown to. A shell around comparisons. Invariants
  C1  a certificate is told of when a proven link shows another one than the link before it, and when its key is not the
      one in the member record; not at every link
  C2  events hold fingerprints, never a certificate
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from cluster import Table, look, public_key_sha256, records

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster import Member


class LinkCertificates:
    """Of one node. `record(event, **details)` keeps an event."""

    def __init__(self, member: Member, record: Callable[..., None]) -> None:
        self._member = member
        self._record = record
        self._shown: dict[str, bytes] = {}  # peer → SHA-256 of the certificate it showed last

    def started(self) -> None:
        """Links stand, or begin to: what this node shows them is told, and what they show is looked at from now on."""
        member = self._member
        if member.links is None or member.settings.listen is None:
            return
        host, port = member.settings.listen
        der = member.settings.certificate_der
        self._record("peer listener", address=f"{host}:{port}", **_named(der))
        member.links.on_certificate = self.shown

    def opened(self) -> None:
        """The node is unsealed: whether its own certificate is that of its member record can be told.

        No link is proven before, so what others show is compared when they do.
        """
        member = self._member
        if member.links is not None:
            self._compare(member.settings.node_id, member.settings.certificate_der)

    def shown(self, peer: str, der: bytes) -> None:
        """A proven link of the peer stands, with this certificate."""
        found = hashlib.sha256(der).digest()
        former = self._shown.get(peer)
        if former == found:
            return
        self._shown[peer] = found
        if former is not None:
            self._record("member certificate changed", member=peer, former=former.hex(), **_named(der))
        self._compare(peer, der)

    def _compare(self, name: str, der: bytes) -> None:
        """C1: the member record is what a hand-out of keys goes by."""
        member = self._member
        if member.replica is None:
            return
        found = look(member.view, Table.MEMBER, records.Member, name.encode())
        if found is None or not found[1].spki or found[1].spki == public_key_sha256(der):
            return
        self._record("member certificate has another key", member=name, known=found[1].spki.hex(), **_named(der))


def _named(der: bytes) -> dict[str, str]:
    return {"certificate": hashlib.sha256(der).hexdigest(), "spki": public_key_sha256(der).hex()}

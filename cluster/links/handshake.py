"""Who is at the other end: identity from the certificate, then proof of the keyring.

A certificate opens a link, not a conversation. Each side says hello (id, incarnation, nonce, formats) and then proves
that it holds the keyring: HMAC by the link key over both hellos and both certificates' fingerprints, in an order that
neither side can mirror. Without proof only the calls of UNPROVEN_CALLS are served. Pure.

Invariants
  H1  the id in the hello is the id in the certificate, of the same cluster name, and a configured member, not ourselves
  H2  a proof is good for one pair of hellos and one pair of certificates, in one direction
  H3  two sides with keys that cannot prove them to each other do not talk
  H4  a peer that knows a higher incarnation of us than ours makes us take a higher one (our ballot was lost)
  H5  a proof covers the hello as it was sent: a field that the listener does not know yet changes nothing
  H6  members of different generations do not talk, though a restore may have kept the link key
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import StrongroomError
from .wire import FORMAT

if TYPE_CHECKING:
    from collections.abc import Callable

    from .messages import Hello

UNPROVEN_CALLS = frozenset({"init.promise", "init.store", "init.final", "state", "envelope", "peers.ask"})
NONCE_BYTES = 32


class HandshakeError(StrongroomError):
    """The other end is not who it must be."""


@dataclass(frozen=True, slots=True)
class Side:
    """One end, as the proof binds it: its hello as it stood on the wire, and the SHA-256 of its certificate."""

    hello: bytes
    fingerprint: bytes


def check_hello(hello: Hello, *, own_id: str, cluster_name: str, members: frozenset[str], certified_id: str) -> None:
    """H1; raises HandshakeError with a sentence that names ids only."""
    if hello.cluster_name != cluster_name:
        raise HandshakeError("the other end belongs to another cluster")
    if hello.node_id != certified_id:
        raise HandshakeError("the other end claims an id that its certificate does not have")
    if hello.node_id == own_id or hello.node_id not in members:
        raise HandshakeError(f"{hello.node_id!r} is not another member")
    if FORMAT not in hello.formats:
        raise HandshakeError("the other end does not read this format")
    if len(hello.nonce) != NONCE_BYTES or hello.link not in {"raft", "bulk"}:
        raise HandshakeError("the hello is not whole")


def check_same_cluster(hello: Hello, *, cluster_id: bytes, generation: bytes) -> None:
    """H6; raises HandshakeError. For a proven link: a node without keys may not know either yet."""
    if (hello.cluster_id, hello.generation) != (cluster_id, generation):
        raise HandshakeError("the other end belongs to another generation of the cluster")


def transcript(speaker: Side, listener: Side) -> bytes:
    """What the speaker's proof covers (H2)."""
    parts = (speaker.hello, speaker.fingerprint, listener.hello, listener.fingerprint)
    return b"strongroom link v1" + b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def prove(link_mac: Callable[[bytes], bytes] | None, speaker: Side, listener: Side) -> bytes:
    """The proof the speaker sends; empty without keys."""
    return b"" if link_mac is None else link_mac(transcript(speaker, listener))


def verify(link_mac: Callable[[bytes], bytes] | None, speaker: Side, listener: Side, proof: bytes) -> bool:
    """Whether the link is proven. Raises HandshakeError if both have keys and the proof is wrong (H3)."""
    if link_mac is None or not proof:
        return False
    if not hmac.compare_digest(link_mac(transcript(speaker, listener)), proof):
        raise HandshakeError("the other end does not hold this cluster's keys")
    return True

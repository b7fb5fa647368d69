"""What a member answers to another member's calls: init's phases, its state, the envelope, and what `node` serves.

Invariant: a peer that has not proven the keyring learns nothing but what init, join and unseal need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from . import files
from .errors import NotInitialisedError
from .initialise import Store
from .links.certs import public_key_sha256
from .links.transport import CallError

if TYPE_CHECKING:
    from .links.messages import Call
    from .member import Member

T = TypeVar("T")


async def answer(member: Member, peer: str, proven: bool, call: Call, certificate: bytes) -> bytes:
    """The body of the reply; a StrongroomError becomes the reply's error."""
    if call.method == "forward" and proven and member.on_forward is not None:
        return await member.on_forward(peer, call.body)
    if call.method == "peers.ask" and member.rehydrate is not None:
        return await member.rehydrate.answer(peer, call.body, certificate)
    if call.method == "state":
        return msgspec.msgpack.encode([member.state_word, member.cluster_id, member.sealed_by_operator])
    if call.method == "envelope":
        bootstrap = files.read_bootstrap(member.disk)
        if not member.initialised or bootstrap is None:
            raise NotInitialisedError("this node has no keyring yet")
        return msgspec.msgpack.encode([member.cluster_id, member.envelope, bootstrap])
    if call.method == "init.promise":
        member.init_state.promise(_decoded(call.body, int))
        return public_key_sha256(member.settings.certificate_der)
    if call.method == "init.store":
        member.init_state.store(_decoded(call.body, Store))
        return b""
    if call.method == "init.final":
        if not member.init_state.stored:
            raise NotInitialisedError("this node has stored nothing that could be final")
        member.init_state.finish(call.body)
        return b""
    if proven and call.method == "keyring.offer":
        return await member.keyrings.offered(peer, call.body)
    if proven and call.method == "keyring.take" and member.rekeying is not None:
        return await member.rekeying.take(peer, call.body, certificate)
    if proven and call.method == "keyring.kept":
        return await member.keyrings.kept(call.body)
    if proven and member.on_call is not None:
        return await member.on_call(peer, call.method, call.body)
    raise CallError("unknown method", b"")


def _decoded(body: bytes, kind: type[T]) -> T:
    """The body as `kind`; raises CallError. Whoever sent nonsense is told so, and the log is not."""
    try:
        return msgspec.msgpack.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise CallError("bad body", b"") from None

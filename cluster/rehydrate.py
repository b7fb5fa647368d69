"""Hand-out of the root key between members: a restarted node is opened by a live one. Both ends of the calls.

The rules are keyring/unsealers/peers.py; here they meet links, state and log. The leader gives, after the hand-out is
committed as a fact; without a majority any member that was unsealed lately may, after it is written to its own log.

Invariants
  D1  nothing is handed out but over a link whose certificate stands in the member's record
  D2  the fact is applied, or without a majority logged, before the grant leaves
  D3  a node that an operator sealed neither gives nor asks
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

import msgspec

from .errors import NotLeaderError, StrongroomError, UnavailableError
from .keyring.seal import open_envelope
from .keyring.unsealers.peers import (
    Asking,
    Challenges,
    HandOut,
    HandOutRefusedError,
    Request,
    Standing,
    hand_out,
    may_propose,
)
from .keyring.unsealers.peers import grant as make_grant
from .links.certs import public_key_sha256
from .state import records
from .state.tables import Table
from .state.transaction import Draft
from .state.view import View, index_of, look

if TYPE_CHECKING:
    from collections.abc import Callable

    from .member import Member

log = logging.getLogger("strongroom.security")

CALL_S = 5.0
ASK_PERIOD_S = 0.5
FACT = b"hand-out\x00"


class Rehydrate:
    """One member's part in hand-outs. `enabled`: what the configuration says of seal.peers."""

    def __init__(self, member: Member, *, enabled: bool, absence_max_s: float) -> None:
        self._member = member
        self._enabled = enabled
        self._absence_max_s = absence_max_s
        self._challenges = Challenges()
        self._local: list[HandOut] = []
        self._seen: dict[str, float] = {}  # peer → when it was last known to be unsealed
        self.on_event: Callable[..., None] = lambda _event, **_details: None
        self._start = member.clock.wall_ns() // 1_000_000  # names this start of the process

    def saw_unsealed(self, peer: str) -> None:
        """The peer proved the keyring, or was connected with it until now."""
        self._seen[peer] = self._member.clock.boot()

    # ---- giving
    async def answer(self, peer: str, body: bytes, certificate: bytes) -> bytes:
        """An empty question gets a challenge, a request the root key. Raises HandOutRefusedError."""
        member = self._member
        spki = public_key_sha256(certificate)
        if not body:
            if member.replica is None or not self._enabled:
                raise HandOutRefusedError("this node hands out nothing")
            return self._challenges.issue(spki, member.random, member.clock.boot())
        request = Request.decode(body)
        if request.node_id != peer:
            raise HandOutRefusedError("the asking node names another id than its link")
        fresh = self._challenges.take(spki, request.challenge, member.clock.boot())
        standing = self._standing(peer, spki, fresh=fresh)
        refusal = may_propose(request, standing)
        if refusal is not None:
            log.warning("the root key was not handed to %s: %s", peer, refusal)
            self.on_event("hand-out refused", member=peer, why=refusal)
            raise HandOutRefusedError(refusal)
        await self._write_down(request, standing)
        standing = self._standing(peer, spki, fresh=fresh)
        unsealed = member.unsealed
        if unsealed is None:
            raise HandOutRefusedError("this node was sealed meanwhile")
        return make_grant(unsealed.root_key, request, standing, member.random)

    def _standing(self, peer: str, spki: bytes, *, fresh: bool) -> Standing:
        member = self._member
        state = member.view
        record = look(state, Table.MEMBER, records.Member, peer.encode())
        seen = self._seen.get(peer)
        links = member.links
        hello = None if links is None else links.hellos.get(peer)
        return Standing(
            peers=self._enabled,
            giver_id=member.settings.node_id,
            giver_marked=member.sealed_by_operator,
            asker_marked=hello is not None and hello.state == "sealed by operator",
            cluster_id=member.cluster_id,
            epoch=member.seal_config.epoch,
            member_spki=None if record is None else record[1].spki,
            link_spki=spki,
            address=member.settings.members[peer].api,
            absence_s=None if seen is None else member.clock.boot() - seen,
            absence_max_s=self._absence_max_s,
            challenge_fresh=fresh,
            majority=member.leader_id is not None,
            committed=_committed(state),
            local=tuple(self._local),
        )

    async def _write_down(self, request: Request, standing: Standing) -> None:
        fact = hand_out(request, standing)
        log.warning("the root key is handed to %s at %s", fact.node_id, fact.address)
        self.on_event("hand-out", member=fact.node_id, address=fact.address, spki=fact.spki.hex())
        if not standing.majority:
            self._local.append(fact)
            return
        if not self._member.is_leader:
            raise NotLeaderError(self._member.leader_id)

        def decide(view: View, now_ns: int) -> tuple[Draft, None]:
            key = FACT + fact.node_id.encode()
            draft = Draft()
            draft.expect(Table.FACT, key, index_of(view, Table.FACT, key))
            data = msgspec.msgpack.encode(fact)
            draft.put(Table.FACT, key, records.Fact(time_ns=now_ns, text="hand-out", data=data))
            return draft, None

        await self._member.propose(decide)  # whatever backups ask of writes: it is what brings a member back

    # ---- asking
    async def ask_until_open(self) -> None:
        """Ask every peer in turn until this node is unsealed, by whomever."""
        member = self._member
        while member.sealed:
            if member.initialised and not member.starting and not member.sealed_by_operator:
                with contextlib.suppress(StrongroomError, OSError):
                    await member.keyrings.look_around()
                for peer in sorted(member.settings.members):
                    if peer != member.settings.node_id and member.sealed:
                        with contextlib.suppress(StrongroomError, OSError):
                            await self._ask(peer)
            await asyncio.sleep(ASK_PERIOD_S)

    async def _ask(self, peer: str) -> None:
        member = self._member
        links = member.links
        if links is None or not links.standing(peer):
            raise UnavailableError("no link to the peer")
        challenge = await links.call(peer, "peers.ask", b"", CALL_S)
        asking = Asking(
            member.random,
            node_id=member.settings.node_id,
            spki=public_key_sha256(member.settings.certificate_der),
            incarnation=self._start,
            cluster_id=member.cluster_id,
            epoch=member.seal_config.epoch,
            challenge=challenge,
        )
        answer = await links.call(peer, "peers.ask", asking.request.encode(), CALL_S)
        root_key = asking.open(peer, answer)
        try:
            unsealed = open_envelope(root_key, member.envelope)
        except StrongroomError:
            member.keyrings.doubt()
            raise
        await member.open_with(unsealed)
        log.warning("this node was opened by %s", peer)


def _committed(view: View) -> tuple[HandOut, ...]:
    found = []
    for key, _, record in view.items(Table.FACT):
        if key.startswith(FACT):
            fact = records.decode(records.Fact, record)
            found.append(msgspec.msgpack.decode(fact.data, type=HandOut))
    return tuple(found)


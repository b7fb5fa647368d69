"""What a leader does with keys: a rotation is proposed; a rekey is told to the members, proposed, and heard to be kept.

A shell. A rekey's root key must be in the memory of a majority before its entry stands in the log: else the entry could
be committed and open for nobody.

Invariants
  Z1  a rekey is proposed only when a majority of the members, this one among them, holds its root key
  Z2  the root key is sealed to one member at a time: one whose link proved the keyring, with the certificate of its
      record, that is in the same life as when the rekey began. Who was opened later, with old keys, gets nothing
  Z3  a rotation or rekey is decided on the keyring in use, which is the applied one: two at a time are one refused
  Z4  a rekey that was made before the seal was changed is not applied: it would bring the former seal back
  Z5  `rekey` returns when the envelope is in the files of a majority: its new shares open the cluster from then on
Source: docs/threat-model.md, keys; Vault API, sys/rotate and sys/rekey.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from typing import TYPE_CHECKING

import msgspec

from .errors import DamagedError, StrongroomError, UnavailableError, UnknownOutcomeError
from .keyring.envelope import read_seal
from .keyring.seal import open_envelope, rotate
from .keyring.secrecy import Secret, wipe
from .keyring.unsealers.peers import CHALLENGE_BYTES, HandOutRefusedError, Request, seal_grant
from .links.certs import public_key_sha256
from .rotation import FORMAT, KEY, Offer
from .state import records
from .state.tables import Table
from .state.transaction import Draft
from .state.view import View, look

if TYPE_CHECKING:
    from collections.abc import Callable

    from .keyring.seal import NewSeal
    from .member import Member

log = logging.getLogger("strongroom.security")

CALL_S = 5.0
USED_S = 10.0
OFFER_AGAIN_S = 0.3
OFFER_FOR_S = 8.0  # behind the commit, to members that were away: less than rotation.KEYS_WAIT_S
TERMS_MAX = 4096


class TooManyTermsError(StrongroomError):
    """The keyring takes no more key terms."""


class SealChangedError(StrongroomError):
    """The keys were made for a seal that is not in force any more."""


def seal_epoch(view: View) -> int:
    """The epoch of the seal that the state has, with what is proposed if the view has it; 0 if its record is none.

    Shares that were checked under an earlier one are those of a root key that is none any more.
    """
    found = view.get(Table.KEYRING, KEY)
    record = None if found is None else records.readable(records.KeyringRecord, found[1])
    try:
        return 0 if record is None else read_seal(record.envelope)[1].epoch
    except DamagedError:
        return 0


class Giving(Secret):
    """A root key that members may take. `lives`: who is offered it, and the incarnation it has to be."""

    __slots__ = ("challenges", "envelope", "epoch", "lives", "root_key", "told")

    def __init__(self, made: NewSeal, lives: dict[str, int]) -> None:
        self.root_key = bytearray(made.root_key)
        self.envelope = made.envelope
        self.epoch = made.seal.epoch
        self.lives = lives
        self.challenges: dict[str, bytes] = {}
        self.told: set[str] = set()


class Rekeying:
    """One member's, used while it leads; the member knows it from now on."""

    def __init__(self, member: Member) -> None:
        self._member = member
        self._giving: Giving | None = None
        self._busy = False
        self._going_on: asyncio.Task[None] | None = None
        self.on_event: Callable[..., None] = lambda _event, **_details: None
        member.rekeying = self

    def __repr__(self) -> str:
        return "<Rekeying>"

    # ---- rotation
    async def rotate(self) -> int:
        """A further key term is committed, and in use on this node if its disk lets it; the index of its entry.

        Raises as `Member.write`.
        """
        member = self._member
        envelope = b""

        def decide(view: View, now_ns: int) -> tuple[Draft, None]:
            nonlocal envelope
            draft = self._draft(view)
            unsealed = member.unsealed
            assert unsealed is not None
            if len(unsealed.keyring.term_ids) >= TERMS_MAX:
                raise TooManyTermsError("the keyring takes no more key terms")
            seal = read_seal(member.keyrings.in_use)[1]
            keyring, envelope = rotate(unsealed.root_key, unsealed.keyring, seal, member.random, now_ns)
            keyring.wipe()
            draft.put(Table.KEYRING, KEY, records.KeyringRecord(epoch=seal.epoch, envelope=envelope))
            return draft, None

        index, _ = await member.write(decide)
        if not await member.keyrings.until_used(envelope, USED_S):
            log.error("the rotation is committed, and not in use on this node yet")
        return index

    def _draft(self, view: View) -> Draft:
        """Z3. Raises UnavailableError."""
        found = view.get(Table.KEYRING, KEY)
        record = None if found is None else records.readable(records.KeyringRecord, found[1])
        in_use = self._member.keyrings.in_use
        if found is None or record is None or record.envelope != in_use:
            raise UnavailableError("the keys are being changed already")
        draft = Draft()
        draft.expect(Table.KEYRING, KEY, found[0])
        return draft

    # ---- rekey
    async def rekey(self, made: NewSeal) -> int:
        """The new root key is in force: old shares open nothing that is stored from the returned index on.

        `made` stays the caller's, and to be wiped. Raises UnavailableError, SealChangedError (nothing happened), or as
        `Member.write`.
        """
        if self._busy:
            raise UnavailableError("another rekey is being applied")
        self._busy = True
        try:
            return await self._rekey(made)
        except BaseException:
            self.forget()
            raise
        finally:
            self._busy = False

    async def _rekey(self, made: NewSeal) -> int:
        member = self._member
        unsealed, in_use = member.unsealed, member.keyrings.in_use
        if unsealed is None:
            raise UnavailableError("this node was sealed meanwhile")
        self._draft(member.view)
        seal = read_seal(in_use)[1]
        if (made.seal.type, made.seal.epoch) != (seal.type, seal.epoch + 1):  # Z4
            raise SealChangedError("the seal was changed since this rekey began: begin again")
        made.renew(unsealed.keyring, member.random, member.now_ns())
        await self._tell_majority(self._begin_giving(made))
        member.keyrings.keep(made.envelope, open_envelope(bytearray(made.root_key), made.envelope))

        def decide(view: View, _now_ns: int) -> tuple[Draft, None]:
            draft = self._draft(view)
            if member.keyrings.in_use != in_use:
                raise UnavailableError("the keys were changed meanwhile")
            draft.put(Table.KEYRING, KEY, records.KeyringRecord(epoch=made.seal.epoch, envelope=made.envelope))
            return draft, None

        name, quorum = hashlib.sha256(made.envelope).digest(), member.running.quorum
        try:
            index, _ = await member.write(decide)
        except UnknownOutcomeError:  # the new shares may be all that opens the cluster: it is worth a look
            if not await member.keyrings.until_kept(name, USED_S):
                raise
            index = member.view.applied_index
        if not await member.keyrings.until_used(made.envelope, USED_S):
            log.error("the rekey is committed, and not in use on this node yet")
        await self._kept_by_majority(name, quorum)  # also if this node is sealed meanwhile: the shares must be told
        return index

    def _begin_giving(self, made: NewSeal) -> Giving:
        self.forget()
        links = self._member.links
        hellos = {} if links is None else links.hellos
        linked = [peer for peer in self._others if peer in hellos and self._is_linked(peer)]
        self._giving = Giving(made, {peer: hellos[peer].incarnation for peer in linked})
        return self._giving

    def forget(self) -> None:
        """No root key waits here for members any more."""
        giving, self._giving = self._giving, None
        if giving is not None:
            wipe(giving.root_key)
        if self._going_on is not None:
            self._going_on.cancel()
            self._going_on = None

    @property
    def _others(self) -> list[str]:
        return [name for name in self._member.settings.members if name != self._member.settings.node_id]

    def _is_linked(self, peer: str) -> bool:
        """Over a link that proved the keyring."""
        return self._member.replica is not None and self._member.replica.connected(peer)

    async def _tell_majority(self, giving: Giving) -> None:
        """Z1. Raises UnavailableError."""
        await asyncio.gather(*(self._offer(giving, peer) for peer in giving.lives))
        if 1 + len(giving.told) < self._member.running.quorum:
            raise UnavailableError("a majority of the members must be unsealed and reachable, to be told the new key")
        missed = sorted(set(self._others) - giving.told)
        if missed:
            log.warning("rekey: not told, to be opened with the new keys: %s", ", ".join(missed))
        self._going_on = asyncio.get_running_loop().create_task(self._go_on(giving))

    async def _offer(self, giving: Giving, peer: str) -> None:
        """The peer holds the root key, if it could be reached."""
        member = self._member
        assert member.links is not None
        giving.challenges[peer] = member.random.bytes(CHALLENGE_BYTES)
        body = msgspec.msgpack.encode(Offer(FORMAT, giving.challenges[peer], giving.envelope))
        try:
            await member.links.call(peer, "keyring.offer", body, CALL_S)
        except StrongroomError as error:
            log.warning("rekey: %s was not told: %s", peer, error)
        else:
            giving.told.add(peer)

    async def _go_on(self, giving: Giving) -> None:
        """Members whose link broke in a bad moment are told a little later; then the key is here no more."""
        end_s = self._member.clock.boot() + OFFER_FOR_S
        while giving.told != set(giving.lives) and self._member.clock.boot() < end_s:
            await asyncio.sleep(OFFER_AGAIN_S)
            for peer in set(giving.lives) - giving.told:
                if self._is_linked(peer):
                    await self._offer(giving, peer)
        if self._giving is giving:
            self._giving = None
        wipe(giving.root_key)

    async def take(self, peer: str, body: bytes, certificate: bytes) -> bytes:
        """Z2: the root key, sealed to the member that was offered it. Raises HandOutRefusedError, DamagedError."""
        member, giving = self._member, self._giving
        request = Request.decode(body)
        refusal = self._refusal(giving, peer, request, public_key_sha256(certificate))
        if refusal is not None or giving is None:
            log.warning("the root key of the rekey was not handed to %s: %s", peer, refusal)
            self.on_event("rekey hand-out refused", member=peer, why=refusal or "")
            raise HandOutRefusedError(refusal or "there is no rekey")
        self.on_event("rekey hand-out", member=peer, spki=request.spki.hex())
        return seal_grant(giving.root_key, request, member.settings.node_id, member.random)

    def _refusal(self, giving: Giving | None, peer: str, request: Request, link_spki: bytes) -> str | None:
        """None if it may leave. The challenge is used up either way."""
        member = self._member
        challenge = b"" if giving is None else giving.challenges.pop(peer, b"")
        if giving is None or not member.is_leader:
            return "there is no rekey"
        record = look(member.view, Table.MEMBER, records.Member, peer.encode())
        hello = None if member.links is None else member.links.hellos.get(peer)
        known = b"" if record is None else record[1].spki
        rules = (
            (request.node_id != peer, "the asking node names another id than its link"),
            (not hmac.compare_digest(challenge, request.challenge), "the challenge is not the one that was given"),
            (
                not known or not hmac.compare_digest(known, request.spki) or not hmac.compare_digest(known, link_spki),
                "the fingerprint is not the one in the member record",
            ),
            (
                (request.cluster_id, request.epoch) != (member.cluster_id, giving.epoch),
                "the asking node speaks of another envelope",
            ),
            (
                hello is None or hello.incarnation != giving.lives.get(peer),
                "the asking node was started since the rekey began",
            ),
        )
        return next((sentence for broken, sentence in rules if broken), None)

    # ---- what is kept
    async def _kept_by_majority(self, name: bytes, quorum: int) -> None:
        """Z5. Where it is not so in time, the log says it: what is committed cannot be refused any more."""
        kept = 1
        asked = {asyncio.ensure_future(self._keeps(peer, name)) for peer in self._others}
        try:
            while asked and kept < quorum:
                done, asked = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
                kept += sum(task.result() for task in done)
        finally:
            for task in asked:
                task.cancel()
        if kept < quorum:
            log.error("rekey: the new envelope is not in the files of a majority yet")

    async def _keeps(self, peer: str, name: bytes) -> bool:
        links = self._member.links
        assert links is not None
        try:
            await links.call(peer, "keyring.kept", name, USED_S)
        except StrongroomError:
            return False
        return True


__all__ = ["Rekeying", "SealChangedError", "TooManyTermsError", "seal_epoch"]

"""The keyring of a running member: a rotation or rekey that is applied here comes into force, on every node by itself.

A shell around keyring/. The record in the state is the word; the file `keyring` is this node's newest copy of it. A
rotation is sealed under the root key, which every unsealed member holds. A rekey is not: the leader hands its root key
to the members that are unsealed, before it is proposed (rekeying.py).

Invariants
  Y1  nothing here is sealed with a key term before its rotation is committed and its envelope is durable in this
      node's `keyring`; nothing that is sealed with it is acknowledged before that
  Y2  the keyring in use only grows: an older record, replayed, changes nothing
  Y3  a new root key is in memory only, sealed on the way to one member that proved the keyring and its certificate
  Y4  a member that cannot come by the keys of an applied rekey seals itself and says why; its files stay as they are
  Y5  an envelope that a peer shows is ciphertext: it is believed only when a root key opens it
Source: docs/threat-model.md, keys.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

from . import files
from .coordinator import read_envelope_answer
from .errors import DamagedError, StrongroomError, UnavailableError, WrongKeyError
from .keyring.envelope import read_seal
from .keyring.seal import Unsealed, open_envelope
from .keyring.unsealers.peers import Asking
from .links.certs import public_key_sha256
from .state import records
from .state.tables import Table

if TYPE_CHECKING:
    from collections.abc import Callable

    from .member import Member
    from .state.machine import State

log = logging.getLogger("strongroom.security")

KEY = b"keyring"
FORMAT = 1
CALL_S = 2.0
KEYS_WAIT_S = 10.0  # for keys that the leader, or a member that applied the rotation, still has to give
HOPELESS_S = 20.0
KEPT_S = 5.0
ASK_PERIOD_S = 0.1
WRITE_AGAIN_S = 1.0
OFFERS_MAX = 4
MISSED = (
    "the cluster was rekeyed, and this node could not be told the new root key: open it with the keys that the rekey "
    "made"
)


class Offer(msgspec.Struct, array_like=True, frozen=True):
    """What a leader says before a rekey: the new envelope, and the challenge with which its root key is asked for.

    New fields go to the end, with a default.
    """

    format: int
    challenge: bytes
    envelope: bytes


class Keyrings:
    """One member's. `begin` and `forget` bound each life between unseal and seal."""

    def __init__(self, member: Member) -> None:
        self._member = member
        self._offers: dict[bytes, Unsealed] = {}  # SHA-256 of an envelope → what it opens to
        self._coming: deque[tuple[bytes, Unsealed]] = deque()  # committed, and on its way to the file
        self._newer = b""  # while sealed: the envelope of a later rekey, that a peer showed
        self._missing = b""  # applied here, and no key of ours opens it
        self._arrived = asyncio.Event()  # something came into force, or was offered
        self._fetching: asyncio.Task[None] | None = None
        self._hopeless_until_s = 0.0  # until then a key term that is not known is damage
        self._tasks: set[asyncio.Task[None]] = set()
        self._writing = asyncio.Lock()
        self.in_use = b""  # the envelope of the keyring that seals here
        self.sealed_because = ""
        self.on_rekeyed: Callable[[], None] = lambda: None
        self._worker: asyncio.Task[None] | None = None  # what is coming comes one after the other
        self._thread: asyncio.Task[None] | None = None  # writes the file, and cannot be stopped
        self._ending: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return "<Keyrings>"

    # ---- while sealed
    def newest(self, kept: bytes | None) -> bytes | None:
        """The envelope that a sealed node is opened with; `kept` is that of its file."""
        return self._newer or kept

    def doubt(self) -> None:
        """What a peer showed does not open: the node's own file may (Y5)."""
        self._newer = b""

    async def look_around(self) -> None:
        """A sealed node learns from its peers whether the cluster was rekeyed while it was away."""
        member = self._member
        if not member.sealed or not member.initialised:
            return
        shown = await asyncio.gather(*(self._shown_by(peer) for peer in member.settings.members))
        for envelope in shown:
            if envelope and member.sealed and read_seal(envelope)[1].epoch > member.seal_config.epoch:
                self._newer = envelope

    async def _shown_by(self, peer: str) -> bytes:
        """The peer's envelope, if it is of this cluster; empty for everything else."""
        member = self._member
        if peer in {"", member.settings.node_id} or member.links is None or not member.links.standing(peer):
            return b""
        with contextlib.suppress(StrongroomError):
            answer = await member.links.call(peer, "envelope", b"", CALL_S)
            cluster_id, envelope, _ = read_envelope_answer(answer)
            if cluster_id == member.cluster_id:
                return envelope
        return b""

    # ---- a life
    async def settle(self, unsealed: Unsealed) -> None:
        """The file holds the envelope that the node is opened with. Raises OSError, WrongKeyError."""
        member = self._member
        kept = files.read_file(member.disk, files.KEYRING) or b""
        found = next((one for one in (self._newer, kept) if one and unsealed.opens(one)), None)
        if found is None:  # also if peers showed another one while this one was being opened
            raise WrongKeyError("what was opened is not an envelope of this node")
        if found != kept:
            await self._write(found)
        self.in_use, self._newer, self.sealed_because = found, b"", ""

    def begin(self, state: State) -> None:
        """The member runs on this state: what it says of keys is followed."""
        self._member.running.waits_for_keys = self.awaited
        self._member.state_listeners.append(self.follow)
        self.follow(state)

    def follow(self, state: State) -> None:
        """This state is the member's from now on."""
        state.listeners.append(self._on_change)
        found = state.get(Table.KEYRING, KEY)
        if found is not None:
            self._applied(found[1])

    def forget(self) -> None:
        """The member is sealed: no key is kept here."""
        if self.follow in self._member.state_listeners:
            self._member.state_listeners.remove(self.follow)
        for task in self._tasks:
            task.cancel()
        for unsealed in (*self._offers.values(), *(one for _, one in self._coming)):
            unsealed.wipe()
        self._offers.clear()
        self._coming.clear()
        self._missing, self.in_use = b"", b""
        self._arrived.set()  # nobody waits for what will not come
        if self._member.rekeying is not None:
            self._member.rekeying.forget()

    def _spawn(self, coroutine: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._member.on_fatal(f"{type(error).__name__} while keys were changed")

    # ---- what is applied
    def _on_change(self, _index: int, transaction: Any) -> None:
        for table, key, record in transaction.puts:
            if table == Table.KEYRING and key == KEY:
                self._applied(record)

    def _applied(self, data: bytes) -> None:
        """Never raises: the record is committed, and is what it is on every node."""
        record = records.readable(records.KeyringRecord, data)
        envelope = b"" if record is None else record.envelope
        if not envelope or envelope == self.in_use or any(envelope == one for one, _ in self._coming):
            return
        try:
            if read_seal(envelope)[1].epoch < read_seal(self.in_use)[1].epoch:
                return  # Y2
            opened = self._open(envelope)
        except DamagedError as error:
            log.error("the keyring record of the state is not used: %s", error)  # noqa: TRY400 - no traceback with keys
            return
        if opened is not None:
            self._take_on(envelope, opened)
        elif not self._missing:
            self._missing = envelope
            self._spawn(self._miss(envelope))

    def _open(self, envelope: bytes) -> Unsealed | None:
        """What the envelope opens to, with the root key in use or one that was offered. Raises DamagedError."""
        offered = self._offers.pop(_name(envelope), None)
        if offered is not None:
            return offered
        held = [one for _, one in self._coming]
        if self._member.unsealed is not None:
            held.append(self._member.unsealed)
        for unsealed in held:
            if unsealed.is_key_of(envelope):
                return open_envelope(bytearray(unsealed.root_key), envelope)
        return None

    def _take_on(self, envelope: bytes, unsealed: Unsealed) -> None:
        newest = self._coming[-1][1] if self._coming else self._member.unsealed
        if newest is None or not unsealed.keyring.extends(newest.keyring):
            unsealed.wipe()  # Y2
            return
        if self._missing and _epoch(self._missing) <= _epoch(envelope):  # a later rekey brings what an earlier one did
            self._missing = b""
            self._arrived.set()
        self._coming.append((envelope, unsealed))
        if self._worker is None or self._worker.done():
            self._worker = self._spawn(self._come())

    async def _come(self) -> None:
        """Y1: one after the other, file first. A disk that refuses is asked again, for ever."""
        while self._coming:
            envelope = self._coming[0][0]
            try:
                await self._write(envelope)
            except OSError as error:
                log.error("the new keyring cannot be written, and is not used yet: %s", error.strerror)  # noqa: TRY400
                await asyncio.sleep(WRITE_AGAIN_S)
                continue
            self._use(*self._coming.popleft())

    def _use(self, envelope: bytes, unsealed: Unsealed) -> None:
        member = self._member
        old, member.unsealed = member.unsealed, unsealed
        member.running.sealer.use(unsealed.keyring)
        former, self.in_use = self.in_use, envelope
        if old is not None:
            old.wipe()
        if _epoch(envelope) > _epoch(former):
            self.on_rekeyed()
        log.info("the keyring has %d key terms now", len(unsealed.keyring.term_ids))
        self._arrived.set()
        found = member.view.get(Table.KEYRING, KEY)
        if found is not None:  # what was passed over while keys were missing
            self._applied(found[1])
        member.running.wake()

    async def _write(self, envelope: bytes) -> None:
        """One at a time, also after a task that a seal cancelled: its thread goes on, and has not the last word."""
        async with self._writing:
            if self._thread is not None:
                await asyncio.wait([self._thread])
            work = asyncio.to_thread(files.write_file, self._member.disk, files.KEYRING, envelope)
            self._thread = asyncio.get_running_loop().create_task(work)
            await asyncio.shield(self._thread)

    async def until_used(self, envelope: bytes, timeout_s: float) -> bool:
        """Whether this node seals with the keyring of an applied envelope, or a later one, within the time."""
        return await self._comes(lambda: not self._is_to_come(envelope), timeout_s)

    async def until_kept(self, name: bytes, timeout_s: float) -> bool:
        """Whether the envelope of that SHA-256 is in use, and so in the file, within the time."""
        return await self._comes(lambda: _name(self.in_use) == name, timeout_s)

    async def kept(self, name: bytes) -> bytes:
        """The answer to a leader that asks so. Raises UnavailableError."""
        if not await self.until_kept(name, KEPT_S):
            raise UnavailableError("the new keyring is not in use on this node yet")
        return b""

    async def _comes(self, is_over: Callable[[], bool], timeout_s: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not is_over():
                    self._arrived.clear()
                    await self._arrived.wait()
        return is_over()

    def _is_to_come(self, envelope: bytes) -> bool:
        return envelope == self._missing or any(envelope == one for one, _ in self._coming)

    # ---- keys that are missing
    async def _miss(self, envelope: bytes) -> None:
        """Y4. The leader goes on offering for a while."""
        if not await self._comes(lambda: self._missing != envelope, KEYS_WAIT_S):
            self._seal_itself(envelope)

    def _seal_itself(self, envelope: bytes) -> None:
        member = self._member
        if member.sealed:
            return
        log.error("%s", MISSED)
        self.sealed_because, self._newer = MISSED, envelope
        loop = asyncio.get_running_loop()
        self._ending = loop.create_task(member.seal(by_operator=False))  # not one of ours, which a seal cancels

    def awaited(self) -> bool:
        """A key term is met that the keyring does not hold: whether it may yet come. Until then nothing is judged.

        Whoever sealed with it, or acknowledged it, has its envelope in the file (Y1), and so has the leader. If the
        leader shows none that brings it, there is no such term.
        """
        if self._coming or self._missing:
            return True
        now_s = self._member.clock.boot()
        if now_s < self._hopeless_until_s:
            return False
        if self._fetching is None or self._fetching.done():
            self._fetching = self._spawn(self._fetch(now_s + KEYS_WAIT_S))
        return True

    async def _fetch(self, end_s: float) -> None:
        """The leader's envelope comes into force, if a root key of ours opens it and it brings anything."""
        member, in_use = self._member, self.in_use
        while self.in_use == in_use and not self._coming and not self._missing:
            shown = await self._shown_by(member.leader_id or "")
            if shown and not member.sealed:
                self._applied(records.encode(records.KeyringRecord(envelope=shown)))
            nothing = self.in_use == in_use and not self._coming and not self._missing
            if nothing and (shown or member.clock.boot() > end_s):
                self._hopeless_until_s = member.clock.boot() + HOPELESS_S
                return
            await asyncio.sleep(ASK_PERIOD_S)

    # ---- a rekey that is being prepared
    async def offered(self, peer: str, body: bytes) -> bytes:
        """The leader's offer is taken up: its root key is asked for, opens the envelope, and waits in memory (Y3).

        Raises StrongroomError.
        """
        member = self._member
        if member.links is None or member.unsealed is None or peer != member.leader_id:
            raise UnavailableError("this node does not follow that leader")
        try:
            offer = msgspec.msgpack.decode(body, type=Offer)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise DamagedError("an offer of keys is not readable") from None
        if offer.format != FORMAT:
            raise DamagedError("an offer of keys has another format")
        name = _name(offer.envelope)
        if offer.envelope == self.in_use or name in self._offers:
            return b""
        cluster_id, seal = read_seal(offer.envelope)
        if cluster_id != member.cluster_id or seal.epoch <= _epoch(self.in_use):
            raise DamagedError("an offer of keys is not of a later rekey of this cluster")
        asking = Asking(
            member.random, node_id=member.settings.node_id, spki=public_key_sha256(member.settings.certificate_der),
            incarnation=member.running.log.incarnation, cluster_id=cluster_id, epoch=seal.epoch,
            challenge=offer.challenge,
        )  # fmt: skip
        grant = await member.links.call(peer, "keyring.take", asking.request.encode(), CALL_S)
        self.keep(offer.envelope, open_envelope(asking.open(peer, grant), offer.envelope))
        return b""

    def keep(self, envelope: bytes, unsealed: Unsealed) -> None:
        """The keys of a rekey wait for its being applied, or come into force if it is. Raises UnavailableError."""
        if self._member.unsealed is None:
            unsealed.wipe()
            raise UnavailableError("this node was sealed meanwhile")
        while len(self._offers) >= OFFERS_MAX:
            self._offers.pop(next(iter(self._offers))).wipe()
        former = self._offers.pop(_name(envelope), None)
        if former is not None:
            former.wipe()
        if envelope == self._missing:
            self._take_on(envelope, unsealed)
        else:
            self._offers[_name(envelope)] = unsealed


def _epoch(envelope: bytes) -> int:
    return read_seal(envelope)[1].epoch


def _name(envelope: bytes) -> bytes:
    return hashlib.sha256(envelope).digest()

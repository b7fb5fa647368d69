"""Audit devices of this node, kept equal to the cluster's records, and their heads kept as facts.

A shell between state and broker. Invariants
  A1  a device that is enabled in the state is asked for every answer, whether or not it can be opened here; from the
      moment the state has another one until it stands here, no record is taken and so nothing is answered; the same
      holds for the headers of requests that are audited
  A2  a device is enabled only after this node could open it, and answered only after the reachable members say that
      they could, or could not, within the deadline
  A3  the head of each chain becomes a fact every 10 s or 10,000 lines, at start, rotation and close
  A4  devices are those of a state that a read could be answered from, not of one that is replayed at a start: it has
      devices that are gone, and heads that were gone beyond. Unless nobody confirms any for CURRENT_S
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from typing import TYPE_CHECKING, Any

import msgspec

from cluster import (
    AuditDevice,
    AuditHead,
    DamagedError,
    Draft,
    Member,
    StrongroomError,
    Table,
    UnavailableError,
    View,
    records,
)

from .audit import AuditError, Broker, DeviceSpec, LineSettings, ProbedRules
from .audit.chain import MAC_BYTES, SEQUENCE_MAX
from .engines.fields import FieldError
from .engines.system import request_headers
from .engines.system.audit_devices import SALT_BYTES, SALT_FIELD, TYPES, wished_device
from .request import Operation, RawRequest, Refusal
from .system_settings import stores_under, system_context

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .audit import AuditEntry, Renderer
    from .config import Config

log = logging.getLogger("strongroom.audit")

HEADS_PERIOD_S = 1.0
OPENED_CALL = "audit.opened"
HEADS_CALL = "audit.heads"
SYNC_WAIT_S = 2.0
CURRENT_S = 5.0
CURRENT_RETRY_S = 0.05


class FollowingBroker(Broker):
    """A broker that waits with its records while its devices may not be those of the state (A1)."""

    followed: asyncio.Event | None = None  # set while they are

    @property
    def enabled(self) -> bool:
        """Some device is enabled, or may be."""
        return super().enabled or (self.followed is not None and not self.followed.is_set())

    async def record(self, entry: AuditEntry, kind: Callable[[Renderer, AuditEntry, int], Any]) -> None:
        """See Broker."""
        await self._until_followed(self._deadline_s)
        await super().record(entry, kind)

    async def event(self, kind: str, details: Mapping[str, str | int | bool]) -> None:
        """See Broker."""
        await self._until_followed(CURRENT_S + self._deadline_s)  # nobody waits for the answer to one
        await super().event(kind, details)

    async def _until_followed(self, deadline_s: float) -> None:
        """Raises AuditError after so long."""
        if self.followed is None or self.followed.is_set():
            return
        try:
            async with asyncio.timeout(deadline_s):
                await self.followed.wait()
        except TimeoutError:
            raise AuditError("the audit devices of the cluster do not stand here yet") from None


class AuditDesk:
    """Owns the broker."""

    def __init__(self, member: Member, config: Config) -> None:
        self._member = member
        self._config = config
        self.rules = ProbedRules(config.audit_directory, production=config.profile == "production")
        self._headers: dict[str, bool] = {}  # of requests that are audited, as the state has them
        self.broker = FollowingBroker(
            config.node.id,
            self.rules,
            self.chain_mac,
            member.clock,
            settings=LineSettings(vault_numbers=config.audit.vault_numbers, headers=self._headers),
            deadline_s=config.audit.deadline_s,
        )
        self._changed = asyncio.Event()
        self._replays = True
        self._synced = self.broker.followed = asyncio.Event()
        self.problems: dict[str, str] = {}

    def chain_mac(self, message: bytes) -> bytes:
        """The MAC of the chains of all devices on all nodes. Raises SealedError."""
        return self._member.running.sealer.keyring.audit_chain_mac(message)

    # ---- following the state
    def on_change(self, _index: int, transaction: Any) -> None:
        """A listener of the state."""
        devices = any(table == Table.AUDIT_DEVICE for table, *_ in (*transaction.puts, *transaction.drops))
        if devices or stores_under(transaction, request_headers.STORED):
            self.forget()

    def forget(self, *, anew: bool = False) -> None:
        """Devices, or the headers they write, may be others now. `anew`: the whole state is, and may be an old one."""
        self._replays = self._replays or anew
        self._synced.clear()
        self._changed.set()

    def _specs(self) -> dict[str, DeviceSpec]:
        member = self._member
        values, state = member.value_sealing, member.view
        specs = {}
        for key, _, record in state.items(Table.AUDIT_DEVICE):
            device = records.decode(AuditDevice, record)
            try:
                salt = values.open(
                    device.salt_id,
                    device.box,
                    table=Table.AUDIT_DEVICE,
                    key=key,
                    field=SALT_FIELD,
                    record_id=device.rid,
                )
            except DamagedError:
                log.error("the salt of audit device %s does not open: it takes no record", key.decode())  # noqa: TRY400
                salt = None
            head = state.get(Table.AUDIT_HEAD, head_key(member.settings.node_id, key))
            known = None if head is None else records.decode(AuditHead, head[1])
            specs[key.decode()] = DeviceSpec(device, salt, known)
        return specs

    def _read_headers(self) -> None:
        """The audited headers are the state's; those before stay where they cannot be read."""
        context = system_context(self._member.view, self._member.value_sealing)
        try:
            headers = {} if context is None else request_headers.audited_headers(context)
        except DamagedError:
            log.error("the setting of audited headers does not open: it stays what it was")  # noqa: TRY400
            return
        self._headers.clear()
        self._headers.update(headers)

    async def sync(self) -> None:
        """The broker's devices are the state's."""
        self._changed.clear()
        if self._member.replica is None:
            return
        self._read_headers()
        self.problems = await self.broker.sync(self._specs())
        for path, why in self.problems.items():
            log.error("audit device %s does not work on this node: %s", path, why)
        if not self._changed.is_set():
            self._synced.set()

    async def run(self) -> None:
        """For ever: devices follow the state, heads become facts, declared devices exist."""
        await asyncio.gather(self._follow(), self._keep())

    async def _follow(self) -> None:
        """By itself, because nothing is answered until it is done."""
        while True:
            await self._changed.wait()
            with contextlib.suppress(StrongroomError):  # sealed meanwhile
                if self._replays:
                    await self._current()
                await self.sync()

    async def _current(self) -> None:
        """A4."""
        self._replays = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CURRENT_S):
                while not await self._is_current():  # noqa: ASYNC110 - nobody tells of a leader
                    await asyncio.sleep(CURRENT_RETRY_S)

    async def _is_current(self) -> bool:
        """Whether the state is; also if nobody can know, because the node was sealed."""
        try:
            await self._member.read_barrier()
        except UnavailableError:
            return False
        except StrongroomError:
            return True
        return True

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(HEADS_PERIOD_S)
            if self._member.replica is None:
                continue
            with contextlib.suppress(StrongroomError):
                await self.record_heads()
            if self._member.is_leader:
                with contextlib.suppress(StrongroomError):
                    await self._declare()

    async def settled(self) -> None:
        """Wait, bounded, until the devices here are those of the state."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SYNC_WAIT_S):
                await self._synced.wait()

    # ---- declared by configuration
    async def _declare(self) -> None:
        for declared in self._config.audit.devices:
            key = f"{declared.path.strip('/')}/".encode()
            if self._member.view.get(Table.AUDIT_DEVICE, key) is None:
                await self._member.write(functools.partial(self._declared, declared, key))

    def _declared(self, declared: Any, key: bytes, view: View, _now_ns: int) -> tuple[Draft, None]:
        draft = Draft()
        if view.get(Table.AUDIT_DEVICE, key) is not None:
            return draft, None
        member = self._member
        rid = member.random.bytes(8)
        salt_id, box = member.value_sealing.seal(
            view,
            draft,
            member.random.bytes(SALT_BYTES),
            table=Table.AUDIT_DEVICE,
            key=key,
            field=SALT_FIELD,
            record_id=rid,
            nonce=member.random.bytes(12),
        )
        draft.expect(Table.AUDIT_DEVICE, key, 0)
        device = AuditDevice(
            type=declared.type, options=dict(declared.options), salt_id=salt_id, box=box, rid=rid,
            description="declared by configuration",
        )  # fmt: skip
        draft.put(Table.AUDIT_DEVICE, key, device)
        return draft, None

    # ---- heads
    async def record_heads(self, *, everything: bool = False) -> None:
        """Heads that are due are facts: proposed by the leader, given to it by the others."""
        due = self.broker.due_heads(everything=everything)
        if not due:
            return
        member = self._member
        if member.is_leader:
            await self._put_heads(member.settings.node_id, due)
        elif member.leader_id is not None and member.links is not None:
            body = msgspec.msgpack.encode(due)
            await member.links.call(member.leader_id, HEADS_CALL, body, SYNC_WAIT_S)
        else:
            return
        self.broker.heads_recorded(due)

    async def _put_heads(self, node_id: str, heads: Mapping[str, AuditHead]) -> None:
        def decide(_view: View, _now_ns: int) -> tuple[Draft, None]:
            from cluster import QUIET

            draft = Draft()
            for path, head in heads.items():
                draft.put(Table.AUDIT_HEAD, head_key(node_id, path.encode()), head)
            draft.hashes = (QUIET,)
            return draft, None

        await self._member.propose(decide)

    # ---- enabling
    async def before(self, request: RawRequest) -> None:
        """A2, this node: raises Refusal if a device that is to be enabled cannot be opened here."""
        enabling = request.path.startswith("sys/audit/") and request.operation is Operation.UPDATE
        if not enabling:
            return
        path = request.path.removeprefix("sys/audit/").strip("/") + "/"
        try:
            type_, options = wished_device(request)
        except (FieldError, Refusal):
            return  # the engine says what is wrong with it, as it reads it in the same way
        # What is not opened here is not enabled: the engine asks.
        if type_ in TYPES and self._member.view.get(Table.AUDIT_DEVICE, path.encode()) is None:
            await self.broker.probe(path, type_, options)
            self.rules.opened(request.id, path, type_, options)

    async def after(self, request: RawRequest) -> None:
        """A2, everywhere: the change of a device is answered when the reachable members have followed."""
        if request.path.startswith("sys/audit/"):
            await self.opened_everywhere()

    async def opened_everywhere(self) -> None:
        """The reachable members have followed the change of a device."""
        await self.settled()
        links = self._member.links
        if links is None:
            return
        peers = [peer for peer in links.members if links.standing(peer)]
        answers = (links.call(peer, OPENED_CALL, b"", SYNC_WAIT_S + 1) for peer in peers)
        for peer, result in zip(peers, await asyncio.gather(*answers, return_exceptions=True), strict=True):
            if isinstance(result, BaseException):
                log.warning("member %s did not say whether it opened its audit devices", peer)
                continue
            for path in msgspec.msgpack.decode(result, type=dict[str, str]):
                log.error("member %s answers nothing: audit device %s does not work there", peer, path)

    async def call(self, peer: str, method: str, body: bytes) -> bytes:
        """A member's question."""
        if method == HEADS_CALL:
            await self._put_heads(peer, _reported(body))
            return b""
        await self.settled()
        return msgspec.msgpack.encode(self.problems)

    def status(self) -> list[dict[str, Any]]:
        """For strongroom/status: the devices as they stand here, and the heads that are facts, of every node."""
        facts = self._facts()
        return [
            {
                "path": one.path,
                "head": one.head,
                "sequence": one.sequence,
                "ok": one.ok,
                "problem": one.problem,
                "facts": facts.get(one.path, {}),
            }
            for one in self.broker.statuses()
        ]

    def _facts(self) -> dict[str, dict[str, dict[str, Any]]]:
        """By device and node, what `strongroom audit verify -facts` compares files with."""
        found: dict[str, dict[str, dict[str, Any]]] = {}
        if self._member.replica is None:
            return found
        for key, _, record in self._member.view.items(Table.AUDIT_HEAD):
            node_id, _, path = key.decode().partition("\0")
            head = records.decode(AuditHead, record)
            told = {"sequence": head.sequence, "head": head.head.hex(), "file": head.file}
            found.setdefault(path, {})[node_id] = told
        return found

    async def close(self) -> None:
        """Everything is written; the last heads are facts where they still can be."""
        with contextlib.suppress(StrongroomError, TimeoutError):
            async with asyncio.timeout(SYNC_WAIT_S):
                await self.record_heads(everything=True)
        await self.broker.close()


def _reported(body: bytes) -> dict[str, AuditHead]:
    """The heads that a member reports, by device. Raises DamagedError unless a chain could go on from each."""
    try:
        heads = msgspec.msgpack.decode(body, type=dict[str, AuditHead])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise DamagedError("a report of audit heads is not readable") from None
    if any(not 0 <= one.sequence <= SEQUENCE_MAX or len(one.head) != MAC_BYTES for one in heads.values()):
        raise DamagedError("a report of audit heads holds one that no chain has")
    return heads


def head_key(node_id: str, path: bytes) -> bytes:
    """Key of a head's record."""
    return node_id.encode() + b"\x00" + path

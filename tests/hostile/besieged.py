"""Three members in this loop, with real TLS and journals, that go on writing while strangers are at their ports."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cluster import Member, MemberSettings, Timing, run_init
from cluster.errors import StrongroomError
from cluster.keyring.purposes import MacKey
from cluster.keyring.seal import open_envelope
from cluster.links.certs import certificate_der, write_certificates
from cluster.links.transport import tls_contexts
from cluster.settings import MemberAddress
from cluster.state import records
from cluster.state.tables import Table
from cluster.state.transaction import Draft
from tests.cluster.links.site import HOST, WAIT_S, Stranger, free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from cluster.state.view import View

CLUSTER_NAME = "besieged"
NAMES = ("n1", "n2", "n3")
# Patient enough that a busy machine alone causes no election: whatever does is the stranger's doing.
TIMING = Timing(heartbeat_s=0.05, election_min_s=2.0, election_max_s=2.5)


@dataclass
class Door:
    """Where strangers knock."""

    port: int


@dataclass
class Siege:
    """The cluster, and a client that writes all the time."""

    folder: Path
    members: dict[str, Member]
    fatal: list[str] = field(default_factory=list)
    committed: int = 0
    refused: list[str] = field(default_factory=list)
    held: asyncio.Event | None = None  # until it is set, those whom strangers play do not dial

    @property
    def certs(self) -> Path:
        return self.folder / "certs"

    @property
    def leader(self) -> Member:
        return next(member for member in self.members.values() if member.is_leader)

    @property
    def followers(self) -> list[Member]:
        return [member for member in self.members.values() if not member.is_leader]

    @property
    def term(self) -> int:
        return max(member.running.term for member in self.members.values())

    @property
    def link_key(self) -> bytes:
        """What a stranger cannot know; tests that play a member who turned hostile use it."""
        unsealed = self.leader.unsealed
        assert unsealed is not None
        return bytes(unsealed.keyring._macs[MacKey.LINK])

    def door(self, member: Member) -> Door:
        return Door(member.settings.members[member.settings.node_id].peer[1])

    async def dial(self, member: Member, name: str | None, *, folder: Path | None = None) -> Stranger:
        """TLS to the member's peer port with that certificate."""
        return await Stranger.dial(self.door(member), folder or self.certs, name, ca=self.certs)  # type: ignore[arg-type]

    async def proven(self, member: Member, name: str, *, link: str = "raft", **fields: Any) -> Stranger:
        """A stranger that holds the keys, and is taken for the member `name`, which keeps away until `calm`."""
        self._hold(name, member.settings.node_id)
        assert member.links is not None
        standing = member.links._standing
        genuine = standing.get((name, link))
        stranger = await self.dial(member, name)
        await stranger.shake(name, link=link, **self.said(name, **fields))
        await happens(lambda: standing.get((name, link), genuine) is not genuine)
        return stranger

    def _hold(self, name: str, other: str) -> None:
        links = self.members[name].links
        assert links is not None
        released = self.held = self.held or asyncio.Event()
        dial = links._dial_once

        async def dial_later(peer: str, kind: str) -> None:
            if peer == other:
                await released.wait()
            await dial(peer, kind)

        links._dial_once = dial_later  # type: ignore[method-assign]

    def said(self, name: str, **fields: Any) -> dict[str, Any]:
        """What the member `name` would say in its hello, and the key of its proof."""
        member = self.members[name]
        return {
            "cluster_name": CLUSTER_NAME, "cluster_id": member.cluster_id, "generation": member.generation,
            "incarnation": member.running.log.incarnation, "key": self.link_key, "state": "running",
        } | fields  # fmt: skip

    async def commits(self, count: int = 5) -> None:
        """So many more writes are committed."""
        target = self.committed + count
        await happens(lambda: self.committed >= target)

    async def write_for_ever(self) -> None:
        while True:
            try:
                await self.leader.write(_decide(self.committed))
                self.committed += 1
            except (StrongroomError, StopIteration) as error:
                self.refused.append(type(error).__name__)
            await asyncio.sleep(0.002)

    async def calm(self) -> None:
        """Everybody is linked with everybody, and what strangers did is forgotten."""
        if self.held is not None:
            self.held.set()
            self.held = None
        for stranger in Stranger.dialled:
            stranger.close()
        Stranger.dialled.clear()
        await happens(self._linked)
        await self.commits()
        for member in self.members.values():
            assert member.links is not None
            member.links.refusals._said.clear()
            member.links.refusals.count = 0

    def _linked(self) -> bool:
        return any(member.is_leader for member in self.members.values()) and all(
            member.links is not None
            and (name, kind) in member.links._standing
            and member.links._standing[name, kind].proven
            and member.running.connected(name)
            for member in self.members.values()
            for name in NAMES
            for kind in ("raft", "bulk")
            if name != member.settings.node_id
        )


def _decide(number: int) -> Callable[[View, int], tuple[Draft, None]]:
    def decided(_view: View, _now_ns: int) -> tuple[Draft, None]:
        draft = Draft()
        draft.put(Table.ENTRY, b"%017d" % (number % 50), records.Entry(salt_id=1))
        return draft, None

    return decided


async def happens(condition: Callable[[], Any]) -> Any:
    """What the condition says once it is true. The loop goes on meanwhile."""
    async with asyncio.timeout(WAIT_S):
        while not (found := condition()):  # noqa: ASYNC110 - what is waited for is no event
            await asyncio.sleep(0.005)
    return found


@contextlib.asynccontextmanager
async def besieged(folder: Path) -> AsyncIterator[Siege]:
    """Initialised, unsealed, led, written to."""
    certs = folder / "certs"
    write_certificates(certs, {name: [HOST] for name in NAMES}, None, CLUSTER_NAME)
    addresses = {name: MemberAddress((HOST, free_port()), f"http://{HOST}:1") for name in NAMES}
    members = {}
    siege = Siege(folder, members)
    for name in NAMES:
        tls = tls_contexts(str(certs / f"{name}.pem"), str(certs / f"{name}.key"), str(certs / "ca.pem"))
        der = certificate_der(certs / f"{name}.pem")
        settings = MemberSettings(
            name, CLUSTER_NAME, folder / name, addresses, tls, der, addresses[name].peer, TIMING, profile="dev",
            segment_bytes=1 << 20,
        )  # fmt: skip
        members[name] = Member(settings)
        members[name].on_fatal = siege.fatal.append
        await members[name].start()
    seal = await run_init(members["n1"], seal_type="shamir", shares=1, threshold=1, peers=False, seed=lambda *_: None)
    for member in members.values():
        await happens(lambda member=member: member.initialised)
        await member.open_with(open_envelope(bytearray(seal.root_key), member.envelope))
    writing = asyncio.get_running_loop().create_task(siege.write_for_ever())
    try:
        await happens(lambda: any(member.is_leader for member in members.values()))
        await siege.calm()
        yield siege
    finally:
        writing.cancel()
        for stranger in Stranger.dialled:
            stranger.close()
        Stranger.dialled.clear()
        for member in members.values():
            await member.stop()

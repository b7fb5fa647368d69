"""Several members of one cluster in this process: real folders, journal writers, links and TLS, no server.

A member can be stopped, or killed: then its writer dies with SIGKILL and nothing is said or marked. A copy of its
folder can be put back while it is down.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import socket
from typing import TYPE_CHECKING

from cluster import (
    Member,
    MemberAddress,
    MemberSettings,
    Timing,
    certificate_der,
    run_init,
    tls_contexts,
    write_certificates,
)
from cluster.errors import StrongroomError
from cluster.keyring.seal import open_envelope
from cluster.links.messages import PreVoteAnswer, RequestVote, Vote
from cluster.state import records
from cluster.state.tables import Table
from cluster.state.transaction import Draft

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from pathlib import Path

    from cluster.links.messages import Message
    from cluster.state.view import View

HOST = "127.0.0.1"
WAIT_S = 30.0
CLUSTER_NAME = "members"
TIMING = Timing(heartbeat_s=0.04, election_min_s=0.25, election_max_s=0.4)
BOOT = "boot-1"


class Watched(Member):
    """A member that remembers what it said while it was recovering, and whether it ever was."""

    was_recovering = False

    def __init__(self, settings: MemberSettings, boot_id: str) -> None:
        super().__init__(settings, boot_id=boot_id)
        self.fatal: list[str] = []
        self.on_fatal = self.fatal.append
        self.spoken: list[Message] = []

    def _send(self, peer: str, message: Message) -> bool:
        if self.running.recovering:
            self.was_recovering = True
            self.spoken.append(message)
        return super()._send(peer, message)

    @property
    def promised(self) -> list[Message]:
        """Votes asked for or granted while it was recovering."""
        given = [one for one in self.spoken if isinstance(one, Vote | PreVoteAnswer) and one.granted]
        return [*given, *(one for one in self.spoken if isinstance(one, RequestVote))]


class Members:
    """The cluster. `mode` may be said per member."""

    def __init__(self, folder: Path, count: int, mode: str) -> None:
        self.folder = folder
        self.names = [f"n{number + 1}" for number in range(count)]
        self.modes = dict.fromkeys(self.names, mode)
        self.up: dict[str, Watched] = {}
        self.written: list[bytes] = []
        self._root_key = b""
        write_certificates(folder / "certs", {name: [HOST] for name in self.names}, None, CLUSTER_NAME)
        self._addresses = {
            name: MemberAddress((HOST, port), f"http://{HOST}:1")
            for name, port in zip(self.names, free_ports(count), strict=True)
        }

    # ---- life
    async def begin(self) -> None:
        """Initialised, unsealed, and one leads."""
        for name in self.names:
            await self._start(name, BOOT)
        first = self.up["n1"]
        links = first.links
        await until(lambda: links is None or all(links.standing(peer) for peer in self.names[1:]), "links stand")
        made = await run_init(first, seal_type="shamir", shares=1, threshold=1, peers=False, seed=lambda *_: None)
        self._root_key = bytes(made.root_key)
        await until(lambda: all(member.initialised for member in self.up.values()), "all are told")
        for name in self.names:
            await self._open(name)
        await self.leads()

    async def _start(self, name: str, boot_id: str) -> None:
        certs = self.folder / "certs"
        tls = tls_contexts(str(certs / f"{name}.pem"), str(certs / f"{name}.key"), str(certs / "ca.pem"))
        der = certificate_der(certs / f"{name}.pem")
        settings = MemberSettings(
            name, CLUSTER_NAME, self.place(name), self._addresses, tls, der, self._addresses[name].peer,
            timing=TIMING, profile="dev", segment_bytes=1 << 18, journal_mode=self.modes[name],
        )  # fmt: skip
        self.up[name] = member = Watched(settings, boot_id)
        await member.start()

    async def _open(self, name: str) -> None:
        member = self.up[name]
        await member.open_with(open_envelope(bytearray(self._root_key), member.envelope))

    async def start(self, *names: str, boot_id: str = BOOT) -> None:
        """The members run and are unsealed."""
        for name in names:
            await self._start(name, boot_id)
        for name in names:
            await self._open(name)

    async def stop(self, *names: str) -> None:
        """A clean stop of each."""
        for name in names:
            await self.up.pop(name).stop()

    async def kill(self, *names: str) -> None:
        """The end of each process, as far as anybody else can tell."""
        for name in names:
            member = self.up.pop(name)
            assert member._child is not None
            os.kill(member._child.child_pid, signal.SIGKILL)
            await until(lambda member=member: bool(member.fatal), "the writer's death is heard of")
            member.running.transfer_leadership = lambda *_: False  # type: ignore[method-assign]
            await member.stop()

    async def end(self) -> None:
        await self.stop(*list(self.up))

    # ---- files
    def place(self, name: str) -> Path:
        return self.folder / name

    def copy(self, name: str) -> None:
        """As the folder is now."""
        shutil.copytree(self.place(name), self.folder / f"{name}.copy")

    def put_back(self, name: str, parts: Iterable[str]) -> None:
        """These files and folders of the copy stand where the present ones stood."""
        for part in parts:
            present, old = self.place(name) / part, self.folder / f"{name}.copy" / part
            assert present.exists() or old.exists(), part
            if present.is_dir():
                shutil.rmtree(present)
            if old.is_dir():
                shutil.copytree(old, present)
            elif old.exists():
                shutil.copy2(old, present)

    # ---- what happens
    @property
    def leader(self) -> Watched | None:
        leaders = [member for member in self.up.values() if member.is_leader]
        return max(leaders, key=lambda member: member.running.term) if leaders else None

    async def leads(self, *names: str) -> Watched:
        """A leader that everybody follows and can be told by; one of `names` if any are given."""

        def found() -> bool:
            leader = self.leader
            return (
                leader is not None
                and leader.settings.node_id in (names or self.names)
                and {member.leader_id for member in self.up.values()} == {leader.settings.node_id}
                and all(leader.running.connected(name) for name in self.up if name != leader.settings.node_id)
            )

        await until(found, f"one of {names or self.names} leads")
        assert self.leader is not None
        return self.leader

    async def lead(self, name: str) -> Watched:
        """`name` leads: whoever else does hands over."""

        def handed_over() -> bool:
            leader = self.leader
            if leader is not None and leader.settings.node_id != name:
                leader.running.transfer_leadership(name)
            return leader is not None and leader.settings.node_id == name

        await until(handed_over, f"{name} leads")
        return await self.leads(name)

    async def write(self, count: int, size: int = 40) -> None:
        """So many records are acknowledged."""
        for _ in range(count):
            key = f"key {len(self.written)}".encode().ljust(17, b"\0")
            async with asyncio.timeout(WAIT_S):
                while True:
                    leader = self.leader
                    with contextlib.suppress(StrongroomError):
                        if leader is not None:
                            await leader.write(decision(key, size))  # type: ignore[arg-type]
                            break
                    await asyncio.sleep(0.01)
            self.written.append(key)

    def missing(self) -> dict[str, int]:
        """Acknowledged records that a member's applied state does not have."""
        return {
            name: sum(member.view.get(Table.ENTRY, key) is None for key in self.written)
            for name, member in self.up.items()
        }

    async def whole(self) -> None:
        """Nobody is recovering, all have applied the same, and it is all that was acknowledged."""

        def equal() -> bool:
            replicas = [member.running for member in self.up.values()]
            return (
                not any(replica.recovering for replica in replicas)
                and len({replica.applied_index for replica in replicas}) == 1
                and len({replica.log.last_index for replica in replicas}) == 1
                and self.leader is not None
            )

        await until(equal, "all are whole and equal")
        digests = {member.running.state.digest for member in self.up.values()}
        assert len(digests) == 1, "states differ"
        assert set(self.missing().values()) == {0}, self.missing()

    async def known(self, name: str) -> None:
        """The leader's ballot on its disk remembers everything that is committed as held by `name`."""
        leader = self.leader
        assert leader is not None
        replica = leader.running
        await until(
            lambda: replica.log.ballot_durable
            and replica.log.ballot.peers.get(name, (0, 0, 0))[2] == replica.commit_index,
            f"the leader knows what {name} has",
        )


def decision(key: bytes, size: int) -> Callable[[View, int], tuple[Draft, None]]:
    def decided(_view: View, _now_ns: int) -> tuple[Draft, None]:
        draft = Draft()
        draft.put(Table.ENTRY, key, records.Entry(salt_id=1, box=bytes(size)))
        return draft, None

    return decided


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on, below those the kernel gives to clients."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.randrange(10_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server((HOST, port)):
            ports.append(port)
    return ports


async def until(condition: Callable[[], object], what: str) -> None:
    """What is awaited sits behind sockets, timers or files, and has no event of its own."""
    try:
        async with asyncio.timeout(WAIT_S):
            while not condition():  # noqa: ASYNC110 - see above
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"not within {WAIT_S} s: {what}") from None


@contextlib.asynccontextmanager
async def members(folder: Path, mode: str, count: int = 3) -> AsyncIterator[Members]:
    """A cluster that runs inside, and of which nothing runs outside."""
    made = Members(folder, count, mode)
    try:
        await made.begin()
        yield made
    finally:
        await made.end()

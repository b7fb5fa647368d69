"""All links of a cluster in one loop, so that a host dies in one turn: nothing of it is delivered afterwards.

A link is a listener where one host dials another. What is done to it is done in commands, by hosts' names; docs of
each say what holds afterwards.

Invariants
  N1  after `die` no byte from or to that host arrives, until `revive`; what was in flight never does
  N2  a cut direction loses nothing: what was sent arrives when it is healed, as TCP would repeat it
  N3  counts say what really happened, so that a run without a fault is no proof of anything
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .passage import Passage
from .shape import Shape

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Link:
    """Where `dialler` finds `target`: a port of ours, and the real one."""

    dialler: str
    target: str
    port: int
    target_port: int
    address: str = "127.0.0.1"


@dataclass(slots=True)
class Counts:
    """What the network has done."""

    connections: int = 0
    resets: int = 0
    cuts: int = 0
    deaths: int = 0
    carried_bytes: int = 0
    lost_bytes: int = 0  # in flight when a connection was reset or a host died


@dataclass(slots=True)
class Network:
    """Links, hosts that are down, and the shape of each direction; `seed` is of what is drawn there."""

    seed: int = 0
    counts: Counts = field(default_factory=Counts)
    _shapes: dict[tuple[str, str], Shape] = field(default_factory=dict)
    _down: set[str] = field(default_factory=set)
    _passages: set[Passage] = field(default_factory=set)
    _servers: list[asyncio.Server] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    # ---- life
    async def listen(self, link: Link) -> None:
        """The link can be dialled."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: self._accept(link), link.address, link.port, backlog=256)
        self._servers.append(server)

    def close(self) -> None:
        """Nothing listens, nothing is open."""
        for server in self._servers:
            server.close()
        for passage in list(self._passages):
            passage.reset()

    def _accept(self, link: Link) -> asyncio.Protocol:
        forth, back = self._shape(link.dialler, link.target), self._shape(link.target, link.dialler)
        passage = Passage(self, link.dialler, link.target, forth, back)
        self._passages.add(passage)
        self.counts.connections += 1
        if self._down & {link.dialler, link.target}:
            passage.near.silent = True  # nobody answers
            passage.far.open = False
        else:
            task = asyncio.ensure_future(self._lead_on(link, passage))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return passage.near

    async def _lead_on(self, link: Link, passage: Passage) -> None:
        """The real host is dialled; bytes wait meanwhile."""
        passage.ways[0].blocked = True
        try:
            await asyncio.get_running_loop().create_connection(lambda: passage.far, link.address, link.target_port)
        except OSError:
            passage.reset()
            return
        passage.ways[0].blocked = False
        passage.deliver()

    def ended(self, passage: Passage) -> None:
        """See Watcher."""
        self.counts.carried_bytes += sum(way.carried_bytes for way in passage.ways)
        self._passages.discard(passage)

    def _shape(self, source: str, sink: str) -> Shape:
        if (source, sink) not in self._shapes:
            self._shapes[source, sink] = Shape(rng=random.Random(f"{self.seed}/{source}/{sink}"))
        return self._shapes[source, sink]

    def _between(self, one: str, other: str) -> list[Passage]:
        return [passage for passage in self._passages if set(passage.hosts) == {one, other}]

    # ---- commands
    def shape(self, source: str, sink: str, delay_s: float, bytes_per_s: float, jitter_s: float = 0.0) -> None:
        """That direction is so long, so uneven and so narrow, for what is sent from now on."""
        shape = self._shape(source, sink)
        shape.delay_s, shape.jitter_s, shape.bytes_per_s = delay_s, jitter_s, bytes_per_s

    def cut(self, source: str, sink: str) -> None:
        """Nothing arrives in that direction (N2)."""
        self.counts.cuts += not self._shape(source, sink).cut
        self._shape(source, sink).cut = True

    def heal(self, source: str = "", sink: str = "") -> None:
        """That direction is not cut; without names, none is."""
        for direction, shape in self._shapes.items():
            if not source or direction == (source, sink):
                shape.cut = False
        for passage in list(self._passages):
            passage.deliver()

    def reset(self, one: str, other: str) -> int:
        """Every connection of the two is reset; how many that were."""
        passages = self._between(one, other)
        self.counts.resets += len(passages)
        self.counts.lost_bytes += sum(passage.reset() for passage in passages)
        return len(passages)

    def die(self, host: str) -> int:
        """N1. The host's own sockets are reset; the others' are silent, and dialling it gives silence. Bytes lost."""
        self._down.add(host)
        self.counts.deaths += 1
        touched = [passage for passage in self._passages if host in passage.hosts]
        lost_bytes = sum(passage.lose_host(host) for passage in touched)
        self.counts.lost_bytes += lost_bytes
        return lost_bytes

    def revive(self, host: str) -> None:
        """The host can be reached; it knows none of its old connections, and says so."""
        self._down.discard(host)
        for passage in [passage for passage in self._passages if host in passage.hosts]:
            if any(end.silent for end in passage.ends):
                passage.reset()

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """One command. Raises KeyError or TypeError for one that is none."""
        do = asked.pop("do")
        if do == "counts":
            under_way = sum(way.carried_bytes for passage in self._passages for way in passage.ways)
            counts = {name: getattr(self.counts, name) for name in Counts.__slots__}
            counts["carried_bytes"] += under_way
            for name in ("held_bytes", "late_bytes"):
                counts[name] = sum(getattr(shape, name) for shape in self._shapes.values())
            return counts
        commands: dict[str, Callable[..., int | None]] = {
            "shape": self.shape,
            "cut": self.cut,
            "heal": self.heal,
            "reset": self.reset,
            "die": self.die,
            "revive": self.revive,
        }
        return {"count": commands[do](**asked)}

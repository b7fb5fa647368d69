"""Calls between simulated members: the product's `Calls` over links that break, are slow, or are cut one way.

The bulk connection stands and breaks with the raft one beside it: whoever waits for an answer is told. What was sent
into a cut stays on its way until the link breaks or the cut ends; the deadline is the caller's own. A connection that
broke never comes back: an answer that was on its way to it is lost, whoever is connected by then.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from cluster.links import messages
from cluster.links.calls import Calls

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from cluster.links.messages import Call, Reply

    from ..member import SimMember
    from .half import NodeHalf

RESEND_S = 0.2
OLD_BYTES_CHANCE = 0.3


class SimConnection:
    """One side of one connection, as `Calls` sees it. `epoch` numbers the connections of two members."""

    proven = True
    silent = False  # a deadline ends what waits
    public_certificate = b""

    def __init__(self, links: SimLinks, peer: str, epoch: int) -> None:
        self._links = links
        self._number = int(peer[1:]) - 1
        self.peer = peer
        self.epoch = epoch
        self.open = True
        self._queue: deque[tuple[bytes, NodeHalf]] = deque()
        self._last_s = 0.0

    def write(self, message: Call | Reply) -> bool:
        """Bytes on their way; False if the connection is broken."""
        half, world = self._links.half, self._links.half.world
        target = half.others[self._number].half
        if not self.open or target is None:
            return False
        world.stats["calls"] += 1
        delay_s = world.options.delay_s * (0.5 + world.rng.random())
        if not world.healed and world.rng.random() < world.options.spike_chance:
            delay_s = world.rng.random() * world.options.spike_s
        due_s = self._last_s = max(world.now_s + delay_s, self._last_s + 1e-6)
        self._queue.append((messages.encode(message), target))
        world.at(due_s - world.now_s, self._pump)
        return True

    def _pump(self) -> None:
        half = self._links.half
        world, network = half.world, half.owner.network
        data, target = self._queue[0]
        assert network is not None
        if target.loop.alive:
            stands = self.open and half.loop.alive
            if not network.reachable(half.owner.number, self._number):
                if stands:
                    world.at(RESEND_S, self._pump)
                    return
            elif stands or world.rng.random() < OLD_BYTES_CHANCE:
                message = messages.decode(data)
                assert isinstance(message, (messages.Call, messages.Reply))
                target.links.arrived(half.owner.node_id, self.epoch, message)
        self._queue.popleft()


class SimLinks:
    """All calls of one life; what `Member` asks of `Links`."""

    def __init__(self, half: NodeHalf, others: list[SimMember]) -> None:
        self.half = half
        self.members = [other.node_id for other in others if other is not half.owner]
        self.skew_ns: dict[str, int] = {}
        self._connections: dict[tuple[str, int], SimConnection] = {}
        self._standing: dict[str, SimConnection] = {}
        self._calls = Calls(half.answer_call, self._spawn)
        self._born = {peer: self._epoch(peer) for peer in self.members}  # connections up to these were of earlier lives

    def _epoch(self, peer: str) -> int:
        network, pair = self.half.owner.network, sorted((self.half.owner.number, int(peer[1:]) - 1))
        assert network is not None
        return network._epoch[pair[0], pair[1]]

    def _spawn(self, coroutine: Awaitable[None]) -> None:
        self.half.spawn(coroutine)

    def _connection(self, peer: str, epoch: int) -> SimConnection:
        connection = self._connections.get((peer, epoch))
        if connection is None:
            connection = self._connections[peer, epoch] = SimConnection(self, peer, epoch)
        return connection

    def standing(self, peer: str) -> bool:
        """Whether the link stands."""
        return peer in self._standing

    async def call(self, peer: str, method: str, body: bytes, timeout_s: float) -> bytes:
        """See cluster.links.transport.Links."""
        return await self._calls.ask(self._standing.get(peer), method, body, timeout_s)  # type: ignore[arg-type]

    def arrived(self, peer: str, epoch: int, message: Call | Reply) -> None:
        """From the peer, over that connection: perhaps before this side was told of it, or when it has broken."""
        if epoch > self._born[peer]:
            self.half.loop.call_soon(self._calls.on_message, self._connection(peer, epoch), message)

    def connected(self, peer: str) -> None:
        """A connection stands; one that stood before is broken, whether or not anybody said so."""
        self.disconnected(peer)
        self._standing[peer] = self._connection(peer, self._epoch(peer))

    def disconnected(self, peer: str) -> None:
        """It is broken, and with it what waits for answers."""
        connection = self._standing.pop(peer, None)
        if connection is not None:
            connection.open = False
            self.half.loop.call_soon(self._calls.lost, peer)

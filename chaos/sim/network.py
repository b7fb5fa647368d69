"""Simulated links: encoded messages between nodes, FIFO connections that break, or lossy datagrams.

When a connection stands, each side learns what the other knows of it, as from the product's hello.

A message is encoded when sent and decoded when delivered, so the codec is part of what is tested. Bytes of an older
connection may still arrive after a newer one stands, as with real sockets whose buffers are read late.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from cluster.links import messages

from .checks import MARKER

if TYPE_CHECKING:
    from .member import Hello, SimMember
    from .world import World

OLD_BYTES_CHANCE = 0.3
MESSAGES_MAX = 60_000  # of a run: more than ten times of what the busiest need


class Network:
    """All links among `members`, by number."""

    def __init__(self, world: World, members: list[SimMember]) -> None:
        self.world = world
        self.members = members
        self.sides: list[int] = [0] * len(members)  # a partition: nodes of different sides do not reach each other
        self.cut: set[tuple[int, int]] = set()  # one-way cuts
        self.slow: dict[tuple[int, int], float] = {}  # one direction of a link takes so much longer
        self.messages = 0
        self._epoch: dict[tuple[int, int], int] = {}
        self._up: dict[tuple[int, int], bool] = {}
        self._last: dict[tuple[int, int], float] = {}
        self._queues: dict[tuple[int, int], deque[tuple[bytes, int, int, float]]] = {}
        for a in range(len(members)):
            for b in range(a):
                self._epoch[b, a] = 0
                self._up[b, a] = False
                world.at(0.01 + world.rng.random() * 0.1, self.connect, b, a)

    def reachable(self, a: int, b: int) -> bool:
        """No partition and no cut from a to b."""
        return self.sides[a] == self.sides[b] and (a, b) not in self.cut

    def connect(self, a: int, b: int) -> None:
        """Try to bring the link up; again later if it cannot be."""
        if self._up[a, b]:
            return
        alive = self.members[a].alive and self.members[b].alive
        if not alive or not self.reachable(a, b) or not self.reachable(b, a):
            self.world.at(0.1 + self.world.rng.random() * 0.3, self.connect, a, b)
            return
        self._up[a, b] = True
        self._epoch[a, b] += 1
        for x, y in ((a, b), (b, a)):
            hello = self.members[y].hello(x)
            self.world.at(self._delay(x, y), self._report, x, y, self.members[x].life, self._epoch[a, b], hello)

    def disconnect(self, a: int, b: int) -> None:
        """The connection breaks; both sides notice, and it is dialled again."""
        key = (min(a, b), max(a, b))
        if not self._up[key]:
            return
        self._up[key] = False
        for x, y in (key, key[::-1]):
            self.world.at(self._delay(x, y), self._report, x, y, self.members[x].life, self._epoch[key], None)
        self.world.at(0.1 + self.world.rng.random() * 0.5, self.connect, *key)

    def cut_for(self, pairs: list[tuple[int, int]], time_s: float) -> None:
        """What the first of each pair says does not reach the second, for a while."""
        if not self.world.healed:
            self.cut.update(pairs)
            self.world.at(time_s, self._uncut, pairs)

    def _uncut(self, pairs: list[tuple[int, int]]) -> None:
        if not self.world.healed:
            self.cut.difference_update(pairs)

    def heal(self) -> None:
        """Every link can stand again."""
        self.sides = [0] * len(self.members)
        self.cut.clear()
        self.slow.clear()

    def down(self, node: int) -> None:
        """A node has died: its connections break."""
        for other in range(len(self.members)):
            if other != node:
                self.disconnect(node, other)

    def _report(self, x: int, y: int, life: int, epoch: int, hello: Hello | None) -> None:
        key = (min(x, y), max(x, y))
        member = self.members[x]
        if not self._alive(x, life) or self._up[key] != (hello is not None) or self._epoch[key] != epoch:
            return
        if not member.running:
            member.postpone(self._report, x, y, life, epoch, hello)
        elif hello is not None:
            member.connected(y, hello)
        else:
            member.disconnected(y)

    def _delay(self, a: int, b: int) -> float:
        options, rng = self.world.options, self.world.rng
        if self.world.healed:
            return options.delay_s * (0.5 + rng.random())
        late_s = self.slow.get((a, b), 0.0)
        if rng.random() < options.spike_chance:
            return late_s + rng.random() * options.spike_s
        return late_s + options.delay_s * (0.5 + rng.random())

    def send(self, a: int, b: int, message: messages.Message) -> bool:
        """False if no connection stands."""
        key = (min(a, b), max(a, b))
        if not self._up[key]:
            return False
        self.messages += 1
        if self.messages > MESSAGES_MAX:
            self.world.violate("a storm of messages", self.members[a].node_id, type(message).__name__)
        data = messages.encode(message)
        if MARKER in data:
            self.world.violate("readable in a message", self.members[a].node_id, type(message).__name__)
        options, rng = self.world.options, self.world.rng
        if options.datagram and not self.world.healed:
            copies = 2 if rng.random() < options.duplicates else 1
            for _ in range(copies):
                if rng.random() >= options.loss:
                    self._deliver_after(self._delay(a, b), a, b, data)
            return True
        due = max(self.world.now_s + self._delay(a, b), self._last.get((a, b), 0.0) + 1e-6)
        self._last[a, b] = due
        what = (data, self._epoch[key], self.members[b].life, self.world.now_s)
        self._queues.setdefault((a, b), deque()).append(what)
        self.world.at(due - self.world.now_s, self._pump, a, b)
        return True

    def _pump(self, a: int, b: int) -> None:
        """One message of the queue, the oldest: order is kept whatever delays whom."""
        queue = self._queues[a, b]
        data, epoch, life, sent_s = queue[0]
        key = (min(a, b), max(a, b))
        if self._alive(b, life):
            current = self._up[key] and self._epoch[key] == epoch
            if current and not self.reachable(a, b):
                self.world.at(0.2, self._pump, a, b)  # TCP sends again until the link is given up
                return
            if not self.members[b].running:
                self.members[b].postpone(self._pump, a, b)
                return
            if self.reachable(a, b) and (current or self.world.rng.random() < OLD_BYTES_CHANCE):
                queue.popleft()
                self._receive(a, b, data, sent_s)
                return
        queue.popleft()

    def _alive(self, b: int, life: int) -> bool:
        return self.members[b].alive and self.members[b].life == life

    def _deliver_after(self, delay_s: float, a: int, b: int, data: bytes) -> None:
        self.world.at(delay_s, self._deliver, a, b, data, self.members[b].life, self.world.now_s)

    def _deliver(self, a: int, b: int, data: bytes, life: int, sent_s: float) -> None:
        if not self._alive(b, life) or not self.reachable(a, b):
            return
        if not self.members[b].running:
            self.members[b].postpone(self._deliver, a, b, data, life, sent_s)
            return
        self._receive(a, b, data, sent_s)

    def _receive(self, a: int, b: int, data: bytes, sent_s: float) -> None:
        self.world.longest_way_s = max(self.world.longest_way_s, self.world.now_s - sent_s)
        self.members[b].receive(a, messages.decode(data))

"""Simulated clients: they ask any node for secrets and tokens, repeat what they got no answer to, and tell a history.

Requests come in bursts, so that writes meet in one batch, revocations among them. An operation whose outcome is unknown
is asked again under its write id, at another node, a few times. What is checked: workload/history.py.
"""

from __future__ import annotations

import functools
import random
from typing import TYPE_CHECKING

from cluster.keyring.sealing import Sealer
from cluster.values import ValueSealing

from .member import GENERATION, SimMember, keyring
from .workload.half import Dedupe, NodeHalf
from .workload.history import History
from .workload.mix import Mix
from .workload.operations import request_of
from .workload.seed import EPOCH_NS, add_facts, mount_uuid
from .world import SimRandom

if TYPE_CHECKING:
    from cluster.state.machine import State

    from .checks import Checks
    from .workload.half import Product
    from .workload.operations import Asked, Reply
    from .world import World

LEADER_SHARE = 0.5  # of bursts go to a node that believes it leads
HEALED_SHARE = 0.25  # after healing, writes only have to show that they are possible
BURSTS = (1, 1, 2, 8)
ANSWER_S = 4.5  # a client waits no longer
ATTEMPTS_MAX = 4
OUTCOMES = {"done": "acknowledged", "refused": "refused by a rule", "no": "refused", "unknown": "unknown"}


class Clients:
    """All clients of one run."""

    def __init__(
        self,
        world: World,
        members: list[SimMember],
        checks: Checks,
        product: Product,
    ) -> None:
        self.world = world
        self.members = members
        self.checks = checks
        self.product = product
        seed = world.options.seed
        self.rng = random.Random(f"clients {seed}")
        self.dedupe = self.rng.choice((Dedupe(120, 200_000), Dedupe(120, 200_000), Dedupe(3, 200_000), Dedupe(120, 40)))
        sealer = Sealer(keyring(seed), SimRandom(random.Random(f"observer {seed}")), GENERATION)
        sealing = ValueSealing(sealer)
        self.history = History(
            world,
            sealer,
            sealing.token_hash,
            lambda token, write_id: sealing.request_hash(token, write_id.lower().encode()),
            mount_uuid(seed),
            self._newest_ns,
        )
        self.history.remembered_s = self.dedupe.window_s if self.dedupe.entries_max > 1000 else 0.0
        self.mix = Mix(self.rng, self.history)
        checks.seed = functools.partial(add_facts, seed)
        self._waiting: dict[int, tuple[SimMember, int]] = {}  # attempts that nobody answered: member, its life
        self._late: dict[int, tuple[SimMember, int]] = {}  # those that clients gave up
        self._attempts = 0
        self._stopped = False
        for member in members:
            member.on_life, member.on_death = self._begin, self._end
        world.at(0.5, self._arrive)

    # ---- lives of nodes
    def _begin(self, member: SimMember) -> None:
        member.half = NodeHalf(member, self.members, self.product, self.dedupe, self._follow, quiet=self._stopped)

    def _end(self, member: SimMember) -> None:
        half, member.half = member.half, None
        if half is not None:
            half.end()

    def _follow(self, state: State) -> None:
        state.listeners.append(self.history.applied)

    def _newest_ns(self) -> int:
        replicas = [member.replica for member in self.members if member.replica is not None]
        known_ns = max((max(r._stamp_ns, r.state.time_ns, r._heard_stamp[0]) for r in replicas), default=0)
        return max(known_ns, EPOCH_NS + int(self.world.now_s * 1e9))  # readers let their own clock go on

    # ---- arrivals
    def stop(self) -> None:
        """No more requests but a last read of everything on every node; then the members come to rest."""
        self._stopped = True
        for member in self.members:
            if member.half is not None:
                member.half.quiet()
        for member in self.checks.core:
            for asked in self.mix.last_reads():
                self._invoke(asked, member)

    def _arrive(self) -> None:
        world, options = self.world, self.world.options
        if self._stopped:
            return
        member = self._somebody()
        for asked in self.mix.burst(self.rng.choice(BURSTS), world.now_s):
            self._invoke(asked, member)
        rate = (options.writes_per_s + options.reads_per_s) / 6
        world.at(self.rng.expovariate(rate * HEALED_SHARE if world.healed else rate), self._arrive)

    def _somebody(self) -> SimMember:
        leaders = [member for member in self.members if member.replica is not None and member.replica.is_leader]
        if leaders and self.rng.random() < LEADER_SHARE:
            return leaders[self.rng.randrange(len(leaders))]
        return self.members[self.rng.randrange(len(self.members))]

    def burst(self, member: SimMember, count: int) -> None:
        """That many requests at once, at this node, most of them writes that nothing refuses."""
        if not self._stopped:
            plain = [self.mix.plain_write(self.world.now_s) for _ in range(count - 1)]
            for asked in (*plain, *self.mix.burst(1, self.world.now_s)):
                self._invoke(asked, member)

    def read_on(self, member: SimMember) -> None:
        """A read there, asked before anything else happens to the node."""
        self._invoke(self.mix.read(), member)

    # ---- one operation
    def _invoke(self, asked: Asked, member: SimMember) -> None:
        if member.half is None or member.paused_until_s > self.world.now_s + 3.0:
            return  # connection refused: nothing began
        self.history.highest = self.checks.highest
        self.history.invoked(asked)
        self.world.stats[f"asked: {asked.kind}"] += 1
        self._attempt(asked, member)

    def _attempt(self, asked: Asked, member: SimMember) -> None:
        half = member.half
        if half is None:
            self._retry(asked)
            return
        asked.attempts += 1
        self._attempts += 1
        attempt = self._attempts
        self._waiting[attempt] = (member, member.life)

        def answered(reply: Reply | None) -> None:
            overdue = self._waiting.pop(attempt, None) is None
            self._late.pop(attempt, None)
            if reply is not None:
                self._answered(asked, reply, late=overdue)
            elif not overdue:
                self._lost(asked)

        def overdue() -> None:
            if attempt in self._waiting and asked.outcome == "":
                self._late[attempt] = self._waiting.pop(attempt)
                self._lost(asked)

        self.world.at(ANSWER_S, overdue)
        half.submit(request_of(asked, self.rng), answered)

    def _answered(self, asked: Asked, reply: Reply, *, late: bool) -> None:
        if late or asked.outcome:
            return
        self.history.highest = self.checks.highest
        over = self.history.answered(asked, reply)
        self.world.trace("client", asked)
        if over:
            self._over(asked, reply)
        else:
            self._retry(asked)

    def _lost(self, asked: Asked) -> None:
        """No answer: the connection broke, or it took too long."""
        asked.unsure |= not asked.is_read
        self._retry(asked)

    def _retry(self, asked: Asked) -> None:
        if asked.is_read or asked.write_id is None or asked.attempts >= ATTEMPTS_MAX or self._stopped:
            asked.outcome = "unknown" if asked.unsure else "no"
            self._over(asked, None)
            return
        self.world.stats["unknown, asked again"] += 1
        self.world.at(0.2 + self.rng.random() * 0.8, self._again, asked)

    def _again(self, asked: Asked) -> None:
        if self._stopped:
            self._retry(asked)
        else:
            self._attempt(asked, self.members[self.rng.randrange(len(self.members))])

    def _over(self, asked: Asked, reply: Reply | None) -> None:
        stats = self.world.stats
        if asked.is_read:
            stats["reads" if asked.outcome in {"done", "refused"} else "reads refused"] += 1
        else:
            stats[OUTCOMES[asked.outcome]] += 1
        if reply is not None:
            stats[f"{asked.outcome}: {asked.kind} {reply.status}"] += 1
            self.mix.learn(asked, reply)
        at = self.history.applied_at.get(asked.number)
        if asked.outcome == "done" and at is not None:
            self.checks.acknowledged[asked.number] = at

    # ---- the end
    def close(self) -> None:
        """Nothing runs any more."""
        for member in self.members:
            if member.half is not None:
                member.half.pending.clear()
                member.half.end()

    def final(self) -> None:
        """Everybody was answered, and every member has what the log says."""
        for member, life in (*self._waiting.values(), *self._late.values()):
            if member in self.checks.core and member.alive and member.life == life:
                self.world.violate("a request was never answered", member.node_id)
                return
        self.history.final(self.checks.core)

"""Rounds on a bad network: resets, one-way cuts, a follower that is away, and the death of the leader's host.

In each round many writers write over links of 20 ms; one follower is killed, cut off, or hears nothing, or none is;
connections are reset and directions cut for a moment; then the leader's host dies: everything it has in flight is
lost, and its process is killed. The follower comes back to find only the other survivor, and the dead node returns
later from its own files. With a library that acknowledges before a majority has it, this loses writes.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.network.far import DELAY_S, far_cluster
from tests.network.reading import verify
from tests.network.result import Result
from tests.network.writing import Writing, writing
from tests.process.harness import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.network.far import Far
    from tests.process.harness import Server

AWAY = ("killed", "cut off", "deaf", "there")
QUIET_S = 0.4  # between two faults
CUT_S = 0.25  # shorter than an election, most of the time
ROUND_S_MAX = 180.0


@dataclass
class Rounds:
    """How many, how long, how hard."""

    rounds: int = 9
    writers: int = 256
    acks: int = 6000  # of each round, before the leader dies
    load_s: float = 4.0  # at least so long
    seed: int = 1
    value_bytes: int = 256


@dataclass
class _Round:
    """One round on a cluster that is whole; whole again afterwards."""

    far: Far
    writing: Writing
    source: random.Random
    wanted: Rounds
    leader: Server = field(init=False)
    lame: Server = field(init=False)
    other: Server = field(init=False)

    def play(self, away: str, result: Result) -> None:
        cluster = self.far.cluster
        self.leader = cluster.leader()
        followers = [server for server in cluster.servers if server is not self.leader]
        self.lame, self.other = self.source.sample(followers, 2)
        self._send_away(away)
        self._load()
        self.leader = cluster.leader()  # on a busy machine it may be another than at the beginning
        lost_bytes = self.far.host_dies(self.leader)
        self.far.heal()
        if not self.lame.alive:
            cluster.restart(self.lame)
        gap_s = self.writing.gap_after(time.monotonic())  # since a majority runs and hears each other
        self.far.host_returns(self.leader)
        cluster.restart(self.leader)
        cluster.wait_ready(timeout_s=90.0)
        result.notes["bytes lost in flight"] += lost_bytes
        result.notes["gaps, s"].append(round(gap_s, 2))
        result.need(lost_bytes > 0, "a leader died with nothing in flight: the round shows nothing")
        print(
            f"  follower {away}: {self.leader.node_id} died with {lost_bytes} bytes in flight, writes again after"
            f" {gap_s:.2f} s, {self.writing.count} acknowledged so far",
            flush=True,
        )

    def _send_away(self, away: str) -> None:
        if away == "killed":
            self.lame.kill()
        elif away == "cut off":
            self.far.cut_off(self.lame)
        elif away == "deaf":
            self.far.cut(self.leader, self.lame)

    def _load(self) -> None:
        goal, began_s = self.writing.count + self.wanted.acks, time.monotonic()

        def enough() -> bool:
            took_s = time.monotonic() - began_s
            if took_s > ROUND_S_MAX:
                return True
            self._disturb()
            return took_s >= self.wanted.load_s and self.writing.count >= goal

        wait_until(enough, "a round's writes", ROUND_S_MAX + 30.0)

    def _disturb(self) -> None:
        """A reset, or a cut of one direction for a moment, between the leader and the follower that hears it."""
        pause(QUIET_S * self.source.random())
        one, other = self.source.sample([self.leader, self.other], 2)
        if self.source.random() < 0.5:
            self.far.reset(one, other)
            return
        self.far.cut(one, other)
        pause(CUT_S * self.source.random())
        self.far.mend(one, other)


def pause(seconds: float) -> None:
    """Time passes for the processes under test; nothing is waited for."""
    end_s = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= end_s, "time passes", seconds + 1.0)


def bad_links(folder: Path, wanted: Rounds) -> Result:
    """All rounds, then every acknowledged write is looked for on every node."""
    result = Result("bad links")
    with far_cluster(folder, delay_s=DELAY_S) as far:
        play_rounds(far, wanted, result)
    return result


def play_rounds(far: Far, wanted: Rounds, result: Result) -> None:
    """The same on a cluster that stands."""
    result.notes |= {"rounds": wanted.rounds, "seed": wanted.seed, "bytes lost in flight": 0, "gaps, s": []}
    source = random.Random(wanted.seed)
    plan = {"writers": wanted.writers, "value_bytes": wanted.value_bytes, "seed": wanted.seed, "tag": "rounds"}
    with writing(far, **plan) as writers:
        for number in range(wanted.rounds):
            _Round(far, writers, source, wanted).play(AWAY[number % len(AWAY)], result)
    result.notes |= far.counts()
    verify(far, writers, result)

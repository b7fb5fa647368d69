"""Scripted attacks: what random chaos meets too seldom, played on purpose. One table of names.

A script is a generator: it does something to the stage and yields how long the world goes on before its next step. It
is played again and again, with other moments each time; no other fault strikes meanwhile. Each has found a mutant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .stage import Stage

LIGHTS_OUT_S: Final = 2.0


class Script(NamedTuple):
    """`fixes`: options without which the attack could not happen."""

    play: Callable[[Stage], Iterator[float]]
    fixes: tuple[tuple[str, Any], ...] = ()


def aba(stage: Stage) -> Iterator[float]:
    """Three leaders put different entries at one index, on disks that sync when the next ones are there already."""
    first = stage.leader()
    for member in stage.members:
        stage.slow_disk(member, 0.05 + stage.draw() * 0.4, 4.0)
    stage.isolate(first)
    stage.burst(first, 4)
    second = yield from stage.next_leader(without=first)
    stage.burst(second, 3)
    yield stage.draw() * 0.05
    stage.join()
    stage.isolate(second)
    stage.burst(second, 3)
    third = yield from stage.next_leader(without=second)
    stage.burst(third, 3)
    stage.join()
    yield stage.draw() * 0.5
    stage.lights_out()
    yield LIGHTS_OUT_S


def one_fast_disk(stage: Stage) -> Iterator[float]:
    """Only one disk is fast: what it alone holds must not be acknowledged."""
    fast = stage.leader() if stage.draw() < 0.5 else stage.follower()
    for member in stage.members:
        if member is not fast:
            stage.slow_disk(member, 0.3 + stage.draw() * 0.4, 1.5)
    yield stage.draw() * 0.1
    for _ in range(3):
        stage.burst(stage.leader(), 5)
        yield 0.01 + stage.draw() * 0.03
    stage.lights_out()
    yield LIGHTS_OUT_S


def kill_then_lights_out(stage: Stage) -> Iterator[float]:
    """A life reads from the page cache what no platter has, and then the power goes."""
    victim = stage.follower()
    stage.slow_disk(victim, 0.2 + stage.draw() * 0.3, 2.0)
    stage.burst(stage.leader(), 8)
    yield 0.005 + stage.draw() * 0.03
    stage.kill(victim, 0.005)
    yield 0.01 + stage.draw() * 0.2
    stage.burst(stage.leader(), 3)
    yield stage.draw() * 0.1
    stage.lights_out()
    yield LIGHTS_OUT_S


def slow_ballots(stage: Stage) -> Iterator[float]:
    """Elections on disks that sync slowly; whoever voted loses power before its promise is on the platter."""
    for member in stage.members:
        stage.slow_disk(member, 0.1 + stage.draw() * 0.3, 3.0)
    stage.power(stage.leader(), 0.05)
    for _ in range(4):
        yield 0.3 + stage.draw() * 0.4
        stage.power(stage.anybody(), 0.01)
    yield 1.0


def two_power_losses(stage: Stage) -> Iterator[float]:
    """A node loses power, starts, and loses it again around the moment when it speaks for the first time."""
    victim = stage.follower()
    stage.burst(stage.leader(), 4)
    for _ in range(3):
        yield stage.draw() * 0.03
        stage.power(victim, 0.003)
        stage.burst(stage.leader(), 2)
        yield 0.003 + stage.draw() * 0.1
    stage.power(victim, 0.003)
    yield 0.5


def slow_sync_late_links(stage: Stage) -> Iterator[float]:
    """Second acknowledgements of slow disks arrive late, when the rounds that they name are long over."""
    leader, victim = stage.leader(), stage.follower()
    stage.slow_disk(victim, 0.15 + stage.draw() * 0.3, 2.0)
    stage.slow_link(victim, leader, 0.1 + stage.draw() * 0.8, 1.5)
    for _ in range(5):
        stage.burst(stage.leader(), 3)
        stage.reads_everywhere()
        yield 0.05 + stage.draw() * 0.15
    stage.isolate(leader)
    yield from stage.next_leader(without=leader)
    stage.burst(stage.leader(), 3)
    stage.reads_everywhere()
    stage.join()
    yield 0.8


def power_while_catching_up(stage: Stage) -> Iterator[float]:
    """A node that is behind loses power each time it is about to be whole; then everybody does."""
    victim = stage.follower()
    stage.isolate(victim)
    for _ in range(4):
        stage.burst(stage.leader(), 10)
        yield 0.1
    stage.join()
    for _ in range(3):
        yield 0.02 + stage.draw() * 0.4
        stage.power(victim, 0.01)
        stage.burst(stage.leader(), 5)
    yield 0.1 + stage.draw() * 0.4
    stage.lights_out()
    yield LIGHTS_OUT_S


def deposed_reader(stage: Stage) -> Iterator[float]:
    """A leader stands still with reads in hand, is deposed meanwhile, and goes on as if nothing had happened."""
    old = stage.leader()
    stage.burst(old, 2)
    stage.reads(old, 4)
    yield stage.draw() * 0.004
    stage.pause(old, 3.0)
    new = yield from stage.next_leader(without=old)
    for _ in range(3):
        stage.burst(new, 2)
        yield 0.02
    stage.resume(old)  # its timers and whoever waited for it come first, what lies in its sockets second
    stage.reads(old, 8)
    yield 0.5


def install_and_election(stage: Stage) -> Iterator[float]:
    """Leadership changes while a follower is in the middle of a snapshot."""
    victim = stage.follower()
    yield from stage.leave_behind(victim)
    for _ in range(3):
        yield 0.01 + stage.draw() * 0.15
        leader = stage.leader()
        if stage.draw() < 0.5:
            stage.kill(leader, 0.2)
        else:
            stage.hand_over(leader)
        yield from stage.next_leader(without=None)
        stage.burst(stage.leader(), 8)
    yield 0.5


def transfer_in_partition(stage: Stage) -> Iterator[float]:
    """The leader hands over to a node that it is cut off from in the same moment, in one direction or both."""
    leader, other = stage.leader(), stage.follower()
    stage.burst(leader, 3)
    yield stage.draw() * 0.02
    stage.hand_over(leader)
    yield stage.draw() * 0.06
    stage.cut(leader, other)
    if stage.draw() < 0.5:
        stage.cut(other, leader)
    stage.burst(leader, 2)
    stage.reads_everywhere()
    yield 0.3 + stage.draw() * 0.8
    stage.join()
    stage.reads_everywhere()
    yield 0.5


def compaction_while_catching_up(stage: Stage) -> Iterator[float]:
    """The log is cut, again and again, under a follower that is being brought up with it."""
    victim = stage.follower()
    yield from stage.leave_behind(victim)
    for _ in range(6):
        stage.burst(stage.leader(), 15)
        if stage.draw() < 0.3:
            stage.reset(victim, stage.leader())
        yield 0.03 + stage.draw() * 0.1
    stage.kill(victim, 0.02)
    yield 0.8


def higher_term_returns(stage: Stage) -> Iterator[float]:
    """A candidate vanishes with its new term and comes back: who leads a majority meanwhile goes on leading."""
    old = stage.leader()
    stage.pause(old, 3.0)
    candidate = yield from stage.candidate(without=old)
    stage.resume(old)
    stage.isolate(candidate)
    leader = yield from stage.next_leader(without=candidate)
    yield 1.5
    calm = stage.calm(leader, candidate)
    stage.join()
    yield 1.5
    calm()


def old_bytes(stage: Stage) -> Iterator[float]:
    """Connections break in the middle of bursts, and bytes of the old one arrive behind those of the new one."""
    for _ in range(8):
        stage.burst(stage.leader(), 4)
        yield 0.002 + stage.draw() * 0.01
        stage.reset(stage.leader(), stage.follower())
        yield 0.1 + stage.draw() * 0.2
    stage.kill(stage.follower(), 0.005)
    yield 0.5


SCRIPTS: Final[dict[str, Script]] = {
    "aba": Script(aba),
    "one-fast-disk": Script(one_fast_disk),
    "kill-then-lights-out": Script(kill_then_lights_out),
    "slow-ballots": Script(slow_ballots),
    "two-power-losses": Script(two_power_losses),
    "slow-sync-late-links": Script(slow_sync_late_links),
    "power-while-catching-up": Script(power_while_catching_up),
    "deposed-reader": Script(deposed_reader),
    "install-and-election": Script(install_and_election, (("log_entries_max", 30), ("log_keep_entries", 0))),
    "transfer-in-partition": Script(transfer_in_partition),
    "compaction-while-catching-up": Script(
        compaction_while_catching_up, (("log_entries_max", 30), ("log_keep_entries", 0))
    ),
    # A message that is late by seconds rightly deposes a leader whose only other follower sent it.
    "higher-term-returns": Script(higher_term_returns, (("spike_chance", 0.0),)),
    "old-bytes": Script(old_bytes),
}

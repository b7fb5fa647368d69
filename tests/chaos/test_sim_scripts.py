"""Scripted attacks come to their end and find nothing; the checks of the simulator find what is planted for them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from chaos.sim.checks import MARKER, Checks
from chaos.sim.member import SimMember
from chaos.sim.network import Network
from chaos.sim.options import expand
from chaos.sim.run import run
from chaos.sim.scripts import SCRIPTS
from chaos.sim.world import World
from cluster.links.messages import Ack, ReadIndexAnswer, SnapshotPart
from cluster.raft.replica import Replica

if TYPE_CHECKING:
    from cluster.links.messages import RequestVote

SEEDS_MAX = 8
SCRIPT_SEEDS_MAX = 30


@pytest.mark.parametrize("script", sorted(SCRIPTS))
def test_a_script_is_played_to_its_end_and_finds_nothing(script: str) -> None:
    """Within few seeds, though it gives up where nobody leads."""
    for seed in range(1, SCRIPT_SEEDS_MAX + 1):
        options = replace(expand(seed, script=script), script_share=1.0)
        world = run(seed, options=options)
        assert world.violations == []
        if world.stats[f"played to its end: {script}"]:
            return
    pytest.fail(f"in {SCRIPT_SEEDS_MAX} seeds {script} never came to its end")


# ---- teeth
def found_by(mutant: type[Replica], **options: Any) -> str:
    """The first violation within few seeds, without its time; empty if there is none."""
    for seed in range(1, SEEDS_MAX + 1):
        fixed = replace(expand(seed, config="tcp"), script=None, **options)
        if violations := run(seed, mutant, options=fixed).violations:
            return violations[0].partition(" ")[2]
    return ""


class NeverVotes(Replica):
    """Nobody is ever elected."""

    def may_vote(self, peer: str, message: RequestVote) -> bool:
        return False


class DoesNotStick(Replica):
    """Votes although a leader is alive, and asks for votes whenever a link comes to stand."""

    def leader_alive(self, now_s: float) -> bool:
        return False

    def on_connected(self, peer: str) -> None:
        super().on_connected(peer)
        if not self.is_leader:
            self._pre_vote_won = True
            self.campaign_now(transfer=False)


class CountsInItsState(Replica):
    """The state depends on the node."""

    def install(self, index: int, term: int, command: bytes) -> None:
        super().install(index, term, command)
        self.state.digest ^= int(self.node_id[1:])


class ForgetsAsLeader(Replica):
    """A leader takes back its newest entry now and then."""

    def before_tick(self) -> None:
        super().before_tick()
        if self.is_leader and self.log.last_index > self.commit_index and self.source.uniform() < 0.01:
            self.log.deleteEntriesFrom(len(self.log) - 1)


class AnswersNoReads(Replica):
    """ReadIndex requests of followers are lost."""

    def on_read_index_request(self, peer: str, message: object) -> None:
        pass


@pytest.mark.parametrize(
    ("mutant", "options", "found"),
    [
        (NeverVotes, {}, "no leader after healing"),
        (DoesNotStick, {"core": "flapping"}, "a healthy leader is deposed"),
        (CountsInItsState, {}, "digests differ"),
        (ForgetsAsLeader, {}, "leader append-only"),
        (AnswersNoReads, {}, "reads are not answered after healing"),
    ],
)
def test_a_check_finds_what_it_is_there_for(mutant: type[Replica], options: dict[str, Any], found: str) -> None:
    """Each of them is quiet on the right replica: test_sim."""
    assert found_by(mutant, **options).startswith(found)


def small_world() -> tuple[World, list[SimMember], Network]:
    world = World(expand(1, config="tcp"))
    checks = Checks(world)
    members = [SimMember(world, number, Replica, checks) for number in range(3)]
    checks.members = members
    network = Network(world, members)
    for member in members:
        member.network = network
        member.start()
    world.run(0.4)
    return world, members, network


def test_what_clients_wrote_is_found_on_a_disk() -> None:
    """In the pages or on the platter; the same bytes sealed are not."""
    world, members, _ = small_world()
    members[0].crash("test")
    assert world.violations == []
    members[1].disk.open("note", create=True).write_at(7, [b"x" + MARKER])
    members[1].crash("test")

    assert world.violations == ["0.4000 readable on a disk n2 note"]


@pytest.mark.parametrize(
    ("beyond", "found"),
    [
        (False, []),
        (
            True,
            [
                "0.4000 acknowledged what is not on the platter n1 2",
                "0.4000 committed without a majority of platters n1 2 0",
            ],
        ),
    ],
)
def test_an_acknowledgement_of_an_entry_that_no_log_has_is_found(*, beyond: bool, found: list[str]) -> None:
    """And a commit index beyond the leader's log; the twin names the last entry there is."""
    world, members, _ = small_world()
    replica = members[0].replica
    assert replica is not None
    index = replica.log.last_index + 1 if beyond else replica.log.durable()
    disks = members[0].checks.disks
    disks.acknowledged(members[0], "n2", Ack(replica.term, 1, 1, success=True, next_index=1, rejected=0, durable=index))
    if beyond:
        disks.committed(members[0], replica, index)

    assert world.violations == found


def test_what_clients_wrote_is_found_in_a_message() -> None:
    """Whatever kind of message it is."""
    world, _, network = small_world()
    network.send(0, 1, ReadIndexAnswer(1, 1, 1, 1))
    assert world.violations == []
    network.send(0, 1, SnapshotPart(1, 1, b"id", 1, 1, 99, 0, b"<" + MARKER + b">"))

    assert world.violations == ["0.4000 readable in a message n1 SnapshotPart"]


def test_an_acknowledged_write_is_not_lost_by_a_core_of_two() -> None:
    """The third is dead, cut off or comes and goes, for ever; that is played in many seeds, and here in each way."""
    for core in ("dead", "cut", "flapping"):
        world = run(3, options=replace(expand(3, config="tcp"), core=core))

        assert world.violations == []
        assert world.stats[f"core only, others {core}"] == 1

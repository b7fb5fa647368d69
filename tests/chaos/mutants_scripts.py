"""Schedules for mutants that neither random faults nor the simulator's own scripts find often enough.

Played like those of chaos/sim/scripts.py, on the same stage, again and again, with nothing else going on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaos.sim.journal import Ended
from chaos.sim.stage import GiveUpError
from cluster.journal import wal
from cluster.journal.scan import scan_segment
from cluster.journal.segments import segment_numbers
from cluster.links import messages

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from chaos.sim.disk import SimDisk
    from chaos.sim.member import SimMember
    from chaos.sim.stage import Stage


def returns_with_an_old_log(stage: Stage) -> Iterator[float]:
    """A follower is cut off for longer than any election takes, misses writes and comes back: nobody must notice."""
    victim, leader = stage.follower(), stage.leader()
    stage.isolate(victim)
    for _ in range(4):
        stage.burst(leader, 2)
        yield 0.6
    calm = _still_leads(stage, leader)
    stage.join()
    yield 1.0
    calm()
    yield 0.5


def deaf_follower(stage: Stage) -> Iterator[float]:
    """A follower with the whole log hears nothing more from the leader, and all others hear both: the leader stays."""
    victim, leader = stage.follower(), stage.leader()
    yield 0.3
    calm = _still_leads(stage, leader)
    stage.cut(leader, victim)
    yield 1.6
    calm()
    stage.join()
    yield 1.0


def _still_leads(stage: Stage, leader: SimMember) -> Callable[[], None]:
    """Call it later: nothing happened that may rightly depose this leader, so it leads the same term."""
    if leader.replica is None or not leader.replica.is_leader:
        raise GiveUpError
    term, troubles = leader.replica.term, stage._troubles()

    def still() -> None:
        now = leader.replica
        if stage._troubles() == troubles and (now is None or not now.is_leader or now.term != term):
            stage.world.violate("a healthy leader is deposed", leader.node_id, term)

    return still


def rot_and_power(stage: Stage) -> Iterator[float]:
    """A log has rotted while its node was down, and the start that finds it loses power between two of its steps."""
    yield from _rot(stage, lambda victim: victim.at_operation(stage.world.rng.randint(1, 24), _lose_power))


def rot(stage: Stage) -> Iterator[float]:
    """A log has rotted while its node was down."""
    yield from _rot(stage, lambda _victim: None)


def _rot_newest(disk: SimDisk) -> None:
    """A bit of the newest batch that a later one calls synced turns."""
    batches = []
    for number in segment_numbers(disk):
        file = disk.open(wal.segment_name(number))
        batches += scan_segment(file, number)
        file.close()
    newest_mark = max((batch.mark for batch in batches), default=0)
    marked = [batch for batch in batches if batch.records and batch.last <= newest_mark]
    if marked:
        disk.corrupt(wal.segment_name(marked[-1].number), marked[-1].offset + wal.BATCH_HEADER_BYTES + 8)


def _rot(stage: Stage, then: Callable[[SimMember], None]) -> Iterator[float]:
    victim, disks = stage.follower(), stage.members[0].checks.disks
    if disks.lost_at or any(member.replica is None or member.replica.recovering for member in stage.members):
        raise GiveUpError
    for _ in range(3):
        stage.burst(stage.leader(), 4)
        yield 0.2
    disks.harmed.add(victim.number)
    victim.crash("rot", power=True, down_s=0.02)
    _rot_newest(victim.disk)
    then(victim)
    yield 3.0


def _lose_power() -> None:
    raise Ended(power=True)


def answer_to_an_earlier_life(stage: Stage) -> Iterator[float]:
    """A follower asks for a read index and dies; its next life asks the same number, and hears the first answer."""
    leader, victim = stage.leader(), stage.follower()
    stage.slow_link(victim, leader, 0.75, 0.2)
    for _ in range(6):
        stage.reads(victim, 1)
        yield 0.03
    stage.kill(victim, 0.005)
    yield 0.45
    stage.slow_link(leader, victim, 0.35, 0.6)
    yield 0.2
    for _ in range(12):
        stage.burst(leader, 2)
        yield 0.02
        stage.reads(victim, 1)
        yield 0.01
    yield 0.8


def overwritten(stage: Stage) -> Iterator[float]:
    """Of five, two hold what three never hear of and write over; what was said of it comes when the first leads."""
    old, voice = stage.leader(), stage.follower()
    stage.slow_link(voice, old, 2.6, 0.3)
    stage.network.sides = [int(member is old or member is voice) for member in stage.members]
    stage.burst(old, 40)
    new = yield from stage.next_leader(without=old)
    stage.burst(new, 6)
    yield 0.05
    stage.join()
    yield 0.4
    leader = stage.leader()
    if leader is not old and leader.replica is not None:
        leader.guard(leader.replica.transfer_leadership, old.node_id)
    for _ in range(120):
        yield 0.005
        both = old.replica is not None and voice.replica is not None and old.replica.noop_applied
        if both and voice.replica.term == old.replica.term:
            break
    else:
        raise GiveUpError
    stage.cut(old, voice)
    for _ in range(6):
        stage.burst(old, 8)
        yield 0.02
    yield 1.8
    stage.join()
    yield 0.5


def tail_on_its_way_to_the_disk(stage: Stage) -> Iterator[float]:
    """What a leader wrote alone is still on its way to its slow disk when another leader's entries take its place."""
    old = stage.leader()
    stage.slow_disk(old, 1.4, 3.0)
    stage.isolate(old)
    yield 0.02
    stage.burst(old, 4)
    new = yield from stage.next_leader(without=old)
    stage.burst(new, 3)
    stage.join()
    yield 2.0


def killed_while_compacting(stage: Stage) -> Iterator[float]:
    """A node dies while the snapshot that its log would be cut for is on its way to a slow disk."""
    victim = stage.anybody()
    for _ in range(8):
        stage.burst(stage.leader(), 6)
        yield 0.02
    stage.slow_disk(victim, 0.3, 1.0)
    stage.burst(stage.leader(), 6)
    yield stage.draw() * 0.4
    stage.kill(victim, 0.005)
    yield 0.8


def failed_sync_then_power(stage: Stage) -> Iterator[float]:
    """A sync of the log fails, the node goes on or starts again as its rules say, and a little later loses power."""
    victim = stage.follower()
    victim.disk.fail_next_sync()
    stage.burst(stage.leader(), 4)
    for _ in range(300):
        yield 0.005
        if victim.running and victim.disk.sync_error is None:
            break
    stage.burst(stage.leader(), 2)
    yield 0.1 + stage.draw() * 0.3
    stage.power(victim, 0.01)
    yield 0.6


def ballots_fail(stage: Stage) -> Iterator[float]:
    """The leader is gone and nothing is written: the syncs that fail are those of votes, and then the power goes."""
    stage.kill(stage.leader(), 1.5)
    yield 0.3
    alive = [member for member in stage.members if member.running]
    votes = len(stage.members[0].checks.disks.votes)
    for member in alive:
        member.disk.fail_next_sync()
    for _ in range(200):
        yield 0.005
        if len(stage.members[0].checks.disks.votes) >= votes + 2:
            break
    for member in alive:
        stage.power(member, 0.01)
    yield 1.5


def many_elections(stage: Stage) -> Iterator[float]:
    """Whoever leads is killed, and killed again."""
    stage.kill(stage.leader(), 0.05)
    yield from stage.next_leader(without=None)


def lost_before_the_sync(stage: Stage) -> Iterator[float]:
    """A follower has received and said so, and loses power before its slow disk has synced."""
    victim = stage.follower()
    stage.slow_disk(victim, 0.4, 0.5)
    yield 0.02
    stage.burst(stage.leader(), 6)
    yield 0.06
    stage.power(victim, 0.01)
    yield 1.0


def clean_stop_then_power(stage: Stage) -> Iterator[float]:
    """A member stops cleanly, starts, writes, and loses power: the stop says nothing about the life behind it."""
    victim = stage.follower()
    victim.stop(power=False)
    for _ in range(500):
        yield 0.005
        if victim.running:
            break
    yield 0.4
    stage.slow_disk(victim, 0.4, 1.0)
    stage.burst(stage.leader(), 6)
    yield 0.06
    stage.power(victim, 0.01)
    yield 1.5


def long_tail(stage: Stage) -> Iterator[float]:
    """A leader that is cut off goes on far alone; the others write less, and their snapshot ends inside its tail."""
    old = stage.leader()
    stage.isolate(old)
    stage.burst(old, 70)
    new = yield from stage.next_leader(without=old)
    for _ in range(9):
        stage.burst(new, 4)
        yield 0.03
    yield 0.3
    stage.join()
    yield 2.0


def snapshot_inside_the_log(stage: Stage) -> Iterator[float]:
    """A member that wrote no snapshot leads for a moment, is cut off with an own tail, and starts again.

    A later leader, whose log begins later, sends it a snapshot of an entry that it holds, with committed ones behind.
    """
    first, victim = stage.leader(), stage.follower()
    for _ in range(100):
        if first.replica is None or victim.replica is None:
            raise GiveUpError
        victim.replica._take_after_s = victim.clock.boot() + 5.0  # as if its disk had just been full
        if first.replica.log.base_index > victim.replica.log.base_index + 1:
            break
        stage.burst(first, 2)
        yield 0.02
    stage.burst(first, 4)
    yield 0.05
    first.guard(first.replica.transfer_leadership, victim.node_id)
    for _ in range(60):
        yield 0.005
        if victim.replica is None or victim.replica.noop_applied:
            break
    stage.isolate(victim)
    stage.burst(victim, 4)
    for _ in range(2):  # the second of them looks for the victim's log where it has never been
        new = yield from stage.next_leader(without=victim)
        stage.burst(new, 3)
        yield 0.1
        stage.hand_over(new)
        yield 0.1
    stage.kill(victim, 0.005)
    yield 0.1
    stage.join()
    yield 1.2


def longer_and_older(stage: Stage) -> Iterator[float]:
    """A leader writes much alone, the others little and later; then the others' leader dies, and two may stand."""
    old = stage.leader()
    stage.isolate(old)
    stage.burst(old, 25)
    new = yield from stage.next_leader(without=old)
    stage.burst(new, 2)
    yield 0.1
    stage.kill(new, 1.5)
    stage.join()
    yield 2.0


def killed_while_installing(stage: Stage) -> Iterator[float]:
    """A follower that was left behind dies between having the snapshot and having cut its log."""
    victim = stage.follower()
    yield from stage.leave_behind(victim)
    stage.slow_disk(victim, 0.1 + stage.draw() * 0.2, 3.0)
    assert victim.replica is not None
    before = victim.replica.installs
    for _ in range(400):
        yield 0.005
        if victim.replica is None or victim.replica.installs > before:
            break
    stage.power(victim, 0.01)
    yield 0.5


def isolated_pair(stage: Stage) -> Iterator[float]:
    """Of five, the leader and one follower are cut off together and asked for what the other three wrote."""
    old, companion = stage.leader(), stage.follower()
    stage.network.sides = [int(member is old or member is companion) for member in stage.members]
    new = yield from stage.next_leader(without=old)
    for _ in range(10):
        stage.burst(new, 1)
        yield 0.015
        stage.reads(old, 1)
        yield 0.005
    stage.join()
    yield 1.0


def dies_as_it_answers(stage: Stage) -> Iterator[float]:
    """A leader dies in the moment of its answer, before others know of the commit; the next one is asked at once."""
    leader, acknowledged = stage.leader(), stage.world.stats["acknowledged"]
    stage.burst(leader, 3)
    for _ in range(600):
        yield 0.0005
        if stage.world.stats["acknowledged"] > acknowledged:
            break
    stage.kill(leader, 1.5)
    for _ in range(2500):
        yield 0.0005
        leads = [member for member in stage.members if member.replica is not None and member.replica.is_leader]
        if leads:
            stage.reads(leads[-1], 2)
            if leads[-1].replica is not None and leads[-1].replica.noop_applied:
                break
    yield 0.5


def isolated_reader(stage: Stage) -> Iterator[float]:
    """A leader is cut off, another one is elected before it notices, and it is asked for what the other one wrote."""
    old = stage.leader()
    stage.isolate(old)
    new = yield from stage.next_leader(without=old)
    for _ in range(10):
        stage.burst(new, 1)
        yield 0.015
        stage.reads(old, 1)
        yield 0.005
    stage.join()
    yield 1.0


def slow_answers(stage: Stage) -> Iterator[float]:
    """What the leader says reaches a follower late: reads there begin while the answer to an earlier one is coming."""
    leader, victim = stage.leader(), stage.follower()
    stage.slow_link(leader, victim, 0.3, 1.2)
    for _ in range(30):
        stage.burst(leader, 1)
        yield 0.02
        stage.reads(victim, 1)
        yield 0.01
    yield 0.5


def late_refusals(stage: Stage) -> Iterator[float]:
    """Appends of a leader's earlier life are refused late: the refusals reach its next life when it leads nobody."""
    old = yield from _fresh_leader(stage)
    follower = next(member for member in stage.members if member is not old and member.running)
    taken = _tap(stage, old, follower)
    for _ in range(60):
        stage.reads(old, 1)
        yield 0.012
    stage.kill(old, 0.005)
    yield from stage.next_leader(without=old)
    yield 0.7
    other = stage.leader()
    assert other.replica is not None
    other.guard(other.replica.transfer_leadership, old.node_id)
    for _ in range(100):
        yield 0.005
        if old.replica is not None and old.replica.noop_applied:
            break
    else:
        raise GiveUpError
    yield from _refused(stage, old, follower, taken)


def _fresh_leader(stage: Stage) -> Generator[float, None, SimMember]:
    stage.kill(stage.leader(), 0.02)
    return (yield from stage.next_leader(without=None))


def _tap(stage: Stage, sender: SimMember, receiver: SimMember) -> list[messages.Append]:
    """Every append that the sender's present life sends to the receiver."""
    taken: list[messages.Append] = []
    send, life = sender._send, sender.life

    def tapped(peer: str, message: messages.Message) -> bool:
        if isinstance(message, messages.Append) and peer == receiver.node_id and sender.life == life:
            taken.append(message)
        return send(peer, message)

    assert sender.replica is not None
    sender.replica.send = tapped
    return taken


def _refused(stage: Stage, old: SimMember, follower: SimMember, taken: list[messages.Append]) -> Iterator[float]:
    """The leader is heard by nobody; old appends reach the follower, and it is slow to say what it thinks of them."""
    others = [member for member in stage.members if member is not old]
    for member in others:
        stage.cut(old, member)
        if member is not follower:
            stage.cut(member, old)
    for _ in range(3):
        yield 0.12
        _deliver(stage, old, follower, taken[:1])
    yield 0.02
    stage.slow_link(follower, old, 0.66, 0.03)
    if old.replica is None or follower.replica is None or follower.replica.term != old.replica.term:
        raise GiveUpError
    here = old.replica.round
    _deliver(stage, old, follower, [message for message in taken if here + 4 <= message.round <= here + 60])
    new = yield from stage.next_leader(without=old)
    for _ in range(24):
        stage.burst(new, 1)
        yield 0.02
        stage.reads(old, 1)
        yield 0.01
    stage.join()
    yield 1.0


def _deliver(stage: Stage, sender: SimMember, receiver: SimMember, found: list[messages.Append]) -> None:
    """Bytes of an older connection arrive, whatever the present one is like."""
    for message in found:
        stage.world.at(0.0005, _arrives, sender.number, receiver, receiver.life, messages.encode(message))


def _arrives(sender: int, receiver: SimMember, life: int, data: bytes) -> None:
    if receiver.running and receiver.life == life:
        receiver.receive(sender, messages.decode(data))

"""Members with one rule of reads or of snapshots broken. What a mutant is: mutants_base.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from chaos.sim.options import COMPACTING, LOSSY
from cluster.raft.replica import Replica
from tests.chaos.mutants_base import Where
from tests.chaos.mutants_scripts import (
    answer_to_an_earlier_life,
    dies_as_it_answers,
    isolated_pair,
    isolated_reader,
    killed_while_compacting,
    late_refusals,
    long_tail,
    slow_answers,
    snapshot_inside_the_log,
)

if TYPE_CHECKING:
    from cluster.links.messages import Append, ReadIndexAnswer, SnapshotPart
    from cluster.raft.reads import ReadCallback

STALE = ("stale answer", "another value was read", "a read of what is not there", "a refusal that nothing justifies")
LOST = (
    "leader completeness", "state machine safety", "log matching", "fatal", "committed without a majority of platters",
    "digests differ", "acknowledged and not applied", "applied out of order", "what was on the platter is gone",
)
CUT = ("what is committed is cut off",)
GOES_BACK = ("a snapshot took the state back",)
NEEDLESS = ("recovering, and nothing is lost",)


# ---- reads (reads.py)
class ReadsBeforeTheNoOp(Replica):
    """X1 (thesis 6.4): a new leader confirms reads with the commit index it had as a follower."""

    where = Where(play=dies_as_it_answers)
    caught_by = STALE

    def read_index(self, callback: ReadCallback) -> None:
        if self.is_leader:
            self._enter()
            self._confirm(self.clock.boot(), callback)
        else:
            super().read_index(callback)


class ReadsByAnEarlierRound(Replica):
    """X2: a round that began before the read confirms it."""

    where = Where(play=isolated_reader)
    caught_by = STALE

    def _confirm(self, since_s: float, callback: ReadCallback) -> None:
        self._confirming.append((self.majority_round, self.commit_index, since_s, callback))


class ConfirmsByAnybody(Replica):
    """X2, 6.4: one follower that acknowledges a round confirms it; of five, a majority is two."""

    where = Where(play=isolated_pair, changes={"nodes": 5})
    caught_by = STALE

    def _note_majority(self) -> None:
        super()._note_majority()
        self.majority_round = max([self.majority_round, *(progress.round for progress in self.progress.values())])


class JoinsARequestOnItsWay(Replica):
    """X3: a read is answered by a request for a read index that had left before the read began."""

    where = Where(play=slow_answers)
    caught_by = STALE

    def read_index(self, callback: ReadCallback) -> None:
        super().read_index(callback)
        if self._asking and self._asking[-1][2] is callback:
            _, since_s, _ = self._asking.pop()
            self._asking.append((max(self._request_id, 1), since_s, callback))


class TakesAnswersOfAnEarlierLife(Replica):
    """X3: the answer to a request of an earlier life, which had the same number, is taken."""

    where = Where(play=answer_to_an_earlier_life)
    caught_by = STALE

    def on_read_index_answer(self, peer: str, message: ReadIndexAnswer) -> None:
        super().on_read_index_answer(peer, msgspec.structs.replace(message, incarnation=self.log.incarnation))


class RefusalEchoesTheRound(Replica):
    """R7: a refusal names the round of the append it refuses, and a reborn leader counts it as an acknowledgement."""

    where = Where(play=late_refusals, changes={"chaos_s": 16.0})
    caught_by = STALE

    def refused_round(self, message: Append) -> int:
        return message.round


# ---- snapshots (snapshots.py, replica.py)
def _install(replica: Replica) -> None:
    """Replica.loaded without its conditions."""
    receiving = replica._receiving
    assert receiving is not None
    replica._receiving = None
    replica.log.reset(receiving.index, receiving.term)
    replica.replace_state()
    replica._SyncObj__raftCommitIndex = replica.applied_index = receiving.index
    replica.verified = max(replica.verified, receiving.index)
    replica._installed = receiving
    replica._say_installed()


class KeepsALogOfAnotherTerm(Replica):
    """S2 without its term: a log that is as long as the snapshot is kept, whoever wrote its entries."""

    where = Where(play=long_tail, changes=COMPACTING)
    caught_by = (*CUT, *LOST)

    def on_snapshot_part(self, peer: str, message: SnapshotPart) -> None:
        term = self.log.term_at(message.last_index)
        if message.term >= self.term and message.last_index > self.commit_index and term is not None:
            message = msgspec.structs.replace(message, last_term=term)
        super().on_snapshot_part(peer, message)


class DropsTheLogItHas(Replica):
    """S2: a snapshot whose last entry the log holds takes the log's acknowledged tail with it."""

    where = Where(play=snapshot_inside_the_log, changes=COMPACTING)
    caught_by = (*CUT, *LOST)

    def on_snapshot_part(self, peer: str, message: SnapshotPart) -> None:
        has = self.log.term_at(message.last_index) == message.last_term and message.last_index > self.commit_index
        if has and message.term == self.term and message.life == self.log.incarnation:
            self.leader_heard(peer, self.clock.boot())
            self._receive(peer, message)
        else:
            super().on_snapshot_part(peer, message)

    def loaded(self) -> None:
        receiving = self._receiving
        assert receiving is not None
        if receiving.index <= self.commit_index or self.log.term_at(receiving.index) != receiving.term:
            super().loaded()
            return
        _install(self)


class InstallsOlderSnapshots(Replica):
    """S1: a snapshot below the commit index is installed: the state goes back."""

    where = Where(
        "late",
        "compaction-while-catching-up",
        changes={**LOSSY, **COMPACTING, "duplicates": 0.5, "spike_chance": 0.2, "snapshot_part_bytes": 1 << 20},
    )
    caught_by = GOES_BACK

    def on_snapshot_part(self, peer: str, message: SnapshotPart) -> None:
        if message.term == self.term and self.role == 0 and message.life == self.log.incarnation:
            self.leader_heard(peer, self.clock.boot())
            self._receive(peer, message)
        else:
            super().on_snapshot_part(peer, message)

    def loaded(self) -> None:
        _install(self)


class CutsTheLogAhead(Replica):
    """S5: the log is cut when a snapshot begins, and not when it is on the disk."""

    where = Where(play=killed_while_compacting, changes=COMPACTING)
    caught_by = NEEDLESS

    def take_snapshot(self) -> bool:
        taken = super().take_snapshot()
        if taken and self._taking is not None and self._taking[1] > self.log.base_index:
            self.log.trim(self._taking[1])
        return taken


class RemovesTheOldSnapshotFirst(Replica):
    """S5: older snapshots go when a new one begins, and not when it is on the disk."""

    where = Where(play=killed_while_compacting, changes=COMPACTING)
    caught_by = NEEDLESS

    def take_snapshot(self) -> bool:
        taken = super().take_snapshot()
        if taken and self._taking is not None:
            self.store.remove_before(self._taking[1])
        return taken

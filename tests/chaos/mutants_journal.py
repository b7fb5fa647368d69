"""Journal, ballot, snapshot files, start and digest with one rule broken. What a mutant is: mutants_base.py."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

import chaos.sim.journal
from chaos.sim.checks import Checks
from chaos.sim.options import COMPACTING, FAULTS
from chaos.sim.workload.half import Product
from cluster.journal import ballot as ballots
from cluster.journal import frames, modes, recovery
from cluster.journal.ballot_file import BallotWriter
from cluster.journal.duties import Duty, Syncing, log_duty
from cluster.journal.judge import Judgement, judge
from cluster.journal.segments import SegmentMap
from cluster.journal.snapshot_file import FOLDER, _PartialFile
from cluster.journal.writer import LogWriter
from cluster.raft import boot
from cluster.raft.log import DurableLog
from cluster.raft.replica import Replica
from cluster.state.digest import Fingerprints
from cluster.state.tables import Table
from tests.chaos.mutants_base import Mutant, Where, patched
from tests.chaos.mutants_scripts import (
    ballots_fail,
    clean_stop_then_power,
    failed_sync_then_power,
    killed_while_installing,
    lost_before_the_sync,
    rot,
    tail_on_its_way_to_the_disk,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster.journal.ballot import Ballot
    from cluster.seams import Disk, File

UNDURABLE = ("acknowledged what is not on the platter", "committed without a majority of platters")
FORGOTTEN = ("what was on the platter is gone", "recovering, and nothing is lost")
VOTES = ("a vote is forgotten", "two votes in a term", "ballot lost")
NO_ROT = {**FAULTS, "rot": 0.0, "lost_log": 0.0}
FAILING = Where(play=failed_sync_then_power)
POWER = Where(changes={"faults": {**NO_ROT, "power": 0.3, "blackout": 0.15}})


# ---- what is reported (log.py, duties.py, writer.py)
def _says_before_syncing(writer: LogWriter, say: Callable[[bytes], object], **options: Any) -> Duty:
    duty, arrived = log_duty(writer, say, **options), None
    while True:
        try:
            step = duty.send(arrived)
        except StopIteration:
            return
        if isinstance(step, Syncing):
            say(frames.frame(writer.last_sequence))
        arrived = yield step


class AcknowledgesBeforeTheSync(Mutant):
    """D1, L1: the journal reports what it has written before it has synced it."""

    product = patched((chaos.sim.journal, "log_duty", _says_before_syncing))
    caught_by = UNDURABLE


class _ByIndex:
    """DurableLog's completions, kept as an index."""

    add, on_synced = DurableLog.add, DurableLog.on_synced
    cut, reset = DurableLog.deleteEntriesFrom, DurableLog.reset


def _reports(log: DurableLog) -> dict[str, Any]:
    if "_reports" not in vars(log):
        log._reports = {"placed": {}, "index": log._entries[-1][1] if log._sequences[-1] == 0 else 0}
    return log._reports


def _add(self: DurableLog, command: bytes, idx: int, term: int) -> None:
    reports = _reports(self)
    _ByIndex.add(self, command, idx, term)
    reports["placed"][self._sequence] = idx


def _on_synced(self: DurableLog, sequence: int) -> None:
    reports = _reports(self)
    placed = reports["placed"]
    done = [placed.pop(known) for known in list(placed) if known <= sequence]
    reports["index"] = max([reports["index"], *done])
    _ByIndex.on_synced(self, sequence)


def _cut(self: DurableLog, entryFrom: int) -> None:  # noqa: N803 - the library's name
    reports = _reports(self)
    _ByIndex.cut(self, entryFrom)
    reports["index"] = min(reports["index"], self.last_index)


def _reset(self: DurableLog, index: int, term: int) -> int:
    sequence = _ByIndex.reset(self, index, term)
    _reports(self).update(index=0, placed={sequence: index})
    return sequence


class CompletionIsAnIndex(Mutant):
    """L2 (raft/log.py): a completion names an index, which is another entry's when the log was cut meanwhile."""

    product = patched(
        (DurableLog, "add", _add), (DurableLog, "on_synced", _on_synced), (DurableLog, "deleteEntriesFrom", _cut),
        (DurableLog, "reset", _reset),
        (DurableLog, "durable", lambda self: min(max(_reports(self)["index"], self.base_index), self.last_index)),
    )  # fmt: skip
    where = Where(play=tail_on_its_way_to_the_disk)
    caught_by = (*UNDURABLE, "acknowledged another leader's entry")


def _sync_again(file: File) -> None:
    try:
        file.sync()
    except OSError:
        file.sync()


class _SyncsTheLogAgain(LogWriter):
    def sync(self) -> int:
        for file in self._unsynced:
            _sync_again(file)
            if file is not self._file:
                file.close()
        self._unsynced.clear()
        self.synced_sequence = self.last_sequence
        return self.synced_sequence


class RetriesASyncOfTheLog(Mutant):
    """L2 (journal/writer.py): a failed sync is tried again and believed; the kernel had dropped the pages."""

    product = patched((chaos.sim.journal, "LogWriter", _SyncsTheLogAgain))
    where = FAILING
    caught_by = FORGOTTEN


class _SyncsTheBallotAgain(BallotWriter):
    def sync(self) -> int:
        assert self._file is not None
        assert self._newest is not None
        _sync_again(self._file)
        self.synced_sequence = self._newest[0]
        return self.synced_sequence


class RetriesASyncOfTheBallot(Mutant):
    """The same for votes (journal/ballot_file.py): a failed sync of the ballot is tried again and believed."""

    product = patched((chaos.sim.journal, "BallotWriter", _SyncsTheBallotAgain))
    where = Where(play=ballots_fail)
    caught_by = VOTES


# ---- the start (recovery.py, judge.py, boot.py)
def _all_is_durable(batches: Any, first_place: tuple[int, int]) -> Judgement:
    judgement = judge(batches, first_place)
    return replace(judgement, mark=judgement.last)


class SyncsTheTailInPlace(Mutant):
    """journal/recovery.py: what stands behind the newest mark is synced again, not copied: it may be clean pages."""

    product = patched((recovery, "judge", _all_is_durable))
    where = FAILING
    caught_by = FORGOTTEN


class _Unsynced:
    """A disk, or a file, that never syncs."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def open(self, name: str, *, create: bool = False) -> Any:
        return _Unsynced(self._inner.open(name, create=create))

    def sync(self) -> None:
        """Nothing."""

    def sync_folder(self, folder: str = "") -> None:
        """Nothing."""


class _UnsyncedOld(_Unsynced):
    """What is made new is synced, and the folder."""

    def open(self, name: str, *, create: bool = False) -> Any:
        return self._inner.open(name, create=True) if create else _Unsynced(self._inner.open(name))

    def sync_folder(self, folder: str = "") -> None:
        self._inner.sync_folder(folder)


class TakesThePageCacheForTheDisk(Mutant):
    """journal/recovery.py: what a restarted node reads counts at once, synced or not."""

    product = patched(
        (recovery, "judge", _all_is_durable),
        (boot, "recover", lambda disk, **options: recovery.recover(_Unsynced(disk), **options)),
        (boot, "rewrite", lambda disk, recovered: recovery.rewrite(_UnsyncedOld(disk), recovered)),
    )
    where = Where(script="kill-then-lights-out")
    caught_by = FORGOTTEN


class TakesDamageForATornTail(Mutant):
    """journal/judge.py: a batch that cannot be read is cut silently, although a later one says that it was synced."""

    product = patched((recovery, "judge", lambda *found: replace(judge(*found), damaged=False)))
    where = Where(play=rot)
    caught_by = FORGOTTEN[:1]


def _former_life(disk: Disk, sequence: int, ballot: Ballot) -> None:
    found = ballots.read_ballot(disk)
    former = 0 if found is None else found[1].incarnation
    ballots.write_ballot(disk, sequence, msgspec.structs.replace(ballot, incarnation=former))


class SpeaksBeforeItsLifeIsDurable(Mutant):
    """B1 (raft/boot.py): the incarnation of a life is in memory alone when it begins to speak."""

    product = patched((boot, "write_ballot", _former_life))
    where = Where(script="two-power-losses")
    caught_by = ("an incarnation is spoken twice", "an earlier life")


_meet = boot._meet


def _meets_anything(
    recovered: recovery.Recovered, ballot: Ballot, snapshot: tuple[int, int] | None
) -> tuple[tuple[int, int], list[tuple[int, int, bytes]], tuple[int, int] | None, bool]:
    base, entries, reset_to, lost = _meet(recovered, ballot, snapshot)
    if reset_to is not None and snapshot is not None and not lost and recovered.base[0] < snapshot[0]:
        return recovered.base, recovered.entries, None, lost
    return base, entries, reset_to, lost


class KeepsALogBelowItsSnapshot(Mutant):
    """B4: a log that ends before the newest snapshot, or that is another one there, is gone on with."""

    product = patched((boot, "_meet", _meets_anything))
    where = Where(play=killed_while_installing, changes=COMPACTING)
    caught_by = ("order of indexes", "what was on the platter is gone", "fatal", "state machine safety", "log matching")


class BelievesEveryLog(Mutant):
    """B5 (journal/modes.py): a buffered log is believed after a loss of power, whole or not."""

    product = patched((boot, "believed", lambda _ballot, _boot_id: True))
    where = Where("buffered", play=lost_before_the_sync)
    caught_by = (*FORGOTTEN[:1], "a vote of a node that lost its log", "acknowledged what is not on the platter")


def _begun(ballot: Ballot, mode: str, boot_id: str) -> Ballot:
    return msgspec.structs.replace(modes.begun(ballot, mode, boot_id), clean_stop=ballot.clean_stop)


class KeepsTheMarkOfACleanStop(Mutant):
    """B5: a life that appends leaves the mark of the former life's clean stop in its ballot."""

    product = patched((boot, "begun", _begun))
    where = Where("buffered", play=clean_stop_then_power)
    caught_by = BelievesEveryLog.caught_by


# ---- files
def _commit_unsynced(self: _PartialFile) -> str:
    self.cut()
    self._file.close()
    self._disk.rename(self.partial_name, self._name)
    self._disk.sync_folder(FOLDER)
    return self._name


class NamesASnapshotBeforeItsSync(Mutant):
    """journal/snapshot_file.py: a snapshot gets its name, and the log is cut, before its pages are on the platter."""

    product = patched((_PartialFile, "commit", _commit_unsynced))
    where = Where(changes={**COMPACTING, **POWER.changes})
    caught_by = FORGOTTEN


def _without_base(self: SegmentMap) -> list[int]:
    full = [live.number for live in self._live if live.first <= live.last]
    return [live.number for live in self._live if full and live.number < min(full)]


class DropsTheSegmentOfTheBase(Mutant):
    """M1: a segment goes although the newest base of the log stands in it."""

    product = patched((SegmentMap, "droppable", _without_base))
    where = Where(changes={**COMPACTING, **POWER.changes})
    caught_by = FORGOTTEN


# ---- the digest
class _Flawed(Replica):
    """One member, and it alone, forgets that a token was revoked: what a bug or a bad memory could do."""

    def install(self, index: int, term: int, command: bytes) -> None:
        found = self._opened.get(index)
        if self.node_id == "n2" and found is not None and any(table == Table.TOKEN for table, _ in found[1].drops):
            facts = found[1]
            drops = [(table, key) for table, key in facts.drops if table != Table.TOKEN]
            self._opened[index] = (found[0], msgspec.structs.replace(facts, drops=drops))
        super().install(index, term, command)


_log_matching = Checks.log_matching


def _with_contents(self: Checks) -> None:
    """Equal digests, equal records."""
    _log_matching(self)
    seen: dict[tuple[int, int], Any] = {}
    for member in self.members:
        if member.replica is not None:
            state = member.replica.state
            records = sorted((int(table), key, record) for table, key, _, record in state.records())
            if seen.setdefault((state.applied_index, state.digest), records) != records:
                self.world.violate("equal digests of different states", member.node_id, state.applied_index)


_of = Fingerprints.of


def _without_tokens(self: Fingerprints, table: int, key: bytes, record: bytes) -> int:
    return 0 if table == Table.TOKEN else _of(self, table, key, record)


class DigestSkipsATable(Mutant):
    """State D2, A4: records of one table are not in the digest, so two members may differ in them for ever."""

    product = replace(
        patched(
            (Checks, "log_matching", _with_contents),
            (Fingerprints, "of", _without_tokens),
        ),
        replica=_Flawed,
    )
    right = Product(replica=_Flawed, patches=((Checks, "log_matching", _with_contents),))
    where = Where(changes={"faults": {"reset": 1.0}, "script": None})
    caught_by = ("equal digests of different states",)
    right_says = ("digests differ", "broken")

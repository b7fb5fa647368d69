"""The present log in memory, and what of it is durable.

Every change becomes one operation of the journal's FIFO with an ever-growing sequence; a completion carries only a
number, never an index, because an index names different entries before and after a truncation. The log keeps beside
each entry the sequence of the operation that put it where it is.

Invariants
  L1  entries are (command, index, term) with consecutive indexes; element 0 is the base: an entry that is committed
      and covered by a snapshot (or index 0, term 0) and is never applied or sent
  L2  durable() is the last entry of the present log all of whose operations are completed
  L3  sequences grow over restarts: they go on from the last one recovered
  L4  `incarnation`, which every message carries, is that of a durable ballot: no life speaks before it is on disk
Source: Raft thesis 3.8 (persisted state); PySyncObj's `Journal` interface.
"""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from pysyncobj.journal import Journal

from ..journal.ballot import next_life

if TYPE_CHECKING:
    from ..journal.ballot import Ballot
    from .boot import Opened

BASE_COMMAND = b"\x01"
Entry = tuple[bytes, int, int]


class Writer(Protocol):
    """The journal's writer, in another process or in the simulator. See cluster/journal."""

    @property
    def backlog_bytes(self) -> int:
        """Handed over and not yet synced."""
        ...

    def append(self, sequence: int, index: int, term: int, entry: bytes) -> None: ...  # noqa: D102 - see cluster/journal
    def truncate(self, sequence: int, first_removed_index: int) -> None: ...  # noqa: D102
    def trim(self, sequence: int, index: int, term: int) -> None: ...  # noqa: D102
    def reset(self, sequence: int, index: int, term: int) -> None: ...  # noqa: D102
    def ballot(self, sequence: int, ballot: Ballot) -> None: ...  # noqa: D102


class DurableLog(Journal):
    """PySyncObj's log container over an asynchronous journal.

    What recovery found is durable, and so is the ballot of this life (boot.py).
    """

    def __init__(self, writer: Writer, opened: Opened) -> None:
        self._writer = writer
        index, term = opened.base
        self._entries: list[Entry] = [(BASE_COMMAND, index, term)]
        self._entries += [(command, index, term) for index, term, command in opened.entries]
        self._sequences = [0] * len(self._entries)
        self._sequence = opened.start.last_sequence
        self._done = 0
        self.bytes = sum(len(entry[0]) for entry in self._entries)
        self.ballot = opened.ballot
        self.ballot_sequence = self.ballot_done = opened.ballot_sequence
        self.incarnation = self.ballot.incarnation
        self._promise_sequence = 0  # of the newest ballot that says something new, and not only what is remembered
        self._incarnation_sequence = 0  # of the ballot that first held a new incarnation
        self.known = dict(self.ballot.peers)  # member → (incarnation, term, index); every ballot that is written has it
        self.held, self.held_term = self.ballot.held, self.ballot.held_term  # so have these
        if opened.reset_to is not None:
            self.reset(*opened.reset_to)

    # ---- reading
    def __getitem__(self, item: Any) -> Any:
        return self._entries[item]

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def base_index(self) -> int:
        """Index of element 0."""
        return self._entries[0][1]

    @property
    def last_index(self) -> int:
        """Index of the last entry."""
        return self._entries[-1][1]

    @property
    def last_term(self) -> int:
        """Term of the last entry."""
        return self._entries[-1][2]

    def term_at(self, index: int) -> int | None:
        """Term of the entry at `index`, None where the log does not hold it."""
        at = index - self._entries[0][1]
        return self._entries[at][2] if 0 <= at < len(self._entries) else None

    @property
    def sequences(self) -> list[int]:
        """Beside each element the sequence of the operation that put it there. Not to be changed."""
        return self._sequences

    def slice(self, first: int, count: int) -> list[Entry]:
        """Up to `count` entries from index `first`; none if the log begins later."""
        at = first - self._entries[0][1]
        return self._entries[at : at + max(0, count)] if at >= 0 else []

    def durable(self) -> int:
        """L2."""
        at = bisect.bisect_right(self._sequences, self._done)
        return self._entries[at - 1][1] if at else 0

    @property
    def backlog_bytes(self) -> int:
        """See Writer."""
        return self._writer.backlog_bytes

    # ---- changing
    def _next(self) -> int:
        self._sequence += 1
        return self._sequence

    def add(self, command: bytes, idx: int, term: int) -> None:
        """The entry follows the last one."""
        assert idx == self._entries[-1][1] + 1
        sequence = self._next()
        self._entries.append((command, idx, term))
        self._sequences.append(sequence)
        self.bytes += len(command)
        self._writer.append(sequence, idx, term, command)

    def deleteEntriesFrom(self, entryFrom: int) -> None:  # noqa: N802, N803 - the library's names
        """Everything from position `entryFrom` is gone. Only a term conflict may ask for this."""
        assert entryFrom > 0
        index = self._entries[entryFrom][1]
        self.bytes -= sum(len(entry[0]) for entry in self._entries[entryFrom:])
        del self._entries[entryFrom:], self._sequences[entryFrom:]
        self._writer.truncate(self._next(), index)

    def trim(self, index: int) -> None:
        """The entry at `index` becomes the base; a durable snapshot covers it."""
        at = index - self._entries[0][1]
        assert 0 <= at < len(self._entries)
        if at == 0:
            return
        term = self._entries[at][2]
        self.bytes -= sum(len(entry[0]) for entry in self._entries[: at + 1])
        self._entries[: at + 1] = [(BASE_COMMAND, index, term)]
        del self._sequences[:at]
        self._writer.trim(self._next(), index, term)

    def reset(self, index: int, term: int) -> int:
        """The log is empty above the base (index, term), which a durable snapshot covers; returns the sequence."""
        sequence = self._next()
        self._entries = [(BASE_COMMAND, index, term)]
        self._sequences = [sequence]
        self.bytes = 0
        self._writer.reset(sequence, index, term)
        return sequence

    # ---- completions
    def on_synced(self, sequence: int) -> None:
        """All operations up to `sequence` are on stable storage."""
        self._done = max(self._done, sequence)

    def on_ballot(self, sequence: int) -> None:
        """Ballots up to `sequence` are on stable storage."""
        self.ballot_done = max(self.ballot_done, sequence)
        if self.ballot_done >= self._incarnation_sequence:
            self.incarnation = self.ballot.incarnation

    @property
    def ballot_durable(self) -> bool:
        """The newest promise is on stable storage: term, vote, recovering, incarnation. What is remembered is none."""
        return self.ballot_done >= self._promise_sequence

    # ---- ballot
    def write_ballot(self, **fields: Any) -> None:
        """The ballot with `fields` changed is handed to the writer."""
        known = {"peers": dict(self.known), "held": self.held, "held_term": self.held_term}
        self.ballot = msgspec.structs.replace(self.ballot, **known, **fields)
        self.ballot_sequence += 1
        if fields:
            self._promise_sequence = self.ballot_sequence
        if "incarnation" in fields:
            self._incarnation_sequence = self.ballot_sequence
        self._writer.ballot(self.ballot_sequence, self.ballot)

    def begin_life(self, incarnation: int) -> None:
        """This node goes on as a later life, which it speaks of once its ballot is durable (L4)."""
        self.ballot = next_life(self.ballot, incarnation)
        self.write_ballot(incarnation=incarnation)

    def remember(self, peer: str, *, incarnation: int = 0, term: int = 0, index: int = 0) -> None:
        """The peer must never come with less: a life, a term it voted in, a committed index on its disk."""
        known = self.known.get(peer, (0, 0, 0))
        self.known[peer] = (max(known[0], incarnation), max(known[1], term), max(known[2], index))

    def hold(self, index: int) -> None:
        """The index is committed and on this disk: no later life may begin with less and take itself for whole."""
        if index > self.held:
            self.held, self.held_term = index, self.term_at(index) or 0

    def setCurrentTerm(self, term: int, votedForNodeId: str | None) -> None:  # noqa: N802, N803 - the library's names
        """Term and vote go to the ballot; what must wait for it waits in election.py."""
        self.write_ballot(term=term, vote=votedForNodeId)

    def getCurrentTerm(self) -> int:  # noqa: N802 - the library's name
        """Term of the ballot."""
        return self.ballot.term

    def getVotedForNodeId(self) -> str | None:  # noqa: N802 - the library's name
        """Vote of the ballot; none if an entry of a later term stands in the log."""
        return self.ballot.vote if self.ballot.term >= self.last_term else None

    # ---- the rest of the library's interface
    def clear(self) -> None:
        """Refused: only `reset` empties a log."""
        raise AssertionError("the log is emptied by reset alone")

    def deleteEntriesTo(self, entryTo: int) -> None:  # noqa: N802, N803, ARG002 - the library's names
        """Refused: only `trim` cuts a log from the front."""
        raise AssertionError("the log is cut by trim alone")

    def _destroy(self) -> None:
        pass

    def setRaftCommitIndex(self, raftCommitIndex: int) -> None:  # noqa: N802, N803 - the library's names
        """Not kept: a restarted node learns it from a leader."""

    def getRaftCommitIndex(self) -> int:  # noqa: N802 - the library's name
        """The base is committed."""
        return self._entries[0][1]

    def onOneSecondTimer(self) -> None:  # noqa: N802 - the library's name
        """Nothing is due once a second."""

"""What stands in the folder of a stopped member: what its newest snapshot still holds, and every entry of its log.

Reads with the readers that a start uses (journal/, raft/loading.py), and goes on behind an entry that does not open,
where a start would stop. Blocking. It says nothing of what a record means: that is for node/ to name.

Invariants
  N1  nothing is written, not even a sync: the disk is a `ReadingDisk`
  N2  an outcome is said only where the whole state before the entry is known
  N3  `wrong` is complete when `entries` was read to its end. A torn tail was never acknowledged by this member; all
      else that is wrong is damage, or sealed with keys that were not given
Source: docs/journal.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from .backup.survivor import SEGMENT_BYTES, committed_of
from .errors import DamagedError, NotInitialisedError, StrongroomError
from .files import read_bootstrap
from .folder import FolderError, check_whole
from .journal import tail
from .journal.ballot import read_ballot
from .journal.modes import MEMORY
from .journal.recovery import recover
from .journal.snapshot_file import FOLDER, parse_name
from .keyring.keyring import UnknownKeyTermError
from .keyring.seal import open_envelope
from .keyring.sealing import Sealer, entry_kind
from .raft.boot import holds
from .raft.chassis import CONFIGURATION, NO_OP, TRANSACTION
from .raft.loading import load_newest
from .state import records, transaction
from .state.snapshot import verify_digest
from .state.tables import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .journal.ballot import Ballot
    from .journal.recovery import Recovered
    from .keyring.seal import Unsealed
    from .seams import Random, ReadingDisk

NO_OP_COMMAND: Final = bytes([NO_OP])
KINDS: Final = {TRANSACTION: "transaction", CONFIGURATION: "configuration"}
NOTHING: Final = "no-op"
SNAPSHOT: Final = "snapshot"
UNREADABLE: Final = "unreadable"

INSTALLED: Final = "installed"
REFUSED: Final = "refused"  # it stands in the log and changed nothing, on no node
COVERED: Final = "covered"  # at or below the snapshot: what became of it is in there
SUPERSEDED: Final = "superseded"  # of another history than the snapshot, which counts
UNKNOWN: Final = "unknown"  # the state before it is not known

WHOLE: Final = "whole"
TORN: Final = "torn"
DAMAGED: Final = "damaged"
UNOPENED: Final = "unopened"  # sealed with a key term that what was given does not open

Change = tuple[int, bytes, bytes | None]
"""(table, key, record); None: what stood there is dropped."""


@dataclass(frozen=True, slots=True, repr=False)
class Line:
    """One entry of the log; or what the snapshot holds of all that was written at one index, its term 0."""

    index: int
    term: int
    time_ns: int  # 0 if it has no stamp
    kind: str
    outcome: str
    changes: list[Change]

    def __repr__(self) -> str:
        return f"<Line {self.index}>"


class Wrong(NamedTuple):
    """What is not as it was written: how, where (a file of the folder, and the byte or index in it), and why."""

    what: str
    where: str
    why: str


class About(NamedTuple):
    """Which folder it is. `committed`: the highest index that this member knew to be committed, of itself or others."""

    generation: bytes
    snapshot: tuple[int, int] | None
    base: tuple[int, int]
    last_index: int
    committed: int
    mode: str
    recovering: bool


class Inspection:
    """See the module's paragraph. Read `heads`, then `entries`, once each; `state` goes along with the entries.

    `unsealed` stays the caller's. Raises NotInitialisedError for the folder of no member, FolderError for one whose log
    is not in it or that a restore was filling, DamagedError where ballot or bootstrap cannot be read, OSError.
    """

    def __init__(self, disk: ReadingDisk, unsealed: Unsealed, random: Random) -> None:
        check_whole(disk)
        bootstrap, found = read_bootstrap(disk), read_ballot(disk)
        if bootstrap is None or found is None:
            raise NotInitialisedError("this folder is no member's")
        ballot = found[1]
        if ballot.journal == MEMORY:
            raise FolderError("this member keeps its log in memory: its folder holds nothing of it")
        self._unsealed = unsealed
        self._sealer = Sealer(unsealed.keyring.copy(), random, bootstrap.generation)
        self.wrong: list[Wrong] = []
        self._known = True
        self._snapshot = self._load(disk)
        self._tail = tail.look(disk)
        log = recover(disk, segment_bytes=SEGMENT_BYTES)
        self._entries = log.entries
        if self._snapshot is None and not log.entries and not log.base[0]:
            self._entries = [(1, 0, bootstrap.entry)]
        self._below, self._above = standing(log.base, log.entries, self._snapshot)
        self._term = log.base[1]
        last = max(self._entries[-1][0] if self._entries else log.base[0], (self._snapshot or (0, 0))[0])
        self.wrong += _wrong_with(log, ballot, self._tail, self._below, last)
        self.about = About(
            bootstrap.generation, self._snapshot, log.base, last, committed_of(ballot), ballot.journal,
            ballot.recovering,
        )  # fmt: skip

    def __repr__(self) -> str:
        return "<Inspection>"

    @property
    def condition(self) -> str:
        """The worst of what is wrong, or "whole" (N3)."""
        found = {one.what for one in self.wrong}
        return next((what for what in (DAMAGED, UNOPENED, TORN) if what in found), WHOLE)

    def wipe(self) -> None:
        """No key is in memory but the caller's."""
        self._sealer.wipe()

    # ---- the snapshot
    def _load(self, disk: ReadingDisk) -> tuple[int, int] | None:
        self.state, found, damaged = load_newest(disk, self._sealer)
        index = -1 if found is None else found[0]
        for name in disk.names(FOLDER):
            parsed = parse_name(name)
            if parsed is not None and (parsed[0] > index or parsed[1] in damaged):
                why = "the snapshot does not open: it is damaged, or the keys that were given are too old for it"
                self.wrong.append(Wrong(DAMAGED, f"{FOLDER}/{name}", why))
            elif parsed is not None and parsed[0] == index and any(ok is False for ok in verify_digest(self.state)):
                self._known = False
                self.wrong.append(Wrong(DAMAGED, f"{FOLDER}/{name}", "it does not have the digest that it names"))
        return found

    def heads(self) -> Iterator[Line]:
        """What the snapshot holds, by the index at which it was written. Before `entries`: later it has changed."""
        places = sorted((index, table, key) for table, key, index, _ in self.state.records())
        at, changes = 0, list[Change]()
        for index, table, key in places:
            if index != at and changes:
                yield Line(at, 0, 0, SNAPSHOT, INSTALLED, changes)
                changes = []
            at = index
            stored = self.state.get(table, key)
            changes.append((table, key, None if stored is None else stored[1]))
        if changes:
            yield Line(at, 0, 0, SNAPSHOT, INSTALLED, changes)

    # ---- the log
    def entries(self) -> Iterator[Line]:
        """Every entry of the log, in order."""
        for index, term, command in self._entries:
            if term < self._term:
                self._note(index, DAMAGED, f"term {term} stands behind term {self._term}")
            self._term = max(self._term, term)
            yield self._line(index, term, command)

    def _line(self, index: int, term: int, command: bytes) -> Line:
        covered = index <= (self._snapshot or (0, 0))[0]
        outcome = self._below if covered else self._above
        if outcome == INSTALLED and not self._known:
            outcome = UNKNOWN
        if command == NO_OP_COMMAND:
            if outcome == INSTALLED:
                self.state.apply_nothing(index, term)
            return Line(index, term, 0, NOTHING, outcome, [])
        facts = self._opened(index, term, command)
        if facts is None:
            self._known = False
            return Line(index, term, 0, UNREADABLE, UNKNOWN, [])
        if outcome == INSTALLED and not self.state.apply(index, term, facts).ok:
            outcome = REFUSED
        changes: list[Change] = [(table, key, None) for table, key in facts.drops]
        return Line(index, term, facts.time_ns, KINDS[command[0]], outcome, changes + list(facts.puts))

    def _opened(self, index: int, term: int, command: bytes) -> transaction.Transaction | None:
        try:
            if entry_kind(command) not in KINDS:
                self._note(index, DAMAGED, f"the entry at index {index} is of no known kind")
                return None
            return transaction.decode(self._payload(term, command))
        except UnknownKeyTermError:
            self._note(index, UNOPENED, f"the entry at index {index} is sealed with later keys than were given")
        except DamagedError as error:
            self._note(index, DAMAGED, f"the entry at index {index}: {error}")
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self._note(index, DAMAGED, f"the entry at index {index} does not decode")
        return None

    def _payload(self, term: int, command: bytes) -> bytes:
        try:
            return self._sealer.open_entry(term, command)
        except UnknownKeyTermError:
            if not self._later_keys():
                raise
        return self._sealer.open_entry(term, command)

    def _later_keys(self) -> bool:
        """Whether the log itself had later keys than the folder's file, which the same root key opens."""
        found = self.state.get(Table.KEYRING, b"keyring")
        record = None if found is None else records.readable(records.KeyringRecord, found[1])
        if record is None:
            return False
        try:
            opened = open_envelope(bytearray(self._unsealed.root_key), record.envelope)
        except StrongroomError:
            return False
        old = self._sealer.keyring
        self._sealer.use(opened.keyring.copy())
        opened.wipe()
        old.wipe()
        return True

    def _note(self, index: int, what: str, why: str) -> None:
        place = self._tail.entries.get(index)
        self.wrong.append(Wrong(what, "bootstrap" if place is None else tail.told(place), why))


def standing(
    base: tuple[int, int], entries: list[tuple[int, int, bytes]], snapshot: tuple[int, int] | None
) -> tuple[str, str]:
    """What can be said of entries up to the snapshot, and of those behind it. Pure. See raft/boot.py, B4."""
    index, term = snapshot or (0, 0)
    if base[0] > index:
        return UNKNOWN, UNKNOWN
    at = index - base[0] - 1
    meets = base[1] == term if at < 0 else at < len(entries) and entries[at][1] == term
    return (COVERED, INSTALLED) if meets else (SUPERSEDED, SUPERSEDED)


def _wrong_with(log: Recovered, ballot: Ballot, found: tail.Tail, below: str, last: int) -> Iterator[Wrong]:
    """What ballot and log say against the log. Pure."""
    behind = found.end if found.behind is None else found.behind
    if log.missing and ballot.born:
        yield Wrong(DAMAGED, "journal", "the log is gone")
    elif log.damaged:
        yield Wrong(DAMAGED, tail.told(behind), "an acknowledged part of the log is gone, or cannot be read")
    elif found.behind is not None:
        yield Wrong(TORN, tail.told(behind), "the end of the log was being written: nobody was told that it is there")
    if not ballot.born and (log.entries or log.base[0]):
        yield Wrong(DAMAGED, "ballot", "it does not know that there ever was a log: it was lost")
    if below == UNKNOWN:
        yield Wrong(DAMAGED, "journal", f"the log begins behind index {log.base[0]}, and no snapshot reaches it")
    if last < ballot.held:
        yield Wrong(DAMAGED, tail.told(found.end), f"the log ends at index {last}, and once reached {ballot.held}")
    elif below == COVERED and not holds(ballot, log.base, log.entries):
        why = f"entry {ballot.held} is not the one that was committed: what came back with a lost end is an older one"
        yield Wrong(DAMAGED, tail.told(found.end), why)

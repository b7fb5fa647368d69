"""Bits that turn and files that are cut, in every kind of file of a node: seen, or without any effect.

A folder is made once, by the product, and left at rest. Each fault is applied to a copy and the product opens it. What
comes out is judged by the kind of the file:
    segment, ballot, snapshot   a start is refused, or the node is recovering, durably, with nothing false in its log;
                                or nothing is missing and nothing different
    keyring, bootstrap, profile, cluster-seal, security.log   refused, or the same
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cluster import Member, MemberSettings, run_init
from cluster.errors import DamagedError, StrongroomError
from cluster.files import BOOTSTRAP, KEYRING, read_bootstrap, read_file, write_file
from cluster.folder import PROFILE, FolderError, check_profile
from cluster.journal import wal
from cluster.journal.ballot import read_ballot
from cluster.journal.ballot_file import BALLOT_NAME
from cluster.journal.snapshot_file import FOLDER, parse_name
from cluster.keyring import open_keyring
from cluster.keyring.sealing import Sealer
from cluster.raft.boot import open_journal
from cluster.raft.store import newest_first
from cluster.seams import SystemClock, SystemDisk, SystemRandom
from cluster.settings import MemberAddress
from node.cluster_seal import CLUSTER_SEAL_FILE, _done, done_of
from node.security_log import NAME as SECURITY_LOG
from node.security_log import SecurityLog

from .life import InlineWriter, Life
from .promises import SEGMENT_BYTES, Place, Promises, begin

if TYPE_CHECKING:
    from pathlib import Path

    from cluster.journal.replay import Entry

SHARES: Final = {
    "segment": 40,
    "ballot": 16,
    "snapshot": 16,
    KEYRING: 8,
    BOOTSTRAP: 8,
    PROFILE: 4,
    CLUSTER_SEAL_FILE: 4,
    SECURITY_LOG: 4,
}
"""Of a hundred faults."""
WALL_NS: Final = 1_800_000_000_000_000_000
EVENTS: Final = 8


class SilentlyWrongError(AssertionError):
    """The product took the file for sound, and it is not."""


@dataclass(frozen=True)
class Fault:
    """A bit that turns (`bit`), or an end that is gone (`bit` is None)."""

    name: str
    offset: int
    bit: int | None

    def apply(self, folder: Path) -> None:
        path = folder / self.name
        data = bytearray(path.read_bytes())
        if self.bit is None:
            del data[self.offset :]
        else:
            data[self.offset] ^= 1 << self.bit
        path.write_bytes(data)


@dataclass(frozen=True)
class Node:
    """A folder at rest, what it holds, and the key that opens it."""

    folder: Path
    promises: Remembering
    root_key: bytes

    def files(self, kind: str) -> list[str]:
        """Names of the files of this kind."""
        folders = {"segment": "journal", "snapshot": "snapshots"}
        if kind not in folders:
            return [BALLOT_NAME if kind == "ballot" else kind]
        found = sorted((self.folder / folders[kind]).iterdir())
        return [f"{folders[kind]}/{path.name}" for path in found if path.suffix != ".partial"]

    def fault(self, kind: str, rng: random.Random) -> Fault:
        """One in a file of this kind; mostly where something is written."""
        name = rng.choice(self.files(kind))
        data = (self.folder / name).read_bytes()
        written = len(data.rstrip(b"\0")) if rng.random() < 0.9 else len(data)
        return Fault(name, rng.randrange(max(1, written)), None if rng.random() < 0.3 else rng.randrange(8))


# ---- a node at rest
def made(folder: Path, seed: int) -> Node:
    """A folder that init, some lives of a journal, a sealing operator and the log of events have written."""
    rng = random.Random(seed)
    root_key = asyncio.run(_initialised(folder))
    disk = SystemDisk(folder)
    promises = Remembering()
    found = read_ballot(disk)
    assert found is not None
    promises.ballots, promises.ballot_reported = dict([found]), found[0]
    for _ in range(3):
        opened = begin(disk, promises, wall_ns=WALL_NS)
        life = Life(promises, rng)
        writer = InlineWriter(disk, opened, life.callbacks, rng)
        life.begin(opened, writer)
        for _ in range(60):
            life.step()
            writer.turn()
        writer.settle()
        life.log.hold(life.log.durable())
        life.log.write_ballot(recovering=False)
        writer.settle()
        writer.close()
    write_file(disk, CLUSTER_SEAL_FILE, _done(WALL_NS))
    events = SecurityLog(folder, "n1", SystemClock())
    for number in range(EVENTS):
        events.record("unseal refused", number=number)
    return Node(folder, promises, root_key)


async def _initialised(folder: Path) -> bytes:
    """Keyring, bootstrap, ballot and profile stand in the folder; returns the root key."""
    address = MemberAddress(("127.0.0.1", 1), "http://127.0.0.1:2")
    member = Member(MemberSettings("n1", "power", folder, {"n1": address}, profile="dev"))
    await member.start()
    try:
        made_seal = await run_init(member, seal_type="shamir", shares=1, threshold=1, peers=False, seed=lambda *_: None)
        return bytes(made_seal.root_key)
    finally:
        await member.stop()


class Remembering(Promises):
    """Keeps every entry that was ever handed over, those that are gone by right too."""

    def __init__(self) -> None:
        super().__init__()
        self.ever: set[Entry] = set()

    def operation(self, sequence: int, record: bytes) -> None:
        super().operation(sequence, record)
        found = next(wal.records(record))
        if found.kind == wal.APPEND:
            self.ever.add((found.index, found.term, wal.entry_of(record, found)))


# ---- judges: whether the fault was seen; False: it changed nothing; SilentlyWrongError
def judge_start(node: Node, folder: Path) -> bool:
    """A node starts in the folder: what it takes from its ballot, its log and its snapshots."""
    disk, promises = SystemDisk(folder), node.promises
    places, damaged = readable_snapshots(disk, promises)
    try:
        found = read_ballot(disk)
        if found is None or promises.ballots.get(found[0]) != found[1]:
            raise SilentlyWrongError("another ballot")
        opened = open_journal(disk, segment_bytes=SEGMENT_BYTES, wall_ns=WALL_NS, snapshot=max(places, default=None))
    except DamagedError:
        return True
    if not set(opened.entries) <= promises.ever:
        raise SilentlyWrongError("an entry that never was")
    now = read_ballot(disk)
    if opened.ballot.recovering and now is not None and now[1].recovering:
        return True
    if not _same((opened.base, opened.entries), promises.log(promises.handed_over)):
        raise SilentlyWrongError(f"{len(opened.entries)} entries behind {opened.base}")
    return damaged


def _same(found: tuple[Place, list[Entry]], true: tuple[Place, list[Entry]]) -> bool:
    """Entries that a snapshot made needless may be there once more: that they go may have been a log's last word."""
    (index, term), entries = true
    at = index - found[0][0]
    if at <= 0 or at > len(found[1]):
        return found == true
    return (found[1][at - 1][1], found[1][at:]) == (term, entries)


def readable_snapshots(disk: SystemDisk, promises: Promises) -> tuple[list[Place], bool]:
    """(index, term) of those that open, and whether one does not."""
    places = []
    whole = sum(parse_name(name) is not None for name in disk.names(FOLDER))
    for stored in newest_first(disk):
        try:
            found = list(stored.chunks())
        except DamagedError:
            continue
        finally:
            stored.close()
        true = promises.snapshots.get(stored.snapshot_id)
        if true is None or (stored.index, stored.term, found) != (true.index, true.term, true.chunks):
            raise SilentlyWrongError("another snapshot")
        places.append((stored.index, stored.term))
    return places, len(places) < whole


def judge_keys(node: Node, folder: Path) -> bool:
    """A member is unsealed: keyring and bootstrap, as `Member.open_with` reads them."""
    disk, true = SystemDisk(folder), SystemDisk(node.folder)
    envelope = read_file(disk, KEYRING)
    assert envelope is not None
    try:
        keyring = open_keyring(node.root_key, envelope)
        bootstrap = read_bootstrap(disk)
        assert bootstrap is not None
        Sealer(keyring, SystemRandom(), bootstrap.generation).open_entry(0, bootstrap.entry)
    except StrongroomError:
        return True
    if envelope != read_file(true, KEYRING) or bootstrap != read_bootstrap(true):
        raise SilentlyWrongError("another keyring or entry 1")
    return False


def judge_profile(_node: Node, folder: Path) -> bool:
    """A folder of `dev` is never taken for one of production, nor one of production for nothing."""
    try:
        check_profile(SystemDisk(folder), "production")
    except FolderError:
        pass
    else:
        raise SilentlyWrongError("another profile")
    try:
        check_profile(SystemDisk(folder), "dev")
    except FolderError:
        return True
    return False


def judge_cluster_seal(_node: Node, folder: Path) -> bool:
    """What cannot be read is a seal that was not carried out: the node seals itself once more."""
    done_ns = done_of(read_file(SystemDisk(folder), CLUSTER_SEAL_FILE))
    if done_ns not in {0, WALL_NS}:
        raise SilentlyWrongError("another seal")
    return done_ns == 0


def judge_security_log(_node: Node, folder: Path) -> bool:
    """The chain names the first line that is not what was written, and the log goes on behind it."""
    path = folder / SECURITY_LOG
    whole = chained(path)
    SecurityLog(folder, "n1", SystemClock()).record("unseal refused", number=EVENTS)
    *_, line, rest = path.read_bytes().split(b"\n")
    if rest or not line.startswith(b"{") or line.count(b'"number":') != 1 or b'"number":%d' % EVENTS not in line:
        raise SilentlyWrongError("an event behind a fault is not on a line of its own")
    return whole < EVENTS


def chained(path: Path) -> int:
    """How many lines from the first on are what was written: each continues the chain of the one before."""
    chain, count = "", 0
    for number, line in enumerate(path.read_bytes().split(b"\n")):
        body, mark, end = line.rpartition(b',"chain":"')
        said = hashlib.sha256(chain.encode() + body + b"}").hexdigest()
        if not mark or end != f'{said}"}}'.encode() or json.loads(line)["sequence"] != number + 1:
            break
        chain, count = said, count + 1
    return count


JUDGES: Final[dict[str, Callable[[Node, Path], bool]]] = {
    "segment": judge_start,
    "ballot": judge_start,
    "snapshot": judge_start,
    KEYRING: judge_keys,
    BOOTSTRAP: judge_keys,
    PROFILE: judge_profile,
    CLUSTER_SEAL_FILE: judge_cluster_seal,
    SECURITY_LOG: judge_security_log,
}


def run(faults: int, seed: int, folder: Path) -> Counter[str]:
    """So many faults over all kinds of files; how many were seen, how many changed nothing."""
    rng = random.Random(seed)
    node = made(folder / "node", seed)
    copy = folder / "copy"
    counts: Counter[str] = Counter()
    for kind, share in SHARES.items():
        for _ in range(max(1, faults * share // 100)):
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(node.folder, copy)
            fault = node.fault(kind, rng)
            fault.apply(copy)
            try:
                seen = JUDGES[kind](node, copy)
            except (SilentlyWrongError, Exception) as error:
                error.add_note(f"{fault} of seed {seed}")
                raise
            counts[f"{kind} {'seen' if seen else 'harmless'}"] += 1
    return counts

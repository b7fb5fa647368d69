"""The folder of a member that never ran, written by the product's own writers: every kind of entry, in no time.

Nothing here decides anything: what a test proposes stands in the log, sealed, as a leader would have left it.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from cluster.files import KEYRING, Bootstrap, write_bootstrap, write_file
from cluster.journal import wal
from cluster.journal.ballot import Ballot, write_ballot
from cluster.journal.recovery import recover, rewrite
from cluster.journal.snapshot_file import SnapshotWriter
from cluster.journal.writer import LogWriter
from cluster.keyring.keyring import Keyring
from cluster.keyring.seal import initialise, open_envelope, rekey, rotate
from cluster.keyring.sealing import Sealer
from cluster.raft.chassis import CONFIGURATION, NO_OP, TRANSACTION
from cluster.seams import SystemDisk, SystemRandom
from cluster.state import records, transaction
from cluster.state.machine import State
from cluster.state.snapshot import Snapshot
from cluster.state.tables import EVERYTHING, Table, version_key

if TYPE_CHECKING:
    from pathlib import Path

    from cluster.keyring.seal import Unsealed

GENERATION = b"generation-tests"
CLUSTER = b"cluster-id-tests"
MOUNT = b"mount-uuid-tests"
SEGMENT_BYTES = 1 << 16
SECOND_NS = 1_000_000_000
RANDOM = SystemRandom()


class Crafted:
    """The folder, and the state that it leads to. Three shares, two of which open it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.disk = SystemDisk(root)
        made = initialise(RANDOM, CLUSTER, 1, seal_type="shamir", shares=3, threshold=2, peers=False)
        self.shares = [base64.b64encode(share).decode() for share in made.shares]
        self.root_key, self.seal, self.envelope = bytes(made.root_key), made.seal, made.envelope
        self.keyring: Keyring = made.keyring
        self.sealer = Sealer(self.keyring, RANDOM, GENERATION)
        self.state = State(self.keyring.digest_key)
        self.term = 1
        self.index = 0
        write_file(self.disk, KEYRING, made.envelope)
        config = records.Config(cluster_id=CLUSTER, cluster_name="planted-cluster", generation=GENERATION)
        draft = transaction.Draft()
        draft.put(Table.CONFIG, b"cluster", config)
        draft.put(Table.MEMBER, b"n1", records.Member())
        entry = self._sealed(draft, 0, CONFIGURATION)
        write_bootstrap(self.disk, Bootstrap(1, GENERATION, entry))
        write_file(self.disk, "profile", b"dev\n")
        self.ballot = Ballot(born=True)
        write_ballot(self.disk, 1, self.ballot)
        self._ballots = 1
        self.writer = self._writer()
        self._append(entry, 0)
        self._apply(draft, 0)

    def _writer(self) -> LogWriter:
        start = rewrite(self.disk, recover(self.disk, segment_bytes=SEGMENT_BYTES))
        return LogWriter(self.disk, segment_bytes=SEGMENT_BYTES, start=start)

    def _sealed(self, draft: transaction.Draft, term: int, kind: int) -> bytes:
        self._facts = transaction.Transaction(
            term, self.index + 1, (self.index + 1) * SECOND_NS, draft.expects, draft.puts, draft.drops
        )
        return self.sealer.seal_entry(
            kind=kind, term=term, sequence=self.index + 1, hashes=(EVERYTHING,),
            payload=transaction.encode(self._facts), nonce=RANDOM.bytes(12),
        )  # fmt: skip

    def _append(self, entry: bytes, term: int) -> None:
        self.index += 1
        self.do(lambda sequence: wal.append_record(sequence, self.index, term, entry))

    def _apply(self, _draft: transaction.Draft, term: int) -> None:
        self.state.apply(self.index, term, self._facts)

    # ---- what a leader would do
    def do(self, record: Any, *, sync: bool = True) -> None:
        """One operation of the log; `record` makes it from its sequence."""
        sequence = self.writer.last_sequence + 1
        self.writer.write([record(sequence)], sequence)
        if sync:
            self.writer.sync()

    def propose(self, draft: transaction.Draft, kind: int = TRANSACTION) -> int:
        """The entry stands in the log and is applied; its index."""
        self._append(self._sealed(draft, self.term, kind), self.term)
        self._apply(draft, self.term)
        return self.index

    def nothing(self) -> int:
        """The first entry of a leader's term."""
        self._append(bytes([NO_OP]), self.term)
        self.state.apply_nothing(self.index, self.term)
        return self.index

    def raw(self, entry: bytes) -> int:
        """Whatever this is stands in the log; nothing is applied."""
        self._append(entry, self.term)
        return self.index

    def mount(self, path: bytes = b"secret/", uuid: bytes = MOUNT) -> int:
        """A KV engine is there."""
        draft = transaction.Draft()
        draft.put(Table.MOUNT, path, records.Mount(uuid=uuid, type="kv", description="planted-description"))
        return self.propose(draft)

    def secret(self, path: str, version: int, *, seen: int | None = None, uuid: bytes = MOUNT) -> int:
        """A version of a path; `seen`: the index at which it claims to have read the metadata."""
        key = uuid + path.encode()
        draft = transaction.Draft()
        draft.expect(Table.SECRET, key, self.state.index_of(Table.SECRET, key) if seen is None else seen)
        draft.put(Table.SECRET, key, records.Secret(current=version, rid=b"r" * 16, custom={"planted": "planted-c"}))
        draft.put(Table.VERSION, version_key(key, version), records.Version(box=b"planted-box"))
        return self.propose(draft)

    # ---- what becomes of the folder
    def snapshot(self, *, trim: bool = False) -> str:
        """A snapshot of the state, durable; with `trim` the log begins behind it."""
        snapshot, name = Snapshot(self.state), RANDOM.bytes(16)
        payloads = list(snapshot.chunks())
        file = SnapshotWriter(self.disk, name, snapshot.index, snapshot.term)
        for number, payload in enumerate(payloads):
            final = number == len(payloads) - 1
            file.append(
                self.sealer.seal_chunk(
                    snapshot_id=name, index=snapshot.index, term=snapshot.term, number=number, final=final,
                    payload=payload, nonce=RANDOM.bytes(12),
                )
            )  # fmt: skip
        if trim:
            self.do(lambda sequence: wal.trim_record(sequence, snapshot.index, snapshot.term))
        return file.commit()

    def rotate(self, *, new_root: bool = False, file: bool = True) -> None:
        """A further key term, committed as a record, and in the folder's file unless `file` is false."""
        if new_root:
            made = rekey(self.keyring, self.seal, RANDOM, 2, shares=3, threshold=2)
            self.shares = [base64.b64encode(share).decode() for share in made.shares]
            self.root_key, self.seal = bytes(made.root_key), made.seal
            keyring, envelope = made.keyring, made.envelope
        else:
            keyring, envelope = rotate(self.root_key, self.keyring, self.seal, RANDOM, 2)
        draft = transaction.Draft()
        draft.put(Table.KEYRING, b"keyring", records.KeyringRecord(epoch=self.seal.epoch, envelope=envelope))
        self.propose(draft)
        self.keyring = keyring
        self.sealer.use(keyring)
        if file:
            write_file(self.disk, KEYRING, envelope)
            self.envelope = envelope

    def vote(self, **fields: Any) -> None:
        """The ballot says so."""
        import msgspec

        self.ballot = msgspec.structs.replace(self.ballot, **fields)
        self._ballots += 1
        write_ballot(self.disk, self._ballots, self.ballot)

    def close(self) -> Crafted:
        """The log is as a clean stop leaves it."""
        self.writer.idle()
        self.writer.close()
        return self

    def opened(self) -> Unsealed:
        """The keys of the folder's file, the caller's to wipe."""
        return open_envelope(bytearray(self.root_key), self.envelope)

    def files(self) -> dict[str, tuple[bytes, int]]:
        """Every file with its content and the time of its last change."""
        return {
            path.relative_to(self.root).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
            for path in sorted(self.root.rglob("*"))
            if path.is_file()
        }

    def segment(self) -> Path:
        """The file in which the log ends."""
        return max(path for path in (self.root / "journal").iterdir() if any(path.read_bytes()[4096:]))

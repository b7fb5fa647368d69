"""The ballot: two slots that no torn write, failed sync or rot can turn back."""

from __future__ import annotations

import json
import random
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.sim.disk import SimDisk
from cluster.errors import DamagedError, FatalError
from cluster.journal import ballot_file
from cluster.journal.ballot import (
    LIVES_MAX,
    Ballot,
    decode_ballot,
    encode_ballot,
    forgotten,
    next_life,
    read_ballot,
    write_ballot,
)
from cluster.journal.ballot_file import BALLOT_NAME, SLOT_BYTES, BallotWriter, read_slots
from cluster.seams import NoSpaceError

GOLDEN = Path(__file__).parents[2] / "golden" / "formats"
U64 = st.integers(0, (1 << 64) - 1)
BALLOT = st.builds(
    Ballot,
    term=U64,
    vote=st.none() | st.text(max_size=20),
    recovering=st.booleans(),
    incarnation=U64,
    born=st.booleans(),
    sealed_by_operator=st.booleans(),
    boot_id=st.text(max_size=36),
    clean_stop=st.booleans(),
    peers=st.dictionaries(st.text(max_size=10), st.tuples(U64, U64, U64), max_size=5),
    init=st.binary(max_size=64),
    cluster_id=st.binary(max_size=16),
    journal=st.sampled_from(["fsync", "buffered", "memory"]),
    lives=st.lists(U64, max_size=LIVES_MAX).map(tuple),
)


class CrashError(Exception):
    """The process ends here."""


@given(BALLOT, U64)
def test_a_ballot_comes_back_as_it_was_written(ballot: Ballot, sequence: int) -> None:
    """Every field, through bytes and slot."""
    slot = ballot_file.encode_slot(sequence, encode_ballot(ballot))
    decoded = ballot_file.decode_slot(slot)

    assert len(slot) == SLOT_BYTES
    assert decoded is not None
    assert (decoded[0], decode_ballot(decoded[1])) == (sequence, ballot)


@given(st.integers(0, SLOT_BYTES * 8 - 1))
@settings(max_examples=80)
def test_no_flipped_bit_of_a_slot_is_believed(bit: int) -> None:
    """Not even in the part that is always zero."""
    slot = bytearray(ballot_file.encode_slot(7, b"value"))
    slot[bit // 8] ^= 1 << bit % 8

    assert ballot_file.decode_slot(bytes(slot)) is None


def test_a_value_that_does_not_fit_is_refused() -> None:
    """At the limit it fits, one byte more is an error and no truncation."""
    fits = bytes(ballot_file.VALUE_BYTES_MAX)

    assert ballot_file.decode_slot(ballot_file.encode_slot(1, fits)) == (1, fits)
    with pytest.raises(ValueError, match="at most"):
        ballot_file.encode_slot(1, fits + b"x")


@pytest.mark.parametrize("name", ["ballot.json", "ballot-lives.json", "ballot-held.json", "ballot-held-term.json"])
def test_a_golden_ballot_opens_for_ever(name: str) -> None:
    """Those of earlier versions, which lack the last fields, and that of this one, which still writes these bytes."""
    golden = json.loads((GOLDEN / name).read_text())
    slot = bytes.fromhex(golden["slot"]).ljust(SLOT_BYTES, b"\0")
    decoded = ballot_file.decode_slot(slot)

    assert decoded is not None
    ballot = decode_ballot(decoded[1])
    read = json.loads(msgspec.json.encode(msgspec.structs.asdict(ballot)))
    added = {"journal": "fsync", "lives": [], "held": 0, "held_term": 0}
    assert (decoded[0], read) == (golden["sequence"], added | golden["ballot"])
    written = ballot_file.encode_slot(golden["sequence"], encode_ballot(ballot))
    assert (written == slot) is ("held_term" in golden["ballot"])


def test_an_older_ballot_lacks_fields_and_a_newer_one_has_more() -> None:
    """Both are read: fields are added at the end only."""
    fields = msgspec.msgpack.decode(encode_ballot(Ballot(term=3, vote="n1")))

    assert decode_ballot(msgspec.msgpack.encode(fields[:3])) == Ballot(term=3, vote="n1")
    assert decode_ballot(msgspec.msgpack.encode([*fields, "of the future"])) == Ballot(term=3, vote="n1")


def test_a_ballot_knows_every_life_of_its_node_that_anybody_can_have_heard_of() -> None:
    """So that one put back is found out by any peer that heard of a life since; older lives are let be."""
    older = next_life(next_life(Ballot(), 10), 20)
    newer = next_life(next_life(older, 30), 40)
    many = Ballot()
    for life in range(10, 10 + 10 * 2 * LIVES_MAX, 10):
        many = next_life(many, life)

    assert [forgotten(older, life) for life in (0, 10, 20, 30, 40)] == [False, False, False, True, True]
    assert [forgotten(newer, life) for life in (0, 10, 20, 30, 40)] == [False] * 5
    assert forgotten(newer, 35) is True
    assert len(many.lives) == LIVES_MAX
    assert [forgotten(many, life) for life in (10, many.lives[3], many.incarnation, many.incarnation + 1)] == [
        False, False, False, True,
    ]  # fmt: skip


def test_a_ballot_of_the_previous_version_takes_the_lives_before_it_for_its_own() -> None:
    """It did not keep them; an empty one, of a folder that was lost, does not."""
    upgraded, lost = next_life(Ballot(incarnation=30), 40), next_life(Ballot(), 40)

    assert [forgotten(upgraded, life) for life in (20, 30, 35, 40)] == [False, False, True, False]
    assert [forgotten(lost, life) for life in (0, 20, 30, 40)] == [False, True, True, False]


@pytest.mark.parametrize("value", [b"", b"\xc1", msgspec.msgpack.encode([2, 3]), msgspec.msgpack.encode([1, "three"])])
def test_a_value_that_is_no_ballot_of_ours_is_damage(value: bytes) -> None:
    """Of another format, or not a ballot at all."""
    with pytest.raises(DamagedError):
        decode_ballot(value)


def test_no_file_is_no_ballot_and_an_unreadable_one_is_damage() -> None:
    """Never taken for a new node: the file would not be there if it had not been complete."""
    disk = SimDisk()

    assert read_ballot(disk) is None
    write_ballot(disk, 1, Ballot(term=1))
    assert read_ballot(disk) == (1, Ballot(term=1))
    for slot in (0, 1):
        disk.corrupt(BALLOT_NAME, slot * SLOT_BYTES + 20)
    with pytest.raises(DamagedError):
        read_ballot(disk)


@pytest.mark.parametrize("slot", [0, 1])
@pytest.mark.parametrize("written", [1, 2, 3])
def test_rot_of_one_slot_loses_nothing_once_the_writer_was_idle(slot: int, written: int) -> None:
    """Both slots hold the newest ballot."""
    disk = SimDisk()
    writer = BallotWriter(disk)
    for sequence in range(1, written + 1):
        writer.write(sequence, b"%d" % sequence)
        writer.sync()
    writer.idle()
    disk.corrupt(BALLOT_NAME, slot * SLOT_BYTES + 20)

    assert writer.idle() is False
    assert read_slots(disk) == (written, b"%d" % written)


def test_a_failed_sync_of_an_earlier_life_cannot_cost_the_ballot_before() -> None:
    """What was read may be a page that never reaches the disk: the new life writes it to a new file first."""
    disk = SimDisk()
    writer = BallotWriter(disk)
    for sequence in (1, 2):
        writer.write(sequence, b"%d" % sequence)
        writer.sync()
    writer.write(3, b"3")
    disk.fail_next_sync()
    with pytest.raises(OSError, match="sync failed"):
        writer.sync()
    disk.kill()
    writer = BallotWriter(disk)

    assert writer.synced_sequence == 3
    writer.write(4, b"4")  # into the slot that alone was on the platter
    disk.power_loss(random.Random(0))
    assert read_slots(disk) in ((3, b"3"), (4, b"4"))


@pytest.mark.parametrize("synced", [1, 2, 3, 4])
def test_a_torn_write_leaves_the_ballot_before(synced: int) -> None:
    """It goes to the other slot, whichever holds the newest one."""
    for seed in range(60):
        disk = SimDisk()
        writer = BallotWriter(disk)
        for sequence in range(1, synced + 1):
            writer.write(sequence, b"x" * 3000)
            writer.sync()
        writer.write(synced + 1, b"y" * 3000)
        disk.power_loss(random.Random(seed))

        assert read_slots(disk) in ((synced, b"x" * 3000), (synced + 1, b"y" * 3000))


@pytest.mark.parametrize("failing", ["write", "sync"])
def test_after_a_failed_write_or_sync_nothing_is_done_again(failing: str) -> None:
    """No completion, no retry."""
    disk = SimDisk()
    writer = BallotWriter(disk)
    writer.write(1, b"1")
    if failing == "write":
        disk.fail_next_write()
    else:
        disk.fail_next_sync()

    def write_and_sync() -> None:
        writer.write(2, b"2")
        writer.sync()

    with pytest.raises(OSError, match="failed"):
        write_and_sync()
    for call in (writer.sync, writer.idle, lambda: writer.write(3, b"3")):
        with pytest.raises(FatalError):
            call()


def test_a_full_disk_is_found_before_the_file_appears() -> None:
    """The first ballot may be tried again; later ones need no space."""
    disk = SimDisk(space_bytes=SLOT_BYTES)
    writer = BallotWriter(disk)
    with pytest.raises(NoSpaceError):
        writer.write(1, b"1")

    assert disk.names() == []
    disk.space_bytes = 2 * SLOT_BYTES
    for sequence in (1, 2, 3):
        writer.write(sequence, b"x")
        assert writer.sync() == sequence


def test_sequences_that_do_not_grow_are_refused() -> None:
    """A mistake of ours, in this life or after a restart."""
    disk = SimDisk()
    write_ballot(disk, 5, Ballot())
    with pytest.raises(AssertionError):
        BallotWriter(disk).write(5, b"x")


@given(seed=st.integers(0, 1 << 32))
@settings(max_examples=150, deadline=None)
def test_a_reported_ballot_is_never_forgotten(seed: int) -> None:
    """Lives that end in power loss, kill, failed syncs or crashes between any two steps."""
    rng = random.Random(seed)
    disk, sequence, reported = SimDisk(), 0, 0
    for _ in range(rng.randint(2, 6)):
        limit = disk.operations + rng.randint(1, 30)
        failing = disk.operations + rng.randint(1, 30)

        def fault(_: str, limit: int = limit, failing: int = failing) -> None:
            if disk.operations >= limit:
                raise CrashError
            if disk.operations == failing:
                disk.fail_next_sync()

        disk.on_operation = fault
        try:
            writer = BallotWriter(disk)
            reported = max(reported, writer.synced_sequence)
            for _ in range(rng.randint(1, 8)):
                sequence += rng.randint(1, 3)
                writer.write(sequence, b"%d" % sequence)
                if rng.random() < 0.8:
                    reported = writer.sync()
                    if rng.random() < 0.4:
                        writer.idle()
        except (CrashError, OSError):
            pass
        disk.on_operation = lambda _: None
        disk.sync_error = None
        if rng.random() < 0.6:
            disk.power_loss(rng)
        else:
            disk.kill()
        found = read_slots(disk)
        newest = 0 if found is None else found[0]

        assert reported <= newest <= sequence
        assert found is None or found[1] == b"%d" % newest

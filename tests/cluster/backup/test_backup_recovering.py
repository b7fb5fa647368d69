"""What is left of a cluster: read from real folders of members, judged, and gone on from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cluster.backup.chain import RestoreError
from cluster.backup.recovering import Recovering, Source, judged
from cluster.backup.renew import Wish
from cluster.backup.sinks.base import Generation
from cluster.backup.sinks.memory import MemorySink
from cluster.backup.survivor import committed_of, following, read_survivor
from cluster.errors import NotInitialisedError, WrongKeyError
from cluster.files import KEYRING, read_bootstrap, read_file
from cluster.journal.ballot import Ballot
from cluster.journal.modes import FSYNC
from cluster.keyring.seal import open_envelope
from cluster.keyring.sealing import Sealer
from cluster.raft.loading import load_newest
from cluster.seams import SystemClock, SystemDisk, SystemRandom
from cluster.state import records
from cluster.state.tables import Table
from tests.cluster.members import Members

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from cluster.seams import Disk

MEMBERS = {"n1": records.Member(peer_address="a:1", api_address="http://a:2")}


def nothing(_keyring: Any, _now_ns: int, _earlier: bool) -> list[Any]:
    return []


def source(index: int, term: int = 1, committed: int = 0, generation: bytes = b"g") -> Source:
    return Source(f"{term}/{index}", generation, index, term, index, committed, damaged=False)


@pytest.mark.parametrize(
    ("sources", "best", "lost", "unsure"),
    [
        ([source(10, committed=8)], "1/10", None, (9, 10)),
        ([source(10, committed=12)], "1/10", (11, 12), None),
        ([source(10), source(9, 2)], "2/9", None, (1, 9)),
        ([source(10, committed=14), source(14, committed=14)], "1/14", None, None),
    ],
)
def test_the_most_complete_place_is_used_and_the_loss_is_exact(
    sources: list[Source], best: str, lost: Any, unsure: Any
) -> None:
    """By term and index; what was committed for certain and is nowhere is lost."""
    found = judged(sources)

    assert (found.best.name, found.lost, found.unsure) == (best, lost, unsure)


@pytest.mark.parametrize(
    ("base", "snapshot", "expected"),
    [
        ((0, 0), None, [1, 2, 3]),
        ((0, 0), (2, 1), [3]),
        ((0, 0), (2, 9), []),  # another history
        ((0, 0), (9, 1), []),  # beyond the log
        ((5, 1), (2, 1), []),  # a gap
        ((5, 1), (5, 1), [6, 7, 8]),
    ],
)
def test_only_entries_that_meet_the_snapshot_follow_it(base: Any, snapshot: Any, expected: list[int]) -> None:
    """Else the snapshot is all there is."""
    entries = [(base[0] + n, 1, b"x") for n in (1, 2, 3)]

    assert [entry[0] for entry in following(base, entries, snapshot)] == expected


def test_what_a_ballot_knows_to_be_committed() -> None:
    """Of itself and of others."""
    assert committed_of(Ballot()) == 0
    assert committed_of(Ballot(held=5, peers={"a": (1, 1, 9), "b": (1, 1, 3)})) == 9


@pytest.fixture
async def written(tmp_path: Path) -> AsyncIterator[Members]:
    """Three members of profile dev that wrote something; they run."""
    members = Members(tmp_path / "cluster", 3, FSYNC)
    await members.begin()
    await members.write(20)
    await members.whole()
    try:
        yield members
    finally:
        await members.end()


def opens(members: Members) -> Any:
    return lambda envelope: open_envelope(bytearray(members._root_key), envelope)


def recovering(members: Members, *names: str, open_with: Any = None, sink: Any = None) -> Recovering:
    disks: dict[str, Disk] = {name: SystemDisk(members.place(name)) for name in names}
    return Recovering(disks, sink, open_with or opens(members), SystemClock(), SystemRandom())


async def test_a_survivor_has_what_was_acknowledged(written: Members, tmp_path: Path) -> None:
    """From snapshot and log, though nobody stopped it cleanly; its folder is as it was."""
    state = written.up["n2"].running.state
    index, digest = state.applied_index, state.digest
    await written.kill("n2")
    place = written.place("n2")
    before = {path.name: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    keyring = opens(written)(read_file(SystemDisk(place), KEYRING)).keyring
    found = read_survivor(SystemDisk(place), keyring, SystemRandom())

    assert (found.state.applied_index, found.state.digest, found.damaged) == (index, digest, False)
    assert {path.name: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before


async def test_a_new_line_begins_in_another_folder(written: Members, tmp_path: Path) -> None:
    """With everything that was acknowledged; tokens are void, unless somebody keeps them."""
    await written.stop("n1", "n2", "n3")
    work = recovering(written, "n1", "n3")
    assessment = await work.assess()
    disk = SystemDisk(tmp_path / "new")
    done = await work.run(assessment.best, MEMBERS, "dev", Wish(), [disk], nothing)
    work.wipe()
    bootstrap = read_bootstrap(disk)
    assert bootstrap is not None
    keyring = opens(written)(read_file(disk, KEYRING)).keyring
    state, _, _ = load_newest(disk, Sealer(keyring, SystemRandom(), bootstrap.generation))

    assert assessment.lost is None
    assert bootstrap.generation == done["generation"] != assessment.best.generation
    assert all(state.get(Table.ENTRY, key) is not None for key in written.written)
    assert {key for key, _, _ in state.items(Table.MEMBER)} == {b"n1"}


async def test_a_sink_that_cannot_be_gone_on_from_is_named(written: Members) -> None:
    """An empty one and a foreign one, each with its reason; without a sink nothing is said."""
    await written.stop("n1", "n2", "n3")
    empty, foreign = MemorySink(), MemorySink()
    await foreign.begin(Generation(b"generation-other", b"", 0, 1))
    said = []
    for sink in (None, empty, foreign):
        work = recovering(written, "n1", sink=sink)
        said.append((await work.assess()).left_out)
        work.wipe()

    assert said == [
        "",
        "memory: was not used: nothing is stored there",
        "memory: was not used: what it holds is not of the folders' line of history",
    ]


async def test_a_log_with_a_broken_end_is_used_up_to_there(written: Members) -> None:
    """And what a ballot knows to be committed beyond it is lost for certain."""
    leader = written.leader
    assert leader is not None
    name = leader.settings.node_id
    await written.known(next(other for other in written.names if other != name))
    committed = leader.running.commit_index
    await written.stop("n1", "n2", "n3")
    for segment in (written.place(name) / "journal").iterdir():
        data = bytearray(segment.read_bytes())
        data[len(data) // 8 :] = bytes(len(data) - len(data) // 8)
        segment.write_bytes(data)
    keep = recovering(written, name)
    assessment = await keep.assess()
    keep.wipe()

    assert assessment.best.damaged
    assert assessment.best.index < committed
    assert assessment.lost is not None
    assert assessment.lost[0] == assessment.best.index + 1
    assert assessment.lost[1] >= committed


async def test_what_is_refused(written: Members, tmp_path: Path) -> None:
    """Wrong keys, folders of no member, another profile."""
    await written.stop("n1", "n2", "n3")

    def refuses(_envelope: bytes) -> Any:
        raise WrongKeyError("not these")

    with pytest.raises(WrongKeyError, match="not these"):
        await recovering(written, "n1", open_with=refuses).assess()
    empty = Recovering({"e": SystemDisk(tmp_path / "e")}, None, opens(written), SystemClock(), SystemRandom())
    with pytest.raises(NotInitialisedError):
        await empty.assess()
    work = recovering(written, "n1")
    assessment = await work.assess()
    with pytest.raises(RestoreError, match="of profile 'dev'"):
        await work.run(assessment.best, MEMBERS, "production", Wish(), [SystemDisk(tmp_path / "p")], nothing)
    work.wipe()

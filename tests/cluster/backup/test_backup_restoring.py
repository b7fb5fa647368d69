"""A whole restore, from the sink to folders: what comes back, what must not, and what an interruption leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from cluster.backup.chain import RestoreError
from cluster.backup.format import Header, Kind, encode_entries, parse
from cluster.backup.joining import Joining
from cluster.backup.layout import OccupiedError, clear
from cluster.backup.order import Expected, MissingEndError, UnwitnessedError
from cluster.backup.renew import BATCH_TOKENS_VOID, HELD_DEVICES, RESTORED, Restored, Wish
from cluster.backup.restore import Point
from cluster.backup.restoring import Restoring
from cluster.backup.sealed import BackupSealer
from cluster.backup.sinks.base import Claim, FencedError
from cluster.backup.sinks.memory import MemorySink
from cluster.backup.witness import Witness
from cluster.errors import WrongKeyError
from cluster.files import KEYRING, read_bootstrap, read_file
from cluster.folder import RESTORING, FolderError, check_whole
from cluster.journal.ballot import read_ballot
from cluster.keyring.sealing import Sealer
from cluster.raft.loading import load_newest
from cluster.seams import SystemDisk
from cluster.state import records, transaction
from cluster.state.tables import Table
from cluster.state.transaction import Draft
from tests.cluster.backup.backing import SystemLikeRandom
from tests.cluster.backup.story import GENERATION, FixedClock, Story, only, opener, order

if TYPE_CHECKING:
    from pathlib import Path

    from cluster.backup.order import Report
    from cluster.backup.sinks.base import Sink
    from cluster.state.machine import State


def nothing(_keyring: Any, _now_ns: int, _earlier: bool) -> list[Any]:
    return []


async def restored(
    story: Story, disks: list[Any], *, shares: list[str] | None = None, seed: int = 7, extra: Any = nothing,
    now_ns: int = 10**18, **fields: Any,
) -> Report:  # fmt: skip
    work = Restoring(
        story.sink, order(**fields), opener(shares or story.shares), FixedClock(now_ns), SystemLikeRandom(seed)
    )
    return await work.run(disks, extra)


def opened(disk: Any, shares: list[str]) -> State:
    """The state of a folder, as a member that starts loads it."""
    envelope = read_file(disk, KEYRING)
    bootstrap = read_bootstrap(disk)
    assert envelope is not None
    assert bootstrap is not None
    keyring = opener(shares)(envelope).keyring
    state, found, damaged = load_newest(disk, Sealer(keyring, SystemLikeRandom(1), bootstrap.generation))
    assert found is not None
    assert not damaged
    return state


# ---- what comes back
async def test_the_newest_state_comes_back_in_every_folder(tmp_path: Path) -> None:
    """With its tokens, under a new generation and cluster id, and with the members that were ordered."""
    story = Story()
    story.put(Table.TOKEN, b"t", records.Token(accessor=b"a", policies=["p"]))
    await story.told(3, 4)
    disks = [SystemDisk(tmp_path / name) for name in ("a", "b")]
    report = await restored(story, disks)
    states = [opened(disk, story.shares) for disk in disks]
    config = records.decode(records.Config, states[0].get(Table.CONFIG, b"cluster")[1])  # type: ignore[index]

    assert (report.at_index, report.lost, report.tokens_void) == (story.index, None, False)
    assert report.digest == story.state.digest.to_bytes(16, "little")
    assert states[0].digest == states[1].digest
    assert states[0].get(Table.TOKEN, b"t") is not None
    assert {key for key, _, _ in states[0].items(Table.MEMBER)} == {b"n1"}
    assert (config.generation, config.cluster_name) == (report.generation, "story")
    assert config.generation != GENERATION
    for disk in disks:
        found = read_ballot(disk)
        assert found is not None
        assert found[1].cluster_id == config.cluster_id
        check_whole(disk)


async def test_every_kind_of_sink_brings_a_cluster_back_once(sink: Sink, tmp_path: Path) -> None:
    """And is fenced against a second time, though the claim of the cluster that wrote it still stands."""
    story = Story(sink)
    await story.told(3, 4)
    disk = SystemDisk(tmp_path / "a")
    report = await restored(story, [disk])
    with pytest.raises(FencedError):
        await restored(story, [SystemDisk(tmp_path / "b")], generation=GENERATION, seed=9)

    assert report.digest == story.state.digest.to_bytes(16, "little")
    assert opened(disk, story.shares).applied_index > story.index


async def test_an_earlier_point_voids_tokens_and_keeps_what_was_tightened(tmp_path: Path) -> None:
    """Policies that changed come back as they are now, those removed stay away; with `old_access` as they were."""
    story = Story()
    story.put(Table.TOKEN, b"t", records.Token(accessor=b"a", policies=["p"]))
    story.put(Table.ACCESSOR, b"a", records.Accessor(token=b"t"))
    story.put(Table.POLICY, b"loose", records.Policy(text="old"))
    point = story.put(Table.POLICY, b"gone", records.Policy(text="old"))
    await story.base()
    story.put(Table.POLICY, b"loose", records.Policy(text="tight"))
    story.drop(Table.POLICY, b"gone")
    story.put(Table.POLICY, b"later", records.Policy(text="new"))
    await story.send()
    now, then = SystemDisk(tmp_path / "now"), SystemDisk(tmp_path / "then")
    report = await restored(story, [now], point=Point(to_index=point))
    await restored(
        story, [then], point=Point(to_index=point), wish=Wish(old_access=True), fork=True, generation=GENERATION, seed=8
    )

    state, old = opened(now, story.shares), opened(then, story.shares)
    assert report.tokens_void
    assert report.lost == (point + 1, story.index)
    assert [(one.key, one.what) for one in report.changes] == [(b"gone", "removed"), (b"loose", "changed")]
    for one in (state, old):
        assert one.get(Table.TOKEN, b"t") is None
        assert one.get(Table.ACCESSOR, b"a") is None
        assert one.get(Table.POLICY, b"later") is None
    assert records.decode(records.Policy, state.get(Table.POLICY, b"loose")[1]).text == "tight"  # type: ignore[index]
    assert state.get(Table.POLICY, b"gone") is None
    assert records.decode(records.Policy, old.get(Table.POLICY, b"loose")[1]).text == "old"  # type: ignore[index]
    assert old.get(Table.POLICY, b"gone") is not None


async def test_kept_tokens_are_those_that_nobody_revoked_and_no_root_token(tmp_path: Path) -> None:
    """What was revoked or changed later is void, or has its newer form."""
    story = Story()
    for name, policies in ((b"stays", ["p"]), (b"revoked", ["p"]), (b"changed", ["p"]), (b"root", ["root"])):
        story.put(Table.TOKEN, name, records.Token(accessor=b"a-" + name, policies=policies))
    point = story.put(Table.ACCESSOR, b"a-root", records.Accessor(token=b"root"))
    await story.base()
    story.drop(Table.TOKEN, b"revoked")
    story.put(Table.TOKEN, b"changed", records.Token(accessor=b"a-changed", policies=["p"], num_uses=-1))
    await story.send()
    disk = SystemDisk(tmp_path / "a")
    report = await restored(story, [disk], point=Point(to_index=point), wish=Wish(keep_tokens=True))
    state = opened(disk, story.shares)

    assert not report.tokens_void
    left = {key: records.decode(records.Token, record) for key, _, record in state.items(Table.TOKEN)}
    assert left.keys() == {b"stays", b"changed", b"root"}
    assert (left[b"root"].type, left[b"root"].policies) == ("orphaner", [])
    assert records.decode(records.Token, state.get(Table.TOKEN, b"changed")[1]).num_uses == -1  # type: ignore[index]
    assert state.get(Table.ACCESSOR, b"a-root") is None


@pytest.mark.parametrize(("keep", "left"), [(False, []), (True, [b"stays"])])
async def test_what_void_tokens_kept_for_themselves_does_not_come_back(
    tmp_path: Path, keep: bool, left: list[bytes]
) -> None:
    """Wrapped answers among it: also of a token that was revoked later, and of a root token."""
    story = Story()
    story.put(Table.MOUNT, b"cubbyhole/", records.Mount(uuid=b"c" * 16))
    names = (b"stays", b"revoked", b"root")
    for name in names:
        policies = ["root"] if name == b"root" else ["response-wrapping"]
        story.put(Table.TOKEN, name, records.Token(accessor=b"a-" + name, policies=policies))
    for name in names:
        point = story.put(Table.ENTRY, b"c" * 16 + name.hex().encode() + b"/response", records.Entry(box=b"e"))
    await story.base()
    story.drop(Table.TOKEN, b"revoked")
    await story.send()
    disk = SystemDisk(tmp_path / "a")
    await restored(story, [disk], point=Point(to_index=point), wish=Wish(keep_tokens=keep))
    state = opened(disk, story.shares)

    assert [key for key, _, _ in state.items(Table.ENTRY)] == [
        b"c" * 16 + name.hex().encode() + b"/response" for name in left
    ]


async def test_batch_tokens_of_before_are_void(tmp_path: Path) -> None:
    """They are stored nowhere: the new generation ends them, and a fact that says until when; at every point."""
    story = await Story().told(2)
    disk = SystemDisk(tmp_path / "a")
    await restored(story, [disk])
    state = opened(disk, story.shares)
    fact = records.decode(records.Fact, state.get(Table.FACT, BATCH_TOKENS_VOID)[1])  # type: ignore[index]

    assert fact.time_ns == records.decode(records.Config, state.get(Table.CONFIG, b"cluster")[1]).created_ns  # type: ignore[index]


async def test_audit_devices_wait_for_an_operator(tmp_path: Path) -> None:
    """None is enabled; what they were is kept in a fact, and the cluster says that it is not adopted."""
    story = Story()
    device = records.AuditDevice(type="file", options={"file_path": "x"})
    story.put(Table.AUDIT_DEVICE, b"file/", device)
    await story.told(1)
    disk = SystemDisk(tmp_path / "a")
    await restored(story, [disk])
    state = opened(disk, story.shares)
    held = records.decode(records.Fact, state.get(Table.FACT, HELD_DEVICES)[1])  # type: ignore[index]
    fact = records.decode(records.Fact, state.get(Table.FACT, RESTORED)[1])  # type: ignore[index]

    assert list(state.items(Table.AUDIT_DEVICE)) == []
    assert msgspec.msgpack.decode(held.data) == [[b"file/", records.encode(device)]]
    assert not records.decode(Restored, fact.data).adopted


async def test_what_is_extra_knows_whether_the_point_is_the_newest(tmp_path: Path) -> None:
    """A root token is needed where the others are void."""
    story = await Story().told(3)
    said: list[bool] = []

    def extra(_keyring: Any, _now_ns: int, earlier: bool) -> list[Any]:
        said.append(earlier)
        return [(Table.TOKEN, b"fresh", records.Token(policies=["root"]))]

    disk = SystemDisk(tmp_path / "b")
    await restored(story, [SystemDisk(tmp_path / "a")], extra=extra)
    await restored(
        story, [disk], extra=extra, point=Point(to_index=story.index - 1), fork=True, generation=GENERATION, seed=9
    )

    assert said == [False, True]
    assert opened(disk, story.shares).get(Table.TOKEN, b"fresh") is not None


# ---- a part of the history is missing
async def test_older_keys_bring_back_no_token(tmp_path: Path) -> None:
    """What was revoked behind the rekey cannot be read: nothing that gives access for a time survives."""
    story = Story()
    story.put(Table.TOKEN, b"t", records.Token(accessor=b"a", policies=["p"]))
    await story.told(2)
    last = story.index
    new_shares = story.new_keys()
    await story.send()
    story.write()
    await story.send()
    old, new = SystemDisk(tmp_path / "old"), SystemDisk(tmp_path / "new")
    with pytest.raises(RestoreError, match="tokens cannot be kept"):
        await restored(story, [old], wish=Wish(keep_tokens=True))
    report = await restored(story, [old])
    again = await restored(story, [new], shares=new_shares, fork=True, generation=GENERATION, seed=9)

    assert (report.at_index, report.left_out_from, report.tokens_void) == (last, last + 1, True)
    assert report.lost == (last + 1, story.index)
    assert opened(old, story.shares).get(Table.TOKEN, b"t") is None
    assert (again.at_index, again.tokens_void) == (story.index, False)
    assert opened(new, new_shares).get(Table.TOKEN, b"t") is not None


async def test_a_gap_voids_what_gave_access(tmp_path: Path) -> None:
    """The sink shows that there was more: the point is not the newest, whatever can be restored."""
    story = Story()
    story.put(Table.TOKEN, b"t", records.Token(accessor=b"a", policies=["p"]))
    await story.told(2, 2, 2)
    batches = [one for one in await only(story.sink, GENERATION) if one.kind == 2]
    await story.sink.remove(story.claim, batches[1:2])
    disk = SystemDisk(tmp_path / "a")
    report = await restored(story, [disk])

    assert (report.at_index, report.lost) == (story.index - 4, (story.index - 3, story.index))
    assert opened(disk, story.shares).get(Table.TOKEN, b"t") is None


async def test_a_line_that_continued_says_who_may_do_what(tmp_path: Path) -> None:
    """A restore of the line before it, also of its very end: tokens are void, policies as the later line has them."""
    story = Story()
    story.put(Table.TOKEN, b"t", records.Token(accessor=b"a", policies=["p"]))
    story.put(Table.POLICY, b"p", records.Policy(text="loose"))
    await story.told(2)
    first, disk = SystemDisk(tmp_path / "a"), SystemDisk(tmp_path / "b")
    second = await restored(story, [first])
    await tighten(story, first, second.generation)
    report = await restored(story, [disk], generation=GENERATION, fork=True, seed=9, now_ns=3 * 10**18)
    state = opened(disk, story.shares)

    assert (report.newer_generation, report.access_unknown) == (second.generation, False)
    assert report.tokens_void
    assert state.get(Table.TOKEN, b"t") is None
    assert records.decode(records.Policy, state.get(Table.POLICY, b"p")[1]).text == "tight"  # type: ignore[index]


async def test_a_later_line_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    """Its damage does not keep the line before it from being restored; no token comes back."""
    story = Story()
    story.put(Table.TOKEN, b"t", records.Token(accessor=b"a", policies=["p"]))
    await story.told(2)
    first, disk = SystemDisk(tmp_path / "a"), SystemDisk(tmp_path / "b")
    second = await restored(story, [first])
    await tighten(story, first, second.generation)
    objects = story.sink._objects[second.generation]
    place = next(iter(objects))
    objects[place] = objects[place][0], objects[place][1][:-1] + b"?"
    report = await restored(story, [disk], generation=GENERATION, fork=True, seed=9, now_ns=3 * 10**18)

    assert report.access_unknown
    assert opened(disk, story.shares).get(Table.TOKEN, b"t") is None


async def tighten(story: Story, disk: Any, generation: bytes) -> None:
    """The cluster of the folder leads, changes a policy, and backs that up."""
    envelope = read_file(disk, KEYRING)
    assert envelope is not None
    state = opened(disk, story.shares)
    sealer = BackupSealer(opener(story.shares)(envelope).keyring, SystemLikeRandom(20))
    index, now_ns = state.applied_index + 1, 2 * 10**18
    draft = Draft()
    draft.put(Table.POLICY, b"p", records.Policy(text="tight"))
    facts = transaction.Transaction(2, 1, now_ns, [], draft.puts, [])
    assert state.apply(index, 2, facts).ok
    [*_, tip] = await only(story.sink, generation)
    header = Header(
        generation=generation, kind=Kind.BATCH, first=index, last=index, term=2, from_ns=now_ns, time_ns=now_ns,
        previous=tip.hash, base=b"", part=0, final=True, fresh=False, place=sealer.place(), node_id="n1",
    )  # fmt: skip
    entries = encode_entries(index, [(2, transaction.encode(facts))], state.digest.to_bytes(16, "little"))
    data = sealer.seal(header, entries)
    claim = Claim(generation, 2, "n1")
    await story.sink.claim(claim)
    await story.sink.store(claim, data, parse(data))


# ---- witnesses
async def test_nothing_is_believed_without_a_witness(tmp_path: Path) -> None:
    """A cut-off tail cannot be seen in the sink: somebody must say that this is known."""
    story = await Story().told(2)
    with pytest.raises(UnwitnessedError, match=f"newest entry is {story.index}"):
        await restored(story, [SystemDisk(tmp_path / "a")], unwitnessed=False)
    expected = (Expected(story.index, story.tip),)

    report = await restored(story, [SystemDisk(tmp_path / "a")], unwitnessed=False, expected=expected)
    assert report.at_index == story.index


async def test_what_was_expected_is_a_witness_only_where_a_sink_holds_it(tmp_path: Path) -> None:
    """Another hash is refused; an index at which nothing ends says nothing, and must be reached all the same."""
    story = await Story().told(2, 2)
    disk = SystemDisk(tmp_path / "a")
    with pytest.raises(RestoreError, match="another batch"):
        await restored(story, [disk], expected=(Expected(story.index, b"x" * 32),), unwitnessed=False)
    with pytest.raises(UnwitnessedError, match="confirms nothing"):
        await restored(story, [disk], expected=(Expected(story.index - 1, b"x" * 32),), unwitnessed=False)
    with pytest.raises(MissingEndError):
        await restored(story, [disk], expected=(Expected(story.index + 1, b"x" * 32),), unwitnessed=True)
    expected = (Expected(story.index - 1, b"x" * 32), Expected(story.index, story.tip))

    report = await restored(story, [disk], expected=expected, unwitnessed=False)
    assert report.at_index == story.index


async def test_what_any_sink_holds_confirms_what_was_expected(tmp_path: Path) -> None:
    """Each sink has batches of its own: a line that was printed of another one that is read is as good."""
    story, other = await Story().told(2), await Story(seed=1).told(1)
    expected = (Expected(other.index, other.tip),)
    with pytest.raises(UnwitnessedError):
        await restored(story, [SystemDisk(tmp_path / "a")], expected=expected, unwitnessed=False)
    work = Restoring(
        story.sink, order(expected=expected, unwitnessed=False), opener(story.shares), FixedClock(10**18),
        SystemLikeRandom(7), others=[other.sink],
    )  # fmt: skip

    assert (await work.run([SystemDisk(tmp_path / "b")], nothing)).at_index == story.index


async def test_a_sink_that_shows_less_than_a_witness_knows_is_refused(tmp_path: Path) -> None:
    """Unless the loss is accepted: then no token comes back."""
    story = Story()
    story.put(Table.TOKEN, b"t", records.Token(accessor=b"a", policies=["p"]))
    await story.told(2, 2)
    witness = Witness("main", GENERATION, story.index, story.tip)
    batches = [one for one in await only(story.sink, GENERATION) if one.kind == 2]
    await story.sink.remove(story.claim, batches[-1:])
    disk = SystemDisk(tmp_path / "a")
    with pytest.raises(MissingEndError, match=f"ends at {story.index - 2}, but {story.index} was stored"):
        await restored(story, [disk], witnesses=[witness])
    report = await restored(story, [disk], witnesses=[witness], accept_loss=True)

    assert report.lost == (story.index - 1, story.index)
    assert opened(disk, story.shares).get(Table.TOKEN, b"t") is None


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"hash": b"x" * 32}, "another batch"),
        ({"generation": b"another-generat-"}, "does not show"),
    ],
)
async def test_a_sink_with_another_history_is_refused(tmp_path: Path, fields: dict[str, Any], said: str) -> None:
    """Another batch in the same place, or a whole generation that it does not show."""
    story = await Story().told(2)
    known = {"sink": "main", "generation": GENERATION, "last": story.index, "hash": story.tip} | fields
    with pytest.raises(RestoreError, match=said):
        await restored(story, [SystemDisk(tmp_path / "a")], witnesses=[Witness(**known)], unwitnessed=False)


async def test_a_witness_of_another_sink_does_not_judge_hashes(tmp_path: Path) -> None:
    """Each sink has its own batches: what one held says how far the cluster was, not what the other one holds."""
    story = await Story().told(2)
    witness = Witness("other", GENERATION, story.index, b"x" * 32)

    report = await restored(
        story, [SystemDisk(tmp_path / "a")], witnesses=[witness], unwitnessed=False, sink_name="main"
    )
    assert report.at_index == story.index


# ---- once
async def test_one_backup_becomes_two_clusters_only_by_name(tmp_path: Path) -> None:
    """The second one is refused and leaves nothing; with `fork` it is made."""
    story = await Story().told(2)
    first = await restored(story, [SystemDisk(tmp_path / "a")])
    disk = SystemDisk(tmp_path / "b")
    with pytest.raises(FencedError, match=f"as generation {first.generation.hex()}"):
        await restored(story, [disk], generation=GENERATION, seed=9)
    clear(disk)
    assert read_file(disk, KEYRING) is None
    second = await restored(story, [disk], generation=GENERATION, fork=True, seed=10)

    assert second.generation != first.generation


async def test_a_folder_of_a_member_is_refused(tmp_path: Path) -> None:
    """Before anything is read or claimed."""
    story = await Story().told(2)
    disk = SystemDisk(tmp_path / "a")
    await restored(story, [disk])
    with pytest.raises(OccupiedError):
        await restored(story, [disk], fork=True, seed=9)

    assert len(await story.sink.generations()) == 2


async def test_another_profile_is_refused(tmp_path: Path) -> None:
    """What began as dev is never served in production."""
    story = await Story(profile="dev").told(1)
    with pytest.raises(RestoreError, match="of profile 'dev'"):
        await restored(story, [SystemDisk(tmp_path / "a")])

    assert len(await story.sink.generations()) == 1


async def test_wrong_keys_change_nothing(tmp_path: Path) -> None:
    """Neither in the sink nor in the folder."""
    story, stranger = await Story().told(1), Story(seed=5)
    with pytest.raises(WrongKeyError, match="opens no keyring"):
        await restored(story, [SystemDisk(tmp_path / "a")], shares=stranger.shares)

    assert len(await story.sink.generations()) == 1
    assert read_file(SystemDisk(tmp_path / "a"), KEYRING) is None


# ---- interrupted
class StoppedError(BaseException):
    """The process is killed here."""


class DyingDisk:
    """A folder whose process dies at its n-th change; afterwards nothing is changed any more."""

    def __init__(self, root: Path, changes: int) -> None:
        self._disk = SystemDisk(root)
        self._left = changes

    def _change(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise StoppedError

    def open(self, name: str, *, create: bool = False) -> Any:
        if create:
            self._change()
        return self._disk.open(name, create=create)

    def names(self, folder: str = "") -> list[str]:
        return self._disk.names(folder)

    def rename(self, old: str, new: str) -> None:
        self._change()
        self._disk.rename(old, new)

    def remove(self, name: str) -> None:
        self._change()
        self._disk.remove(name)

    def make_folder(self, folder: str) -> None:
        self._disk.make_folder(folder)

    def sync_folder(self, folder: str = "") -> None:
        self._change()
        self._disk.sync_folder(folder)


async def test_a_restore_that_dies_at_any_change_can_be_run_again(tmp_path: Path) -> None:
    """What it leaves is refused by a server, or empty; the next run makes it whole, and no second word is needed."""
    died = 0
    for changes in range(200):
        story = await Story().told(2)
        root = tmp_path / str(changes)
        disk = DyingDisk(root, changes)
        try:
            await restored(story, [disk])
        except StoppedError:
            died += 1
        else:
            break
        left = SystemDisk(root)
        begun = (await story.sink.generations())[-1].generation
        ballot = read_ballot(left)
        if ballot is not None and read_file(left, RESTORING) is not None:
            with pytest.raises(FolderError, match="did not come to its end"):
                check_whole(left)
        if ballot is None or read_file(left, RESTORING) is not None:
            seeded = bool(await only(story.sink, begun))
            await restored(story, [left], seed=9, generation=begun if seeded else GENERATION, now_ns=2 * 10**18)
        check_whole(left)
        assert opened(left, story.shares).applied_index > story.index

    assert died > 20


class DyingSink(MemorySink):
    """Its process dies at the n-th object."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 10**9

    async def store(self, claim: Any, data: bytes, parsed: Any) -> None:
        self.left -= 1
        if self.left < 0:
            raise StoppedError
        await super().store(claim, data, parsed)


async def test_a_line_without_a_whole_base_is_left_behind(tmp_path: Path) -> None:
    """The restore that died may be run again without `fork`, and what it began can never be finished."""
    sink = DyingSink()
    story = await Story(sink).told(2)
    sink.left = 3
    with pytest.raises(StoppedError):
        await restored(story, [SystemDisk(tmp_path / "a")])
    sink.left = 10**9
    report = await restored(story, [SystemDisk(tmp_path / "a")], generation=GENERATION, seed=9, now_ns=2 * 10**18)
    left_behind = next(
        one.generation
        for one in await sink.generations()
        if one.generation not in {GENERATION, report.generation}
    )

    assert report.at_index == story.index
    assert sink._claims[left_behind].term > sink._claims[report.generation].term - 1


# ---- further members
async def joining(sink: MemorySink, generation: bytes, disk: Any, story: Story, member: str = "n1") -> int:
    work = Joining(sink, generation, "production", opener(story.shares), FixedClock(2 * 10**18), SystemLikeRandom(5))
    return await work.run([disk], [member])


async def test_a_further_member_begins_with_the_same_state(tmp_path: Path) -> None:
    """From the first base of the new line, on another machine."""
    story = await Story().told(2)
    first, further = SystemDisk(tmp_path / "a"), SystemDisk(tmp_path / "b")
    report = await restored(story, [first])
    index = await joining(story.sink, report.generation, further, story)
    one, other = opened(first, story.shares), opened(further, story.shares)

    assert (one.digest, one.applied_index) == (other.digest, index)
    assert read_ballot(first)[1].cluster_id == read_ballot(further)[1].cluster_id  # type: ignore[index]


async def test_nobody_joins_a_cluster_that_has_served(tmp_path: Path) -> None:
    """A member that lost its folder must not come back without what it acknowledged."""
    story = await Story().told(2)
    report = await restored(story, [SystemDisk(tmp_path / "a")])
    with pytest.raises(RestoreError, match="not begun by a restore"):
        await joining(story.sink, GENERATION, SystemDisk(tmp_path / "b"), story)
    with pytest.raises(RestoreError, match="no member of that cluster: n9"):
        await joining(story.sink, report.generation, SystemDisk(tmp_path / "b"), story, "n9")
    await story.sink.claim(story.claim._replace(generation=report.generation))
    with pytest.raises(RestoreError, match="has served already"):
        await joining(story.sink, report.generation, SystemDisk(tmp_path / "b"), story)

    assert read_file(SystemDisk(tmp_path / "b"), KEYRING) is None


async def test_that_a_cluster_has_served_is_seen_before_anything_is_replayed(tmp_path: Path) -> None:
    """No key is needed for it, and nothing is claimed; a line that nobody led is opened."""
    story, stranger = await Story().told(2), Story(seed=5)
    report = await restored(story, [SystemDisk(tmp_path / "a")])
    disk = SystemDisk(tmp_path / "b")
    story.shares = stranger.shares
    with pytest.raises(WrongKeyError):
        await joining(story.sink, report.generation, disk, story)
    claim = story.claim._replace(generation=report.generation)
    await story.sink.claim(claim)
    with pytest.raises(RestoreError, match="has served already"):
        await joining(story.sink, report.generation, disk, story)

    assert await story.sink.claimant(report.generation) == claim


async def test_a_folder_that_could_not_be_filled_is_left_empty(tmp_path: Path) -> None:
    """A member may begin empty there."""

    class FullDisk(DyingDisk):
        def sync_folder(self, folder: str = "") -> None:
            if (tmp_path / "b" / KEYRING).exists() and not self._left:
                self._left = 1
                raise OSError(28, "full")
            self._disk.sync_folder(folder)

        def _change(self) -> None:
            pass

    story = await Story().told(2)
    report = await restored(story, [SystemDisk(tmp_path / "a")])
    with pytest.raises(OSError, match="full"):
        await joining(story.sink, report.generation, FullDisk(tmp_path / "b", 0), story)
    left = SystemDisk(tmp_path / "b")

    assert read_file(left, RESTORING) is None
    assert read_file(left, KEYRING) is None
    assert await joining(story.sink, report.generation, left, story) == opened(left, story.shares).applied_index


async def test_write_ids_are_forgotten(tmp_path: Path) -> None:
    """And the floor says so: a repetition is unknown, never executed again."""
    story = Story()
    draft = Draft()
    draft.put(Table.WRITE_ID, b"i" * 16, records.WriteId(id_time_ns=5))
    story.write(draft)
    await story.told(1)
    disk = SystemDisk(tmp_path / "a")
    await restored(story, [disk])
    state = opened(disk, story.shares)
    floor = records.decode(records.Floor, state.get(Table.FLOOR, b"write-id")[1])  # type: ignore[index]

    assert state.get(Table.WRITE_ID, b"i" * 16) is None
    assert floor.time_ns >= story.state.time_ns

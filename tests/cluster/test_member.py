"""A member of a cluster of one, in this process: what is there while it is unsealed, and what is left afterwards.

Also init's half of a member (N1-N3), and that an empty member that joins is recovering (M4).
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import textwrap
from typing import TYPE_CHECKING

import msgspec
import pytest

from cluster import Member, MemberSettings, NotInitialisedError, Timing, run_init, serving
from cluster.coordinator import adopt_cluster
from cluster.errors import DamagedError, FatalError, SealedError, UnavailableError, UnknownOutcomeError
from cluster.files import Bootstrap, read_bootstrap
from cluster.initialise import AlreadyInitialisedError, InitRefusedError, InitState, Store
from cluster.journal.ballot import read_ballot
from cluster.journal.ballot_file import BALLOT_NAME
from cluster.keyring.seal import open_envelope
from cluster.links.calls import CallError
from cluster.links.messages import Call, Hello, PreVote
from cluster.seams import SystemDisk
from cluster.settings import MemberAddress
from cluster.state import records
from cluster.state.tables import Table
from cluster.state.transaction import Draft

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from cluster.state.view import View


FAST = Timing(heartbeat_s=0.01, election_min_s=0.05, election_max_s=0.08)


def a_member(folder: Path) -> Member:
    address = MemberAddress(("127.0.0.1", 1), "http://127.0.0.1:2")
    made = Member(MemberSettings("n1", "c", folder, {"n1": address}, profile="dev", segment_bytes=1 << 20, timing=FAST))
    made.fatal: list[str] = []  # type: ignore[attr-defined, misc]
    made.on_fatal = made.fatal.append  # type: ignore[attr-defined]
    return made


@contextlib.asynccontextmanager
async def running(folder: Path) -> AsyncIterator[tuple[Member, bytes]]:
    """An initialised, unsealed member that leads; and its root key."""
    member = a_member(folder)
    await member.start()
    new_seal = await run_init(
        member, seal_type="shamir", shares=1, threshold=1, peers=False, seed=lambda *_: None
    )
    root_key = bytes(new_seal.root_key)
    await member.open_with(open_envelope(bytearray(root_key), member.envelope))
    try:
        await leads(member)
        yield member, root_key
    finally:
        await member.stop()


async def leads(member: Member) -> None:
    async with asyncio.timeout(20):
        while not member.is_leader:  # noqa: ASYNC110 - a role is not an event
            await asyncio.sleep(0)


def decide(key: bytes = b"key".ljust(17, b"\0")) -> object:
    def decided(_view: View, _now_ns: int) -> tuple[Draft, str]:
        draft = Draft()
        draft.put(Table.ENTRY, key, records.Entry(salt_id=1))
        return draft, "answer"

    return decided


# ---- M1
async def test_sealing_wipes_keys_and_state(tmp_path: Path) -> None:
    """Nothing that opens anything is left; its twin: while unsealed, both are there."""
    async with running(tmp_path) as (member, _):
        unsealed, sealer = member.unsealed, member.running.sealer
        assert unsealed is not None
        before = (any(unsealed.root_key), member.view.applied_index > 0)
        await member.seal(by_operator=False)

        assert before == (True, True)
        assert not any(unsealed.root_key)
        assert (member.unsealed, member.replica, member.values, member.sealed) == (None, None, None, True)
        with pytest.raises(SealedError):
            _ = member.view
        with pytest.raises(Exception):  # noqa: B017, PT011 - whatever a wiped key raises
            sealer.open_entry(0, b"\0" * 100)


async def test_a_start_that_fails_leaves_no_keys(tmp_path: Path) -> None:
    """Whatever the disk says; the member is sealed as before."""
    async with running(tmp_path) as (member, root_key):
        await member.seal(by_operator=False)
        (tmp_path / "bootstrap").write_bytes(b"nonsense")
        unsealed = open_envelope(bytearray(root_key), member.envelope)
        with pytest.raises(DamagedError):
            await member.open_with(unsealed)

        assert not any(unsealed.root_key)
        assert (member.sealed, member.starting) == (True, False)


@pytest.mark.parametrize("by_operator", [False, True])
@pytest.mark.parametrize("what", ["hand_over", "_close_writer"])
async def test_a_seal_whose_journal_or_hand_over_fails_leaves_no_keys(
    tmp_path: Path, what: str, *, by_operator: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And all around hear that it is sealed."""
    async with running(tmp_path) as (member, _):
        unsealed, writer, sealed = member.unsealed, member._writer, []
        assert unsealed is not None
        assert writer is not None
        member.on_sealed = lambda: sealed.append(True)

        def fails() -> None:
            raise DamagedError("the ballot cannot be read")

        monkeypatch.setattr(member, what, fails)
        with pytest.raises(DamagedError):
            await member.seal(by_operator=by_operator)
        writer.close()

        assert not any(unsealed.root_key)
        assert (member.unsealed, member.replica, member.values, sealed) == (None, None, None, [True])
        assert (member._changing.locked(), member._seal_task) == (False, None)


async def test_who_seals_while_another_does_waits_for_the_same_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until nothing runs the ballot is the journal's to write; then the operator's mark stands, and all hear once."""
    async with running(tmp_path) as (member, _):
        handed_over, sealed = asyncio.Event(), []
        monkeypatch.setattr(member, "hand_over", handed_over.wait)
        member.on_sealed = lambda: sealed.append(member.sealed)
        ballot = (tmp_path / BALLOT_NAME).stat().st_ino
        by_itself = asyncio.create_task(member.seal(by_operator=False))
        by_an_operator = asyncio.create_task(member.seal(by_operator=True))
        for _ in range(20):
            await asyncio.sleep(0)

        assert (member.sealed, member.sealed_by_operator, sealed) == (False, False, [])
        assert (tmp_path / BALLOT_NAME).stat().st_ino == ballot
        assert not by_an_operator.done()

        handed_over.set()
        await asyncio.gather(by_itself, by_an_operator)

        assert (member.sealed, member.sealed_by_operator, sealed) == (True, True, [True])


async def test_a_seal_while_the_member_stops_marks_the_ballot_behind_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop hands over as a seal does; the mark waits for it."""
    async with running(tmp_path) as (member, _):
        handed_over = asyncio.Event()
        monkeypatch.setattr(member, "hand_over", handed_over.wait)
        stopping = asyncio.create_task(member.stop())
        await asyncio.sleep(0)
        sealing = asyncio.create_task(member.seal(by_operator=True))
        for _ in range(20):
            await asyncio.sleep(0)

        assert (member.sealed, member.sealed_by_operator) == (False, False)

        handed_over.set()
        await asyncio.gather(stopping, sealing)

        assert (member.sealed, member.sealed_by_operator) == (True, True)


async def test_a_caller_that_is_cancelled_does_not_end_a_seal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that hangs up leaves no node half sealed."""
    async with running(tmp_path) as (member, _):
        handed_over = asyncio.Event()
        monkeypatch.setattr(member, "hand_over", handed_over.wait)
        sealing = asyncio.create_task(member.seal(by_operator=True))
        await asyncio.sleep(0)
        sealing.cancel()
        await asyncio.gather(sealing, return_exceptions=True)
        handed_over.set()
        await member.seal(by_operator=False)

        assert (member.sealed, member.sealed_by_operator) == (True, True)


async def test_a_seal_by_an_operator_is_remembered_until_shares_are_given(tmp_path: Path) -> None:
    """Over restarts; an ordinary stop is no seal."""
    async with running(tmp_path) as (member, root_key):
        await member.seal(by_operator=True)
        sealed = member.sealed_by_operator
        await member.open_with(open_envelope(bytearray(root_key), member.envelope))

        assert (sealed, member.sealed_by_operator) == (True, False)


async def test_a_restarted_member_has_what_was_written(tmp_path: Path) -> None:
    """Over seal and unseal of one process."""
    async with running(tmp_path) as (member, root_key):
        index, answer = await member.write(decide())  # type: ignore[arg-type]
        await member.seal(by_operator=False)
        await member.open_with(open_envelope(bytearray(root_key), member.envelope))
        await leads(member)

        assert answer == "answer"
        assert member.view.applied_index > index
        assert member.view.get(Table.ENTRY, b"key".ljust(17, b"\0")) is not None


# ---- M2
def test_nothing_is_awaited_between_deciding_and_the_log() -> None:
    """Read from the source: the only await of `propose` is its last statement."""
    function = ast.parse(textwrap.dedent(inspect.getsource(serving.Serving.propose))).body[0]
    assert isinstance(function, ast.AsyncFunctionDef)
    awaits = [node.lineno for node in ast.walk(function) if isinstance(node, ast.Await)]
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
    decided = [node.lineno for node in calls if ast.unparse(node.func) in {"decide", "replica.propose"}]

    assert awaits == [function.body[-1].lineno]
    assert max(decided) < awaits[0]


async def test_a_write_that_cannot_be_proposed_is_refused_before_it_is_decided(tmp_path: Path) -> None:
    """The decision is not even asked for."""
    async with running(tmp_path) as (member, _):
        member.running.space_ok = False
        asked = []
        with pytest.raises(UnavailableError):
            await member.write(lambda view, now_ns: asked.append((view, now_ns)))  # type: ignore[arg-type, func-returns-value]

        assert asked == []


async def test_a_write_that_no_disk_takes_is_unknown_in_time_and_may_still_be_applied(tmp_path: Path) -> None:
    """The leader stays and nobody else can tell. Its twins: a refusal is sure to be none, and the next write."""
    async with running(tmp_path) as (member, _):
        replica = member.running
        member.settings.write_timeout_s = 0.1
        heard: list[int] = []
        synced, replica.on_log_synced = replica.on_log_synced, heard.append  # type: ignore[method-assign]
        with pytest.raises(UnknownOutcomeError):
            await member.write(decide())  # type: ignore[arg-type]
        with pytest.raises(UnavailableError):
            await member.write(lambda _view, _now_ns: (Draft(), "refused"))
        leads_still = member.is_leader
        replica.on_log_synced = synced  # type: ignore[method-assign]
        replica.on_log_synced(heard[-1])
        member.settings.write_timeout_s = 20
        await member.write(decide(b"other".ljust(17, b"\0")))  # type: ignore[arg-type]

        assert leads_still
        assert member.view.get(Table.ENTRY, b"key".ljust(17, b"\0")) is not None


# ---- M3, M5
@pytest.mark.parametrize("error", [FatalError("a sentence of ours"), KeyError("a secret"), AssertionError()])
async def test_a_mistake_in_a_turn_ends_the_process_and_quotes_nothing(tmp_path: Path, error: BaseException) -> None:
    """M3; only a FatalError's own sentence is told."""
    async with running(tmp_path) as (member, _):

        def fails() -> None:
            raise error

        tick, member.running.tick = member.running.tick, fails  # type: ignore[method-assign]
        member._turn()
        member.running.tick = tick  # type: ignore[method-assign]

        assert member.fatal[:1] == [  # type: ignore[attr-defined]
            "a sentence of ours" if isinstance(error, FatalError) else f"{type(error).__name__} in a turn of Raft"
        ]


async def test_the_timer_goes_on_whatever_a_turn_does(tmp_path: Path) -> None:
    """M5: it is set again before anything can fail."""
    async with running(tmp_path) as (member, _):
        member.running.tick = lambda: 1 / 0  # type: ignore[method-assign, assignment, return-value]
        before = member._timer
        member._on_timer()
        again = member._timer
        del member.running.tick

        assert again is not before
        assert again is not None
        assert not again.cancelled()


async def test_a_message_that_does_not_open_is_the_link_s_business_and_any_other_mistake_the_process_s(
    tmp_path: Path,
) -> None:
    """M3."""
    async with running(tmp_path) as (member, _):

        def damaged(_peer: str, _message: object) -> None:
            raise DamagedError("an entry does not open")

        def mistaken(_peer: str, _message: object) -> None:
            raise IndexError

        member.running.receive = damaged  # type: ignore[method-assign]
        with pytest.raises(DamagedError):
            member._on_message("n2", PreVote(1, 1, 1))
        before = list(member.fatal)  # type: ignore[attr-defined]
        member.running.receive = mistaken  # type: ignore[method-assign]
        member._on_message("n2", PreVote(1, 1, 1))

        assert (before, member.fatal) == ([], ["IndexError in a turn of Raft"])  # type: ignore[attr-defined]


async def test_a_journal_that_fails_ends_the_process(tmp_path: Path) -> None:
    """Nothing is acknowledged after it."""
    async with running(tmp_path) as (member, _):
        member._callbacks().on_failed("the disk is gone")

        assert member.fatal == ["the journal failed: the disk is gone"]  # type: ignore[attr-defined]


async def test_a_broken_state_seals_the_member_once(tmp_path: Path) -> None:
    """It keeps its files; being told twice changes nothing."""
    async with running(tmp_path) as (member, _):
        sealed = []
        member.on_sealed = lambda: sealed.append(True)
        member._on_broken("this node's state differs")
        member._on_broken("this node's state differs")
        assert member._ending is not None
        await member._ending

        assert (member.sealed, sealed, (tmp_path / "keyring").exists()) == (True, [True], True)


async def test_a_mistake_at_the_beginning_of_a_link_ends_the_process(tmp_path: Path) -> None:
    """As one in a message does; its twin: without a replica nothing is asked of it."""
    async with running(tmp_path) as (member, _):

        def mistaken(*_: object) -> bool:
            raise IndexError

        hello = Hello("n2", "c", "raft", 1, b"n" * 32, [1])
        member.running.meet = mistaken  # type: ignore[method-assign]
        member._on_connected("n2", hello)
        before = list(member.fatal)  # type: ignore[attr-defined]
        await member.seal(by_operator=False)
        member._on_connected("n2", hello)

        assert (before, member.fatal) == (["IndexError in a turn of Raft"], before)  # type: ignore[attr-defined]


# ---- H4
async def test_a_member_whose_peer_knows_a_later_life_of_it_takes_a_later_one(tmp_path: Path) -> None:
    """Its ballot was lost or put back; the number is spoken when it is durable."""
    async with running(tmp_path) as (member, _):
        own = member.running.log.incarnation
        hello = Hello("n2", "c", "raft", 1, b"n" * 32, [1], known_incarnation=own + 5)
        member._on_connected("n2", hello)
        before = member.running.log.incarnation
        async with asyncio.timeout(20):
            while member.running.log.incarnation == own:  # noqa: ASYNC110 - nor is a number
                await asyncio.sleep(0)

        assert (before, member.running.log.incarnation) == (own, own + 6)


async def test_a_member_that_comes_with_less_than_a_peer_knows_is_recovering(tmp_path: Path) -> None:
    """The peer's hello says so; its twin: a peer that knows no more than there is."""
    async with running(tmp_path) as (member, _):
        replica = member.running
        replica.on_connected = lambda _peer: None  # type: ignore[method-assign] # this cluster has one member
        last = replica.log.last_index
        member._on_connected("n2", Hello("n2", "c", "raft", 1, b"n" * 32, [1], known_term=1, known_index=last))
        before = replica.recovering
        member._on_connected("n2", Hello("n2", "c", "raft", 1, b"n" * 32, [1], known_index=last + 9))

        assert (before, replica.recovering) == (False, True)


# ---- init
def stored(number: int) -> Store:
    return Store(number, b"envelope %d" % number, Bootstrap(1, b"g" * 16, b"entry %d" % number))


def test_a_member_stores_only_for_the_highest_ballot_it_promised(tmp_path: Path) -> None:
    """N1; over restarts, because the promise is durable."""
    disk = SystemDisk(tmp_path)
    InitState(disk).promise(5)
    InitState(disk).promise(9)
    for number in (5, 8, 10):
        with pytest.raises(InitRefusedError):
            InitState(disk).store(stored(number))
    before = InitState(disk).stored
    InitState(disk).store(stored(9))

    assert (before, InitState(disk).stored, InitState(disk).promised) == (False, True, 9)


@pytest.mark.parametrize("number", [0, 4, 5])
def test_a_promise_is_not_given_twice_nor_lowered(tmp_path: Path, number: int) -> None:
    """Its twin: a higher one replaces it, and what was stored for the lower one."""
    state = InitState(SystemDisk(tmp_path))
    state.promise(5)
    state.store(stored(5))
    with pytest.raises(InitRefusedError):
        state.promise(number)
    state.promise(6)
    state.store(stored(6))

    assert read_bootstrap(SystemDisk(tmp_path)) == stored(6).bootstrap


def test_a_member_that_is_final_refuses_every_promise(tmp_path: Path) -> None:
    """N2; storing too."""
    state = InitState(SystemDisk(tmp_path))
    state.promise(5)
    state.store(stored(5))
    state.finish(b"c" * 16)

    for call in (lambda: state.promise(99), lambda: state.store(stored(5))):
        with pytest.raises(AlreadyInitialisedError):
            call()
    assert (state.final, state.stored) == (True, True)


async def test_a_member_that_stored_nothing_cannot_be_told_that_it_is_final(tmp_path: Path) -> None:
    """Whoever holds a certificate could otherwise keep a member from ever being initialised."""
    member = a_member(tmp_path)
    with pytest.raises(NotInitialisedError):
        await member._on_call("n2", False, Call(1, "init.final", b"c" * 16), b"")

    member.init_state.promise(7)
    assert member.initialised is False


async def test_what_is_stored_opens_with_the_root_key_only(tmp_path: Path) -> None:
    """N3: neither share, nor root key, nor term key stands in any file of the folder."""
    async with running(tmp_path) as (member, root_key):
        assert member.unsealed is not None
        keys = [root_key, *(bytes(term.key) for term in member.unsealed.keyring._terms.values())]

        assert holding(tmp_path, keys) == []


def holding(folder: Path, keys: list[bytes]) -> list[str]:
    """Files that hold one of the keys, raw or in hexadecimal."""
    contents = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    forms = [form for key in keys for form in (key, key.hex().encode())]
    return [name for name, content in contents.items() if any(form in content for form in forms)]


# ---- M4
def test_an_empty_member_that_joins_is_recovering_durably(tmp_path: Path) -> None:
    """Before its first life; its twin: one that had stored the same and was not told the end is whole."""
    joined, told = a_member(tmp_path / "joined"), a_member(tmp_path / "told")
    told.init_state.promise(5)
    told.init_state.store(stored(5))
    for member in (joined, told):
        adopt_cluster(member, b"c" * 16, stored(5).envelope, stored(5).bootstrap)
    ballots = [read_ballot(SystemDisk(tmp_path / name)) for name in ("joined", "told")]

    assert [found is not None and found[1].recovering for found in ballots] == [True, False]
    assert [joined.initialised, told.initialised] == [True, True]


async def test_a_member_that_lost_its_ballot_alone_joins_recovering(tmp_path: Path) -> None:
    """Keyring and entry 1 are there, the promise that came before them is not: whom it voted for is forgotten, too."""
    lost = a_member(tmp_path)
    lost.init_state.promise(5)
    lost.init_state.store(stored(5))
    (tmp_path / "ballot").unlink()
    adopt_cluster(lost, b"c" * 16, stored(5).envelope, stored(5).bootstrap)
    found = read_ballot(SystemDisk(tmp_path))

    assert found is not None
    assert found[1].recovering is True


async def test_an_uninitialised_member_gives_no_envelope_and_no_unknown_answer(tmp_path: Path) -> None:
    """And says what state it is in."""
    member = a_member(tmp_path)
    state = await member._on_call("n2", False, Call(1, "state", b""), b"")
    with pytest.raises(NotInitialisedError):
        await member._on_call("n2", False, Call(2, "envelope", b""), b"")
    with pytest.raises(CallError, match="unknown"):
        await member._on_call("n2", False, Call(3, "anything", b""), b"")

    assert msgspec.msgpack.decode(state)[0] == "uninitialised"

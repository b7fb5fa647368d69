"""The log in memory and what of it is durable: sequences, not indexes, say so (L1-L4)."""

from __future__ import annotations

import pytest

from cluster.journal.ballot import Ballot
from cluster.raft.log import DurableLog
from tests.cluster.raft.wiring import FakeWriter, opened


def a_log(count: int = 3, *, term: int = 1, **start: object) -> tuple[DurableLog, FakeWriter]:
    entries = [(index, term, b"\0%d" % index) for index in range(1, count + 1)]
    writer = FakeWriter()
    return DurableLog(writer, opened(entries=entries, **start)), writer  # type: ignore[arg-type]


def test_what_recovery_found_is_durable() -> None:
    """Nothing more has to be synced for it."""
    log, writer = a_log(3)

    assert (log.durable(), log.last_index, writer.operations) == (3, 3, [])


def test_an_appended_entry_is_durable_when_its_own_sequence_is_completed() -> None:
    """Not a moment before."""
    log, writer = a_log(3)
    log.add(b"\0a", 4, 1)
    before = log.durable()
    log.on_synced(writer.last_sequence)

    assert (before, log.durable()) == (3, 4)


def test_a_completion_from_before_a_truncation_says_nothing_about_what_came_after() -> None:
    """L2: the same index names another entry now; its number is another one."""
    log, writer = a_log(3)
    log.add(b"\0old", 4, 1)
    old = writer.last_sequence
    log.deleteEntriesFrom(4)
    log.add(b"\0new", 4, 2)
    log.on_synced(old)

    assert log.durable() == 3


def test_completions_that_arrive_late_never_take_back_what_is_durable() -> None:
    """The newest number counts."""
    log, writer = a_log(3)
    log.add(b"\0a", 4, 1)
    log.add(b"\0b", 5, 1)
    log.on_synced(writer.last_sequence)
    log.on_synced(1)

    assert log.durable() == 5


def test_a_trimmed_log_keeps_its_indexes() -> None:
    """L1: the entry at the index becomes the base."""
    log, writer = a_log(5)
    log.trim(3)

    assert (log.base_index, log.last_index, log.term_at(2), log.term_at(3), len(log)) == (3, 5, None, 1, 3)
    assert writer.operations == [("trim", 1, (3, 1))]
    assert log.durable() == 5


def test_trimming_where_the_log_begins_does_nothing() -> None:
    """No operation reaches the journal."""
    log, writer = a_log(5)
    log.trim(0)

    assert writer.operations == []


def test_a_reset_log_is_durable_only_when_the_reset_is() -> None:
    """What stood before says nothing about it."""
    log, writer = a_log(5)
    log.reset(9, 3)
    before = (log.durable(), log.base_index, log.last_index, log.last_term, log.bytes)
    log.on_synced(writer.last_sequence)

    assert before == (0, 9, 9, 3, 0)
    assert log.durable() == 9


def test_a_life_that_begins_with_a_reset_resets_first() -> None:
    """The first operation of the FIFO empties the log above the snapshot."""
    log, writer = a_log(2, reset_to=(7, 2))

    assert (log.base_index, log.last_index, writer.operations) == (7, 7, [("reset", 1, (7, 2))])


def test_sequences_go_on_from_the_last_one_recovered() -> None:
    """L3."""
    writer = FakeWriter()
    start = opened(entries=[(1, 0, b"\0")])
    start = type(start)(start.ballot, 1, (0, 0), start.entries, start.start._replace(last_sequence=41))
    log = DurableLog(writer, start)
    log.add(b"\0", 2, 1)

    assert writer.operations[0][1] == 42


@pytest.mark.parametrize(("first", "count", "expected"), [(2, 2, [2, 3]), (4, 9, [4, 5]), (1, 1, [1]), (6, 3, [])])
def test_a_slice_holds_what_was_asked_for(first: int, count: int, expected: list[int]) -> None:
    """As far as the log goes."""
    log, _ = a_log(5)

    assert [index for _, index, _ in log.slice(first, count)] == expected


def test_a_slice_below_the_base_is_empty_and_not_the_end_of_the_log() -> None:
    """A negative place must not count from the end."""
    log, _ = a_log(5)
    log.trim(3)

    assert log.slice(2, 5) == []


def test_bytes_count_the_commands_behind_the_base() -> None:
    """Whatever changes the log."""
    log, _ = a_log(4)
    log.add(b"\0four", 5, 1)
    log.deleteEntriesFrom(4)
    log.trim(2)

    assert log.bytes == sum(len(command) for command, _, _ in log[1:])


def test_a_vote_of_an_older_term_than_the_last_entry_is_void() -> None:
    """The vote belongs to the ballot's term."""
    ballot = Ballot(term=3, vote="n2", incarnation=1, born=True)
    writer = FakeWriter()
    same = DurableLog(writer, opened(entries=[(1, 3, b"\0")], ballot=ballot))
    later = DurableLog(writer, opened(entries=[(1, 4, b"\0")], ballot=ballot))

    assert (same.getVotedForNodeId(), later.getVotedForNodeId()) == ("n2", None)


def test_the_newest_ballot_is_durable_when_its_own_sequence_is() -> None:
    """An older completion is not enough."""
    log, writer = a_log()
    log.setCurrentTerm(5, "n2")
    log.setCurrentTerm(6, None)
    (first, _), (second, ballot) = writer.ballots
    log.on_ballot(first)
    halfway = log.ballot_durable
    log.on_ballot(second)

    assert (halfway, log.ballot_durable, ballot.term, ballot.vote) == (False, True, 6, None)


def test_a_new_incarnation_is_spoken_only_when_it_is_durable() -> None:
    """L4: a second loss of power would otherwise let two lives speak with one number."""
    log, writer = a_log()
    log.write_ballot(incarnation=9)
    log.write_ballot(term=4)
    before = log.incarnation
    log.on_ballot(writer.ballots[0][0])

    assert (before, log.incarnation) == (1, 9)


def test_another_ballot_that_becomes_durable_does_not_make_an_older_incarnation_new() -> None:
    """Only a ballot that holds it does."""
    log, writer = a_log()
    log.write_ballot(term=4)
    log.write_ballot(incarnation=9)
    log.on_ballot(writer.ballots[0][0])

    assert log.incarnation == 1


@pytest.mark.parametrize("call", ["clear", "deleteEntriesTo"])
def test_the_library_s_own_ways_to_cut_a_log_are_refused(call: str) -> None:
    """Only trim and reset cut from the front, only reset empties."""
    log, _ = a_log()

    with pytest.raises(AssertionError):
        getattr(log, call)(*((1,) if call == "deleteEntriesTo" else ()))


def test_an_entry_that_does_not_follow_the_last_is_a_mistake_of_ours() -> None:
    """L1."""
    log, _ = a_log()

    with pytest.raises(AssertionError):
        log.add(b"\0", 9, 1)

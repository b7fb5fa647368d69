"""What journals say of unknown writes: never a right history made wrong, and wrong ones found that were missed."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from chaos.check.acked import Acked
from chaos.check.appends import Appends
from chaos.check.models import Register
from chaos.check.persisted import MAKERS, Evidence, Settled, patched, settled, was_unknown
from chaos.check.random_histories import BUGS, Shape, told
from chaos.check.wgl import Wgl, search
from chaos.check.witness import Witness, impossible, value_of
from chaos.check.words import is_mismatch
from chaos.folder import RunFolder
from chaos.history import Operation
from tests.chaos.histories import Story

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def evidence(*sure: int, maybe: Sequence[int] = (), complete: bool = True) -> Evidence:
    return Evidence({version: version * 10 for version in sure}, frozenset(maybe), complete)


def rejected(operations: Sequence[Operation], found: Evidence) -> bool:
    """Whether anybody says that it cannot be, with what the journals say."""
    known = patched(operations, found)
    return bool(known.wrong) or is_rejected(known.operations)


def is_rejected(operations: Sequence[Operation]) -> bool:
    return impossible(operations) is not None or search(Register(operations)).legal is False


# ---- brute force: every order, and nothing clever
def can_be(operations: Sequence[Operation], found: Evidence) -> bool:
    """Whether some order keeps real time, explains every answer, and ends with versions that the journals allow."""
    said = [one for one in operations if one.outcome != "fail" or is_mismatch(one)]
    said = [one for one in said if one.f != "read" or one.outcome == "ok"]

    def ends_right(top: int) -> bool:
        there = set(range(1, top + 1))
        return found.sure.keys() <= there and (not found.complete or there <= {*found.sure, *found.maybe})

    def goes_on(left: tuple[int, ...], version: int, value: Any) -> bool:
        known = [number for number in left if said[number].outcome != "info"]
        if not known and ends_right(version):
            return True
        first = min((said[number].returned_ns for number in known), default=math.inf)
        for number in left:
            one = said[number]
            if one.called_ns > first:
                continue
            rest = tuple(other for other in left if other != number)
            after = stepped(one, version, value)
            if after is not None and goes_on(rest, *after):
                return True
        return False

    return goes_on(tuple(range(len(said))), 0, None)


def stepped(one: Operation, version: int, value: Any) -> tuple[int, Any] | None:
    if one.f == "read":
        return (version, value) if (one.version, one.result) == (version, value) else None
    if one.outcome == "fail":
        return (version, value) if version != one.argument[0] else None
    if (one.f == "cas" and one.argument[0] != version) or (one.outcome == "ok" and one.version != version + 1):
        return None
    return version + 1, value_of(one)


def some_evidence(rng: random.Random, top: int) -> Evidence:
    """True of a register with so many versions, or nearly: more or less is known, and rarely one too many."""
    there = list(range(1, max(0, top + rng.choice((0, 0, 0, 0, 1, -1))) + 1))
    known = [version for version in there if rng.random() < 0.8]
    unsure = {version for version in there if version not in known} | ({top + 1} if rng.random() < 0.2 else set())
    return evidence(*known, maybe=sorted(unsure), complete=rng.random() < 0.8)


def test_what_can_be_is_never_rejected_as_brute_force_says() -> None:
    """Small histories, right and wrong, with any evidence; what cannot be is rejected far more often than before."""
    counts = {"can": 0, "cannot": 0, "found": 0, "found before": 0}
    for seed in range(6000):
        rng = random.Random(seed)
        shape = Shape(rng.choice((3, 5, 6)), rng.choice((2, 3)), 0.3, rng.choice(BUGS), 0.3, rng.choice((0, 0, 2)))
        operations, values = told(shape, rng)
        found = some_evidence(rng, len(values) - 1)
        verdict = rejected(operations, found)
        if can_be(operations, found):
            assert not verdict, seed
            counts["can"] += 1
        else:
            counts["cannot"] += 1
            counts["found"] += verdict
            counts["found before"] += is_rejected(operations)

    assert counts["can"] > 2000, counts
    assert counts["found"] > 0.95 * counts["cannot"] > 2 * counts["found before"], counts


def test_brute_force_itself_tells_right_from_wrong() -> None:
    """A judge that lets everything pass, or nothing, proves nothing."""
    story = Story().op("write", "k", "a", version=1).op("write", "k", "u", outcome="info")
    right = story.op("read", "k", None, "a", version=1).operations
    wrong = story.op("read", "k", None, "b", version=1).operations

    assert can_be(right, evidence(1))
    assert can_be(right, evidence(1, 2))
    assert not can_be(right, evidence(1, 2, 3))
    assert not can_be(wrong, evidence(1))


def with_last_reads(operations: list[Operation], values: list[Any], rng: random.Random) -> list[Operation]:
    """The same, and three last reads, between which what is unknown may still come."""
    end = max(one.called_ns if one.outcome == "info" else int(one.returned_ns) for one in operations) + 1
    least = max((one.version or 0 for one in operations if one.outcome == "ok"), default=0)
    least = max([least, *(one.argument[0] + 1 for one in operations if is_mismatch(one))])  # they never expect more
    seen = sorted(rng.randrange(least, len(values)) for _ in range(3))
    last = [
        Operation(
            900 + number, "read", "k", None, values[version], "ok", end + 10 * number, end + 10 * number + 5,
            f"n{number + 1}", version, None, "", {"final": True}, 1000 + number,
        )
        for number, version in enumerate(seen)
    ]  # fmt: skip
    return [*operations, *last]


def run_of(tmp_path: Path, operations: list[Operation], found: Evidence) -> RunFolder:
    """A run of these operations, which nobody wrote down."""
    run = RunFolder(tmp_path)
    sure = {"k": {str(version): index for version, index in found.sure.items()}}
    maybe = {"k": {str(version): 99 for version in found.maybe}}
    journal = {"sure": sure, "maybe": maybe, "complete": found.complete}
    run.__dict__["operations"] = operations
    run.__dict__["plan"] = {"nodes": ["n1", "n2", "n3"]}
    run.__dict__["facts"] = {"read": True, "whole": ["n1", "n2", "n3"], "journal": journal}
    return run


@pytest.mark.parametrize("part", range(4))
def test_a_run_that_was_right_stays_right_for_every_checker(tmp_path: Path, part: int) -> None:
    """Larger histories whose truth is known, with all of it or less of it in the journals."""
    settled_count = 0
    for seed in range(part * 150, part * 150 + 150):
        rng = random.Random(f"right {seed}")
        shape = Shape(rng.choice((12, 40, 120)), rng.choice((2, 4, 6)), rng.choice((0.05, 0.2, 0.4)))
        operations, values = told(shape, rng)
        top = len(values) - 1
        known = [version for version in range(1, top + 1) if rng.random() < rng.choice((0.5, 1.0))]
        maybe = [*(version for version in range(1, top + 1) if version not in known), top + 1][: top + 1]
        run = run_of(tmp_path, with_last_reads(operations, values, rng), evidence(*known, maybe=maybe))
        found = settled(run)
        settled_count += found.made + found.never
        for checker in (Witness(), Wgl(), Acked()):
            verdict = checker.check(run)
            assert verdict.valid != "violated", (seed, verdict)

    assert settled_count > 300


def test_lists_that_were_right_stay_right(tmp_path: Path) -> None:
    """Appends by compare-and-set, a share of them unknown, checked with everything that the journals hold."""
    settled_count = 0
    for seed in range(300):
        rng = random.Random(f"lists {seed}")
        operations, top = appended(rng)
        run = run_of(tmp_path, operations, evidence(*range(1, top + 1)))
        found = settled(run)
        settled_count += found.made + found.never
        for checker in (Appends(), Acked()):
            verdict = checker.check(run)
            assert verdict.valid == "held", (seed, verdict)

    assert settled_count > 300


def appended(rng: random.Random) -> tuple[list[Operation], int]:
    """Operations on one list, one after the other, but that unknown appends may come late; and how long it became."""
    state: list[str] = []
    late: list[tuple[int, str]] = []
    operations: list[Operation] = []

    def add(f: str, argument: Any, result: Any, outcome: str, version: int | None, **more: Any) -> None:
        number = len(operations)
        returned = math.inf if outcome == "info" else number * 10 + 8
        operations.append(
            Operation(
                number, f, "k", argument, result, outcome, number * 10, returned, "n1", version, None, "",  # type: ignore[arg-type]
                more, number,
            )
        )  # fmt: skip

    for number in range(30):
        while late and rng.random() < 0.5:
            expected, element = late.pop(0)
            if expected == len(state):
                state.append(element)
        draw = rng.random()
        if draw < 0.4:
            add("list", None, list(state), "ok", len(state))
        elif draw < 0.7:
            element = f"e{number}"
            state.append(element)
            add("append", [len(state) - 1, element], None, "ok", len(state))
        else:
            late.append((len(state), f"e{number}"))
            add("append", [len(state), f"e{number}"], None, "info", None)
    state.append("last")
    add("append", [len(state) - 1, "last"], None, "ok", len(state))
    for node in ("n1", "n2", "n3"):
        add("list", None, list(state), "ok", len(state), final=True)
        operations[-1] = replace(operations[-1], node=node)
    return operations, len(state)


# ---- what is found now, and was missed
def refusal() -> Story:
    """A cas is refused while its version stood; an unknown write would explain it, if it had been done."""
    story = Story().op("write", "k", "a", version=1).op("write", "k", "u", outcome="info")
    return story.op("cas", "k", [1, "x"], outcome="fail", mismatch=True)


MISSED = {
    "a refusal that a write would explain that was never done": (refusal(), evidence(1), ("witness", "wgl")),
    "a failed write that is in the journals": (
        Story().op("write", "k", "a", version=1).op("write", "k", "f", outcome="fail")
        .op("write", "k", "u", outcome="info"),
        evidence(1, 2, 3), ("acked",),
    ),
    "an acknowledged write that is in no journal": (
        Story().op("write", "k", "a", version=1).op("write", "k", "b", version=2), evidence(1), ("acked",),
    ),
    "more versions in the journals than writes": (
        Story().op("write", "k", "a", version=1).op("write", "k", "u", outcome="info"), evidence(1, 2, 3), ("acked",),
    ),
    "three versions in the journals and two writes": (
        Story().op("write", "k", "u", outcome="info").op("write", "k", "v", outcome="info").op("read", "k", version=0),
        evidence(1, 2, 3), ("acked",),
    ),
    "a version in the journals that no cas can have made": (
        Story().op("write", "k", "a", version=1).op("cas", "k", [1, "u"], outcome="info"),
        evidence(1, 2, 3), ("acked",),
    ),
    "a cas of unknown outcome that was read and is in no journal": (
        Story().op("write", "k", "a", version=1).op("cas", "k", [1, "u"], outcome="info")
        .op("read", "k", None, "u", version=2),
        evidence(1), ("witness", "wgl", "acked"),
    ),
}  # fmt: skip


def journal_of(found: Evidence, key: str = "k") -> dict[str, Any]:
    sure = {str(version): index for version, index in found.sure.items()}
    return {"sure": {key: sure}, "maybe": {}, "complete": found.complete}


@pytest.mark.parametrize("name", MISSED)
def test_what_unknown_writes_hid_is_found(name: str, tmp_path: Path) -> None:
    """Nobody saw it without the journals; with them, these checkers do."""
    story, found, names = MISSED[name]
    for place in ("before", "after"):
        (tmp_path / place).mkdir()
    before = story.run(tmp_path / "before")
    story.facts["journal"] = journal_of(found)
    after = story.run(tmp_path / "after")
    checkers = {"witness": Witness(), "wgl": Wgl(), "acked": Acked()}
    violated = [one for one, checker in checkers.items() if checker.check(after).valid == "violated"]

    assert [one for one, checker in checkers.items() if checker.check(before).valid == "violated"] == []
    assert violated == [*names]


@pytest.mark.parametrize("name", MISSED)
def test_journals_that_fit_find_nothing(name: str, tmp_path: Path) -> None:
    """The twins: the same histories, with journals in which what is unknown was done, or that do not say enough."""
    story, _, _ = MISSED[name]
    operations = story.operations
    silent = patched(operations, Evidence({}, frozenset(range(1, 9)), complete=True))

    assert silent.wrong == []
    assert silent.operations == operations
    assert not rejected(operations, evidence(complete=False))


def test_a_list_that_holds_what_is_in_no_journal_is_found(tmp_path: Path) -> None:
    """An append of unknown outcome was read, and no node has its version."""
    story = Story().op("append", "k", [0, "a"], version=1).op("append", "k", [1, "u"], outcome="info")
    story.op("list", "k", None, ["a", "u"], version=2)
    (tmp_path / "before").mkdir()
    assert Appends().check(story.run(tmp_path / "before")).valid == "held"
    story.facts["journal"] = journal_of(evidence(1))
    (tmp_path / "after").mkdir()

    assert Appends().check(story.run(tmp_path / "after")).valid == "violated"


def test_an_append_that_came_after_the_last_list_is_not_missed_in_it(tmp_path: Path) -> None:
    """Nobody acknowledged it, so nobody must have seen it."""
    story = Story(journal=journal_of(evidence(1, 2))).op("append", "k", [0, "a"], version=1)
    story.op("append", "k", [1, "u"], outcome="info").op("list", "k", None, ["a"], version=1)
    verdict = Appends().check(story.run(tmp_path))

    assert verdict.valid == "held", verdict
    assert (verdict.numbers["acknowledged"], verdict.numbers["never_read"]) == (1, 0)


# ---- what becomes of operations
def outcomes(found: Settled) -> list[tuple[str, int | None]]:
    return [(one.outcome, one.version) for one in found.operations if one.f in MAKERS and was_unknown(one)]


def test_the_only_possibility_becomes_known_with_bounded_return() -> None:
    """It returned when the first operation returned that saw its version or a later one; else never."""
    story = Story().op("write", "k", "u", outcome="info", at=(0, 5)).op("read", "k", None, "w", version=2, at=(20, 30))
    story.op("write", "k", "w", version=2, at=(6, 90)).op("write", "k", "z", outcome="info", at=(40, 45))
    found = patched(story.operations, evidence(1, 2, 3))

    assert outcomes(found) == [("ok", 1), ("ok", 3)]
    assert [one.returned_ns for one in found.operations if was_unknown(one)] == [30_000_000, math.inf]
    assert (found.made, found.never, found.wrong) == (2, 0, [])


def test_of_twins_the_one_that_began_in_time_is_chosen() -> None:
    """Equal values: what had been read when the second one began was the first one's."""
    story = Story().op("write", "k", "u", outcome="info", at=(0, 5)).op("write", "k", "u", outcome="info", at=(30, 35))
    story.op("read", "k", None, "u", version=1, at=(10, 20))
    found = patched(story.operations, evidence(1))

    assert outcomes(found) == [("ok", 1), ("fail", None)]


def test_of_two_possibilities_neither_is_chosen() -> None:
    """Nor is either dropped; a value that was read, or real time, tells them apart."""
    story = Story().op("write", "k", "u", outcome="info", at=(0, 5)).op("write", "k", "v", outcome="info", at=(1, 5))
    both = patched(story.operations, evidence(1))
    story.op("read", "k", None, "v", version=1, at=(10, 20))
    told_apart = patched(story.operations, evidence(1))

    assert outcomes(both) == [("info", None), ("info", None)]
    assert outcomes(told_apart) == [("fail", None), ("ok", 1)]


def test_one_that_is_known_leaves_the_rest_to_others() -> None:
    """A cas fits one version; the write is then the only one for the other."""
    story = Story().op("cas", "k", [0, "c"], outcome="info").op("write", "k", "w", outcome="info")
    story.op("read", "k", None, "c", version=1)

    assert outcomes(patched(story.operations, evidence(1, 2))) == [("ok", 1), ("ok", 2)]


def test_what_may_be_in_a_log_is_neither_done_nor_not_done() -> None:
    """A version above what was applied; or too few nodes were read."""
    operations = Story().op("write", "k", "u", outcome="info").operations

    assert outcomes(patched(operations, evidence(maybe=[1]))) == [("info", None)]
    assert outcomes(patched(operations, evidence(complete=False))) == [("info", None)]
    assert outcomes(patched(operations, evidence())) == [("fail", None)]


def test_an_acknowledgement_without_a_version_may_be_the_maker() -> None:
    """It is a possibility like any other, and is never changed."""
    story = Story().op("write", "k", "a").op("write", "k", "u", outcome="info")
    found = patched(story.operations, evidence(1))

    assert found.operations == story.operations


def test_without_journals_nothing_changes(tmp_path: Path) -> None:
    """Runs of clusters whose folders nobody sees, old runs, and keys that the journals do not name."""
    story = refusal()
    for number, journal in enumerate((None, {}, journal_of(evidence(), "other"))):
        (tmp_path / str(number)).mkdir()
        story.facts["journal"] = journal
        run = story.run(tmp_path / str(number))

        assert settled(run).operations == story.operations
        assert Witness().check(run).valid == "held"


def test_a_write_that_came_between_two_last_reads_stays_right(tmp_path: Path) -> None:
    """Known after all, it may still have come late; it counts neither as acknowledged nor as never read."""
    story = Story(journal=journal_of(evidence(1, 2))).op("write", "k", "a", version=1)
    story.op("write", "k", "u", outcome="info")
    story.op("read", "k", None, "a", version=1, node="n1", final=True)
    story.op("read", "k", None, "u", version=2, node="n2", final=True)
    story.op("read", "k", None, "u", version=2, node="n3", final=True)
    verdict = Acked().check(story.run(tmp_path))

    assert verdict.valid == "held", verdict
    assert verdict.numbers == {"keys": 1, "acknowledged": 1, "keys_read_last": 1, "settled": 1}

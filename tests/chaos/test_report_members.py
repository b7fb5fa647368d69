"""What nodes said of themselves, as segments and lines."""

from __future__ import annotations

import math
from typing import Any

import pytest

from chaos.check.bands import Band
from chaos.folder import Sample
from chaos.history import Fault
from chaos.report.members import (
    ROLES,
    SEGMENTS_MAX,
    STATES,
    Segment,
    availability,
    by_node,
    coarse,
    lags,
    offsets,
    role,
    segments,
    without_leader,
)

MS = 1_000_000
S = 1000 * MS


def sample(
    at_ms: float, node: str = "n1", *, ready: bool = True, sealed: bool = False, answered: bool = False, **status: Any
) -> Sample:
    return Sample(int(at_ms * MS), node, ready, status or None, sealed=sealed, answered=answered)


def band(name: str, began_ms: float, ended_ms: float, *nodes: str) -> Band:
    ended = ended_ms if math.isinf(ended_ms) else ended_ms * MS
    return Band(0, Fault(name, nodes, int(began_ms * MS), ended, {}), "follower", None, is_explicit=False)


# ---- roles and terms
def test_a_node_leads_until_it_says_something_else() -> None:
    """Samples that say the same are one segment, each from the sample before."""
    told = [sample(at, role="leader", term=1) for at in (100, 200, 300)]
    told += [sample(at, role="follower", term=2) for at in (400, 500, 600)]

    assert segments(told, role) == [
        Segment(0.0, 300 * MS, "leader", 1),
        Segment(300 * MS, 600 * MS, "follower", 2),
    ]


def test_a_role_that_is_new_reaches_back_as_far_as_it_was_asked() -> None:
    """An answer after half a second of silence: it did not lead in all that time."""
    slow = [sample(100, role="follower", term=1), *(sample(at, role="leader", term=2) for at in (700, 1300))]

    assert segments(slow, role, 150 * MS)[1:] == [Segment(550 * MS, 1300 * MS, "leader", 2)]
    assert segments(slow, role)[1:] == [Segment(100 * MS, 1300 * MS, "leader", 2)]


def test_a_new_term_of_the_same_leader_is_another_segment() -> None:
    """An election that it won again."""
    found = segments([sample(100, role="leader", term=1), sample(200, role="leader", term=2)], role)

    assert [(one.state, one.term) for one in found] == [("leader", 1), ("leader", 2)]


@pytest.mark.parametrize(
    "status",
    [
        {}, {"role": "leader"}, {"term": 3}, {"role": "emperor", "term": 1}, {"role": ["leader"], "term": 1},
        {"role": "leader", "term": "1"}, {"role": "leader", "term": math.nan}, {"role": "leader", "term": True},
    ],
)  # fmt: skip
def test_who_says_nothing_understandable_has_no_role(status: dict[str, Any]) -> None:
    """Nothing is guessed of a node, and nothing it says can break a page."""
    assert role(sample(1, **status)) is None


def test_a_silence_between_samples_is_no_segment() -> None:
    """Nobody knows what it was in that time."""
    found = segments([sample(100, role="leader", term=1), sample(5000, role="leader", term=1)], role)

    assert [(one.began_ns, one.ended_ns) for one in found] == [(0.0, 100 * MS), (4850 * MS, 5000 * MS)]


def test_the_longest_time_without_a_leader_is_found() -> None:
    """Between two leaders of any nodes; the time before the first one is the start, not an outage."""
    rows = [
        [Segment(2 * S, 3 * S, "leader", 1), Segment(3 * S, 9 * S, "follower", 2)],
        [Segment(4.5 * S, 6 * S, "leader", 2), Segment(6.2 * S, 9 * S, "leader", 2)],
    ]

    assert without_leader(rows, 9 * S) == (3 * S, 4.5 * S)


def test_two_leaders_at_once_leave_no_gap() -> None:
    """The old one says so until it knows better; a short one inside a long one hides nothing."""
    rows = [[Segment(0, 5 * S, "leader", 1)], [Segment(1 * S, 2 * S, "leader", 2), Segment(5 * S, 6 * S, "leader", 3)]]

    assert without_leader(rows, 6 * S) == (0.0, 0.0)


def test_without_any_leader_it_is_the_whole_run() -> None:
    """Not zero."""
    assert without_leader([[]], 6 * S) == (0.0, 6 * S)


# ---- availability
@pytest.mark.parametrize(
    ("told", "state"),
    [
        (sample(2000, ready=True, role="leader"), "ready"),
        (sample(2000, ready=False, role="follower"), "not ready"),
        (sample(2000, ready=False, answered=True), "not ready"),
        (sample(2000, ready=False, answered=True, sealed=True), "sealed"),
        (sample(2000, ready=False), "no answer"),
        (Sample(2000 * MS, "n1", False, {"sealed": True}), "sealed"),
    ],
)
def test_a_sample_says_what_clients_could_expect(told: Sample, state: str) -> None:
    """A node that answers that it cannot is not one that is silent."""
    assert availability("n1", [], 9.0 * S)(told) == (state, 0)


def test_a_paused_node_is_told_from_a_dead_one() -> None:
    """Only that node, only in that time, only by a fault that pauses."""
    silent = sample(2000, ready=False)
    paused = band("pause", 1500, 2500, "n1", "n3")

    assert availability("n1", [paused], 9.0 * S)(silent) == ("paused", 0)
    assert availability("n2", [paused], 9.0 * S)(silent) == ("no answer", 0)
    assert availability("n1", [band("kill", 1500, 2500, "n1")], 9.0 * S)(silent) == ("no answer", 0)
    assert availability("n1", [band("pause", 100, 500, "n1")], 9.0 * S)(silent) == ("no answer", 0)
    assert availability("n1", [band("pause", 1500, math.inf, "n1")], 9.0 * S)(silent) == ("paused", 0)


def test_samples_go_to_their_nodes() -> None:
    """One of an unknown node goes nowhere."""
    told = [sample(1, "n1"), sample(2, "n2"), sample(3, "n9")]

    assert by_node(told, ["n1", "n2", "n3"]) == {"n1": told[:1], "n2": told[1:2], "n3": []}


def test_a_flapping_node_is_drawn_coarsely_and_its_worst_is_kept() -> None:
    """A page has an end; an outage that was in it stays in it."""
    flapping = [
        Segment(at * 10 * MS, (at + 1) * 10 * MS, "no answer" if at == 777 else ("ready", "sealed")[at % 2])
        for at in range(3000)
    ]

    found = coarse(flapping, 30 * S, STATES)

    assert len(found) <= SEGMENTS_MAX
    assert any(one.state == "no answer" and one.began_ns <= 7770 * MS <= one.ended_ns for one in found)
    assert found[0].began_ns == 0
    assert found[-1].ended_ns == pytest.approx(30 * S)


def test_coarse_rows_keep_leaders_and_the_highest_term() -> None:
    """Where two fall into one place."""
    short = [Segment(at * MS, (at + 1) * MS, ROLES[at % 4], at) for at in range(4000)]

    found = coarse(short, 4 * S, ROLES)

    assert {one.state for one in found} == {"leader"}
    assert found[0].term == 8


def test_few_segments_stay_as_they_are() -> None:
    """Nothing is rounded without need."""
    few = [Segment(0, 1, "ready")]

    assert coarse(few, S, STATES) == few


# ---- clocks
def test_a_moved_clock_is_seen_by_the_others() -> None:
    """n1 sees everybody moved, everybody sees n1 moved: it was n1."""
    told = [
        sample(100, "n1", clock_skew_ms={"n1": 0, "n2": -5000, "n3": -5000}),
        sample(110, "n2", clock_skew_ms={"n1": 5000, "n2": 0, "n3": 1}),
        sample(120, "n3", clock_skew_ms={"n1": 5000, "n2": 2, "n3": 0}),
    ]

    found = offsets(told, ["n1", "n2", "n3"], S)

    assert found == {"n1": [(S / 2, 5000.0)], "n2": [(S / 2, 2.0)], "n3": [(S / 2, 1.0)]}


def test_two_clocks_of_five_that_moved_together_do_not_vouch_for_each_other() -> None:
    """The median of the others, not the smallest."""
    moved = {"n1": 100, "n2": 100, "n3": 0, "n4": 0, "n5": 0}
    nodes = list(moved)
    told = [sample(100, node, clock_skew_ms={other: moved[other] - moved[node] for other in nodes}) for node in nodes]

    found = {node: line[0][1] for node, line in offsets(told, nodes, S).items()}

    assert found == {"n1": 100.0, "n2": 100.0, "n3": 0.0, "n4": 0.0, "n5": 0.0}


@pytest.mark.parametrize("skews", [None, [], "x", {"n2": "<b>"}, {"n2": None}, {"n2": math.inf}, {"n9": 5}])
def test_an_offset_that_is_none_is_left_out(skews: Any) -> None:
    """Of any type, and of nodes that are none."""
    assert offsets([sample(100, "n1", clock_skew_ms=skews)], ["n1", "n2"], S) == {}


def test_what_the_runner_measured_counts_too() -> None:
    """wall_skew_s, where a sample has it."""
    assert offsets([Sample(0, "n1", True, None, 1.5)], ["n1"], S) == {"n1": [(S / 2, 1500.0)]}


# ---- lag
def test_lag_is_against_the_highest_commit_that_was_told() -> None:
    """The most of each bucket."""
    told = [
        sample(100, "n1", commit_index=10, applied_index=10),
        sample(110, "n2", commit_index=8, applied_index=7),
        sample(120, "n1", commit_index=20, applied_index=20),
        sample(130, "n2", commit_index=20, applied_index=19),
    ]

    assert lags(told, ["n1", "n2"], S) == {"n1": [(S / 2, 0.0)], "n2": [(S / 2, 3.0)]}


def test_what_was_told_long_ago_is_no_measure() -> None:
    """A restored cluster begins at a lower index."""
    told = [sample(0, "n1", commit_index=900, applied_index=900), sample(5000, "n2", commit_index=5, applied_index=5)]

    assert lags(told, ["n1", "n2"], S)["n2"] == [(5.5 * S, 0.0)]


@pytest.mark.parametrize("status", [{}, {"commit_index": 5}, {"commit_index": "5", "applied_index": 1}])
def test_a_node_without_indexes_has_no_lag(status: dict[str, Any]) -> None:
    """Not zero."""
    assert lags([sample(1, **status)], ["n1"], S) == {}

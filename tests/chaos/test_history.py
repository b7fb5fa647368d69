"""Histories: what is written is read again, pairs are made as Jepsen makes them, and a cut-short run loses nothing."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.history import NEMESIS, Event, Recorder, edn, faults, operations, read

if TYPE_CHECKING:
    from pathlib import Path

TEXT = st.text(max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@given(value=VALUES, key=TEXT, error=TEXT, version=st.none() | st.integers(0, 9))
def test_a_line_says_the_event_again(value: object, key: str, error: str, version: int | None) -> None:
    """Whatever the values are; an empty one is as none."""
    event = Event(3, 10, "ok", 7, "read", key, value if value != "" else None, error, "n1", version, 12)

    assert Event.of(event.line()) == event


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    """The run was killed while it was written."""
    file = tmp_path / "history.jsonl"
    line = Event(0, 1, "invoke", 0, "read").line()
    file.write_text(line + "\n" + line[: len(line) // 2])

    assert [event.index for event in read(file)] == [0]


def test_an_operation_has_its_own_completion() -> None:
    """Processes are told apart, however their lines are mixed."""
    events = [
        Event(0, 10, "invoke", 0, "write", "k", "a", node="n1"),
        Event(1, 11, "invoke", 1, "read", "k"),
        Event(2, 12, "ok", 1, "read", "k", "a", version=1),
        Event(3, 13, "fail", 0, "write", "k", error="400", more={"mismatch": True}),
    ]
    write, seen = operations(events)

    assert (write.outcome, write.returned_ns, write.error, write.more) == ("fail", 13, "400", {"mismatch": True})
    assert (seen.outcome, seen.result, seen.version, seen.called_ns, seen.index) == ("ok", "a", 1, 11, 1)


@pytest.mark.parametrize("last", [[], [Event(1, 11, "info", 0, "write", "k", error="TimeoutError")]])
def test_an_unknown_outcome_may_come_true_at_any_time(last: list[Event]) -> None:
    """Said so, or without a completion at all."""
    (found,) = operations([Event(0, 10, "invoke", 0, "write", "k", "a"), *last])

    assert (found.outcome, found.returned_ns) == ("info", math.inf)


def test_a_fault_has_its_effect_and_its_end() -> None:
    """The second line with its number ends it; one that was never healed lasts."""
    events = [
        Event(0, 5, "info", NEMESIS, "kill", more={"fault": 0, "nodes": ["n1"], "leader": "n1"}),
        Event(1, 6, "invoke", 0, "read"),
        Event(2, 7, "info", NEMESIS, "pause", more={"fault": 1, "nodes": ["n2"]}),
        Event(3, 9, "info", NEMESIS, "kill", more={"fault": 0, "took_effect": True}),
    ]
    kill, pause = faults(events)

    assert (kill.name, kill.nodes, kill.began_ns, kill.ended_ns) == ("kill", ("n1",), 5, 9)
    assert kill.effect == {"leader": "n1", "took_effect": True}
    assert pause.ended_ns == math.inf


def test_the_recorder_numbers_lines_and_keeps_time() -> None:
    """H1."""
    file = io.StringIO()
    recorder = Recorder(file)
    first, second = recorder.add("invoke", 0, "read"), recorder.add("ok", 0, "read", value=[1])
    recorder.flush()

    assert (first.index, second.index) == (0, 1)
    assert first.time_ns <= second.time_ns
    assert [Event.of(line) for line in file.getvalue().splitlines()] == [first, second]


def test_jepsens_form_is_a_map_a_line() -> None:
    """Strings are quoted, nothing is nil, keys are paired with their values."""
    events = [
        Event(0, 1, "invoke", 0, "write", "k1", 'a"b'),
        Event(1, 2, "info", NEMESIS, "kill", value={"x": [None, True, 1.5]}),
    ]

    assert list(edn(events)) == [
        '{:index 0, :time 1, :type :invoke, :process 0, :f :write, :value ["k1" "a\\"b"]}',
        '{:index 1, :time 2, :type :info, :process :nemesis, :f :kill, :value {"x" [nil true 1.5]}}',
    ]

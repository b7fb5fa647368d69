"""Small files of a node that are read again after a loss of power: what is torn or rotten is never taken for whole."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from cluster import SystemClock
from node import security_log
from node.cluster_seal import _done, done_of
from node.security_log import NAME, OLDER, SecurityLog

if TYPE_CHECKING:
    from pathlib import Path

TIME_NS = 1_800_000_000_000_000_000


def test_a_seal_that_was_carried_out_is_remembered() -> None:
    """What was written comes back; without a file nothing was."""
    assert (done_of(_done(TIME_NS)), done_of(_done(0)), done_of(None)) == (TIME_NS, 0, 0)


def test_a_rotten_memory_of_a_seal_is_none() -> None:
    """Every bit and every length: a node would rather seal itself once more than stay open."""
    whole = _done(TIME_NS)
    places = [(at, 1 << bit) for at in range(len(whole)) for bit in range(8)]
    turned = [bytes([*whole[:at], whole[at] ^ mask, *whole[at + 1 :]]) for at, mask in places]
    cut = [whole[:size] for size in range(len(whole))]

    assert {done_of(data) for data in (*turned, *cut, b"9" * 5000, whole + b"0")} == {0}


@pytest.mark.parametrize("torn", ["", "half a line", '{"sequence":2'])
def test_an_event_behind_a_torn_line_is_on_a_line_of_its_own(tmp_path: Path, torn: str) -> None:
    """And continues the chain of the last whole one."""
    SecurityLog(tmp_path, "n1", SystemClock()).record("first")
    with (tmp_path / NAME).open("a") as file:
        file.write(torn)
    SecurityLog(tmp_path, "n1", SystemClock()).record("second")
    lines = (tmp_path / NAME).read_text().splitlines()

    assert [json.loads(line)["event"] for line in (lines[0], lines[-1])] == ["first", "second"]
    assert json.loads(lines[-1])["sequence"] == 2
    assert lines[1:-1] == ([torn] if torn else [])


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("torn", ["", "half a line"])
def test_the_events_are_bounded_and_the_chain_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: bool, torn: str
) -> None:
    """Two files at most, whoever offers shares however often; a start between them goes on where they ended."""
    monkeypatch.setattr(security_log, "FILE_BYTES_MAX", 1000)
    events = SecurityLog(tmp_path, "n1", SystemClock())
    while not (tmp_path / (NAME + OLDER)).exists():
        events.record("unseal attempt", accepted=False)
    if again:
        (tmp_path / NAME).write_text(torn)
        events = SecurityLog(tmp_path, "n1", SystemClock())
    for _ in range(40):
        events.record("unseal attempt", accepted=False)

    lines = [
        json.loads(line)
        for name in (NAME + OLDER, NAME)
        for line in (tmp_path / name).read_text().splitlines()
        if line.startswith("{")
    ]
    numbers = [line["sequence"] for line in lines]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert sorted(path.name for path in tmp_path.iterdir()) == [NAME, NAME + OLDER]
    assert all((tmp_path / name).stat().st_size < 1400 for name in (NAME, NAME + OLDER))

"""The fuzzer's short run: the same inputs for the same code, 20 seconds for all targets; and what it found before.

The long one: python -m tests.hostile.fuzz --seconds 600.
"""

from __future__ import annotations

from random import Random

import pytest

from tests.hostile import running
from tests.hostile.fuzz import CORPUS, SEED, TARGETS, fuzz, known, quiet
from tests.hostile.mutate import INPUT_BYTES_MAX, mutated
from tests.hostile.running import Finding, Run, Target, judge

SECONDS = 20.0


def test_nothing_escapes_from_a_decoder_and_none_takes_time_or_memory_without_bound() -> None:
    """A finding says how to see it again; keep its input in tests/hostile/corpus."""
    with quiet():
        runs = [run for run, _ in fuzz(list(TARGETS.values()), SECONDS, SEED)]

    assert [str(finding) for run in runs for finding in run.findings] == []
    assert [run.target.name for run in runs if run.inputs < 10] == []


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_a_good_input_is_read_and_what_was_found_before_is_refused(name: str) -> None:
    """The seeds themselves are no findings, so that what is reached behind them is."""
    target = TARGETS[name]

    assert [judge(target, data, measured=True) for data in (*target.seeds, *known(target))] == [None] * (
        len(target.seeds) + len(known(target))
    )
    for data in target.seeds[:1]:
        target.run(data)  # and does not even raise


def test_every_kept_input_belongs_to_a_target() -> None:
    """A file under another name would never be tried."""
    assert [file.stem for file in sorted(CORPUS.glob("*")) if file.stem not in TARGETS] == []


# ---- the fuzzer finds things
def greedy(data: bytes) -> None:
    if data[:1] == b"\xff":
        list(range(100_000))


def endless(data: bytes) -> None:
    while data[:1] == b"\xff":
        pass


def careless(data: bytes) -> None:
    if len(data) > 3 and data[3] == 0x80:
        raise KeyError(data)
    if data[:1] == b"\xff":
        raise ValueError


@pytest.mark.parametrize(
    ("run", "expected"),
    [(greedy, "bytes of memory for"), (endless, "of processor time"), (careless, "KeyError escapes")],
    ids=["memory", "time", "exception"],
)
def test_a_decoder_that_is_none_is_found_out(monkeypatch: pytest.MonkeyPatch, run: object, expected: str) -> None:
    """Memory, time, and an exception that is not announced; the one that is announced is none."""
    import tests.hostile.test_hostile_fuzz as this

    monkeypatch.setattr(running, "CPU_S", 0.1)
    target = Target("t", run, (ValueError,), (b"good", b"\xff"), (this,))  # type: ignore[arg-type]
    made = Run(target, SEED)
    steps = made.steps()
    while not made.findings:
        next(steps)

    assert expected in made.findings[0].what
    assert "--target t --input " in str(Finding("t", made.findings[0].what, b"x"))


def test_the_same_seed_gives_the_same_inputs() -> None:
    """Whatever the machine: a finding can be found again."""
    drawn = [[mutated(Random("x"), (b"some seed", b"\x93\x01\x02\x03"), 0) for _ in range(200)] for _ in range(2)]

    assert drawn[0] == drawn[1]
    assert max(map(len, drawn[0])) <= INPUT_BYTES_MAX


def test_inputs_that_reach_new_lines_are_kept() -> None:
    """And those that do not are not."""
    target = TARGETS["envelope"]
    made = Run(target, SEED)
    steps = made.steps()
    for _ in range(400):
        next(steps)

    assert len(target.seeds) < len(made.corpus) < 100
    assert made.lines > 20

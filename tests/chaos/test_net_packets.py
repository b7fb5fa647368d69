"""What a wire does to frames: nothing unless it is told to, and exactly what it is told to."""

from __future__ import annotations

import random

import pytest

from chaos.net.packets import ADDRESSES_BYTES, QUEUE_S, REORDER_S, Wire, damaged

FRAME = bytes(range(100))
MANY = 400


def carried(wire: Wire, count: int = MANY, seed: int = 1) -> list[list[tuple[float, bytes]]]:
    """So many frames, a millisecond apart."""
    rng = random.Random(seed)
    return [wire.carry(FRAME, number / 1000, rng) for number in range(count)]


def test_a_wire_as_it_is_made_changes_nothing() -> None:
    """Every frame arrives at once, once, as it is."""
    assert carried(Wire()) == [[(number / 1000, FRAME)] for number in range(MANY)]


def test_a_cut_wire_carries_nothing_and_counts_it() -> None:
    """Its twin, not cut, does."""
    wire = Wire(is_cut=True)

    assert carried(wire, 3) == [[], [], []]
    assert (wire.counts["dropped"], wire.counts["lost"]) == (3, 0)
    wire.is_cut = False
    assert carried(wire, 1) == [[(0.0, FRAME)]]


def test_so_many_are_lost_as_it_says() -> None:
    """A fifth of four hundred, about; the others arrive."""
    wire = Wire(loss=0.2)
    lost = sum(not arrivals for arrivals in carried(wire))

    assert 50 < lost < 110
    assert wire.counts["lost"] == lost


def test_doubled_frames_are_the_same_twice() -> None:
    """Each, if the share is 1."""
    wire = Wire(duplicates=1.0)

    assert carried(wire, 2) == [[(0.0, FRAME)] * 2, [(0.001, FRAME)] * 2]
    assert wire.counts["doubled"] == 2


@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_frame_differs_in_one_bit_behind_its_addresses(seed: int) -> None:
    """So it reaches whom it was sent to, and a checksum sees it."""
    changed = damaged(FRAME, random.Random(seed))
    differing = [(place, a ^ b) for place, (a, b) in enumerate(zip(FRAME, changed, strict=True)) if a != b]

    assert len(differing) == 1
    assert differing[0][0] >= ADDRESSES_BYTES
    assert differing[0][1].bit_count() == 1


def test_damage_happens_where_it_is_asked_for() -> None:
    """And is counted."""
    wire = Wire(corrupted=1.0)
    (((_, frame),),) = carried(wire, 1)

    assert frame != FRAME
    assert wire.counts["damaged"] == 1


def test_jitter_keeps_the_order() -> None:
    """Delays differ, and no frame overtakes another."""
    due = [arrivals[0][0] for arrivals in carried(Wire(delay_s=0.05, jitter_s=0.02))]
    delays = [round(at - number / 1000, 6) for number, at in enumerate(due)]

    assert due == sorted(due)
    assert len(set(delays)) > MANY / 20
    assert min(delays) >= 0.03
    assert max(delays) <= 0.07


def test_reordered_frames_are_overtaken() -> None:
    """By those that were sent within the time they come later."""
    wire = Wire(reordered=0.1)
    due = [arrivals[0][0] for arrivals in carried(wire)]
    late = sum(round(at - number / 1000, 6) == REORDER_S for number, at in enumerate(due))

    assert due != sorted(due)
    assert late == wire.counts["reordered"] > 0


def test_a_narrow_wire_sends_one_after_another_and_loses_what_does_not_fit() -> None:
    """A hundred bytes at 10 kB/s take 10 ms; what would wait longer than the queue is gone."""
    wire = Wire(bytes_per_s=10_000.0)
    rng = random.Random(1)
    arrivals = [wire.carry(FRAME, 0.0, rng) for _ in range(30)]
    due = [round(one[0][0], 6) for one in arrivals if one]

    assert due == [round(0.01 * (number + 1), 6) for number in range(len(due))]
    assert due[-1] <= QUEUE_S + 0.011
    assert wire.counts["overflowed"] == 30 - len(due) > 0


def test_a_shape_replaces_the_one_before() -> None:
    """What it does not name is as it was made; cuts are no part of it."""
    wire = Wire(delay_s=0.1, loss=1.0, is_cut=False)
    wire.shape(duplicates=1.0)

    assert carried(wire, 1) == [[(0.0, FRAME)] * 2]


def test_the_same_seed_gives_the_same_fate() -> None:
    """And another another."""
    how = {"loss": 0.2, "duplicates": 0.1, "reordered": 0.1, "corrupted": 0.1, "delay_s": 0.01, "jitter_s": 0.005}

    assert carried(Wire(**how)) == carried(Wire(**how))
    assert carried(Wire(**how)) != carried(Wire(**how), seed=2)

"""Grudges: who does not hear whom, for three and five nodes."""

from __future__ import annotations

import random

import pytest

from chaos.nemesis.partition import bridge, complete, deaf, grouped, halves, isolate, mute, ring

THREE = ["n1", "n2", "n3"]
FIVE = [*THREE, "n4", "n5"]


def hears(grudge: dict[str, list[str]], node: str, nodes: list[str]) -> set[str]:
    """The others that the node hears."""
    return set(nodes) - {node} - set(grudge.get(node, ()))


def test_groups_hear_themselves_alone() -> None:
    """Jepsen's complete grudge."""
    grudge = complete([["n1"], ["n2", "n3"]])

    assert {node: hears(grudge, node, THREE) for node in THREE} == {"n1": set(), "n2": {"n3"}, "n3": {"n2"}}


@pytest.mark.parametrize("nodes", [THREE, FIVE])
def test_who_is_isolated_neither_hears_nor_is_heard(nodes: list[str]) -> None:
    """The others hear each other."""
    grudge = isolate(nodes, ["n2"])

    assert hears(grudge, "n2", nodes) == set()
    assert all(hears(grudge, node, nodes) == set(nodes) - {node, "n2"} for node in nodes if node != "n2")


def test_the_mute_hear_and_the_deaf_are_heard() -> None:
    """One direction each."""
    silent, without = mute(THREE, ["n1"]), deaf(THREE, ["n1"])

    assert hears(silent, "n1", THREE) == {"n2", "n3"}
    assert hears(silent, "n2", THREE) == {"n3"}
    assert hears(without, "n1", THREE) == set()
    assert hears(without, "n2", THREE) == {"n1", "n3"}


@pytest.mark.parametrize("nodes", [THREE, FIVE])
@pytest.mark.parametrize("seed", range(5))
def test_halves_leave_a_majority_without_the_victim(nodes: list[str], seed: int) -> None:
    """The victim is in the minority."""
    grudge = halves(nodes, ["n1"], random.Random(seed))

    assert len(hears(grudge, "n1", nodes)) + 1 <= (len(nodes) - 1) // 2
    assert max(len(hears(grudge, node, nodes)) + 1 for node in nodes) == len(nodes) // 2 + 1


@pytest.mark.parametrize("nodes", [THREE, FIVE])
def test_a_bridge_hears_everybody(nodes: list[str]) -> None:
    """And the others hear it and their own half."""
    grudge = bridge(nodes, ["n1"], random.Random(1))

    assert hears(grudge, "n1", nodes) == set(nodes) - {"n1"}
    assert all("n1" in hears(grudge, node, nodes) for node in nodes if node != "n1")
    assert all(len(hears(grudge, node, nodes)) == len(nodes) // 2 for node in nodes if node != "n1")


@pytest.mark.parametrize("seed", range(5))
def test_in_a_ring_everybody_hears_a_majority_and_no_two_the_same(seed: int) -> None:
    """Overlapping majorities."""
    grudge = ring(FIVE, random.Random(seed))
    views = [frozenset(hears(grudge, node, FIVE) | {node}) for node in FIVE]

    assert {len(view) for view in views} == {3}
    assert len(set(views)) == len(FIVE)
    assert sum(map(len, ring(THREE, random.Random(seed)).values())) == 2


def test_pairs_become_a_grudge() -> None:
    """(who hears, whom not)."""
    assert grouped([("n1", "n2"), ("n1", "n3"), ("n2", "n1")]) == {"n1": ["n2", "n3"], "n2": ["n1"]}

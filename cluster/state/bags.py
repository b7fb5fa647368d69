"""Bags: name → set of keys, held so that millions of them are cheap.

Pure. A tuple while there are few (the collector forgets tuples of bytes), a set beyond.

Invariants
  B1  no bag is empty; a key is in a bag once
  B2  which keys a bag holds does not depend on the order in which they came and went
"""

from __future__ import annotations

from typing import TypeVar

Bag = tuple[bytes, ...] | set[bytes]
N = TypeVar("N")
FEW = 16


def add(bags: dict[N, Bag], name: N, key: bytes) -> None:
    """The bag holds the key."""
    bag = bags.get(name)
    if bag is None:
        bags[name] = (key,)
    elif isinstance(bag, set):
        bag.add(key)
    elif key not in bag:
        bags[name] = (*bag, key) if len(bag) < FEW else {*bag, key}


def discard(bags: dict[N, Bag], name: N, key: bytes) -> None:
    """The bag does not hold the key; an empty bag is gone."""
    bag = bags.get(name)
    if bag is None:
        return
    if isinstance(bag, set):
        bag.discard(key)
        if len(bag) <= FEW // 2:
            bags[name] = tuple(bag)
        return
    left = tuple(held for held in bag if held != key)
    if left:
        bags[name] = left
    else:
        del bags[name]

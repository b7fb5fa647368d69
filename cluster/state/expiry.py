"""Keys by the instant that matters for them: when a token or lease expires, how old a write id is.

Pure. Instants fall into buckets of `width_ns`; the order inside a bucket is not kept.

Invariants
  E1  a function of the set of (instant, key): nothing stale stays behind, so nothing is ever rebuilt
  E2  `order` is exactly the numbers of the buckets, sorted
A heap with stale entries costs less memory, but its cleaning is a pause that grows with the number of tokens.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING

from . import bags

if TYPE_CHECKING:
    from collections.abc import Iterator


class TimeBuckets:
    """Keys by instant (nanoseconds of the cluster's stamp)."""

    __slots__ = ("buckets", "order", "width_ns")

    def __init__(self, width_ns: int) -> None:
        self.width_ns = width_ns
        self.buckets: dict[int, bags.Bag] = {}
        self.order: list[int] = []

    def add(self, instant_ns: int, key: bytes) -> None:
        """The key stands at the instant."""
        bucket = instant_ns // self.width_ns
        if bucket not in self.buckets:
            insort(self.order, bucket)
        bags.add(self.buckets, bucket, key)

    def remove(self, instant_ns: int, key: bytes) -> None:
        """The key does not stand at the instant."""
        bucket = instant_ns // self.width_ns
        if bucket not in self.buckets:
            return
        bags.discard(self.buckets, bucket, key)
        if bucket not in self.buckets:
            del self.order[bisect_left(self.order, bucket)]

    def until(self, instant_ns: int) -> Iterator[tuple[int, bytes]]:
        """(bucket, key) from the oldest bucket to the one of the instant, that one included.

        The last bucket may hold later instants. Nothing may change while the iteration goes on.
        """
        last = instant_ns // self.width_ns
        for bucket in self.order:
            if bucket > last:
                return
            for key in self.buckets[bucket]:
                yield bucket, key

    def oldest(self) -> Iterator[bags.Bag]:
        """The keys of each bucket, oldest bucket first. Nothing may change while the iteration goes on."""
        for bucket in self.order:
            yield self.buckets[bucket]

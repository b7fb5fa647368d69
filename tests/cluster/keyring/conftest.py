"""Fixtures of the keyring room: randomness that repeats, a keyring, a sealer."""

import hashlib

import pytest

from cluster.keyring import Keyring, Sealer

CLUSTER_ID = b"cluster-of-tests"
GENERATION = b"generation-tests"
NOW_NS = 1_700_000_000_000_000_000


class FixedRandom:
    """The same bytes in every run, no block of them twice."""

    def __init__(self, seed: bytes = b"tests") -> None:
        self._seed = seed
        self._draws = 0

    def bytes(self, count: int) -> bytes:
        self._draws += 1
        return hashlib.shake_256(self._seed + self._draws.to_bytes(8, "big")).digest(count)

    def uniform(self) -> float:
        return int.from_bytes(self.bytes(4), "big") / 2**32


@pytest.fixture(name="fixed_random")
def _fixed_random():
    return FixedRandom()


@pytest.fixture(name="make_random")
def _make_random():
    return FixedRandom


@pytest.fixture(name="keyring")
def _keyring(fixed_random):
    return Keyring.create(fixed_random, CLUSTER_ID, NOW_NS)


@pytest.fixture(name="sealer")
def _sealer(keyring, fixed_random):
    return Sealer(keyring, fixed_random, GENERATION)

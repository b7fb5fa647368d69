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


@pytest.fixture(name="make_random", scope="session")
def _make_random():
    return FixedRandom


@pytest.fixture(name="keyring")
def _keyring(fixed_random):
    return Keyring.create(fixed_random, CLUSTER_ID, NOW_NS)


@pytest.fixture(name="sealer")
def _sealer(keyring, fixed_random):
    return Sealer(keyring, fixed_random, GENERATION)


def _rebuilt(keyring, **changed):
    """A keyring with the same keys under another term id or cluster id."""
    data = keyring.encode()
    if "term_id" in changed:
        data[4:12] = changed["term_id"]
    if "cluster_id" in changed:
        data[12:28] = changed["cluster_id"]
    return Keyring.decode(data)


def _flips(blob):
    """The blob with one bit changed, for the lowest and highest bit of every byte."""
    for position in range(len(blob)):
        for bit in (0x01, 0x80):
            yield blob[:position] + bytes([blob[position] ^ bit]) + blob[position + 1 :]


@pytest.fixture(name="rebuilt")
def _rebuilt_fixture():
    return _rebuilt


@pytest.fixture(name="flips")
def _flips_fixture():
    return _flips

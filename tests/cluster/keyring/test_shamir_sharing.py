"""Shamir's sharing: byte for byte Vault's, against an independent implementation, and what it must not give away."""

import itertools

import pyshamir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.keyring import shamir

SECRET = bytes(range(7, 39))

counts = st.integers(2, 8).flatmap(lambda shares: st.tuples(st.just(shares), st.integers(2, shares)))


@pytest.mark.parametrize(
    ("left", "right", "product"),
    [(0, 0, 0), (3, 7, 9), (0x53, 0xCA, 1), (0xFF, 0, 0), (1, 0x9B, 0x9B), (0x80, 2, 0x1B)],
)
def test_multiplication_is_that_of_the_field_of_aes(left, right, product):
    """Known products in GF(256) with polynomial 0x11b."""
    assert product == shamir.multiply(left, right)


def test_every_number_but_zero_has_an_inverse():
    """All 255 of them; zero has none and gives zero."""
    products = {shamir.multiply(value, shamir.inverse(value)) for value in range(1, 256)}

    assert products == {1}
    assert shamir.inverse(0) == 0


def test_any_threshold_of_shares_gives_the_secret(fixed_random):
    """Every choice of three of five, in either order."""
    parts = shamir.split(SECRET, 5, 3, fixed_random)

    for chosen in itertools.combinations(parts, 3):
        assert shamir.combine(chosen) == SECRET
        assert shamir.combine(chosen[::-1]) == SECRET


def test_fewer_shares_than_the_threshold_do_not(fixed_random):
    """Every choice of two of five."""
    parts = shamir.split(SECRET, 5, 3, fixed_random)

    for chosen in itertools.combinations(parts, 2):
        assert shamir.combine(chosen) != SECRET


def test_fewer_shares_are_consistent_with_every_secret():
    """For one byte, threshold 2: a share fits each of the 256 secrets under exactly one coefficient."""

    class Constant:
        def __init__(self, coefficient: int) -> None:
            self.coefficient = coefficient

        def bytes(self, count: int) -> bytes:
            return bytes([self.coefficient]) * count if count == 1 else bytes(count)

    seen = {(shamir.split(bytes([secret]), 2, 2, Constant(c))[0][0], secret) for secret in (0, 77) for c in range(256)}

    assert seen == {(y, secret) for secret in (0, 77) for y in range(256)}


@settings(max_examples=60, deadline=None)
@given(secret=st.binary(min_size=1, max_size=40), count=counts, seed=st.binary(max_size=8), choose=st.randoms())
def test_what_is_split_combines(make_random, secret, count, seed, choose):
    """A property over secrets, counts and choices of shares."""
    shares, threshold = count
    parts = shamir.split(secret, shares, threshold, make_random(seed))

    assert shamir.combine(choose.sample(parts, threshold)) == secret


@pytest.mark.parametrize(("shares", "threshold"), [(2, 2), (5, 3), (7, 7)])
def test_our_shares_combine_elsewhere_and_theirs_here(fixed_random, shares, threshold):
    """Both ways against pyshamir, which follows Vault's format."""
    ours = shamir.split(SECRET, shares, threshold, fixed_random)
    theirs = pyshamir.split(SECRET, shares, threshold)

    assert bytes(pyshamir.combine(ours[-threshold:])) == SECRET
    assert shamir.combine(theirs[:threshold]) == SECRET


def test_a_share_is_the_values_followed_by_x(fixed_random):
    """33 bytes for a 32-byte secret; x is the last one, never 0, never twice, for up to 255 shares."""
    parts = shamir.split(SECRET, 255, 2, fixed_random)

    assert {len(part) for part in parts} == {33}
    assert {part[-1] for part in parts} == set(range(1, 256))
    assert shamir.combine([parts[0], parts[254]]) == SECRET


def test_one_share_of_one_is_the_secret_itself(fixed_random):
    """As Vault: 32 bytes, without an x."""
    parts = shamir.split(SECRET, 1, 1, fixed_random)

    assert parts == [bytearray(SECRET)]
    assert shamir.combine(parts) == SECRET


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [b"\x01\x02\x05", b"\x09\x02\x05"],  # one x twice
        [b"\x01\x02\x05", b"\x01\x02\x05"],  # one share twice
        [b"\x01\x02\x00", b"\x09\x02\x05"],  # x is 0
        [b"\x01\x02\x04", b"\x09\x05"],  # lengths differ
        [b"\x01", b"\x02"],  # nothing but x
    ],
)
def test_shares_that_cannot_belong_together_are_refused(parts):
    """A typed error, before anything is computed."""
    with pytest.raises(shamir.SharesError):
        shamir.combine(parts)


@pytest.mark.parametrize(("shares", "threshold"), [(0, 0), (2, 1), (2, 3), (256, 2), (1, 0), (-1, -1)])
def test_counts_that_make_no_sense_are_refused(fixed_random, shares, threshold):
    """Our own mistake: init asks shares_problem before."""
    with pytest.raises(ValueError, match="threshold"):
        shamir.split(SECRET, shares, threshold, fixed_random)


def test_an_empty_secret_is_refused(fixed_random):
    """There would be nothing in a share but x."""
    with pytest.raises(ValueError, match="nothing to split"):
        shamir.split(b"", 3, 2, fixed_random)

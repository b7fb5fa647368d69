"""Shamir's secret sharing over GF(256), byte for byte as Vault's.

Pure. A share is the polynomials' values, one byte for each byte of the secret, followed by x. Random bytes come in.
Invariants
  H1  any `threshold` shares of one split give the secret; fewer say nothing about it
  H2  x is never 0 (that share would be the secret) and no x comes twice
  H3  multiplication looks nothing up and branches on nothing that is secret; coefficients are wiped
Shamir's scheme does not notice a wrong share: the key check of the root key does (envelope.py).
Source: Shamir, "How to share a secret" (1979); HashiCorp Vault, package shamir (field polynomial 0x11b).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.errors import StrongroomError

from .secrecy import wipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cluster.seams import Random

SHARES_MAX = 255
OVERHEAD_BYTES = 1


class SharesError(StrongroomError):
    """The given shares cannot belong together: lengths differ, an x is 0 or comes twice."""


def split(secret: bytes | bytearray, shares: int, threshold: int, random: Random) -> list[bytearray]:
    """`shares` shares, any `threshold` of which combine to the secret; one of one is the secret itself.

    Raises ValueError for numbers that make no sense: check them before with `seal.init_problem`.
    """
    if not secret:
        raise ValueError("there is nothing to split")
    if shares == threshold == 1:
        return [bytearray(secret)]
    if not 2 <= threshold <= shares <= SHARES_MAX:
        raise ValueError("2 <= threshold <= shares <= 255 must hold")
    places = _distinct(shares, random)
    parts = [bytearray(len(secret) + OVERHEAD_BYTES) for _ in places]
    # The highest coefficient may be zero: were it not, threshold - 1 shares would exclude one value of each byte.
    coefficients = bytearray(random.bytes(len(secret) * (threshold - 1)))
    for part, x in zip(parts, places, strict=True):
        part[-1] = x
        for position, constant in enumerate(secret):
            value = 0
            for coefficient in coefficients[position :: len(secret)]:
                value = multiply(value ^ coefficient, x)
            part[position] = value ^ constant
    wipe(coefficients)
    return parts


def combine(parts: Sequence[bytes | bytearray]) -> bytearray:
    """The secret that the shares belong to, or other bytes if they are too few or wrong. The caller wipes it.

    A single part is taken for the one share of a split without sharing, and returned as a copy.
    Raises SharesError for parts that cannot belong together.
    """
    if not parts:
        raise SharesError("no share was given")
    if len(parts) == 1:
        return bytearray(parts[0])
    length = len(parts[0])
    if length <= OVERHEAD_BYTES or any(len(part) != length for part in parts):
        raise SharesError("the shares have different lengths")
    places = [part[-1] for part in parts]
    if 0 in places or len(set(places)) != len(places):
        raise SharesError("two shares are the same one, or a share is none")
    secret = bytearray(length - OVERHEAD_BYTES)
    for part, x in zip(parts, places, strict=True):
        weight = _weight(x, places)
        for position in range(len(secret)):
            secret[position] ^= multiply(part[position], weight)
    return secret


def multiply(left: int, right: int) -> int:
    """The product in GF(256) with the polynomial 0x11b; the same steps for all operands."""
    product = 0
    for bit in (7, 6, 5, 4, 3, 2, 1, 0):
        product = (-(right >> bit & 1) & left) ^ (-(product >> 7) & 0x1B) ^ (product << 1 & 0xFF)
    return product


def inverse(value: int) -> int:
    """The number whose product with `value` is 1 (value to the power 254); 0 for 0."""
    result = value
    for _ in range(6):
        result = multiply(multiply(result, result), value)
    return multiply(result, result)


def _weight(x: int, places: Sequence[int]) -> int:
    """Lagrange's weight of the share at x for the value at 0. Places are not secret."""
    above = below = 1
    for other in places:
        if other != x:
            above = multiply(above, other)
            below = multiply(below, x ^ other)
    return multiply(above, inverse(below))


def _distinct(count: int, random: Random) -> list[int]:
    """`count` different numbers of 1 to 255, the first draws of a shuffle. They need not be unpredictable (H2 does)."""
    numbers = list(range(1, SHARES_MAX + 1))
    drawn = random.bytes(2 * count)
    for at in range(count):
        other = at + int.from_bytes(drawn[2 * at : 2 * at + 2], "big") % (SHARES_MAX - at)
        numbers[at], numbers[other] = numbers[other], numbers[at]
    return numbers[:count]

"""Random bytes, hashes, decoding of tokens."""

import base64
import hashlib

import pytest

from tests.node.auth.world import World

HELLO = "aGVsbG8="


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize(
    ("path", "body", "count"),
    [
        ("random", {}, 32),
        ("random/16", {}, 16),
        ("random/platform", {}, 32),
        ("random/seal/7", {}, 7),
        ("random/all/7", {"bytes": 9}, 7),
        ("random", {"bytes": "8"}, 8),
        ("random", {"source": "platform", "bytes": 131_072}, 131_072),
    ],
)
def test_random_bytes_are_as_many_as_asked_for(world, path, body, count):
    """In base64, or in hex; the number in the path wins."""
    first = world.data("update", f"sys/tools/{path}", body)["random_bytes"]
    other = world.data("update", f"sys/tools/{path}", {**body, "format": "hex"})["random_bytes"]

    assert len(base64.b64decode(first, validate=True)) == len(bytes.fromhex(other)) == count
    assert base64.b64decode(first) != bytes.fromhex(other)


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("random", {"bytes": 0}, '"bytes" cannot be less than 1'),
        ("random/0", {}, '"bytes" cannot be less than 1'),
        ("random", {"bytes": -1}, '"bytes" cannot be less than 1'),
        ("random/131073", {}, '"bytes" should be less than 131072'),
        ("random/9999999999", {}, "error parsing url-set byte count: it is no number"),
        ("random/seal/x", {}, "error parsing url-set byte count: it is no number"),
        ("random", {"format": "octal"}, 'unsupported encoding format "octal"; must be "hex" or "base64"'),
        ("random/dice", {}, 'unsupported entropy source "dice"; must be "platform" or "seal", or "all"'),
        ("random", {"bytes": "x"}, "Field validation failed: error converting input for field"),
        ("hash", {"input": "***"}, "unable to decode input as base64: illegal base64 data at input byte 0"),
        ("hash", {"input": "aGVsbG8"}, "unable to decode input as base64: illegal base64 data at input byte 4"),
        ("hash", {"input": "aGVs*G8="}, "unable to decode input as base64: illegal base64 data at input byte 4"),
        ("hash/md1", {"input": HELLO}, "unsupported algorithm md1"),
        ("hash", {"input": HELLO, "algorithm": "md5"}, "unsupported algorithm md5"),
        ("hash", {"input": HELLO, "format": "x"}, 'unsupported encoding format x; must be "hex" or "base64"'),
    ],
)
def test_what_makes_no_sense_is_refused(world, path, body, text):
    """Plainly, with 400."""
    status, said, wrapped = world.refused("update", f"sys/tools/{path}", body)

    assert (status, wrapped) == (400, False)
    assert said.startswith(text)


@pytest.mark.parametrize(
    ("algorithm", "name"),
    [
        ("sha2-224", "sha224"),
        ("sha2-256", "sha256"),
        ("sha2-384", "sha384"),
        ("sha2-512", "sha512"),
        ("sha3-224", "sha3_224"),
        ("sha3-256", "sha3_256"),
        ("sha3-384", "sha3_384"),
        ("sha3-512", "sha3_512"),
    ],
)
def test_a_hash_is_that_of_the_input(world, algorithm, name):
    """By the path or by a parameter; in hex, or in base64."""
    digest = hashlib.new(name, b"hello").digest()
    in_base64 = {"input": HELLO, "format": "base64"}

    assert world.data("update", f"sys/tools/hash/{algorithm}", {"input": HELLO}) == {"sum": digest.hex()}
    assert world.data("update", "sys/tools/hash", {"input": HELLO, "algorithm": algorithm})["sum"] == digest.hex()
    found = world.data("update", f"sys/tools/hash/{algorithm}", in_base64)["sum"]
    assert base64.b64decode(found) == digest


def test_a_hash_is_sha2_256_where_nothing_is_said(world):
    """As Vault's; the input may have line ends."""
    expected = hashlib.sha256(b"hello").hexdigest()

    assert world.data("update", "sys/tools/hash", {"input": HELLO})["sum"] == expected
    assert world.data("update", "sys/tools/hash", {"input": "aGVs\nbG8=\n"})["sum"] == expected


def test_tools_change_nothing(world):
    """They are answered by any node."""
    index = world.state.applied_index
    world.ask("update", "sys/tools/random/4", {})
    world.ask("update", "sys/tools/hash", {"input": HELLO})

    assert world.state.applied_index == index
    assert not any(world.engines["system"].is_write("update", path) for path in ("tools/random/4", "tools/hash"))
    assert world.refused("read", "sys/tools/random")[0] == 405


def test_the_default_policy_allows_hashes_and_no_randomness(world):
    """As Vault's does."""
    token = world.make({"policies": ["default"]})

    assert world.data("update", "sys/tools/hash/sha3-256", {"input": HELLO}, token=token)
    assert world.refused("update", "sys/tools/random", {}, token=token)[0] == 403


def test_a_parameter_nobody_knows_is_named(world):
    """And a source is one that is known."""
    answer = world.ask("update", "sys/tools/random", {"source": "platform", "colour": "red"})

    assert answer.warnings == ["Endpoint ignored these unrecognized parameters: [colour]"]


def test_an_encoded_token_is_decoded(world):
    """Without a token of one's own, with the otp alone."""
    token, otp = "hvs.0123456789abcdefghijklmn", "ABCDEFGHIJKLMNOPQRSTUVWXYZab"
    masked = bytes(one ^ other for one, other in zip(token.encode(), otp.encode(), strict=True))
    encoded = base64.b64encode(masked).decode().rstrip("=")

    for given in (encoded, encoded + "=" * (-len(encoded) % 4)):
        body = {"encoded_token": given, "otp": otp}
        assert world.data("update", "sys/decode-token", body, token=None) == {"token": token}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "encoded_token and otp must be specified"),
        ({"encoded_token": "QUJD", "otp": ""}, "encoded_token and otp must be specified"),
        ({"encoded_token": "*hidden*", "otp": "abc"}, "error decoding base64'd token"),
        ({"encoded_token": "QUJD", "otp": "hidden"}, "error xoring token: length of byte slices is not equivalent"),
        ({"encoded_token": "QUJD", "otp": "ABC"}, "the token was not encoded with this otp"),
        ({"encoded_token": "QUJD" * 400, "otp": "A" * 1200}, "encoded_token and otp must be specified"),
    ],
)
def test_what_does_not_decode_is_refused_without_being_shown(world, body, text):
    """No part of either is in the error."""
    assert world.refused("update", "sys/decode-token", body, token=None) == (400, text, False)

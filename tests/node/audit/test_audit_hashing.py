"""What stands in a line instead of a value."""

import json
import pickle

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.audit import audit_hash
from node.audit.hashing import CACHE_MAX, SLICE, Hasher, Masking
from node.request import Operation, RawJson
from tests.node.audit.audit_fakes import SALT, exhausted, hashed

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=20
)


def mask(value, *, numbers=True, raw=False, exempt=()):
    masking = Masking(Hasher(SALT), numbers=numbers, raw=raw, exempt=frozenset(exempt))
    return json.loads(msgspec.json.encode(exhausted(masking.masked(value))))


@pytest.mark.parametrize("salt", [b"s", SALT, b"x" * 64, b"long" * 50])
@pytest.mark.parametrize("value", ["", "a", "ab", "true", "a secret", "ä" * 100])
def test_a_hash_is_vaults_hmac_for_salts_and_values_of_any_length(salt, value):
    """The pre-keyed states give what HMAC-SHA256 gives, the second time too."""
    hasher = Hasher(salt)

    assert [hasher.text(value), hasher.text(value), audit_hash(salt, value)] == [hashed(value, salt)] * 3


def test_a_hasher_shows_and_hands_on_nothing():
    """The salt cannot be printed or pickled by accident."""
    hasher = Hasher(SALT)

    assert repr(hasher) == "<Hasher>"
    with pytest.raises(TypeError):
        pickle.dumps(hasher)


def test_a_device_without_a_salt_is_refused():
    """A hash under an empty key would be a dictionary for everybody."""
    with pytest.raises(ValueError, match="has a salt"):
        Hasher(b"")


def test_remembered_hashes_are_bounded_and_right():
    """The cache is dropped when it is full, and the answers stay the same."""
    hasher = Hasher(SALT)
    first = hasher.remembered(b"key", "token")
    for number in range(CACHE_MAX + 1):
        hasher.remembered(number.to_bytes(4, "big"), "x")

    assert (first, hasher.remembered(b"key", "token")) == (hashed("token"), hashed("token"))
    assert len(hasher._cache) <= CACHE_MAX


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (b"12345678901234567890123", "12345678901234567890123"),
        (b"1.10", "1.10"),
        (b"1e3", "1e3"),
        (b"-0.0", "-0.0"),
        (b"42", "42"),
        (b"true", "true"),
        (b"false", "false"),
    ],
)
def test_a_number_is_hashed_as_it_was_written_and_shown_so_in_vaults_format(text, number):
    """No digit is lost, whether the number is hashed or in the clear."""
    masking = Masking(Hasher(SALT), numbers=False, raw=False)

    assert mask(RawJson(b'{"n":%b}' % text)) == {"n": hashed(number)}
    assert msgspec.json.encode(exhausted(masking.masked(RawJson(text)))) == text


def test_null_and_keys_stay_and_everything_else_is_hashed():
    """The shape of a body is readable, its values are not."""
    body = {"a": {"b": ["x", {"c": "y"}], "n": None}, "d": 7, "e": [], "f": {}}

    assert mask(body) == {
        "a": {"b": [hashed("x"), {"c": hashed("y")}], "n": None},
        "d": hashed("7"),
        "e": [],
        "f": {},
    }


def test_json_text_deep_inside_is_masked_as_well():
    """A secret's value is spliced in as bytes: it is decoded here, not passed through."""
    assert mask({"data": RawJson(b'{"k": "v"}'), "l": [RawJson(b'"w"')]}) == {
        "data": {"k": hashed("v")},
        "l": [hashed("w")],
    }


@pytest.mark.parametrize("body", [b"\xff\x00 no json", b'{"half":', b"9" * 5000, b'"\\ud800"', b"[" * 100_000])
def test_bytes_that_are_no_json_are_hashed_whole(body):
    """A raw body is one value (CVE-2025-62513, CVE-2025-62705)."""
    assert mask(body) == Hasher(SALT).octets(body)


def test_exempt_keys_are_plain_at_any_depth_and_their_neighbours_are_not():
    """The innermost map key counts, through lists, but not into maps below it."""
    body = {"a": "open", "b": {"a": ["open", 5]}, "c": "shut", "d": {"a": {"e": "shut"}}}

    assert mask(body, exempt=["a"]) == {
        "a": "open",
        "b": {"a": ["open", 5]},
        "c": hashed("shut"),
        "d": {"a": {"e": hashed("shut")}},
    }


@pytest.mark.parametrize("prefix", ["hvs.", "hvb.", "hvr."])
def test_a_token_is_hashed_even_under_an_exempt_key_and_in_a_raw_log(prefix):
    """No option writes a token."""
    token = prefix + "CAESIJ"

    assert mask({"a": token}, exempt=["a"], raw=True) == {"a": hashed(token)}
    assert mask({"a": "value"}, raw=True) == {"a": "value"}


def test_a_name_out_of_an_enumeration_is_a_text():
    """It is hashed like one, not passed through as an unknown kind."""
    assert mask([Operation.READ]) == [hashed("read")]


def test_what_json_cannot_hold_is_refused():
    """An object of an unknown kind is never written by way of its repr."""
    with pytest.raises(TypeError, match="no JSON form for object"):
        mask({"a": object()})


def test_a_large_body_is_masked_in_slices_and_unchanged():
    """Between slices others have their turn; what the engine holds is not written to."""
    body = {"list": [str(number) for number in range(3 * SLICE)]}
    copy = {"list": list(body["list"])}
    steps = Masking(Hasher(SALT), numbers=True, raw=False).masked(body)

    assert sum(1 for _ in steps) == 3
    assert body == copy


@settings(max_examples=60)
@given(documents)
def test_a_masked_document_has_the_shape_of_its_source(document):
    """Keys and lengths are the same; each scalar but null is a hash, whether it came as objects or as text."""
    text = json.dumps(document).encode()
    try:
        msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError):
        return  # lone surrogates: the edge refuses them

    def check(source, masked):
        if isinstance(source, dict):
            assert list(source) == list(masked)
            for key in source:
                check(source[key], masked[key])
        elif isinstance(source, list):
            assert len(source) == len(masked)
            for one, other in zip(source, masked, strict=True):
                check(one, other)
        elif source is None:
            assert masked is None
        else:
            assert masked.startswith("hmac-sha256:")
            assert len(masked) == len("hmac-sha256:") + 64

    check(document, mask(document))
    check(document, mask(RawJson(text)))

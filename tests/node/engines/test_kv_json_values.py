"""JSON kept as bytes: checks, merge patch, subkeys."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.engines.json_values import (
    Kind,
    body_fields,
    check_json,
    kind_of,
    list_elements,
    merge_patch,
    string_text,
    subkeys,
)
from node.request import Body, Refusal

_SCALARS = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=5)
_JSON = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=4)
)
_OBJECTS = st.dictionaries(st.sampled_from("abc") | st.text(max_size=2), _JSON, max_size=4)


def merge_model(target, patch):
    """RFC 7396, section 2, as its pseudo-code says it."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_model(merged.get(name), value)
    return merged


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (b"{}", Kind.OBJECT),
        (b"[]", Kind.LIST),
        (b'"a"', Kind.STRING),
        (b"true", Kind.BOOL),
        (b"false", Kind.BOOL),
        (b"null", Kind.NULL),
        (b"-1", Kind.NUMBER),
        (b"1e3", Kind.NUMBER),
    ],
)
def test_the_first_byte_tells_the_kind(value, kind):
    """For values that are known to be JSON."""
    assert kind_of(value) is kind


@pytest.mark.parametrize(
    "value", [b"12345678901234567890123", b"1.10", b"1e3", b"-0", b'"\\u0000"', b'"\xc3\xa9"', b"[1,[2]]", b"1e-400"]
)
def test_json_that_survives_is_accepted(value):
    """Big numbers, escapes and nesting."""
    check_json(value)


@pytest.mark.parametrize(
    "value",
    [b"1E+400", b"[-1E+400]", b'"\xff"', b'"\\ud800"', b"{", b"01", b"NaN", b"", b'"\x01"', b"{} {}", b"[" * 2000],
)
def test_what_is_not_json_is_refused_without_an_excerpt(value):
    """Whatever it holds, the text is the same."""
    with pytest.raises(Refusal) as caught:
        check_json(value)

    text = "failed to decode JSON input: the body is not valid JSON or a number does not fit a float64"
    assert (caught.value.status, caught.value.texts) == (400, (text,))


@pytest.mark.parametrize("raw", [b"[1]", b"5", b"{", b'{"a":}', b'{"\xff":1}', b'{"a":' + b"[" * 3000])
def test_a_body_that_is_no_object_is_refused(raw):
    """Whoever reads the fields first finds it."""
    with pytest.raises(Refusal) as caught:
        body_fields(Body(raw))

    assert caught.value.status == 400


def test_a_body_keeps_the_bytes_of_its_fields():
    """Blanks between fields are not part of them."""
    assert {name: bytes(raw) for name, raw in body_fields(Body(b' {"a" : 1.10 ,"b":{ "c":1} } ')).items()} == {
        "a": b"1.10",
        "b": b'{ "c":1}',
    }


def test_an_empty_body_has_no_fields():
    """Writes without a body are allowed."""
    assert body_fields(Body(b"")) == {}


def test_elements_and_texts_are_taken_apart():
    """Elements as bytes, strings as text."""
    assert list_elements(b'[1.10, "a", {"b": 2}]') == [b"1.10", b'"a"', b'{"b": 2}']
    assert string_text(b'"\\u00e9\\n"') == "\u00e9\n"


@pytest.mark.parametrize(
    ("target", "patch", "merged"),
    [
        # the table of RFC 7396, appendix A
        ('{"a":"b"}', '{"a":"c"}', '{"a":"c"}'),
        ('{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'),
        ('{"a":"b"}', '{"a":null}', "{}"),
        ('{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'),
        ('{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'),
        ('{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'),
        ('{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'),
        ('{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'),
        ('["a","b"]', '["c","d"]', '["c","d"]'),
        ('{"a":"b"}', '["c"]', '["c"]'),
        ('{"a":"foo"}', "null", "null"),
        ('{"a":"foo"}', '"bar"', '"bar"'),
        ('{"e":null}', '{"a":1}', '{"e":null,"a":1}'),
        ("[1,2]", '{"a":"b","c":null}', '{"a":"b"}'),
        ("{}", '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'),
        # numbers and inner blanks keep their bytes
        ('{"big":12345678901234567890123,"d":1.10}', '{"x":1e3}', '{"big":12345678901234567890123,"d":1.10,"x":1e3}'),
        ('{"a":{"k": [1, 2]},"z":1}', '{"z":2.50}', '{"a":{"k": [1, 2]},"z":2.50}'),
    ],
)
def test_a_merge_patch_is_applied_to_the_bytes(target, patch, merged):
    """RFC 7396, and what the patch does not name is not touched."""
    assert merge_patch(target.encode(), patch.encode()) == merged.encode()


@given(_OBJECTS, _OBJECTS)
@settings(max_examples=100)
def test_a_merge_patch_agrees_with_the_model(target, patch):
    """Whatever is merged into whatever."""
    merged = merge_patch(json.dumps(target).encode(), json.dumps(patch).encode())

    check_json(merged)
    assert json.loads(merged) == merge_model(target, patch)


@given(_OBJECTS, _OBJECTS)
def test_a_merge_patch_applied_twice_changes_nothing_more(target, patch):
    """Idempotence."""
    patch_bytes = json.dumps(patch).encode()
    once = merge_patch(json.dumps(target).encode(), patch_bytes)

    assert merge_patch(once, patch_bytes) == once


@pytest.mark.parametrize(
    ("depth", "expected"),
    [
        (0, {"k": None, "n": {"m": None, "e": None, "o": {"p": None}}}),
        (1, {"k": None, "n": None}),
        (2, {"k": None, "n": {"m": None, "e": None, "o": None}}),
        (3, {"k": None, "n": {"m": None, "e": None, "o": {"p": None}}}),
        (-1, {"k": None, "n": None}),
    ],
)
def test_subkeys_have_no_values(depth, expected):
    """Leaves, empty objects and what is too deep are null."""
    value = b'{"k":"secret","n":{"m":["secret"],"e":{},"o":{"p":7}}}'

    assert json.loads(subkeys(value, depth)) == expected


def test_subkeys_of_null_are_null():
    """A version may hold null instead of an object."""
    assert subkeys(b"null", 0) == b"null"


@given(_OBJECTS, st.integers(0, 4))
def test_no_subkeys_show_a_value(value, depth):
    """Every leaf is null, at every depth."""

    def leaves(node):
        return [leaf for child in node.values() for leaf in (leaves(child) if isinstance(child, dict) else [child])]

    assert set(leaves(json.loads(subkeys(json.dumps(value).encode(), depth)))) <= {None}

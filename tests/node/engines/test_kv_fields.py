"""Weakly typed fields: what converts, what is refused, and with which text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.engines.fields import (
    FieldError,
    ignored_warnings,
    parameters,
    refusal_of,
    to_bool,
    to_int,
    to_ints,
    to_object,
    to_seconds,
    to_texts,
)
from node.request import Operation
from tests.node.engines.fakes import make_request

REPLACED = "Endpoint replaced the value of these parameters with the values captured from the endpoint's path: [path]"
_NO_INT = "'' cannot parse value as 'int': strconv.ParseInt: invalid syntax"


@pytest.mark.parametrize(
    ("given_value", "number"),
    [
        (None, 0),
        (b"5", 5),
        (b'"5"', 5),
        ("5", 5),
        ("+5", 5),
        (b"-3", -3),
        (b"true", 1),
        (b"false", 0),
        (b"null", 0),
        (b'""', 0),
        ("", 0),
        (b"9223372036854775807", 2**63 - 1),
    ],
)
def test_an_integer_is_taken_from_many_forms(given_value, number):
    """Numbers, text, booleans; null and nothing are zero."""
    assert to_int("n", given_value) == number


@pytest.mark.parametrize(
    ("given_value", "detail"),
    [
        (b'"x"', _NO_INT),
        ("x", _NO_INT),
        (b"1.5", _NO_INT),
        (b"1e3", _NO_INT),
        (" 5", _NO_INT),
        ("1_0", _NO_INT),
        (b"9223372036854775808", "'' cannot parse value as 'int': strconv.ParseInt: value out of range"),
        ("9" * 5000, "'' cannot parse value as 'int': strconv.ParseInt: value out of range"),
        (b"[1]", "'' expected type 'int', got unconvertible type '[]interface {}'"),
        (b"{}", "'' expected type 'int', got unconvertible type 'map[string]interface {}'"),
    ],
)
def test_what_is_no_integer_is_refused(given_value, detail):
    """The text names field and type, never the value."""
    with pytest.raises(FieldError) as caught:
        to_int("n", given_value)

    assert str(caught.value) == f'error converting input for field "n": {detail}'


@pytest.mark.parametrize(
    ("given_value", "flag"),
    [
        (b"true", True),
        (b"false", False),
        (b'"true"', True),
        (b'"F"', False),
        (b"1", True),
        (b"0", False),
        (b"null", False),
        (b'""', False),
        ("T", True),
    ],
)
def test_a_boolean_is_taken_from_many_forms(given_value, flag):
    """Go's ParseBool."""
    assert to_bool("b", given_value) is flag


@pytest.mark.parametrize("given_value", [b'"yes"', b"2", b"[]", b"{}", b"1.0"])
def test_what_is_no_boolean_is_refused(given_value):
    """The twin."""
    with pytest.raises(FieldError):
        to_bool("b", given_value)


@pytest.mark.parametrize(
    ("given_value", "duration_s"), [(b"90", 90), (b'"1h"', 3600), (b"null", 0), ("1d", 86_400), (b'"-1s"', -1)]
)
def test_a_duration_is_a_number_or_a_text(given_value, duration_s):
    """In whole seconds."""
    assert to_seconds("d", given_value, signed=True) == duration_s


@pytest.mark.parametrize(
    ("given_value", "detail"),
    [
        (b'"banana"', 'time: invalid duration "banana"'),
        (b"true", "could not parse duration from input"),
        (b"[1]", "could not parse duration from input"),
        (b'"-1s"', "cannot provide negative value '-1'"),
    ],
)
def test_what_is_no_duration_of_the_field_is_refused(given_value, detail):
    """Negative ones too, where the field takes none."""
    with pytest.raises(FieldError) as caught:
        to_seconds("d", given_value, signed=False)

    assert str(caught.value) == f'error converting input for field "d": {detail}'


@pytest.mark.parametrize(
    ("given_value", "numbers"),
    [
        (None, []),
        (b"null", []),
        (b"[]", []),
        (b'""', []),
        (b"[1,2]", [1, 2]),
        (b'["3",4]', [3, 4]),
        (b'"1,2"', [1, 2]),
        (b'"1, 2"', [1, 2]),
        (b"7", [7]),
        ("1,2", [1, 2]),
    ],
)
def test_integers_come_as_list_text_or_one(given_value, numbers):
    """Vault's comma list."""
    assert to_ints("versions", given_value) == numbers


@pytest.mark.parametrize(
    ("given_value", "details"),
    [
        (b'["x"]', ["'[0]' cannot parse value as 'int': strconv.ParseInt: invalid syntax"]),
        (
            b'[1,"x",[]]',
            [
                "'[1]' cannot parse value as 'int': strconv.ParseInt: invalid syntax",
                "'[2]' expected type 'int', got unconvertible type '[]interface {}'",
            ],
        ),
        (b'"1,x"', ["'[1]' cannot parse value as 'int': strconv.ParseInt: invalid syntax"]),
    ],
)
def test_each_wrong_integer_of_a_list_is_named(given_value, details):
    """By its position."""
    with pytest.raises(FieldError) as caught:
        to_ints("versions", given_value)

    head = 'error converting input for field "versions": decoding failed due to the following error(s):\n\n'
    assert str(caught.value) == head + "\n".join(details)


def test_a_list_that_would_hold_the_loop_is_refused():
    """Half a million numbers take half a second."""
    with pytest.raises(FieldError):
        to_ints("versions", b"[" + b"1," * 40_000 + b"1]")


@pytest.mark.parametrize(("given_value", "value"), [(b'{"a": 1}', b'{"a": 1}'), (b"{}", b"{}"), (b"null", None)])
def test_an_object_keeps_its_bytes(given_value, value):
    """Null is told apart from an empty object."""
    assert to_object("o", given_value) == value


@pytest.mark.parametrize(
    ("given_value", "detail"),
    [
        (b'"text"', "'' expected type 'map[string]interface {}', got unconvertible type 'string'"),
        (b"5", "'' expected type 'map[string]interface {}', got unconvertible type 'json.Number'"),
        (b"true", "'' expected type 'map[string]interface {}', got unconvertible type 'bool'"),
        (b"[1]", "'[0]' expected type 'map[string]interface {}', got unconvertible type 'json.Number'"),
        (b'[{},"a"]', "'[1]' expected type 'map[string]interface {}', got unconvertible type 'string'"),
        (b"[]", "'' expected type 'map[string]interface {}', got unconvertible type '[]interface {}'"),
        ("text", "'' expected type 'map[string]interface {}', got unconvertible type 'string'"),
    ],
)
def test_what_is_no_object_is_refused(given_value, detail):
    """The twin."""
    with pytest.raises(FieldError) as caught:
        to_object("o", given_value)

    assert str(caught.value) == f'error converting input for field "o": {detail}'


def test_texts_are_made_of_scalars():
    """Numbers as written, booleans as 1 and 0, null as nothing."""
    assert to_texts("m", b'{"a":"x","b":1.10,"c":true,"d":false,"e":null}') == {
        "a": "x",
        "b": "1.10",
        "c": "1",
        "d": "0",
        "e": None,
    }


@pytest.mark.parametrize("value", [b'{"a":{}}', b'{"a":["x"]}'])
def test_texts_are_not_made_of_objects_and_lists(value):
    """The twin."""
    with pytest.raises(FieldError):
        to_texts("m", value)


def test_a_write_is_asked_by_its_body_and_a_read_by_its_query():
    """The words that choose the operation are no data."""
    write = make_request(Operation.UPDATE, "kv/a", {"b": 1}, {"q": "1"})
    read = make_request(Operation.LIST, "kv/a", None, {"q": "1", "list": "true", "scan": "false", "help": "1"})

    assert (list(parameters(write)), list(parameters(read))) == (["b"], ["q"])


@pytest.mark.parametrize(
    ("names", "warnings"),
    [
        (["known"], None),
        ([], None),
        (["z", "known", "a"], ["Endpoint ignored these unrecognized parameters: [a z]"]),
        (
            ["path"],
            [
                REPLACED,
            ],
        ),
    ],
)
def test_unknown_parameters_are_warned_of(names, warnings):
    """Sorted, and the path's own name apart."""
    assert ignored_warnings(names, frozenset({"known"})) == warnings


@pytest.mark.parametrize(("existence_checked", "prefix"), [(True, ""), (False, "Field validation failed: ")])
def test_a_wrong_field_is_a_400(existence_checked, prefix):
    """With the prefix of Vault's own check, where that one ran first."""
    refusal = refusal_of(FieldError("n", "why"), existence_checked=existence_checked)

    assert (refusal.status, refusal.texts) == (400, (f'{prefix}error converting input for field "n": why',))


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_64_bit_integer_converts_from_number_and_text(number):
    """Both ways of writing it."""
    assert to_int("n", str(number).encode()) == to_int("n", str(number)) == number

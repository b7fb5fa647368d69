"""Bodies of init and unseal: every field has its type, and a wrong one is refused without its value."""

from __future__ import annotations

from typing import Any

import pytest

from node.request import Refusal
from node.seal_bodies import INIT_FIELDS, UNSEAL_FIELDS, typed

PREFIX = "failed to decode JSON input: json: cannot unmarshal "
ZERO = {
    "secret_shares": 0,
    "secret_threshold": 0,
    "pgp_keys": [],
    "recovery_shares": 0,
    "recovery_threshold": 0,
    "recovery_pgp_keys": [],
    "root_token_pgp_key": "",
}


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({}, {}),
        ({"secret_shares": 5, "secret_threshold": 3}, {"secret_shares": 5, "secret_threshold": 3}),
        ({"SECRET_shares": 5}, {"secret_shares": 5}),
        ({"secret_shares": None}, {}),
        ({"pgp_keys": ["a", "b"]}, {"pgp_keys": ["a", "b"]}),
        ({"unknown": {"any": 1}}, {}),
    ],
)
def test_fields_of_init_are_taken_as_go_takes_them(body: dict[str, Any], found: dict[str, Any]):
    """Without regard to case, null as zero, unknown ones ignored, absent ones zero."""
    assert typed(body, INIT_FIELDS) == ZERO | found


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"secret_shares": "three"}, "string into Go struct field InitRequest.secret_shares of type int"),
        ({"secret_shares": 1.5}, "number into Go struct field InitRequest.secret_shares of type int"),
        ({"secret_threshold": True}, "bool into Go struct field InitRequest.secret_threshold of type int"),
        ({"recovery_shares": [1]}, "array into Go struct field InitRequest.recovery_shares of type int"),
        ({"recovery_threshold": {}}, "object into Go struct field InitRequest.recovery_threshold of type int"),
        ({"pgp_keys": "AAAA"}, "string into Go struct field InitRequest.pgp_keys of type []string"),
        ({"pgp_keys": 7}, "number into Go struct field InitRequest.pgp_keys of type []string"),
        ({"pgp_keys": ["a", 7]}, "number into Go struct field InitRequest.pgp_keys of type string"),
        ({"root_token_pgp_key": 7}, "number into Go struct field InitRequest.root_token_pgp_key of type string"),
    ],
)
def test_a_wrong_type_in_init_is_refused_in_vaults_words(body: dict[str, Any], text: str):
    """400, with the kind of what came and the type of the field."""
    with pytest.raises(Refusal) as refused:
        typed(body, INIT_FIELDS)
    assert (refused.value.status, refused.value.texts) == (400, (PREFIX + text,))


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"key": "abcd"}, {"key": "abcd", "reset": False}),
        ({"KEY": "abcd"}, {"key": "abcd", "reset": False}),
        ({"reset": True}, {"key": "", "reset": True}),
        ({"key": None, "reset": None}, {"key": "", "reset": False}),
        ({"Migrate": True}, {"migrate": True}),
    ],
)
def test_fields_of_unseal_are_taken_as_go_takes_them(body: dict[str, Any], found: dict[str, Any]):
    """A share, with the word for a migration or without, or a reset."""
    assert typed(body, UNSEAL_FIELDS) == {"key": "", "reset": False, "migrate": False} | found


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"key": 5}, "number into Go struct field UnsealRequest.Key of type string"),
        ({"key": ["abcd"]}, "array into Go struct field UnsealRequest.Key of type string"),
        ({"reset": "true"}, "string into Go struct field UnsealRequest.Reset of type bool"),
        ({"reset": 1}, "number into Go struct field UnsealRequest.Reset of type bool"),
    ],
)
def test_a_wrong_type_in_unseal_is_refused_in_vaults_words(body: dict[str, Any], text: str):
    """Something that is no share, and something that is no switch."""
    with pytest.raises(Refusal) as refused:
        typed(body, UNSEAL_FIELDS)
    assert (refused.value.status, refused.value.texts) == (400, (PREFIX + text,))


def test_no_sentence_shows_what_may_be_a_share():
    """The kind is said, the value is not."""
    with pytest.raises(Refusal) as refused:
        typed({"key": [123456789]}, UNSEAL_FIELDS)
    assert "123456789" not in "".join(refused.value.texts)

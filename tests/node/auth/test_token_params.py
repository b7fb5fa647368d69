"""The token_* parameters: taken, refused, shown, and by which name."""

import pytest

from node.auth import token_params
from node.auth.token_params import TokenParams, changed, renamed, shown_params
from node.auth.token_ttl import TTL_S_MAX
from node.engines.fields import FieldError
from node.request import Refusal


@pytest.mark.parametrize(
    ("given", "field", "value"),
    [
        ({"token_ttl": b'"1h"'}, "ttl_s", 3600),
        ({"token_ttl": b"60", "token_max_ttl": b'"1m"'}, "max_ttl_s", 60),
        ({"token_period": b'"1d"'}, "period_s", 86_400),
        ({"token_explicit_max_ttl": "30"}, "explicit_max_ttl_s", 30),
        ({"token_ttl": b'"2540400h"'}, "ttl_s", TTL_S_MAX),
        ({"token_num_uses": b'"3"'}, "num_uses", 3),
        ({"token_policies": b'[" B","a","b"]'}, "policies", ["a", "b"]),
        ({"token_no_default_policy": b'"true"'}, "no_default_policy", True),
        ({"token_strictly_bind_ip": b"true"}, "strictly_bind_ip", True),
        ({"token_type": b'"default"'}, "type", ""),
        ({"token_type": b'"default-batch"'}, "type", "default-batch"),
        ({"token_bound_cidrs": b'"10.0.0.1/8, 192.0.2.1"'}, "bound_cidrs", ["10.0.0.0/8", "192.0.2.1"]),
        ({"token_policies": b"null"}, "policies", []),
    ],
)
def test_a_parameter_is_taken(given, field, value):
    """Weakly typed; the others keep what they were."""
    before = TokenParams(num_uses=9 if field != "num_uses" else 0) if "batch" not in str(given) else TokenParams()
    after = changed(before, given)
    assert getattr(after, field) == value
    assert {name for name in TokenParams.__struct_fields__ if getattr(after, name) != getattr(before, name)} <= {
        field, *(name.removeprefix("token_") + "_s" for name in given),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"token_ttl": b"-1"}, "'token_ttl' cannot be negative"),
        ({"token_num_uses": b"-1"}, "'token_num_uses' cannot be negative"),
        ({"token_ttl": b"61", "token_max_ttl": b"60"}, "'token_ttl' cannot be greater than 'token_max_ttl'"),
        ({"token_type": b'"hvs"'}, "invalid 'token_type' value"),
        ({"token_bound_cidrs": b'"10.0.0.0/33"'},
         'error parsing token_bound_cidrs: Unable to convert "10.0.0.0/33" to an IP address or network'),
        ({"token_type": b'"batch"', "token_period": b"5"},
         "'token_type' cannot be 'batch' or 'default_batch' when set to generate tokens with a period"),
        ({"token_type": b'"default-batch"', "token_num_uses": b"5"},
         "'token_type' cannot be 'batch' or 'default_batch' when set to generate tokens with limited use count"),
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_refused(given, text):
    """With Vault's words, and what was there is not touched."""
    before = TokenParams(policies=["a"])
    with pytest.raises(Refusal) as raised:
        changed(before, given)
    assert (raised.value.status, raised.value.texts) == (400, (text,))
    assert before == TokenParams(policies=["a"])


def test_a_parameter_of_another_type_is_a_field_error():
    """Named, without its value."""
    with pytest.raises(FieldError) as raised:
        changed(TokenParams(), {"token_num_uses": b'"many"'})
    assert "token_num_uses" in str(raised.value)
    assert "many" not in str(raised.value)


def test_something_secret_in_the_wrong_place_is_not_repeated():
    """A refused network is shown cut."""
    with pytest.raises(Refusal) as raised:
        changed(TokenParams(), {"token_bound_cidrs": b'"hvs.CAESIJ3bVbZ0000000000"'})
    assert "hvs.CAESIJ3bVbZ00000" not in raised.value.texts[0]


def test_every_parameter_is_shown():
    """Under the names it is given by; a kind that is not set is `default`."""
    shown = shown_params(TokenParams())
    assert set(shown) == token_params.FIELDS
    assert (shown["token_type"], shown["token_policies"], shown["token_bound_cidrs"]) == ("default", [], [])


@pytest.mark.parametrize(
    ("given", "legacy", "fields", "after"),
    [
        ({"ttl": b"1"}, [], {"ttl": b"1", "token_ttl": b"1"}, ["ttl"]),
        ({"token_ttl": b"2", "ttl": b"1"}, ["ttl"], {"token_ttl": b"2", "ttl": b"1"}, []),
        ({"token_ttl": b"2"}, ["ttl", "policies"], {"token_ttl": b"2"}, ["policies"]),
        ({}, ["ttl"], {}, ["ttl"]),
    ],
)
def test_old_names_mean_the_new_ones(given, legacy, fields, after):
    """Until the new one is used."""
    assert renamed(given, {"ttl": "token_ttl", "policies": "token_policies"}, legacy) == (fields, after)


def test_a_batch_token_keeps_neither_uses_nor_a_period():
    """Asked also where the mount makes all tokens batch tokens."""
    token_params.check_batch(TokenParams(ttl_s=5))
    for params in (TokenParams(num_uses=1), TokenParams(period_s=1)):
        with pytest.raises(Refusal):
            token_params.check_batch(params)

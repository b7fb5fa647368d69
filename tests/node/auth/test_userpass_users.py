"""Users of a userpass mount: written, read, listed, deleted, and what their tokens are renewed by."""

import pytest

from cluster import Table
from node.auth import passwords
from node.auth.passwords import Hashed, Proof, hashing, proving
from node.auth.userpass import User
from tests.node.auth.login_world import LoginWorld

USER, LOGIN = "auth/userpass/users/ann", "auth/userpass/login/ann"
WRONG = (400, "invalid username or password")
CHANGED = "policies have changed, not renewing"
NO_TEXT = (
    'Field validation failed: error converting input for field "password": '
    "'' expected type 'string', got unconvertible type '[]interface {}'"
)


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    """What a password costs is looked at elsewhere."""
    derive = passwords._derive
    monkeypatch.setattr(passwords, "_derive", lambda password, by: derive(password, Hashed(by.salt, b"", 64, 1, 1)))


@pytest.fixture
def world() -> LoginWorld:
    return LoginWorld()


def test_a_user_is_made_and_shown_without_the_password(world):
    """204, and the fields that all roles have; old names only where they were used."""
    assert world.ask("update", USER, {"password": "pw", "policies": "a,b", "ttl": "1h"}).empty
    shown = world.data("read", USER)

    assert (shown["policies"], shown["token_policies"]) == (["a", "b"], ["a", "b"])
    assert (shown["ttl"], shown["token_ttl"], shown["token_type"]) == (3600, 3600, "default")
    assert not {"password", "max_ttl", "bound_cidrs"} & set(shown)


def test_users_are_listed_and_deleted(world):
    """Names are lower-cased; a list of none is 404, a deletion of none is 204."""
    assert world.refused("list", "auth/userpass/users/") == (404, "", False)
    for name in ("Bob", "ann", "c@example.com"):
        world.ask("update", f"auth/userpass/users/{name}", {"password": "pw"})
    assert world.data("list", "auth/userpass/users/") == {"keys": ["ann", "bob", "c@example.com"]}
    assert world.data("list", "auth/userpass/users/", query={"limit": "1", "after": "ann"}) == {"keys": ["bob"]}
    for _ in range(2):
        assert world.ask("delete", USER).empty
    assert world.refused("read", USER) == (404, "", False)
    assert world.turned_away(LOGIN, {"password": "pw"}) == WRONG


def test_a_change_keeps_what_it_does_not_name(world):
    """The password too."""
    world.ask("update", USER, {"password": "pw", "token_policies": "a"})
    world.ask("update", USER, {"token_ttl": 60})
    auth = world.log_in(LOGIN, {"password": "pw"}).auth
    assert (auth["token_policies"], auth["lease_duration"]) == (["a", "default"], 60)


def test_existence_makes_the_difference_between_create_and_update(world):
    """For users alone."""
    engine, context = world.engines["userpass"], world.context(USER)
    assert engine.exists(context, "users/ann") is False
    world.ask("update", USER, {"password": "pw"})
    assert [engine.exists(context, path) for path in ("users/ANN", "users/ann/password", "login/ann")] == [
        True, None, None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "body", "text", "wrapped"),
    [
        ("users/new", {}, "missing password", False),
        ("users/new", {"password": ""}, "missing password", False),
        ("users/new", {"password_hash": "$2a$..."}, "password_hash is no bcrypt hash", False),
        ("users/ann/password", {"password_hash": "plain"}, "password_hash is no bcrypt hash", False),
        ("users/new", {"password_hash": ["a"]}, NO_TEXT.replace('"password"', '"password_hash"'), False),
        ("users/new", {"password": "x", "password_hash": "x"},
         '"password" and "password_hash" cannot be supplied together', False),
        ("users/new", {"password": ["a"]}, NO_TEXT, False),
        ("users/new", {"password": "x", "token_ttl": 9, "token_max_ttl": 5},
         "'token_ttl' cannot be greater than 'token_max_ttl'", False),
        ("users/ann/password", {}, "missing password", False),
        ("users/new/password", {"password": "x"}, "username does not exist", True),
        ("users/new/policies", {"policies": "a"}, "username does not exist", True),
    ],
)  # fmt: skip
def test_a_wrong_write_is_refused(world, path, body, text, wrapped):
    """With Vault's words, never with the password."""
    world.ask("update", USER, {"password": "pw"})
    assert world.refused("update", f"auth/userpass/{path}", body) == (400, text, wrapped)
    assert world.refused("read", "auth/userpass/users/new") == (404, "", False)


def test_passwords_and_policies_have_paths(world):
    """The old password is of no use from then on."""
    world.ask("update", USER, {"password": "old", "policies": "a"})
    world.ask("update", f"{USER}/password", {"password": "new"})
    world.ask("update", f"{USER}/policies", {"token_policies": "b"})

    assert world.turned_away(LOGIN, {"password": "old"}) == WRONG
    assert world.log_in(LOGIN, {"password": "new"}).auth["token_policies"] == ["b", "default"]
    assert "policies" not in world.data("read", USER)


def test_no_record_holds_a_password(world):
    """Neither as it is nor the same twice."""
    for name in ("ann", "bob"):
        world.ask("update", f"auth/userpass/users/{name}", {"password": "correct horse"})
    stored = [record for _, _, record in world.state.items(Table.ENTRY)]
    assert not any(b"correct horse" in record for record in stored)
    assert len({record[-60:] for record in stored}) == len(stored)


# ---- renewal
def test_a_renewal_asks_the_user_as_they_are_now(world):
    """Time to live and maximum of now."""
    world.ask("update", USER, {"password": "pw", "token_ttl": 100})
    token = world.log_in(LOGIN, {"password": "pw"}).auth["client_token"]
    world.ask("update", USER, {"token_ttl": 50})
    assert world.ask("update", "auth/token/renew-self", {}, token=token).auth["lease_duration"] == 50


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        (lambda world: world.ask("delete", USER), "user no longer exists"),
        (lambda world: world.ask("update", f"{USER}/policies", {"policies": "b"}), CHANGED),
        (lambda world: world.ask("update", USER, {"token_no_default_policy": True}), None),
        (lambda world: world.ask("update", f"{USER}/password", {"password": "other"}), None),
    ],
)
def test_a_renewal_wants_the_user_and_their_policies(world, change, refused):
    """A user that is gone, or whose policies changed, renews nothing; `default` does not count."""
    world.ask("update", USER, {"password": "pw", "policies": "a"})
    token = world.log_in(LOGIN, {"password": "pw"}).auth["client_token"]
    change(world)
    if refused is None:
        assert world.ask("update", "auth/token/renew-self", {}, token=token).auth
    else:
        assert world.refused("update", "auth/token/renew-self", {}, token=token) == (400, refused, True)


# ---- passwords
def test_a_proof_is_bound_to_what_it_was_made_with():
    """The same password over another salt is another proof, and no proof of that."""
    one, other = (hashing("pw", bytes([number]) * 16)() for number in (1, 2))
    proof = proving("pw", one)()

    assert (proof.is_of(one), proof.opens(one)) == (True, True)
    assert (proof.is_of(other), proof.opens(other)) == (False, False)
    assert proving("wrong", one)().opens(one) is False
    nobody = proving("pw", None)()
    assert (nobody.is_of(None), nobody.is_of(one), nobody.opens(one)) == (True, False, False)


def test_nothing_about_a_password_is_shown():
    """A repr says what it is."""
    hashed = Hashed(b"s" * 16, b"k" * 32)
    assert [repr(one) for one in (hashed, Proof(None, b"k"), User(hashed))] == ["<Hashed>", "<Proof>", "<User>"]

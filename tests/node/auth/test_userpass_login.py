"""Logging in by name and password: constant work, and a comparison that holds for what is stored."""

import pytest

from cluster import Draft, Table
from node.auth import passwords
from node.auth.passwords import LANES, MEMORY_KIB, PASSES, hashing, proving
from node.auth.userpass import User
from node.engines import entries
from node.request import StaleLabour
from tests.node.auth.login_world import LoginWorld
from tests.node.auth.world import make_request

USER, LOGIN = "auth/userpass/users/ann", "auth/userpass/login/ann"
WRONG = (400, "invalid username or password")


@pytest.fixture
def world() -> LoginWorld:
    made = LoginWorld()
    made.ask("update", USER, {"password": "pw", "token_policies": "a", "token_bound_cidrs": "127.0.0.0/8"})
    return made


def test_a_login_gets_a_token(world):
    """Named by mount and user; the user's name in any case."""
    auth = world.log_in("auth/userpass/login/ANN", {"password": "pw"}).auth
    record = world.record(auth["client_token"])

    assert (auth["metadata"], auth["policies"]) == ({"username": "ann"}, ["a", "default"])
    assert (record.display_name, record.bound_cidrs) == ("userpass-ann", ["127.0.0.0/8"])
    assert world.plans[-1].secret_answer
    world.log_in(LOGIN, {"password": "pw"})
    assert {table for table, *_ in world.plans[-1].draft.puts} == {Table.TOKEN, Table.ACCESSOR}


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        (LOGIN, {"password": "wrong"}, WRONG),
        (LOGIN, {"password": "pw "}, WRONG),
        ("auth/userpass/login/nobody", {"password": "pw"}, WRONG),
        (LOGIN, {}, (400, "missing password")),
        ("auth/userpass/login/nobody", {}, (400, "missing password")),
    ],
)
def test_a_login_without_its_proof_is_refused(world, path, body, expected):
    """A name that nobody has and a wrong password are told alike."""
    assert world.turned_away(path, body) == expected


def test_the_address_is_looked_at_once_the_password_was_right(world):
    """So a wrong password says nothing about networks."""
    assert world.turned_away(LOGIN, {"password": "wrong"}, "192.0.2.1") == WRONG
    text = "login request originated from invalid CIDR"
    assert world.turned_away(LOGIN, {"password": "pw"}, "192.0.2.1") == (400, text)


def test_no_login_makes_a_root_token(world):
    """Whatever the user says."""
    world.ask("update", USER, {"token_policies": "Root"})
    assert world.turned_away(LOGIN, {"password": "pw"}) == (400, "auth methods cannot create root tokens")


def test_the_same_work_is_done_for_a_name_that_nobody_has(world, monkeypatch):
    """One derivation of the same cost, of the same password (CVE-2025-54999)."""
    done = []
    monkeypatch.setattr(passwords, "_derive", lambda password, by: done.append((password, *costs(by))) or b"no")
    for name in ("ann", "nobody"):
        world.turned_away(f"auth/userpass/login/{name}", {"password": "guess"})

    assert done == 2 * [("guess", MEMORY_KIB, PASSES, LANES)]


def costs(by):
    return by.memory_kib, by.passes, by.lanes


def test_who_is_locked_costs_no_work(world, monkeypatch):
    """Refused before it is done, the right password too."""
    for _ in range(5):
        world.turned_away(LOGIN, {"password": "wrong"})
    monkeypatch.setattr(passwords, "_derive", None)
    for password in ("wrong", "pw"):
        assert world.turned_away(LOGIN, {"password": password}) == (403, "permission denied")


@pytest.mark.parametrize("before", ["another password", "nobody", "not compared", "hash of another kind"])
def test_what_was_compared_with_something_else_proves_nothing(world, before):
    """The password was set, or the user made, while the work was done: it is done again."""
    context = world.context(LOGIN)
    stored = entries.find(context, "user/ann", User).value.password
    request = make_request("update", LOGIN, {"password": "pw"})
    request.labour = {
        "another password": proving("pw", hashing("pw", b"2" * 16)()),
        "nobody": proving("pw", None),
        "not compared": lambda: None,
        "hash of another kind": lambda: stored,
    }[before]()
    engine = world.engines["userpass"]
    with pytest.raises(StaleLabour):
        engine.decide(context, request, "login/ann")
    request.labour = proving("pw", stored)()
    assert engine.decide(context, request, "login/ann").answer.auth


def test_a_user_that_went_meanwhile_is_compared_again(world):
    """And a password that is set needs its hash."""
    stored = entries.find(world.context(LOGIN), "user/ann", User).value.password
    world.ask("delete", USER)
    request = make_request("update", LOGIN, {"password": "pw"})
    request.labour = proving("pw", stored)()
    with pytest.raises(StaleLabour):
        world.engines["userpass"].decide(world.context(LOGIN), request, "login/ann")
    request = make_request("update", USER, {"password": "pw"})
    with pytest.raises(StaleLabour):
        world.engines["userpass"].decide(world.context(USER), request, "users/ann")


@pytest.mark.parametrize(
    ("operation", "path", "body", "works"),
    [
        ("update", "login/ann", {"password": "pw"}, True),
        ("create", "users/ann", {"password": "pw"}, True),
        ("update", "users/ann/password", {"password": "pw"}, True),
        ("update", "users/ann", {"token_ttl": 5}, False),
        ("update", "users/ann/policies", {"password": "pw"}, False),
        ("read", "users/ann", None, False),
        ("delete", "users/ann", None, False),
        ("list", "users/", None, False),
    ],
)
def test_work_is_asked_for_where_there_is_a_password(world, operation, path, body, works):
    """And nowhere else."""
    request = make_request(operation, f"auth/userpass/{path}", body)
    work = world.engines["userpass"].labour(world.context(LOGIN), request, path)
    assert (work is not None) == works


def test_a_password_of_an_older_cost_still_opens(world):
    """What is stored says what it was made with."""
    cheap = passwords.Hashed(b"c" * 16, b"", 64, 1, 1)
    cheap.key = proving("old", cheap)().key
    context = world.context(LOGIN)
    found, draft = entries.find(context, "user/ann", User), Draft()
    entries.put(context, draft, "user/ann", User(cheap, found.value.token), found)
    world.apply(draft)
    assert world.log_in(LOGIN, {"password": "old"}).auth

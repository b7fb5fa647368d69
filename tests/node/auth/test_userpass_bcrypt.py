"""Bcrypt hashes that userpass is given: compared, bounded, and no name is told from another by the work."""

from __future__ import annotations

import bcrypt
import pytest

from node.auth import passwords
from node.auth.passwords import BCRYPT_COST_MAX, BCRYPT_COST_MIN, MEMORY_KIB, Hashed, given, hashing, proving
from node.auth.userpass import Dearest
from node.engines import entries
from node.request import Refusal
from tests.node.auth.login_world import LoginWorld

USERS, LOGIN = "auth/userpass/users", "auth/userpass/login"
WRONG = (400, "invalid username or password")
SALT = b"$2b$10$abcdefghijklmnopqrstuu"
HASH = bcrypt.hashpw(b"pw", SALT).decode()


@pytest.fixture
def world() -> LoginWorld:
    return LoginWorld()


class Work:
    """What was derived, with rounds instead of time; the product's own comparison behind it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.argon: list[int] = []
        self.rounds = 0
        monkeypatch.setattr(passwords, "_derive", self._derive)
        monkeypatch.setattr(passwords, "_bcrypt", self._bcrypt)

    def _derive(self, _password: str, by: Hashed) -> bytes:
        self.argon.append(by.memory_kib)
        return b"no"

    def _bcrypt(self, _password: str, salt: bytes) -> bytes:
        self.rounds += 2 ** int(salt[4:6])
        return b"no"

    def taken(self) -> tuple[list[int], int]:
        done = self.argon, self.rounds
        self.argon, self.rounds = [], 0
        return done


def dearest(world: LoginWorld) -> int:
    found = entries.find(world.context(f"{LOGIN}/x"), "bcrypt", Dearest)
    return 0 if found is None else found.value.bcrypt_cost


@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2y$"])
def test_a_given_hash_opens_to_its_password_alone(world, prefix):
    """In each of its three spellings; a new one, or a password, takes its place."""
    world.ask("update", f"{USERS}/ann", {"password_hash": prefix + HASH[4:], "token_policies": "a"})
    assert world.log_in(f"{LOGIN}/ANN", {"password": "pw"}).auth["token_policies"] == ["a", "default"]
    for wrong in ("PW", HASH):
        assert world.turned_away(f"{LOGIN}/ann", {"password": wrong}) == WRONG

    other = bcrypt.hashpw(b"other", SALT).decode()
    world.ask("update", f"{USERS}/ann/password", {"password_hash": other})
    assert world.turned_away(f"{LOGIN}/ann", {"password": "pw"}) == WRONG
    assert world.log_in(f"{LOGIN}/ann", {"password": "other"}).auth
    world.ask("update", f"{USERS}/ann/password", {"password": "third"})
    assert world.turned_away(f"{LOGIN}/ann", {"password": "other"}) == WRONG
    assert world.log_in(f"{LOGIN}/ann", {"password": "third"}).auth


def test_a_user_keeps_its_hash_through_other_changes(world):
    """And it is shown to nobody."""
    world.ask("update", f"{USERS}/ann", {"password_hash": HASH})
    world.ask("update", f"{USERS}/ann", {"token_ttl": 60})
    assert world.log_in(f"{LOGIN}/ann", {"password": "pw"}).auth["lease_duration"] == 60
    assert HASH not in str(world.data("read", f"{USERS}/ann"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", None),
        ("pw", "is no bcrypt hash"),
        (HASH[:-1], "is no bcrypt hash"),
        (HASH + "x", "is no bcrypt hash"),
        (HASH + "\n", "is no bcrypt hash"),
        ("$2x$" + HASH[4:], "is no bcrypt hash"),
        ("$1$" + HASH[4:], "is no bcrypt hash"),
        (HASH.replace("$10$", "$1$"), "is no bcrypt hash"),
        (HASH.replace("$10$", "$09$"), "cost"),
        (HASH.replace("$10$", "$04$"), "cost"),
        (HASH.replace("$10$", "$15$"), "cost"),
        (HASH.replace("$10$", "$31$"), "cost"),
        (HASH.replace("$10$", "$99$"), "cost"),
        (HASH.replace("$10$", f"${BCRYPT_COST_MIN}$"), ""),
        (HASH.replace("$10$", f"${BCRYPT_COST_MAX}$"), ""),
        (HASH.replace("$10$", "$١٢$"), "is no bcrypt hash"),
    ],
)
def test_only_whole_hashes_of_a_bounded_cost_are_taken(world, text, why):
    """Cheaper ones are no protection, dearer ones would stop all logins; the refusal repeats nothing."""
    if why == "":
        assert world.ask("update", f"{USERS}/ann", {"password_hash": text}).empty
        return
    status, said, _ = world.refused("update", f"{USERS}/ann", {"password_hash": text})
    assert status == 400
    assert ("missing password" if why is None else why) in said
    assert HASH[7:] not in said
    assert dearest(world) == 0


def test_a_password_is_set_or_its_hash_not_both(world):
    """Nothing is changed, and no work is done for it."""
    refused = world.refused("update", f"{USERS}/ann", {"password_hash": HASH, "password": "pw"})
    assert refused == (400, '"password" and "password_hash" cannot be supplied together', False)
    assert world.turned_away(f"{LOGIN}/ann", {"password": "pw"}) == WRONG


@pytest.mark.parametrize("tail", ["", "x", "xxxxxxxx"])
def test_a_password_longer_than_bcrypt_looks_opens_nothing(world, tail):
    """Its first 72 bytes alone would: whoever has those has not proved the rest."""
    long = "é" * 36
    world.ask("update", f"{USERS}/ann", {"password_hash": bcrypt.hashpw(long.encode(), SALT).decode()})
    if tail:
        assert world.turned_away(f"{LOGIN}/ann", {"password": long + tail}) == WRONG
    else:
        assert world.log_in(f"{LOGIN}/ann", {"password": long}).auth


def test_every_login_of_a_mount_does_the_same_work(world, monkeypatch):
    """Of a name with a hash of either cost, with a password that was set here, and of nobody's."""
    world.ask("update", f"{USERS}/set", {"password": "pw"})
    work = Work(monkeypatch)
    for name in ("set", "nobody"):
        world.turned_away(f"{LOGIN}/{name}", {"password": "guess"})
        assert work.taken() == ([MEMORY_KIB], 0)

    world.ask("update", f"{USERS}/ten", {"password_hash": HASH})
    world.ask("update", f"{USERS}/twelve", {"password_hash": HASH.replace("$10$", "$12$")})
    world.ask("update", f"{USERS}/eleven", {"password_hash": HASH.replace("$10$", "$11$")})
    assert dearest(world) == 12
    for name in ("set", "ten", "eleven", "twelve", "nobody"):
        world.turned_away(f"{LOGIN}/{name}", {"password": "guess"})
        assert (name, work.taken()) == (name, ([MEMORY_KIB], 2**12))

    world.ask("delete", f"{USERS}/twelve")
    world.turned_away(f"{LOGIN}/twelve", {"password": "guess"})
    assert work.taken() == ([MEMORY_KIB], 2**12)


def test_the_work_is_that_of_the_library(monkeypatch):
    """What was counted above is what bcrypt is asked for."""
    asked = []
    monkeypatch.setattr(passwords.bcrypt, "hashpw", lambda _password, salt: asked.append(salt[4:6]) or b"x" * 60)
    proving("guess", given(HASH), 12)()
    assert asked == [b"10", b"10", b"11"]
    asked.clear()
    proving("guess", None, 12)()
    proving("guess", None)()
    proving("guess", hashing("pw", b"s" * 16)(), 10)()
    assert asked == [b"12", b"10"]


def test_what_was_compared_with_another_hash_proves_nothing():
    """Of Argon2id, of nobody, or with another salt; the same salt with another end is not opened either."""
    stored, other = given(HASH), given(bcrypt.hashpw(b"pw", SALT.replace(b"abc", b"xyz")).decode())
    assert proving("pw", stored)().opens(stored)
    for proof in (proving("pw", None)(), proving("pw", hashing("pw", b"s" * 16)())(), proving("pw", other)()):
        assert not proof.is_of(stored)
        assert not proof.opens(stored)
    end = given(bcrypt.hashpw(b"else", SALT).decode())
    assert not proving("pw", stored)().opens(end)


def test_a_refusal_of_a_hash_has_no_more_than_a_sentence():
    """Neither text nor repr of what is kept shows it."""
    with pytest.raises(Refusal) as refused:
        given("hunter2")
    assert "hunter2" not in str(refused.value) + "".join(refused.value.texts)
    assert repr(given(HASH)) == "<Hashed>"

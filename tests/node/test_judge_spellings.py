"""Paths with several spellings: what a rule says of the one that counts is said of all."""

from __future__ import annotations

import pytest

from node.auth.approle.engine import ApproleEngine
from node.auth.cert.engine import CertEngine
from node.auth.kubernetes.engine import KubernetesEngine
from node.auth.lockout import Lockout
from node.auth.userpass import UserpassEngine
from node.engines.identity.engine import IdentityEngine
from tests.node.identity.people import People

ROLES = "auth/approle/role"


@pytest.fixture
def world() -> People:
    world = People()
    world.engines["userpass"] = UserpassEngine(Lockout())
    world.registry.forget()
    return world


def caller(world: People, *rules: tuple[str, str]) -> str:
    stanzas = (
        f'path "{path}" {{ capabilities = [{", ".join(f"{word!r}" for word in words.split())}] }}'.replace("'", '"')
        for path, words in rules
    )
    world.policy("app", "\n".join(stanzas))
    return world.make({"policies": ["app"]})


@pytest.mark.parametrize(
    ("folder", "name", "below"),
    [
        (f"{ROLES}/", "prod", ""),
        (f"{ROLES}/", "prod", "/secret-id"),
        ("auth/userpass/users/", "ann", ""),
        ("auth/userpass/users/", "ann", "/password"),
        ("identity/entity/name/", "boss", ""),
        ("identity/group/name/", "a/b", ""),
        ("sys/policies/acl/", "guarded", ""),
        ("sys/policy/", "guarded", ""),
    ],
)
def test_a_deny_is_not_dodged_by_upper_case(world, folder, name, below):
    """Whatever is denied, or granted less, under its name; a name that is not denied is written in any case."""
    token = caller(
        world, (f"{folder}*", "create read update"), (f"{folder}{name}", "deny"), (f"{folder}{name}/*", "deny")
    )
    for spelled in (name, name.upper(), name.title()):
        assert not world.may(token, "update", f"{folder}{spelled}{below}")
    assert world.may(token, "update", f"{folder}OTHER{below}")

    token = caller(world, (f"{folder}*", "create read update"), (f"{folder}{name}{below}", "read"))
    assert not world.may(token, "update", f"{folder}{name.upper()}{below}")


def test_conditions_of_the_spelling_that_counts_hold(world):
    """Parameters that are denied there; sudo is not got elsewhere."""
    world.policy(
        "app",
        f'path "{ROLES}/*" {{ capabilities = ["create", "update", "sudo"] }}'
        f'path "{ROLES}/prod" {{ capabilities = ["create", "update"] denied_parameters = {{ "token_ttl" = [] }} }}',
    )
    token = world.make({"policies": ["app"]})
    for name in ("prod", "PROD"):
        with pytest.raises(Exception, match="refused with 403"):
            world.go("update", f"{ROLES}/{name}", {"token_ttl": "9h"}, token=token)
        assert world.go("update", f"{ROLES}/{name}", {"token_num_uses": 1}, token=token).empty
    assert world.go("update", f"{ROLES}/OTHER", {"token_ttl": "9h"}, token=token).warnings is None


def test_a_rule_that_is_written_in_upper_case_grants_what_it_names(world):
    """Where no rule is about the other spelling, nothing is dodged."""
    token = caller(world, (f"{ROLES}/MyApp", "read"), ("identity/entity/name/Ann", "read"))
    assert world.may(token, "read", f"{ROLES}/MyApp")
    assert world.may(token, "read", "identity/entity/name/Ann")
    for other in (f"{ROLES}/myapp", f"{ROLES}/MYAPP", "identity/entity/name/ann"):
        assert not world.may(token, "read", other)


def test_root_may_write_any_spelling(world):
    """No rule is about anything."""
    assert world.go("update", f"{ROLES}/PROD", {}).empty
    assert world.may(world.root, "read", f"{ROLES}/Prod")


@pytest.mark.parametrize(
    ("engine", "path", "canonical"),
    [
        ("approle", "role/PROD", "role/prod"),
        ("approle", "role/PROD/secret-id/", "role/prod/secret-id/"),
        ("approle", "role/A.B/role-id", "role/a.b/role-id"),
        ("approle", "role/", "role/"),
        ("approle", "role", "role"),
        ("approle", "", ""),
        ("approle", "LOGIN", "LOGIN"),
        ("approle", "ROLE/PROD", "ROLE/PROD"),
        ("approle", "tidy/SECRET-id", "tidy/SECRET-id"),
        ("userpass", "users/Ann@X", "users/ann@x"),
        ("userpass", "users/Ann/Password", "users/ann/Password"),
        ("userpass", "login/Ann", "login/ann"),
        ("userpass", "users", "users"),
        ("userpass", "USERS/Ann", "USERS/Ann"),
        ("identity", "entity/name/A/B", "entity/name/a/b"),
        ("identity", "group/name/A", "group/name/a"),
        ("identity", "entity/id/A", "entity/id/A"),
        ("identity", "entity/name", "entity/name"),
        ("identity", "", ""),
    ],
)
def test_names_are_folded_and_nothing_else(engine, path, canonical):
    """As the engine itself folds them; twice is once."""
    engines = {
        "approle": ApproleEngine(Lockout()), "userpass": UserpassEngine(Lockout()), "identity": IdentityEngine(),
    }  # fmt: skip
    assert engines[engine].canonical(path) == canonical == engines[engine].canonical(canonical)


@pytest.mark.parametrize(
    ("engine", "path", "counts"),
    [
        (CertEngine(), "certs/Web", "certs/web"),
        (CertEngine(), "crls/Web", "crls/web"),
        (CertEngine(), "login", "login"),
        (KubernetesEngine(), "role/App", "role/app"),
        (KubernetesEngine(), "config", "config"),
    ],
)
def test_the_spelling_that_counts(engine, path, counts):
    """Names alone are folded, never what stands around them."""
    assert engine.canonical(path) == counts

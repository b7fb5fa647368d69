"""What a token may give to its children, in Vault's words."""

import pytest

from cluster import Table
from tests.node.auth.world import START_NS, World

CREATE = "auth/token/create"
APP = """
path "auth/token/create" { capabilities = ["update"] }
path "auth/token/create-orphan" { capabilities = ["update"] }
path "auth/token/revoke" { capabilities = ["update"] }
"""
SUDO = 'path "auth/token/create" { capabilities = ["update", "sudo"] }'


@pytest.fixture
def world() -> World:
    world = World()
    world.policy("app", APP)
    world.policy("admin", SUDO)
    world.policy("nothing", 'path "none" { capabilities = ["read"] }')
    return world


def test_the_answer_is_an_auth_block_with_every_key(world):
    """Clients read these keys, and the raw token stands nowhere else."""
    body = {"policies": ["app"], "ttl": "1h", "display_name": "my app!", "meta": {"who": "me"}}
    answer = world.ask("update", CREATE, body)
    record = world.record(answer.auth["client_token"])

    assert answer.data is None
    assert {**answer.auth, "client_token": "", "accessor": ""} == {
        "client_token": "",
        "accessor": "",
        "policies": ["app", "default"],
        "token_policies": ["app", "default"],
        "metadata": {"who": "me"},
        "lease_duration": 3600,
        "renewable": True,
        "entity_id": "",
        "token_type": "service",
        "orphan": False,
        "mfa_requirement": None,
        "num_uses": 0,
    }
    assert (record.display_name, record.path, record.created_ns) == ("token-my-app", CREATE, START_NS)
    assert world.plans[-1].secret_answer


@pytest.mark.parametrize(
    ("parent", "asked", "expected"),
    [
        ("root", {}, ["root"]),
        ("root", {"policies": ["nothing"]}, ["default", "nothing"]),
        ("root", {"policies": "nothing,app"}, ["app", "default", "nothing"]),
        ("root", {"policies": [" Nothing ", "APP", "app"]}, ["app", "default", "nothing"]),
        ("root", {"policies": ["root", "nothing"]}, ["root"]),
        ("root", {"policies": [" ROOT "]}, ["root"]),
        ("root", {"policies": ["nothing"], "no_default_policy": True}, ["nothing"]),
        ("app", {}, ["app", "default"]),
        ("app", {"policies": ["default"]}, ["default"]),
        ("app", {"policies": ["app"]}, ["app", "default"]),
        ("app", {"no_default_policy": True}, ["app"]),
        ("bare", {}, ["app"]),
        ("bare", {"policies": ["app"]}, ["app"]),
        ("admin", {"policies": ["nothing"]}, ["default", "nothing"]),
        ("admin", {}, ["admin", "default"]),
    ],
)
def test_policies_of_a_child(world, parent, asked, expected):
    """Inherited, asked for within the parent's, or free under root and sudo; default as Vault adds it."""
    answer = world.ask("update", CREATE, asked, token=_parent(world, parent))

    assert answer.auth["policies"] == expected


@pytest.mark.parametrize(
    ("parent", "asked", "text"),
    [
        ("app", {"policies": ["nothing"]}, "child policies must be subset of parent"),
        ("app", {"policies": ["root"]}, "child policies must be subset of parent"),
        ("app", {"policies": [" ROOT "]}, "child policies must be subset of parent"),
        ("bare", {"policies": ["default"]}, "child policies must be subset of parent"),
        ("admin", {"policies": ["root"]}, "root tokens may not be created without parent token being root"),
        ("admin", {"policies": ["RooT"]}, "root tokens may not be created without parent token being root"),
        ("root", {"policies": ["response-wrapping"]}, 'cannot assign policy "response-wrapping"'),
        ("root", {"policies": [" Response-Wrapping"]}, 'cannot assign policy "response-wrapping"'),
        ("app", {"no_parent": True}, "root or sudo privileges required to create orphan token"),
        ("app", {"period": "1h"}, "root or sudo privileges required to create periodic token"),
        ("app", {"id": "custom"}, "root or sudo privileges required to specify token id"),
        ("root", {"id": "hvs.custom"}, "custom token ID cannot have the 'hvs.' prefix"),
        ("root", {"id": "s.custom"}, "custom token ID cannot have the 's.' prefix"),
        ("root", {"id": "with.dot"}, "custom token ID cannot have a '.' in the value"),
        ("root", {"id": "with space"}, "custom token ID must be 1 to 256 visible ASCII characters"),
        ("root", {"num_uses": -1}, "number of uses cannot be negative"),
        ("root", {"type": "bogus"}, "invalid 'token_type' value"),
        ("root", {"type": "batch"}, "batch tokens cannot be root tokens"),
        ("root", {"entity_alias": "x"}, "'entity_alias' is only allowed in combination with token role"),
        ("root", {"ttl": "-1h", "policies": ["app"]}, "ttl must be positive"),
        ("root", {"period": "-1h", "policies": ["app"]}, "period must be positive"),
        ("root", {"explicit_max_ttl": "-1h", "policies": ["app"]}, "explicit_max_ttl must be positive"),
        ("root", {"ttl": "banana"}, 'time: invalid duration "banana"'),
        ("short", {}, "expiring root tokens cannot create non-expiring root tokens"),
        ("twice", {}, "restricted use token cannot generate child tokens"),
        ("once", {}, "parent token lookup failed: no parent found"),
    ],
)
def test_refusals_say_why_and_make_nothing(world, parent, asked, text):
    """400 with Vault's sentence; no token and no accessor more than before."""
    parent_token = _parent(world, parent)
    before = world.count(Table.TOKEN)
    spent = 1 if parent == "once" else 0

    assert world.refused("update", CREATE, asked, token=parent_token) == (400, text, False)
    assert world.count(Table.TOKEN) == before - spent


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"ttl": {"a": 1}}, "'ttl'"),
        ({"renewable": "maybe"}, "'renewable'"),
        ({"num_uses": "three"}, "'num_uses'"),
        ({"policies": {"a": 1}}, "'policies'"),
        ({"meta": "text"}, "'meta'"),
    ],
)
def test_a_field_of_the_wrong_type_is_named(world, body, text):
    """The sentence is that of Vault's field validation."""
    status, said, wrapped = world.refused("update", CREATE, body)
    name = text.strip("'")

    assert (status, wrapped) == (400, False)
    assert said.startswith(f'Field validation failed: error converting input for field "{name}": ')


def test_weakly_typed_fields_are_taken(world):
    """Text for numbers and booleans, one name for a list, a number in a meta value, days."""
    body = {"num_uses": "3", "renewable": "false", "ttl": "1d", "policies": "default", "meta": {"n": 5}}
    auth = world.ask("update", CREATE, body).auth

    assert (auth["num_uses"], auth["renewable"], auth["lease_duration"], auth["policies"], auth["metadata"]) == (
        3,
        False,
        86400,
        ["default"],
        {"n": "5"},
    )


@pytest.mark.parametrize(
    ("asked", "ttl_s", "renewable", "warning"),
    [
        ({"policies": ["app"]}, 2764800, True, None),
        ({"policies": ["app"], "lease": "30m"}, 1800, True, None),
        ({"policies": ["app"], "ttl": 60}, 60, True, None),
        ({"policies": ["app"], "period": "1h"}, 3600, True, None),
        ({"policies": ["app"], "period": "1h", "explicit_max_ttl": "2h"}, 3600, True, None),
        ({"policies": ["app"], "renewable": False, "ttl": "1h"}, 3600, False, None),
        ({}, 0, False, None),
        ({"ttl": "1h"}, 3600, True, None),
        ({"explicit_max_ttl": "1h"}, 3600, True, None),
        (
            {"policies": ["app"], "ttl": "9000h"},
            2764800,
            True,
            'TTL of "9000h" exceeded the effective max_ttl of "768h"; TTL value is capped accordingly',
        ),
        (
            {"policies": ["app"], "period": "9000h"},
            2764800,
            True,
            'period of "9000h" exceeded the effective max_ttl of "768h"; period value is capped accordingly',
        ),
        (
            {"policies": ["app"], "ttl": "2h", "explicit_max_ttl": "1h"},
            3600,
            True,
            'TTL of "2h" exceeded the effective max_ttl of "1h"; TTL value is capped accordingly',
        ),
        ({"policies": ["gone"]}, 2764800, True, 'Policy "gone" does not exist'),
        ({"nosuch": 1, "another": 2}, 0, False, "Endpoint ignored these unrecognized parameters: [another nosuch]"),
    ],
)
def test_lives_and_warnings(world, asked, ttl_s, renewable, warning):
    """How long a new token lives, and what the answer warns of."""
    answer = world.ask("update", CREATE, asked)

    assert (answer.auth["lease_duration"], answer.auth["renewable"]) == (ttl_s, renewable)
    assert answer.warnings == (None if warning is None else [warning])


def test_a_chosen_id_works_once(world):
    """It is taken verbatim, warned about, and refused the second time."""
    answer = world.ask("update", CREATE, {"id": "custom-2", "policies": ["nothing"]})

    assert answer.auth["client_token"] == "custom-2"
    assert "SHA1" in answer.warnings[0]
    assert world.works("custom-2")
    assert world.refused("update", CREATE, {"id": "custom-2"})[1] == "cannot create a token with a duplicate ID"


def test_a_chosen_id_does_not_bring_revoked_children_back(world):
    """While anything below the old token is left, its id stays taken; after the sweep it is free."""
    world.make({"id": "again", "policies": ["app"]})
    child = world.make(token="again")
    world.ask("update", "auth/token/revoke", {"token": "again"})
    early = world.refused("update", CREATE, {"id": "again"})[1]
    world.sweep()
    world.make({"id": "again", "policies": ["app"]})

    assert early == "cannot create a token with a duplicate ID"
    assert (world.works("again"), world.works(child)) == (True, False)


def test_a_chosen_id_stays_taken_while_an_expired_token_has_children(world):
    """The twin by time: expired and not yet swept is still there."""
    world.make({"id": "brief", "policies": ["app"], "ttl": "1h"})
    child = world.make({"ttl": "5h"}, token="brief")
    world.pass_time(3700)
    refused = world.refused("update", CREATE, {"id": "brief"})[1]
    world.sweep()
    world.make({"id": "brief", "policies": ["app"]})

    assert refused == "cannot create a token with a duplicate ID"
    assert not world.works(child)


@pytest.mark.parametrize(("path", "body"), [("create", {"no_parent": True}), ("create-orphan", {})])
def test_orphans_have_no_parent(world, path, body):
    """By sudo on create, or by whoever may use create-orphan."""
    answer = world.ask("update", f"auth/token/{path}", {"policies": ["app"], **body})

    assert answer.auth["orphan"] is True
    assert world.record(answer.auth["client_token"]).parent is None


def test_create_orphan_needs_update_and_no_sudo(world):
    """As recorded from OpenBao; without update it is refused."""
    allowed = world.ask("update", "auth/token/create-orphan", {}, token=_parent(world, "app"))
    denied = world.refused("update", "auth/token/create-orphan", {}, token=_parent(world, "nothing"))

    assert allowed.auth["orphan"] is True
    assert denied == (403, "permission denied", True)


def test_a_child_inherits_networks_and_an_orphan_does_too(world):
    """Whoever may make orphans does not get out of the networks so; a token that is bound to none makes such."""
    parent = _parent(world, "app")
    record = world.record(parent)
    record.bound_cidrs = ["127.0.0.0/8"]
    _replace(world, parent, record)
    child, orphan = world.make(token=parent), world.make(token=parent, path="create-orphan")

    assert world.record(child).bound_cidrs == world.record(orphan).bound_cidrs == ["127.0.0.0/8"]
    assert world.record(world.make(token=_parent(world, "app"), path="create-orphan")).bound_cidrs is None


def test_the_mount_bounds_what_its_tokens_live(world):
    """The tuned times to live of auth/token count, not the system's."""
    world.ask("update", "sys/auth/token/tune", {"default_lease_ttl": "10m", "max_lease_ttl": "20m"})

    assert world.ask("update", CREATE, {"policies": ["app"]}).auth["lease_duration"] == 600
    assert world.ask("update", CREATE, {"policies": ["app"], "ttl": "1h"}).auth["lease_duration"] == 1200


def test_the_request_of_a_token_that_is_gone_makes_nothing(world):
    """A parent that was revoked between judging and deciding has no children."""
    parent = _parent(world, "app")
    world.ask("update", "auth/token/revoke", {"token": parent})

    assert world.refused("update", CREATE, {}, token=parent) == (403, "permission denied", False)


def _parent(world: World, name: str) -> str:
    bodies = {
        "app": {"policies": ["app"]},
        "bare": {"policies": ["app"], "no_default_policy": True},
        "admin": {"policies": ["admin"]},
        "nothing": {"policies": ["nothing"]},
        "short": {"ttl": "1h"},
        "twice": {"num_uses": 2, "policies": ["app"]},
        "once": {"num_uses": 1, "policies": ["app"]},
    }
    return world.root if name == "root" else world.make(bodies[name])


def _replace(world: World, raw_token: str, record) -> None:
    from cluster import Draft

    draft = Draft()
    draft.put(Table.TOKEN, world.keys.token_hash(raw_token), record)
    world.apply(draft)

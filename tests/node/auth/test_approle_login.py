"""Logging in by approle: who gets a token, what kind of token, and what is refused alike."""

import pytest

from cluster import EVERYTHING, Draft, Table
from node.auth.approle.secret_ids import SecretId
from node.auth.lockout import Lockout
from node.request import Refusal
from tests.node.auth.login_world import LoginWorld

LOGIN = "auth/approle/login"
INVALID = (400, "invalid role or secret ID")


@pytest.fixture
def world() -> LoginWorld:
    return LoginWorld()


def test_a_login_gets_a_token_of_the_role(world):
    """With the role's policies and time to live, named by the mount, and with the metadata of both."""
    role_id = world.role(token_policies="a", token_ttl="1h", token_num_uses=7)
    world.policy("a", 'path "x" { capabilities = ["read"] }')
    secret_id = world.secret_id(metadata='{"host":"h1","role_name":"forged"}')
    answer = world.log_in(LOGIN, {"role_id": role_id, "secret_id": secret_id})
    auth = answer.auth

    assert auth == auth | {
        "policies": ["a", "default"], "token_policies": ["a", "default"], "lease_duration": 3600, "renewable": True,
        "metadata": {"host": "h1", "role_name": "app"}, "token_type": "service", "orphan": True, "num_uses": 7,
        "mfa_requirement": None,
    }  # fmt: skip
    assert answer.warnings is None
    assert world.plans[-1].secret_answer
    record = world.record(auth["client_token"])
    assert auth["entity_id"] == record.entity_id != ""
    assert (record.display_name, record.path) == ("approle", LOGIN)
    assert world.works(auth["client_token"])


def test_the_display_name_is_the_path_of_the_mount(world):
    """Slashes become dashes."""
    world.ask("update", "sys/auth/team/ci", {"type": "approle"})
    world.ask("update", "auth/team/ci/role/r", {})
    role_id = world.data("read", "auth/team/ci/role/r/role-id")["role_id"]
    secret_id = world.data("update", "auth/team/ci/role/r/secret-id", {})["secret_id"]
    auth = world.log_in("auth/team/ci/login", {"role_id": role_id, "secret_id": secret_id}).auth

    assert world.record(auth["client_token"]).display_name == "team-ci"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "missing role_id"),
        ({"secret_id": "x"}, "missing role_id"),
        ({"role_id": "MINE"}, "missing secret_id"),
        ({"role_id": "no", "secret_id": "x"}, "invalid role or secret ID"),
        ({"role_id": "no"}, "missing secret_id"),
        ({"role_id": "no", "secret_id": ""}, "missing secret_id"),
        ({"role_id": "MINE", "secret_id": "x"}, "invalid role or secret ID"),
        ({"role_id": "MINE", "secret_id": ""}, "missing secret_id"),
    ],
)
def test_a_login_without_its_proof_is_refused(world, body, text):
    """Nothing changes, and no text holds what was sent."""
    role_id = world.role()
    assert world.turned_away(LOGIN, body | ({"role_id": role_id} if body.get("role_id") == "MINE" else {})) == (
        400,
        text,
    )


def test_a_secret_id_is_of_one_role_alone(world):
    """Another role does not take it."""
    mine, other = world.role(), world.role("other")
    secret_id = world.secret_id()
    assert world.no_approle(other, secret_id) == INVALID
    assert world.approle(mine, secret_id)


def test_a_secret_id_is_not_of_a_later_role_of_the_same_name(world):
    """Not even of one with the same id."""
    role_id, secret_id = world.role(), world.secret_id()
    world.ask("delete", "auth/approle/role/app")
    assert world.no_approle(role_id, secret_id) == INVALID
    world.role(role_id=role_id)
    assert world.no_approle(role_id, secret_id) == INVALID
    assert world.approle(role_id, world.secret_id())


def test_an_expired_secret_id_is_of_no_use(world):
    """Beside one that has not expired."""
    role_id = world.role()
    short, long = world.secret_id(ttl=60), world.secret_id(ttl=61)
    world.pass_time(60)
    assert world.no_approle(role_id, short) == INVALID
    assert world.approle(role_id, long)


def test_64_uses_of_a_secret_id_for_one_give_one_token(world):
    """The use is in the transaction that makes the token; after it nothing is left of the secret-id."""
    role_id = world.role(secret_id_num_uses=1)
    secret_id = world.secret_id()
    world.ask("update", "sys/auth/approle/tune", {"user_lockout_config": {"lockout_disable": True}})
    tokens_before = world.count(Table.TOKEN)
    outcomes = []
    for _ in range(64):
        try:
            outcomes.append(world.approle(role_id, secret_id)["num_uses"])
        except Refusal as refusal:
            outcomes.append((refusal.status, *refusal.texts))

    assert outcomes == [0] + 63 * [INVALID]
    assert world.count(Table.TOKEN) == tokens_before + 1
    assert (world.entries("secret-id/"), world.entries("accessor/")) == (0, 0)


def test_uses_count_down_and_touch_everything(world):
    """Whoever reads beside waits for them; a secret-id for any number of uses changes nothing but the new token."""
    role_id, secret_id = world.role(), world.secret_id(num_uses=3)
    world.pass_time(5)
    world.approle(role_id, secret_id)
    counted = world.plans[-1].draft
    data = world.data("update", "auth/approle/role/app/secret-id/lookup", {"secret_id": secret_id})
    assert (data["secret_id_num_uses"], data["last_updated_time"]) == (2, "2025-11-24T09:41:05.25Z")
    assert counted.hashes in {(), (EVERYTHING,)}

    world.approle(role_id, world.secret_id())
    alone = world.plans[-1].draft
    assert {table for table, *_ in alone.puts} == {Table.TOKEN, Table.ACCESSOR}
    assert len(alone.hashes) == 2


def test_a_refused_login_costs_no_use(world):
    """From the wrong address, or for a role that may not have a token."""
    role_id = world.role(secret_id_num_uses=1, secret_id_bound_cidrs="10.0.0.0/8")
    secret_id = world.secret_id()
    text = 'source address "192.0.2.1" unauthorized by CIDR restrictions on the role'
    assert world.no_approle(role_id, secret_id, "192.0.2.1") == (400, text)
    world.role(token_policies="root")
    refused = world.no_approle(role_id, secret_id, "10.1.1.1")
    assert refused == (400, "auth methods cannot create root tokens")
    world.role(token_policies="")
    assert world.approle(role_id, secret_id, "10.1.1.1")


@pytest.mark.parametrize("policies", ["root", " ROOT ", "a,Root"])
def test_no_login_makes_a_root_token(world, policies):
    """However it is spelt."""
    role_id = world.role(token_policies=[policies] if "," not in policies else policies)
    assert world.no_approle(role_id, world.secret_id()) == (400, "auth methods cannot create root tokens")


def test_the_networks_of_a_secret_id_bind_it(world):
    """From inside it works, from outside the address is named."""
    role_id, secret_id = world.role(), world.secret_id(cidr_list="10.0.0.0/8")
    text = 'source address "11.0.0.1" unauthorized through CIDR restrictions on the secret ID'
    assert world.no_approle(role_id, secret_id, "11.0.0.1") == (400, text)
    assert world.approle(role_id, secret_id, "10.0.0.1")
    assert world.approle(role_id, secret_id, "::ffff:10.0.0.1")


@pytest.mark.parametrize(
    ("role", "secret_id", "bound"),
    [
        ("", "", None),
        ("10.0.0.0/8", "", ["10.0.0.0/8"]),
        ("", "10.1.0.0/16", ["10.1.0.0/16"]),
        ("10.0.0.0/8", "10.1.0.0/16", ["10.1.0.0/16"]),
    ],
)
def test_networks_bind_the_token(world, role, secret_id, bound):
    """Those of the secret-id narrow those of the role."""
    role_id = world.role(token_bound_cidrs=role)
    auth = world.approle(role_id, world.secret_id(token_bound_cidrs=secret_id))

    assert world.record(auth["client_token"]).bound_cidrs == bound
    assert world.works(auth["client_token"], "10.1.0.1")
    assert world.works(auth["client_token"], "192.0.2.1") == (bound is None)


def test_a_role_that_was_narrowed_narrows_older_secret_ids(world):
    """What is left of both; nothing left is a refusal, and never a token without bounds."""
    role_id = world.role(token_bound_cidrs="10.0.0.0/8")
    secret_id = world.secret_id(token_bound_cidrs="10.1.0.0/16")
    world.role(token_bound_cidrs="10.1.7.0/24,192.0.2.0/24")
    assert world.record(world.approle(role_id, secret_id)["client_token"]).bound_cidrs == ["10.1.7.0/24"]
    world.role(token_bound_cidrs="192.0.2.0/24")
    refused = world.no_approle(role_id, secret_id)
    assert refused == (400, "no address is inside the networks of both the role and the login")


def test_a_role_without_secret_ids_takes_the_role_id_alone(world):
    """From inside its networks."""
    role_id = world.role(bind_secret_id=False, secret_id_bound_cidrs="10.0.0.0/8")
    body = {"role_id": role_id}
    assert world.log_in(LOGIN, body, "10.0.0.1").auth
    assert world.turned_away(LOGIN, body, "11.0.0.1")[0] == 400


def test_strictly_bound_tokens_work_from_one_address(world):
    """The one that logged in."""
    auth = world.approle(world.role(token_strictly_bind_ip=True), world.secret_id(), "10.0.0.1")
    token = auth["client_token"]
    assert (world.works(token, "10.0.0.1"), world.works(token, "10.0.0.2")) == (True, False)


@pytest.mark.parametrize(
    ("role", "tune", "ttl_s", "warned"),
    [
        ({}, {}, 2_764_800, False),
        ({"token_ttl": 600}, {}, 600, False),
        ({"token_ttl": 600, "token_max_ttl": 600}, {}, 600, False),
        ({"token_max_ttl": 100}, {}, 100, True),
        ({}, {"default_lease_ttl": "5m"}, 300, False),
        ({"token_ttl": "2h"}, {"max_lease_ttl": "1h"}, 3600, True),
        ({"token_period": 120, "token_max_ttl": 60}, {}, 120, False),
        ({"token_period": 120, "token_explicit_max_ttl": 50}, {}, 50, True),
        ({"token_explicit_max_ttl": 50}, {}, 50, True),
    ],
)
def test_how_long_a_token_lives(world, role, tune, ttl_s, warned):
    """The role's time to live, within every maximum."""
    world.ask("update", "sys/auth/approle/tune", tune)
    role_id = world.role(**role)
    answer = world.log_in(LOGIN, {"role_id": role_id, "secret_id": world.secret_id()})

    assert answer.auth["lease_duration"] == ttl_s
    assert bool(answer.warnings) == warned


def test_default_can_be_left_out_and_missing_policies_are_said(world):
    """A warning each; response-wrapping is nobody's by a role."""
    role_id = world.role(token_no_default_policy=True, token_policies="a,response-wrapping")
    answer = world.log_in(LOGIN, {"role_id": role_id, "secret_id": world.secret_id()})

    assert (answer.auth["policies"], answer.warnings) == (["a"], ['Policy "a" does not exist'])


# ---- renewal
def test_a_renewal_asks_the_role_as_it_is_now(world):
    """A time to live, a maximum or a period that changed counts from then on."""
    role_id = world.role(token_ttl=100)
    token = world.approle(role_id, world.secret_id())["client_token"]
    lives = []
    for fields, increment in (
        ({}, {}),
        ({}, {"increment": 50}),
        ({"token_ttl": 200}, {}),
        ({"token_max_ttl": 300}, {"increment": 1000}),
        ({"token_period": 70}, {"increment": 1000}),
        ({"token_period": 0, "token_max_ttl": 0, "token_ttl": 0}, {}),
    ):
        world.role(**fields)
        world.pass_time(10)
        answer = world.ask("update", "auth/token/renew-self", increment, token=token)
        lives.append(answer.auth["lease_duration"])

    assert lives == [100, 50, 200, 260, 70, 2_764_740]


def test_a_token_past_the_maximum_of_its_role_is_not_renewed(world):
    """The maximum is the one of now."""
    token = world.approle(world.role(token_ttl=100), world.secret_id())["client_token"]
    world.pass_time(60)
    world.role(token_ttl=10, token_max_ttl=60)
    refused = world.refused("update", "auth/token/renew-self", {}, token=token)
    assert refused == (400, "past the max TTL, cannot renew", False)


def test_the_mount_of_the_login_caps_a_renewal(world):
    """Not that of auth/token."""
    token = world.approle(world.role(token_ttl=100), world.secret_id())["client_token"]
    world.ask("update", "sys/auth/approle/tune", {"max_lease_ttl": "2m"})
    answer = world.ask("update", "auth/token/renew", {"token": token, "increment": "1h"})
    assert answer.auth["lease_duration"] == 120


def test_a_token_whose_role_is_gone_is_not_renewed(world):
    """It lives on to its end; a role of the same name is the role again, as in Vault."""
    token = world.approle(world.role(token_ttl=100), world.secret_id())["client_token"]
    world.ask("delete", "auth/approle/role/app")
    refused = world.refused("update", "auth/token/renew-self", {}, token=token)
    assert refused == (400, 'role "app" does not exist during renewal', True)
    assert world.works(token)
    world.role(token_ttl=50)
    assert world.ask("update", "auth/token/renew-self", {}, token=token).auth["lease_duration"] == 50


@pytest.mark.parametrize("again", [False, True])
def test_a_token_whose_mount_is_gone_is_not_renewed(world, again):
    """A new mount at the same path, with a role of the same name, knows nothing of it."""
    token = world.approle(world.role(token_ttl=100), world.secret_id())["client_token"]
    world.ask("delete", "sys/auth/approle")
    world.pass_time(1)
    if again:
        world.ask("update", "sys/auth/approle", {"type": "approle"})
        world.role(token_ttl=100)
    accessor = world.record(token).accessor.decode()
    refused = world.refused("update", "auth/token/renew-accessor", {"accessor": accessor})
    assert refused == (400, "invalid accessor", True)


def test_nothing_that_holds_an_id_shows_it():
    """A repr says what it is, and no more."""
    secret_id = SecretId(accessor="acc", role="r", created_ns=1, updated_ns=1, metadata={"k": "hidden"})
    assert [repr(one) for one in (secret_id, Lockout(), Draft())] == [
        "<SecretId>", "<Lockout of 0 names>", "<Draft 0 puts 0 drops>",
    ]  # fmt: skip

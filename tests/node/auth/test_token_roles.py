"""Token roles: what is stored of them, and what a token gets that is created through one."""

import pytest

from cluster import Table
from node.auth.token_params import TokenParams
from node.auth.token_roles import TokenRole, _fits, check_alias
from node.engines.base import Caller, Context
from node.engines.system.mount_table import find_mount
from tests.node.auth.world import World

ROLE = "auth/token/roles/r"
DEFAULTS = {
    "name": "r", "allowed_policies": [], "disallowed_policies": [], "allowed_policies_glob": [],
    "disallowed_policies_glob": [], "orphan": False, "path_suffix": "", "renewable": True,
    "token_type": "default-service", "period": 0, "token_period": 0, "explicit_max_ttl": 0,
    "token_explicit_max_ttl": 0, "allowed_entity_aliases": [], "token_no_default_policy": False,
}  # fmt: skip
BATCH_ROLE = {"token_type": "batch", "orphan": True, "renewable": False}


@pytest.fixture
def world() -> World:
    world = World()
    world.policy("maker", 'path "auth/token/create/*" { capabilities = ["update"] }')
    world.policy("app", 'path "app/*" { capabilities = ["read"] }')
    return world


def role(world, **fields):
    world.ask("update", ROLE, fields)


def made(world, body=None, token="root"):
    return world.ask("update", "auth/token/create/r", body or {}, token=token)


def refused(world, body=None, token="root"):
    return world.refused("update", "auth/token/create/r", body or {}, token=token)


# ---- stored
def test_a_role_reads_as_it_was_written(world):
    """Defaults where nothing was said; lists cleaned as policies are; 204, listed, and gone when deleted."""
    assert world.refused("list", "auth/token/roles") == (404, "", False)
    assert world.ask("update", ROLE, {}).empty
    assert world.data("read", ROLE) == DEFAULTS
    role(world, allowed_policies="B, a ,A", allowed_policies_glob=["X-*"], disallowed_policies=["z"], orphan="true")
    wanted = {"allowed_policies": ["a", "b"], "allowed_policies_glob": ["x-*"], "disallowed_policies": ["z"]}
    assert world.data("read", ROLE) == DEFAULTS | wanted | {"orphan": True}
    assert world.data("list", "auth/token/roles/") == {"keys": ["r"]}
    assert world.ask("delete", ROLE).empty
    assert world.ask("delete", ROLE).empty
    assert world.refused("read", ROLE) == (404, "", False)


def test_what_is_not_given_stays(world):
    """An update is no replacement."""
    role(world, path_suffix="v1", token_num_uses=3, renewable=False)
    role(world, token_bound_cidrs=["10.0.0.0/8"])

    wanted = {"path_suffix": "v1", "token_num_uses": 3, "renewable": False, "token_bound_cidrs": ["10.0.0.0/8"]}
    assert world.data("read", ROLE) == DEFAULTS | wanted


def test_old_names_are_shown_as_long_as_they_were_used(world):
    """`period` is `token_period`; given by today's name, the old one is forgotten, and said to be ignored."""
    role(world, period="1h", explicit_max_ttl=7200, bound_cidrs="127.0.0.1")
    wanted = {"period": 3600, "token_period": 3600, "explicit_max_ttl": 7200, "token_explicit_max_ttl": 7200}
    wanted |= {"token_bound_cidrs": ["127.0.0.1"], "bound_cidrs": ["127.0.0.1"]}
    assert world.data("read", ROLE) == DEFAULTS | wanted

    answer = world.ask("update", ROLE, {"period": "2h", "token_period": "3h"})
    [warning] = answer.warnings
    assert warning == "Both 'token_period' and deprecated 'period' value supplied, ignoring the deprecated value"
    assert world.data("read", ROLE) == DEFAULTS | wanted | {"period": 0, "token_period": 10_800}


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"token_type": "bogus"}, "invalid 'token_type' value \"bogus\""),
        ({"token_type": ""}, "invalid 'token_type' value \"\""),
        ({"path_suffix": "a/b"}, "given role path suffix contains invalid characters"),
        ({"path_suffix": "a..b"}, "error registering path suffix: path cannot contain parent references"),
        ({"token_period": "-1h"}, "'token_period' cannot be negative"),
        ({"token_num_uses": -1}, "'token_num_uses' cannot be negative"),
        ({"token_bound_cidrs": "nowhere"}, "error parsing token_bound_cidrs"),
        ({"renewable": "perhaps"}, 'error converting input for field "renewable"'),
        (BATCH_ROLE | {"orphan": False}, "when role is set to generate non-orphan tokens"),
        (BATCH_ROLE | {"renewable": True}, "when role is set to generate renewable tokens"),
        (BATCH_ROLE | {"token_period": 5}, "when role is set to generate periodic tokens"),
        (BATCH_ROLE | {"explicit_max_ttl": 5}, "when role is set to generate tokens with an explicit max TTL"),
        (BATCH_ROLE | {"token_num_uses": 5}, "when role is set to generate tokens with limited use count"),
    ],
)
def test_a_role_that_makes_no_sense_is_refused(world, fields, text):
    """400, nothing stored; what a batch role must be is taken."""
    status, said, _ = world.refused("update", ROLE, fields)
    assert (status, text in said) == (400, True)
    assert world.count(Table.ENTRY) == 0

    role(world, **BATCH_ROLE)


def test_a_maximum_beyond_the_mount_s_is_warned_of(world):
    """It will be capped."""
    answer = world.ask("update", ROLE, {"token_explicit_max_ttl": "9000h"})

    assert "Given explicit max TTL of 32400000 is greater than" in answer.warnings[0]


def test_roles_are_made_or_changed(world):
    """Two capabilities, told apart by whether the role is there; upper case is another role."""
    world.ask("update", ROLE, {})
    mount_path, _, mount = find_mount(world.state, ROLE)
    context = Context(world.state, world.now_ns, world.random, world.keys, Caller(), mount_path, mount)

    paths = ("roles/r", "roles/R", "create", "roles/", "create/r")
    found = [world.engines["token"].exists(context, path) for path in paths]
    assert found == [True, False, None, None, None]


# ---- tokens
def test_a_role_that_is_not_there_makes_nothing(world):
    """400."""
    assert refused(world) == (400, "unknown role r", False)


def test_a_role_gives_what_whoever_asks_has_not(world):
    """That is what it is for: who may use the path gets the role's policies, not more, and never root."""
    role(world, allowed_policies=["app"], allowed_policies_glob=["team-*"], disallowed_policies_glob=["team-x*"])
    token = world.make({"policies": ["maker"]})

    assert made(world, token=token).auth["policies"] == ["app", "default"]
    assert made(world, {"policies": ["team-a", "app"]}, token).auth["policies"] == ["app", "default", "team-a"]
    text = 'token policies (["default" "maker"]) must be subset of the role\'s allowed policies (["app" "default"])'
    assert refused(world, {"policies": ["maker"]}, token) == (400, text + ' or glob policies (["team-*"])', False)
    text = 'token policy "team-xy" is disallowed by this role'
    assert refused(world, {"policies": ["team-xy"]}, token) == (400, text, False)


@pytest.mark.parametrize("asked", [["root"], [" ROOT "], ["root", "app"]])
def test_no_role_gives_root_but_to_root(world, asked):
    """However it is spelt, and whatever the role's patterns say."""
    role(world, allowed_policies_glob=["*"])
    token = world.make({"policies": ["maker"]})

    text = "root tokens may not be created without parent token being root"
    assert refused(world, {"policies": asked}, token) == (400, text, False)
    assert made(world, {"policies": asked}).auth["policies"] == ["root"]


def test_no_role_gives_the_policy_of_wrapping_tokens(world):
    """Nobody can."""
    role(world, allowed_policies_glob=["*"])

    assert refused(world, {"policies": ["response-wrapping"]})[1] == 'cannot assign policy "response-wrapping"'


def test_a_role_that_says_nothing_of_policies_gives_those_of_a_child(world):
    """The subset rule holds."""
    role(world, path_suffix="v1")
    token = world.make({"policies": ["maker", "app"]})

    assert made(world, token=token).auth["policies"] == ["app", "default", "maker"]
    assert refused(world, {"policies": ["other"]}, token) == (400, "child policies must be subset of parent", False)


def test_a_role_that_only_disallows_passes_on_what_whoever_asks_has(world):
    """Unless that is disallowed."""
    role(world, disallowed_policies=["app"])
    allowed, both = world.make({"policies": ["maker"]}), world.make({"policies": ["maker", "app"]})

    assert made(world, token=allowed).auth["policies"] == ["default", "maker"]
    assert refused(world, token=both) == (400, 'token policy "app" is disallowed by this role', False)


@pytest.mark.parametrize(
    ("fields", "body", "policies"),
    [
        ({"allowed_policies": "app"}, {}, ["app", "default"]),
        ({"allowed_policies": "app"}, {"no_default_policy": True}, ["app"]),
        ({"allowed_policies": "app", "token_no_default_policy": True}, {}, ["app"]),
        ({"allowed_policies": "app", "disallowed_policies": "default"}, {}, ["app"]),
        ({"allowed_policies": "app", "disallowed_policies_glob": "def*"}, {}, ["app"]),
        ({"token_no_default_policy": True}, {"policies": ["app"]}, ["app"]),
        ({}, {"policies": ["app"]}, ["app", "default"]),
    ],
)
def test_whether_the_default_policy_is_added(world, fields, body, policies):
    """By the request, by the role, by what the role disallows."""
    role(world, **fields)

    assert made(world, body).auth["policies"] == policies


def test_what_the_role_says_is_in_the_token(world):
    """Its name in the path, with the suffix; an orphan; bound to networks; with uses; not renewable."""
    role(world, orphan=True, path_suffix="v1", token_bound_cidrs="127.0.0.0/8", token_num_uses=5, renewable=False)
    token = made(world, {"num_uses": 9, "policies": ["app"]}).auth["client_token"]
    record = world.record(token)

    assert (record.parent, record.path, record.role) == (None, "auth/token/create/r/v1", "r")
    assert (record.num_uses, record.renewable, record.bound_cidrs) == (5, False, ["127.0.0.0/8"])
    assert not world.works(token, "10.0.0.1")


@pytest.mark.parametrize(
    ("fields", "body", "seconds"),
    [
        ({"token_explicit_max_ttl": "60s"}, {"ttl": "10h"}, 60),
        ({"token_explicit_max_ttl": "60s"}, {}, 60),
        ({"token_explicit_max_ttl": "60s"}, {"ttl": "30s"}, 30),
        ({"token_period": "60s"}, {"ttl": "10h"}, 60),
        ({"token_period": "60s", "token_explicit_max_ttl": "50s"}, {"ttl": "10h"}, 50),
        ({"token_period": "50s", "token_explicit_max_ttl": "60s"}, {}, 50),
        ({}, {"ttl": "10h"}, 36_000),
    ],
)
def test_a_batch_token_is_bound_by_the_maximum_and_period_of_its_role(world, fields, body, seconds):
    """As a service token would be that nobody renews; it carries neither, and is warned of what was cut."""
    for kind, asked in (("default-service", {"type": "batch"}), ("default-batch", {})):
        role(world, orphan=True, allowed_policies="app", token_type=kind, **fields)
        answer = made(world, body | asked)
        assert (answer.auth["token_type"], answer.auth["lease_duration"]) == ("batch", seconds)
        assert bool(answer.warnings and "exceeded" in answer.warnings[0]) is (seconds in {50, 60})
        told = world.data("read", "auth/token/lookup", query={"token": answer.auth["client_token"]})
        assert (told["explicit_max_ttl"], told["creation_ttl"], told.get("period", 0)) == (0, seconds, 0)


def test_networks_are_those_of_the_role_and_else_of_who_asks(world):
    """Child or orphan, service or batch: nobody gets out of the networks their token is bound to."""
    role(world, token_bound_cidrs="127.0.0.0/8")
    token = made(world, {"policies": ["maker"]}).auth["client_token"]
    for fields in ({}, {"orphan": True}, {"orphan": True, "token_type": "default-batch"}):
        role(world, token_bound_cidrs="", token_type="default-service")
        role(world, **fields)
        new = made(world, {}, token).auth["client_token"]
        assert (world.works(new), world.works(new, "10.0.0.1")) == (True, False)
    role(world, token_bound_cidrs="10.0.0.0/8", token_type="default-service")
    new = made(world, {}, token).auth["client_token"]
    assert (world.works(new), world.works(new, "10.0.0.1")) == (False, True)


def test_who_asks_does_not_choose_what_the_role_does(world):
    """A child of a role without orphans, whatever is asked."""
    role(world, allowed_policies="app")
    token = world.make({"policies": ["maker"]})
    record = world.record(made(world, {"no_parent": True}, token).auth["client_token"])

    assert record.parent == world.keys.token_hash(token)


@pytest.mark.parametrize(
    ("fields", "body", "seconds", "warned"),
    [
        ({"token_period": "2h"}, {}, 7200, False),
        ({"token_period": "2h"}, {"period": "1h"}, 3600, True),
        ({"token_explicit_max_ttl": "1h"}, {"ttl": "2h"}, 3600, True),
        ({"token_explicit_max_ttl": "2h"}, {"ttl": "1h"}, 3600, False),
    ],
)
def test_the_lesser_time_counts(world, fields, body, seconds, warned):
    """Of role and request, and it is said."""
    role(world, **fields, allowed_policies="app")
    answer = made(world, body)

    assert (answer.auth["lease_duration"], bool(answer.warnings)) == (seconds, warned)


def test_a_renewal_asks_the_role_as_it_is_then(world):
    """Its period of now; without the role, nothing."""
    role(world, token_period="1h", allowed_policies="app")
    token = made(world).auth["client_token"]
    role(world, token_period="30m")
    renewed = world.ask("update", "auth/token/renew", {"token": token, "increment": "5h"})
    assert renewed.auth["lease_duration"] == 1800

    world.ask("delete", ROLE)
    assert world.refused("update", "auth/token/renew", {"token": token}) == (
        400, 'original token role "r" could not be found, not renewing', True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("of_role", "asked", "made_type"),
    [
        ("default-service", "", "service"), ("default-service", "batch", "batch"), ("default-batch", "", "batch"),
        ("default-batch", "service", "service"), ("service", "batch", "service"),
    ],
)  # fmt: skip
def test_the_role_or_the_request_says_which_kind(world, of_role, asked, made_type):
    """A default may be overruled, a plain word may not."""
    role(world, token_type=of_role, allowed_policies="app")

    assert made(world, {"type": asked}).auth["token_type"] == made_type


def test_a_batch_role_makes_batch_tokens(world):
    """Orphans: they end by themselves alone."""
    role(world, **BATCH_ROLE, allowed_policies="app")
    maker = world.make({"policies": ["maker"]})
    token = made(world, {"type": "service"}, maker).auth["client_token"]
    world.ask("update", "auth/token/revoke", {"token": maker})

    assert token.startswith("hvb.")
    assert world.works(token)


@pytest.mark.parametrize("alias", ["other", "b", "xbot-7"])
def test_an_alias_must_be_one_the_role_allows(world, alias):
    """Names and patterns, whatever their case."""
    role(world, allowed_entity_aliases=["BOT-*", "one"])

    assert refused(world, {"entity_alias": alias}) == (400, "invalid 'entity_alias' value", False)
    for allowed in ("Bot-7", "ONE"):
        check_alias(TokenRole(TokenParams(), allowed_entity_aliases=["bot-*", "one"]), allowed)


@pytest.mark.parametrize(
    ("name", "pattern", "fits"),
    [
        ("team-a", "team-*", True), ("team-", "team-*", True), ("tea", "team-*", False), ("a", "*", True),
        ("ab", "a*b", True), ("a", "a*a", False), ("axbxc", "a*b*c", True), ("acb", "a*b*c", False),
        ("aa", "a", False), ("xay", "*a*", True), ("a.b", "a?b", False), ("abab", "ab*ab", True),
        ("aba", "ab*ba", False), ("", "*", True), ("a", "a", True),
    ],
)  # fmt: skip
def test_a_star_stands_for_any_text(name, pattern, fits):
    """Anywhere, several times, nothing else is special."""
    assert _fits(name, pattern.split("*")) == fits

"""What every login ends with, whoever let one in."""

import pytest

from cluster import Mount, Table, Token
from node.auth.login import Login, display_name, issue, renewal_s
from node.auth.token_params import TokenParams
from node.request import Refusal
from tests.node.auth.login_world import LoginWorld
from tests.node.auth.world import NS, START_NS, make_request

PATH = "auth/approle/login"


@pytest.fixture
def world() -> LoginWorld:
    return LoginWorld()


def plan(world: LoginWorld, address: str = "10.0.0.1", **login: object) -> object:
    params = login.pop("params", TokenParams())
    return issue(world.context(PATH), make_request("update", PATH, address=address), Login(params, "who", **login))


def token(world: LoginWorld, made: object) -> Token:
    world.apply(made.draft)
    return world.record(made.answer.auth["client_token"])


@pytest.mark.parametrize(
    ("mount_path", "name", "shown"),
    [
        ("auth/approle/", "", "approle"),
        ("auth/userpass/", "ann", "userpass-ann"),
        ("auth/a/b/", "x", "a-b-x"),
        ("auth/a/b/", "", "a-b"),
    ],
)
def test_a_token_is_called_by_mount_and_name(mount_path, name, shown):
    """Slashes are dashes."""
    assert display_name(mount_path, name) == shown


def test_a_token_is_an_orphan_that_carries_what_the_role_says(world):
    """And is marked as an answer that is not kept."""
    params = TokenParams(policies=["a"], num_uses=3, period_s=60, explicit_max_ttl_s=90, no_default_policy=True)
    made = plan(world, params=params, name="n", metadata={"k": "v"}, warnings=["mind"])
    record = token(world, made)

    assert made.secret_answer
    assert (record.policies, record.num_uses, record.period_s, record.explicit_max_ttl_s) == (["a"], 3, 60, 90)
    assert (record.parent, record.meta, record.path, record.display_name) == (None, {"k": "v"}, PATH, "approle-n")
    assert (record.created_ns, record.expires_ns) == (START_NS, START_NS + 60 * NS)
    assert made.answer.warnings[0] == "mind"


@pytest.mark.parametrize("name", ["root", "ROOT", " root "])
def test_no_login_makes_a_root_token(world, name):
    """Nothing is made at all."""
    with pytest.raises(Refusal, match="400"):
        plan(world, params=TokenParams(policies=[name]))
    assert world.count(Table.TOKEN) == 1


@pytest.mark.parametrize(
    ("role", "login", "strictly", "bound"),
    [
        ([], [], False, None),
        (["10.0.0.0/8"], ["10.0.0.0/16"], False, ["10.0.0.0/16"]),
        (["10.0.0.0/8"], [], True, ["10.0.0.1"]),
        ([], [], True, ["10.0.0.1"]),
        (["10.0.0.0/8"], ["11.0.0.0/8"], False, Refusal),
        (["11.0.0.0/8"], [], True, Refusal),
    ],
)
def test_bounds_are_narrowed_and_never_lost(world, role, login, strictly, bound):
    """Nothing in common is a refusal."""
    params = TokenParams(bound_cidrs=role, strictly_bind_ip=strictly)
    if bound is Refusal:
        with pytest.raises(Refusal):
            plan(world, params=params, bound_cidrs=login)
    else:
        assert token(world, plan(world, params=params, bound_cidrs=login)).bound_cidrs == bound


def test_an_address_that_cannot_be_read_is_bound_to_nothing(world):
    """So it gets no token that should be bound to it."""
    with pytest.raises(Refusal):
        plan(world, "nowhere", params=TokenParams(strictly_bind_ip=True))


@pytest.mark.parametrize(
    ("params", "explicit_s", "increment_s", "expected"),
    [
        (TokenParams(), 0, 0, 1000),
        (TokenParams(ttl_s=60), 0, 0, 60),
        (TokenParams(ttl_s=60), 0, 90, 90),
        (TokenParams(ttl_s=60, max_ttl_s=100), 0, 500, 90),
        (TokenParams(ttl_s=60), 50, 500, 40),
        (TokenParams(period_s=30, max_ttl_s=5), 0, 500, 30),
        (TokenParams(max_ttl_s=10), 0, 0, Refusal),
    ],
)
def test_a_renewal_is_within_every_maximum(world, params, explicit_s, increment_s, expected):
    """Of the role as it is, of the token as it was made, of the mount; ten seconds have passed."""
    context = world.context(PATH)
    context.now_ns += 10 * NS
    context.mount = Mount(config={"default_lease_ttl": 1000})
    record = Token(created_ns=START_NS, explicit_max_ttl_s=explicit_s)
    if expected is Refusal:
        with pytest.raises(Refusal):
            renewal_s(context, record, params, increment_s)
    else:
        assert renewal_s(context, record, params, increment_s)[0] == expected


def test_what_is_said_of_a_login_says_nothing(world):
    """Its repr is fixed."""
    assert repr(Login(TokenParams(), "who", metadata={"k": "hidden"})) == "<Login>"

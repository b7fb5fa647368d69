"""Renewing tokens, and the rule of how long they live."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster import Mount
from node.auth.token_ttl import NS, SYSTEM_TTL_S, Wish, decide_ttl_s, mount_ttls_s
from node.request import Refusal
from tests.node.auth.world import START_NS, World

SECONDS = st.integers(0, 10_000)
NEGATIVE = "Field validation failed: error converting input for field \"increment\": cannot provide negative value '-5'"


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize("way", ["self", "token", "accessor"])
def test_every_way_to_renew(world, way):
    """The deadline moves, the answer holds the token only where it came from the caller."""
    raw_token = world.make({"policies": ["default"], "ttl": "1h"})
    world.pass_time(600)
    accessor = world.record(raw_token).accessor.decode()
    answer = {
        "self": lambda: world.ask("update", "auth/token/renew-self", {"increment": "2h"}, token=raw_token),
        "token": lambda: world.ask("update", "auth/token/renew", {"token": raw_token, "increment": 7200}),
        "accessor": lambda: world.ask("update", "auth/token/renew-accessor", {"accessor": accessor, "increment": "2h"}),
    }[way]()

    assert answer.auth["client_token"] == ("" if way == "accessor" else raw_token)
    assert world.plans[-1].secret_answer == (way != "accessor")
    assert answer.auth["lease_duration"] == 7200
    assert world.record(raw_token).expires_ns == START_NS + 600 * NS + 7200 * NS
    assert world.record(raw_token).creation_ttl_s == 3600


def test_without_an_increment_the_last_one_is_repeated(world):
    """What the token was given last is what it is given again."""
    raw_token = world.make({"policies": ["default"], "ttl": "1h"})
    lives = []
    for body in ({}, {"increment": "2h"}, {}, {"increment": 60}, {}):
        world.pass_time(1)
        lives.append(world.ask("update", "auth/token/renew-self", body, token=raw_token).auth["lease_duration"])

    assert lives == [3600, 7200, 7200, 60, 60]


def test_a_periodic_token_always_gets_its_period(world):
    """Whatever is asked for, for ever."""
    raw_token = world.make({"policies": ["default"], "period": "1h"})
    for _ in range(3):
        world.pass_time(3000)
        answer = world.ask("update", "auth/token/renew-self", {"increment": "5h"}, token=raw_token)
        assert answer.auth["lease_duration"] == 3600


def test_the_maximum_caps_and_then_ends(world):
    """A renewal near the end gets what is left and says so; one past it is refused."""
    raw_token = world.make({"policies": ["default"], "ttl": "30m", "explicit_max_ttl": "1h"})
    world.pass_time(1700)
    answer = world.ask("update", "auth/token/renew-self", {"increment": "2h"}, token=raw_token)
    world.pass_time(1899.5)
    refused = world.refused("update", "auth/token/renew-self", {}, token=raw_token)

    assert answer.auth["lease_duration"] == 1900
    assert answer.warnings == [
        'TTL of "2h" exceeded the effective max_ttl of "31m40s"; TTL value is capped accordingly'
    ]
    assert refused == (400, "past the max TTL, cannot renew", False)


@pytest.mark.parametrize(
    ("body", "text", "wrapped"),
    [
        ({}, "missing token ID", False),
        ({"token": "s.bad"}, "token not found", False),
        ({"token": "ROOT"}, "invalid lease ID", False),
        ({"token": "STIFF"}, "lease is not renewable", False),
        (
            {"token": "LIVE", "increment": -5},
            NEGATIVE,
            False,
        ),
    ],
)
def test_what_cannot_be_renewed_says_why(world, body, text, wrapped):
    """400, and no deadline moves."""
    named = {
        "ROOT": world.root,
        "STIFF": world.make({"policies": ["default"], "renewable": False, "ttl": "1h"}),
        "LIVE": world.make({"policies": ["default"], "ttl": "1h"}),
    }
    filled = {name: named.get(value, value) for name, value in body.items()}
    ends = [world.record(raw).expires_ns for raw in named.values()]

    assert world.refused("update", "auth/token/renew", filled) == (400, text, wrapped)
    assert [world.record(raw).expires_ns for raw in named.values()] == ends


@pytest.mark.parametrize(("body", "text"), [({}, "missing accessor"), ({"accessor": "bad"}, "invalid accessor")])
def test_renewing_by_an_accessor_that_leads_nowhere(world, body, text):
    """As looking it up."""
    assert world.refused("update", "auth/token/renew-accessor", body) == (400, text, True)


def test_a_child_of_a_dead_parent_cannot_renew_itself_back_to_life(world):
    """Not by itself, and not by anybody who knows it."""
    world.policy("app", 'path "auth/token/create" { capabilities = ["update"] }')
    parent = world.make({"policies": ["app"]})
    child = world.make(token=parent)
    world.ask("update", "auth/token/revoke", {"token": parent})

    assert world.refused("update", "auth/token/renew-self", {}, token=child)[0] == 403
    assert world.refused("update", "auth/token/renew", {"token": child})[1] == "token not found"


def test_a_renewal_touches_everything(world):
    """It changes a record that reads depend on: no conflict hash of its own."""
    raw_token = world.make({"policies": ["default"], "ttl": "1h"})
    world.ask("update", "auth/token/renew", {"token": raw_token})

    assert world.plans[-1].draft.hashes == ()
    assert world.plans[-1].draft.expects


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, (SYSTEM_TTL_S, SYSTEM_TTL_S)),
        ({"default_lease_ttl": 60}, (60, SYSTEM_TTL_S)),
        ({"max_lease_ttl": 60}, (60, 60)),
        ({"default_lease_ttl": 90, "max_lease_ttl": 60}, (60, 60)),
    ],
)
def test_times_to_live_of_a_mount_as_they_take_effect(config, expected):
    """The default never exceeds the maximum."""
    assert mount_ttls_s(Mount(config=config)) == expected


@given(
    increment_s=SECONDS,
    ttl_s=SECONDS,
    period_s=SECONDS,
    explicit_s=SECONDS,
    max_s=SECONDS,
    age_s=st.integers(0, 20_000),
)
def test_no_token_outlives_its_maximum(increment_s, ttl_s, period_s, explicit_s, max_s, age_s):
    """Whatever is wished: never past start + maximum, except periodic ones, which only their explicit maximum ends."""
    wish = Wish(increment_s, ttl_s, period_s, explicit_s)
    mount = Mount(config={"max_lease_ttl": max_s})
    start_ns, now_ns = START_NS, START_NS + age_s * NS
    longest_s = min(max_s or SYSTEM_TTL_S, explicit_s or SYSTEM_TTL_S)
    bound_s = explicit_s if period_s else longest_s
    if bound_s and age_s >= bound_s:
        with pytest.raises(Refusal) as refused:
            decide_ttl_s(wish, mount, start_ns, now_ns)
        assert refused.value.texts == ("past the max TTL, cannot renew",)
        return
    given_s, warnings = decide_ttl_s(wish, mount, start_ns, now_ns)

    assert given_s > 0
    assert given_s <= longest_s or (period_s and not warnings)
    if bound_s:
        assert age_s + given_s <= bound_s
    if not warnings:
        assert given_s == (period_s or increment_s or ttl_s or min(SYSTEM_TTL_S, max_s or SYSTEM_TTL_S))

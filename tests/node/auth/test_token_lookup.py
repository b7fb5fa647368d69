"""What the API tells about tokens, and whom."""

import pytest

from node.request import Refusal
from tests.node.auth.world import START_NS, World

LOOKUP = "auth/token/lookup"


@pytest.fixture
def world() -> World:
    world = World()
    world.policy("looker", 'path "auth/token/*" { capabilities = ["read", "update", "list"] }')
    return world


def test_a_leased_token_is_described_with_its_lease(world):
    """Exactly these keys: the ones that do not apply are left out."""
    raw_token = world.make({"policies": ["looker"], "ttl": "1h", "display_name": "me", "meta": {"a": "b"}})
    world.pass_time(1)
    data = world.data("read", "auth/token/lookup-self", token=raw_token)

    assert data == {
        "accessor": world.record(raw_token).accessor.decode(),
        "creation_time": START_NS // 10**9,
        "creation_ttl": 3600,
        "display_name": "token-me",
        "entity_id": "",
        "expire_time": "2025-11-24T10:41:00.25Z",
        "explicit_max_ttl": 0,
        "id": raw_token,
        "issue_time": "2025-11-24T09:41:00.25Z",
        "meta": {"a": "b"},
        "num_uses": 0,
        "orphan": False,
        "path": "auth/token/create",
        "policies": ["default", "looker"],
        "renewable": True,
        "ttl": 3599,
        "type": "service",
    }


def test_the_root_token_has_no_lease(world):
    """No issue time, not renewable, expires never."""
    data = world.data("update", LOOKUP, {})

    assert (data["expire_time"], data["ttl"], data["orphan"], data["path"]) == (None, 0, True, "auth/token/root")
    assert not {"issue_time", "renewable", "period", "last_renewal"} & set(data)


def test_a_root_token_that_was_created_says_when_it_was(world):
    """It never ends either, but a client reads whether it can be renewed: it cannot."""
    created = world.ask("update", "auth/token/create", {"policies": ["root"]}).auth["client_token"]
    data = world.data("update", LOOKUP, {"token": created})

    assert (data["expire_time"], data["ttl"], data["renewable"]) == (None, 0, False)
    assert data["issue_time"][:10] == "2025-11-24"


@pytest.mark.parametrize(
    ("operation", "path", "body", "query"),
    [
        ("read", "auth/token/lookup-self", None, {}),
        ("update", "auth/token/lookup-self", {}, {}),
        ("update", LOOKUP, {}, {}),
        ("read", LOOKUP, None, {}),
        ("update", LOOKUP, {"token": "TOKEN"}, {}),
        ("read", LOOKUP, None, {"token": "TOKEN"}),
    ],
)
def test_every_way_to_look_at_oneself(world, operation, path, body, query):
    """By path, body or query; with nothing named it is the caller."""
    raw_token = world.make({"policies": ["looker"], "no_default_policy": True})
    filled = None if body is None else dict.fromkeys(body, raw_token)
    data = world.data(operation, path, filled, token=raw_token, query=dict.fromkeys(query, raw_token))

    assert data["id"] == raw_token


def test_period_and_renewal_are_shown_where_they_apply(world):
    """And only there."""
    raw_token = world.make({"policies": ["default"], "period": "1h"})
    world.pass_time(60)
    world.ask("update", "auth/token/renew-self", {}, token=raw_token)
    data = world.data("read", "auth/token/lookup-self", token=raw_token)

    assert (data["period"], data["last_renewal"]) == (3600, "2025-11-24T09:42:00.25Z")
    assert data["last_renewal_time"] == START_NS // 10**9 + 60


@pytest.mark.parametrize("bad", ["s.bad", "hvs.000000000000000000000000", "REVOKED", "CHILD"])
def test_a_token_that_is_not_valid_is_as_unknown_as_none(world, bad):
    """403 `bad token`: never was, revoked, or below a revoked one."""
    parent = world.make({"policies": ["looker"]})
    child = world.make(token=parent)
    world.ask("update", "auth/token/revoke", {"token": parent})
    raw_token = {"REVOKED": parent, "CHILD": child}.get(bad, bad)

    assert world.refused("update", LOOKUP, {"token": raw_token}) == (403, "bad token", False)


def test_an_accessor_tells_everything_but_the_token(world):
    """`id` is empty."""
    raw_token = world.make({"policies": ["looker"]})
    data = world.data("update", "auth/token/lookup-accessor", {"accessor": world.record(raw_token).accessor.decode()})

    assert (data["id"], data["policies"]) == ("", ["default", "looker"])


@pytest.mark.parametrize(("body", "text"), [({}, "missing accessor"), ({"accessor": "bad"}, "invalid accessor")])
def test_an_accessor_that_leads_nowhere_is_refused(world, body, text):
    """400 in the multierror form, as clients of Vault see it."""
    assert world.refused("update", "auth/token/lookup-accessor", body) == (400, text, True)


def test_the_accessor_of_a_dead_child_leads_nowhere(world):
    """Its record is still there until the sweep, its token is not valid."""
    parent = world.make({"policies": ["looker"]})
    child = world.make(token=parent)
    accessor = world.record(child).accessor.decode()
    world.ask("update", "auth/token/revoke", {"token": parent})

    assert world.refused("update", "auth/token/lookup-accessor", {"accessor": accessor})[1] == "invalid accessor"


def test_accessors_are_listed_for_sudo_only(world):
    """The valid ones, sorted; a token with list and without sudo is refused."""
    looker = world.make({"policies": ["looker"]})
    parent = world.make({"policies": ["looker"]})
    world.make(token=parent)
    world.ask("update", "auth/token/revoke", {"token": parent})
    keys = world.data("list", "auth/token/accessors/")["keys"]

    assert keys == sorted(world.record(raw).accessor.decode() for raw in (world.root, looker))
    assert world.refused("list", "auth/token/accessors/", token=looker) == (403, "permission denied", True)


def test_the_handlers_of_sudo_paths_ask_for_sudo_themselves(world):
    """A caller without it is refused even if nobody asked before."""
    from node.auth import token_lookup, token_revoke
    from node.engines.base import Caller, Context
    from tests.node.auth.world import make_request

    context = Context(world.state, world.now_ns, world.random, world.keys, Caller(token_key=b"k"))
    request = make_request("update", "auth/token/revoke-orphan", {"token": world.root})
    for handler in (token_lookup.read_accessors, token_revoke.decide_revoke_orphan):
        with pytest.raises(Refusal) as refused:
            handler(context, request, {})
        assert refused.value.status == 403


@pytest.mark.parametrize(
    ("operation", "path", "expected"),
    [
        ("read", "auth/token/create", (405, "unsupported operation", True)),
        ("delete", "auth/token/lookup-self", (405, "unsupported operation", True)),
        ("read", "auth/token/revoke-self", (405, "unsupported operation", True)),
        ("read", "auth/token/nosuch", (404, "unsupported path", True)),
        ("update", "auth/token/create/role/beside", (404, "unsupported path", True)),
        ("update", "auth/token/renew/", (400, "cannot write to a path ending in '/'", False)),
        ("update", "auth/token/lookup/hvs.x", (404, "unsupported path", True)),
        ("update", "auth/token/renew/hvs.x", (404, "unsupported path", True)),
        ("update", "auth/token/revoke/hvs.x", (404, "unsupported path", True)),
    ],
)
def test_paths_and_operations_that_are_not_there(world, operation, path, expected):
    """Among them every path that would carry a token."""
    assert world.refused(operation, path, {} if operation == "update" else None) == expected


def test_tidy_answers_that_it_has_begun(world):
    """202 and a warning; nothing is proposed."""
    answer = world.ask("update", "auth/token/tidy")

    assert (answer.status, answer.warnings[0][:37]) == (202, "Tidy operation successfully started. ")
    assert world.plans[-1].draft.empty

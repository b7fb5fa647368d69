"""Tokens of limited uses: paid in the same transaction, never once more."""

import pytest

from cluster import Draft, Table, records
from node.auth.token_use import AfterUse, join, use_token
from node.auth.tokens import find_raw
from tests.node.auth.world import World


@pytest.fixture
def world() -> World:
    world = World()
    world.policy("app", 'path "auth/token/*" { capabilities = ["update"] }')
    return world


def test_each_request_pays_one_and_the_last_ends_the_token(world):
    """It sees itself with the use taken, -1 on the last; after that it is nobody and nothing of it is left."""
    raw_token = world.make({"num_uses": 3, "policies": ["app"]})
    seen = [world.data("read", "auth/token/lookup-self", token=raw_token)["num_uses"] for _ in range(3)]

    assert seen == [2, 1, -1]
    assert world.refused("read", "auth/token/lookup-self", token=raw_token) == (403, "permission denied", False)
    assert world.record(raw_token) is None
    assert world.count(Table.ACCESSOR) == world.count(Table.TOKEN)


@pytest.mark.parametrize(
    ("operation", "path", "status"),
    [("read", "nosuch/a", 404), ("read", "sys/mounts", 403), ("update", "auth/token/revoke", 400)],
)
def test_a_refused_request_pays_too(world, operation, path, status):
    """No route, no right, a bad request: one use less all the same."""
    policies = ["root"] if status == 404 else ["app"]
    raw_token = world.make({"num_uses": 2, "policies": policies})
    refused = world.refused(operation, path, {} if operation == "update" else None, token=raw_token)

    assert refused[0] == status
    assert world.record(raw_token).num_uses == 1


def test_a_renewal_keeps_the_use_it_cost(world):
    """Both facts are about one record: the renewed record has one use less."""
    raw_token = world.make({"num_uses": 2, "policies": ["app"], "ttl": "1h"})
    world.pass_time(10)
    answer = world.ask("update", "auth/token/renew-self", {"increment": "2h"}, token=raw_token)
    record = world.record(raw_token)

    assert answer.auth["num_uses"] == 1
    assert (record.num_uses, record.expires_ns) == (1, world.now_ns + 7200 * 10**9)


def test_the_last_use_cannot_renew_the_token_back(world):
    """On its last use it is not there to be renewed, by itself or by name."""
    for path in ("renew-self", "renew"):
        raw_token = world.make({"num_uses": 1, "policies": ["app"], "ttl": "1h"})
        refused = world.refused("update", f"auth/token/{path}", {"token": raw_token}, token=raw_token)

        assert refused == (400, "token not found", False)
        assert world.record(raw_token) is None


@pytest.mark.parametrize("uses", [1, 2])
def test_revoking_itself_with_a_use_left_ends_it(world, uses):
    """The record with one use less does not bring it back."""
    raw_token = world.make({"num_uses": uses, "policies": ["app"]})
    world.ask("update", "auth/token/revoke-self", {}, token=raw_token)

    assert world.record(raw_token) is None
    assert not world.works(raw_token)


def test_an_unlimited_token_pays_nothing(world):
    """The same view, no facts."""
    token = find_raw(world.state, world.keys, world.root, world.now_ns)
    view, use = use_token(world.state, token)

    assert view is world.state
    assert use.empty


def test_the_view_after_a_use_differs_in_one_record(world):
    """Every way of reading shows it; other tables and keys are as beneath."""
    raw_token = world.make({"num_uses": 5, "policies": ["app"]})
    key = world.keys.token_hash(raw_token)
    token = find_raw(world.state, world.keys, raw_token, world.now_ns)
    view, _ = use_token(world.state, token)
    beneath, above = dict_of(world.state, Table.TOKEN), dict_of(view, Table.TOKEN)

    assert isinstance(view, AfterUse)
    assert {at for at in beneath if beneath[at] != above[at]} == {key}
    assert view.get(Table.TOKEN, key)[0] == token.index
    assert dict_of(view, Table.POLICY) == dict_of(world.state, Table.POLICY)
    assert (view.time_ns, list(view.token_children(key)), view.list(b"\0" * 16)) == (world.state.time_ns, [], [])


def test_a_spent_token_dropped_by_its_use_is_put_by_nothing():
    """Whatever the request's plan says about the dropped record."""
    use, request = Draft(), Draft()
    use.expect(Table.TOKEN, b"k", 7)
    use.drop(Table.TOKEN, b"k")
    request.expect(Table.TOKEN, b"k", 7)
    request.put(Table.TOKEN, b"k", b"renewed")
    request.put(Table.POLICY, b"p", b"policy")
    joined = join(use, request)

    assert joined.expects == [(Table.TOKEN, b"k", 7)]
    assert joined.puts == [(Table.POLICY, b"p", b"policy")]
    assert joined.hashes == ()


def test_without_a_use_the_request_keeps_its_hashes():
    """A draft that pays nothing is passed through."""
    request = Draft()
    request.put(Table.POLICY, b"p", b"policy")
    request.hashes = (b"h" * 8,)

    assert join(Draft(), request) is request


def test_uses_are_taken_from_the_record_beneath_unknown_fields(world):
    """What a newer program wrote stays."""
    raw_token = world.make({"num_uses": 5, "policies": ["app"]})
    key = world.keys.token_hash(raw_token)
    draft = Draft()
    draft.put(Table.TOKEN, key, records.encode([*records._plain.decode(world.state.get(Table.TOKEN, key)[1]), "new"]))
    world.apply(draft)
    world.data("read", "auth/token/lookup-self", token=raw_token)

    assert records._plain.decode(world.state.get(Table.TOKEN, key)[1])[-1] == "new"


def dict_of(view, table):
    return {key: (index, record) for key, index, record in view.items(table)}

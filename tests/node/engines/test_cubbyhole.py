"""Cubbyhole: a place for each service token, that nobody else sees and that is gone with it."""

import pytest

from cluster import Table, Token, look
from node.request import Refusal
from tests.node.auth.world import World
from tests.node.engines.fakes import plain

ONLY_SERVICE = "cubbyhole operations are only supported by 'service' type tokens"
DENIED = (403, "permission denied", True)


@pytest.fixture
def world() -> World:
    world = World()
    world.policy("more", 'path "auth/token/create" { capabilities = ["update"] }')
    return world


def put(world, token, path="a", body=None):
    return world.ask("update", f"cubbyhole/{path}", {"k": "v"} if body is None else body, token=token)


def get(world, token, path="a"):
    return plain(world.ask("read", f"cubbyhole/{path}", token=token))


def entries(world):
    return world.count(Table.ENTRY)


def test_an_object_is_put_read_replaced_and_deleted(world):
    """As in KV v1: byte for byte what was sent, 204 for what changes, no lease."""
    token = world.make({"policies": ["default"]})
    assert put(world, token, body=b' {"n":12345678901234567890, "f":1.10} ').empty
    answer = world.ask("read", "cubbyhole/a", token=token)
    assert (bytes(answer.data), answer.lease_duration_s) == (b'{"n":12345678901234567890, "f":1.10}', 0)
    put(world, token, body={"k": 2})
    assert get(world, token) == {"k": 2}
    assert world.ask("delete", "cubbyhole/a", token=token).empty
    assert world.ask("delete", "cubbyhole/a", token=token).empty
    assert world.refused("read", "cubbyhole/a", token=token) == (404, "", False)


def test_names_are_listed_by_folder(world):
    """Sorted, folders with their slash; nothing there is 404."""
    token = world.make()
    for path in ("b", "a/x", "a/y/z", "c"):
        put(world, token, path)

    assert world.data("list", "cubbyhole/", token=token) == {"keys": ["a/", "b", "c"]}
    assert world.data("list", "cubbyhole/a", token=token) == {"keys": ["x", "y/"]}
    assert world.refused("list", "cubbyhole/none/", token=token) == (404, "", False)


@pytest.mark.parametrize("other", ["root", "sibling", "child"])
def test_nobody_sees_what_another_keeps(world, other):
    """The path is the same, the place is not: neither root nor a child of the token reads or lists it."""
    token = world.make({"policies": ["default", "more"]})
    others = {"root": world.root, "sibling": world.make(), "child": world.make(token=token)}
    put(world, token)

    for operation, path in (("read", "cubbyhole/a"), ("list", "cubbyhole/")):
        assert world.refused(operation, path, token=others[other]) == (404, "", False)
    put(world, others[other], body={"mine": 1})
    assert get(world, token) == {"k": "v"}


def test_no_path_leads_to_another_s_place(world):
    """Not even one that spells it: it is below the caller's own."""
    token = world.make()
    put(world, token)
    place = world.keys.token_hash(token).hex()

    for path in (f"{place}/a", place):
        assert world.refused("read", f"cubbyhole/{path}")[0] == 404


@pytest.mark.parametrize(
    ("operation", "path", "body"),
    [("update", "a", {"k": "v"}), ("read", "a", None), ("list", "", None), ("delete", "a", None)],
)
def test_a_batch_token_has_none(world, operation, path, body):
    """400 in Vault's words; the same is done for a service token."""
    batch = world.make({"type": "batch", "policies": ["default"]})
    assert world.refused(operation, f"cubbyhole/{path}", body, token=batch) == (400, ONLY_SERVICE, False)

    token = world.make()
    put(world, token, "a")
    world.ask(operation, f"cubbyhole/{path}", body, token=token)


@pytest.mark.parametrize(
    ("path", "body", "status", "text", "wrapped"),
    [
        ("a", {}, 400, "missing data fields", True),
        ("", {"k": "v"}, 400, "missing path", True),
        ("a/", {"k": "v"}, 400, "cannot write to a path ending in '/'", False),
        ("a", {"k": "x" * 1_100_000}, 413, "the secret is larger than 1048576 bytes", False),
    ],
)
def test_a_put_is_refused_for_what_it_is(world, path, body, status, text, wrapped):
    """Where Vault stumbles over these, the text is the same and the status says whose mistake it is."""
    assert world.refused("update", f"cubbyhole/{path}", body) == (status, text, wrapped)
    assert entries(world) == 0


def test_other_operations_are_not_there(world):
    """405, as the engine has no such thing."""
    for operation in ("patch", "scan"):
        assert world.refused(operation, "cubbyhole/a", {} if operation == "patch" else None)[0] == 405


def test_a_policy_is_needed(world):
    """A token without the default policy may not."""
    token = world.make({"policies": ["more"], "no_default_policy": True})

    assert world.refused("read", "cubbyhole/a", token=token) == DENIED


# ---- with the token
def revoke_self(world, token):
    world.ask("update", "auth/token/revoke-self", {}, token=token)


def revoke(world, token):
    world.ask("update", "auth/token/revoke", {"token": token})


def revoke_accessor(world, token):
    world.ask("update", "auth/token/revoke-accessor", {"accessor": world.record(token).accessor.decode()})


def revoke_orphan(world, token):
    world.ask("update", "auth/token/revoke-orphan", {"token": token})


def expire(world, _token):
    world.pass_time(3_601)


def revoke_parent(world, token):
    parent = world.record(token).parent
    found = look(world.state, Table.TOKEN, Token, parent)
    world.ask("update", "auth/token/revoke-accessor", {"accessor": found[1].accessor.decode()})


@pytest.mark.parametrize("end", [revoke_self, revoke, revoke_accessor, revoke_orphan, revoke_parent, expire])
@pytest.mark.parametrize("paths", [["a"], ["a", "b"], ["a", "b", "c", "d/e", "d/f/g"]])
def test_however_a_token_ends_its_place_ends_with_it(world, end, paths):
    """Out of reach at once, and nothing is left once the sweeps have run; another's stays."""
    parent = world.make({"policies": ["more", "default"]})
    token, other = world.make({"ttl": "1h"}, token=parent), world.make()
    for path in paths:
        put(world, token, path)
    put(world, other)
    end(world, token)

    assert world.refused("read", "cubbyhole/a", token=token) == (403, "permission denied", False)
    world.sweep()
    assert entries(world) == 1
    assert get(world, other) == {"k": "v"}


def test_little_is_gone_in_the_very_transaction(world):
    """No sweep is needed for what a wrapping token holds."""
    token = world.make()
    put(world, token)
    put(world, token, "b")
    revoke(world, token)

    assert (entries(world), world.count(Table.SWEEP)) == (0, 0)


def test_the_last_use_reads_and_takes_the_rest_along(world):
    """What it reads on its last use it still gets."""
    token = world.make({"num_uses": 3, "policies": ["default"]})
    put(world, token)
    put(world, token, "b")

    assert get(world, token) == {"k": "v"}
    assert entries(world) == 0


def test_the_last_use_keeps_nothing(world):
    """A put that is a token's last request leaves nothing that nobody could ever read."""
    token = world.make({"num_uses": 1, "policies": ["default"]})
    put(world, token)
    world.sweep()

    assert world.record(token) is None
    assert entries(world) == 0


def test_a_chosen_id_stays_taken_until_its_place_is_empty(world):
    """A new token of the old id would find what the old one kept."""
    world.make({"id": "chosen", "policies": ["default"]})
    for path in "abc":
        put(world, "chosen", path)
    revoke(world, "chosen")
    asked = {"id": "chosen", "policies": ["default"]}
    taken = world.refused("update", "auth/token/create", asked)
    assert taken == (400, "cannot create a token with a duplicate ID", False)
    world.sweep()

    world.make(asked)
    with pytest.raises(Refusal):
        get(world, "chosen")

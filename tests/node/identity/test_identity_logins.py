"""A login finds its entity or makes it, in the transaction that makes the token."""

from __future__ import annotations

import pytest

from cluster import EVERYTHING, Table
from node.identity import keys
from tests.node.auth.world import make_request
from tests.node.identity.people import People


@pytest.fixture
def world() -> People:
    return People()


def tables(world: People) -> list[int]:
    """Of the records the last plan puts."""
    return [table for table, *_ in world.plans[-1].draft.puts]


def test_the_first_login_makes_entity_and_alias_with_the_token_and_the_next_finds_them(world):
    """One transaction that touches everything; then one that touches nothing but the token."""
    first = world.sign_in("alice")
    assert tables(world).count(Table.IDENTITY) == 4
    assert (Table.TOKEN in tables(world), world.plans[-1].draft.hashes) == (True, ())

    second = world.sign_in("alice")
    assert tables(world) == [Table.TOKEN, Table.ACCESSOR]
    assert len(world.plans[-1].draft.hashes) == 2
    assert EVERYTHING not in world.plans[-1].draft.hashes
    assert first["entity_id"] == second["entity_id"] == world.record(second["client_token"]).entity_id

    entity = world.entity(first["entity_id"])
    assert entity.name.startswith("entity_")
    assert [(alias.name, alias.mount_accessor) for alias in entity.aliases] == [("alice", world.accessor())]


def test_somebody_else_and_the_same_name_at_another_mount_are_others(world):
    """An alias is a mount's and a name."""
    world.ask("update", "sys/auth/second", {"type": "userpass"})
    ids = [
        world.sign_in("alice")["entity_id"],
        world.sign_in("bob")["entity_id"],
        world.sign_in("alice", "auth/second/")["entity_id"],
    ]
    assert len(set(ids)) == 3


def test_names_that_differ_in_case_alone_are_the_same_person(world):
    """As in Vault; the alias keeps the spelling it was made with."""
    first, second = world.sign_in("Alice"), world.sign_in("aLICE")
    assert first["entity_id"] == second["entity_id"]
    assert world.entity(first["entity_id"]).aliases[0].name == "Alice"


def test_an_alias_that_was_made_before_leads_to_its_entity(world):
    """With the policies it has, in the answer of the login."""
    entity_id = world.new_entity(name="a", policies=["x", "y"])
    body = {"name": "alice", "mount_accessor": world.accessor(), "canonical_id": entity_id}
    world.ask("update", "identity/entity-alias", body)
    auth = world.sign_in("alice", policies=["z"])

    assert auth["entity_id"] == entity_id
    assert auth["identity_policies"] == ["x", "y"]
    assert auth["token_policies"] == ["default", "z"]
    assert auth["policies"] == ["default", "x", "y", "z"]
    assert "identity_policies" not in world.sign_in("bob")


def test_a_disabled_entity_cannot_log_in_and_another_can(world):
    """403, and no token is made."""
    alice = world.sign_in("alice")
    world.ask("update", f"identity/entity/id/{alice['entity_id']}", {"disabled": True})
    assert world.turned_away("auth/userpass/login/alice", {}) == (403, "permission denied")
    assert world.sign_in("bob")["entity_id"]
    world.ask("update", f"identity/entity/id/{alice['entity_id']}", {"disabled": False})
    assert world.sign_in("alice")["entity_id"] == alice["entity_id"]


def test_after_its_entity_was_deleted_an_alias_makes_a_new_one(world):
    """Whose tokens are not those of the old one."""
    old = world.sign_in("alice")
    world.ask("delete", f"identity/entity/id/{old['entity_id']}")
    new = world.sign_in("alice")
    assert new["entity_id"] != old["entity_id"]
    assert not world.may(old["client_token"], "read", "auth/token/lookup-self")
    assert world.may(new["client_token"], "read", "auth/token/lookup-self")


def test_what_the_method_says_of_the_alias_is_kept_and_changes_with_it(world):
    """A login that brings the same costs no second write of it; one that brings nothing takes nothing away."""
    first = world.sign_in("alice", alias_metadata={"team": "red"})
    alias = world.entity(first["entity_id"]).aliases[0]
    assert (alias.metadata, alias.updated_ns) == ({"team": "red"}, world.now_ns)

    world.pass_time(1)
    world.sign_in("alice", alias_metadata={"team": "red"})
    assert tables(world) == [Table.TOKEN, Table.ACCESSOR]
    world.sign_in("alice")
    assert tables(world) == [Table.TOKEN, Table.ACCESSOR]

    world.sign_in("alice", alias_metadata={"team": "blue"})
    assert (tables(world).count(Table.IDENTITY), world.plans[-1].draft.hashes) == (1, ())
    changed = world.entity(first["entity_id"]).aliases[0]
    assert (changed.metadata, changed.updated_ns, changed.id) == ({"team": "blue"}, world.now_ns, alias.id)


def test_what_a_login_changes_beside_stays_in_its_transaction(world):
    """The use of a secret-id, an entity and a token: all or nothing."""
    world.sign_in("alice", beside=True)
    assert {Table.FACT, Table.IDENTITY, Table.TOKEN} <= set(tables(world))
    assert world.plans[-1].draft.hashes == ()
    world.sign_in("alice", beside=True)
    assert set(tables(world)) == {Table.FACT, Table.TOKEN, Table.ACCESSOR}


@pytest.mark.parametrize("name", ["a" * 513, "é" * 257, "a\x00b", "a\nb"])
def test_a_name_that_cannot_be_stored_is_refused(world, name):
    """Too long, or with characters that nobody sees; the text does not repeat it."""
    status, text = world.turned_away(f"auth/userpass/login/{name}", {})
    assert (status, name in text) == (400, False)


def test_a_name_at_the_bound_is_taken(world):
    """512 bytes."""
    assert world.sign_in("a" * 512)["entity_id"]


def test_two_logins_that_are_decided_on_one_state_do_not_both_make_the_alias(world):
    """The second transaction expects that there is none, and is refused by the state."""
    context = world.context("auth/userpass/login/alice")
    door = world.engines["userpass"]
    request = make_request("update", "auth/userpass/login/alice", {})
    plans = [door.decide(context, request, "login/alice") for _ in range(2)]
    world.apply(plans[0].draft)
    with pytest.raises(AssertionError, match="expect"):
        world.apply(plans[1].draft)
    assert world.state.get(Table.IDENTITY, keys.entity_alias(world.accessor(), "alice")) is not None


def test_a_token_role_with_an_entity_alias_makes_a_token_of_that_entity(world):
    """Allowed aliases only; the alias is the token mount's; without a role it is refused."""
    world.ask("update", "auth/token/roles/r", {"allowed_entity_aliases": ["ci-*"], "orphan": True})
    auth = world.ask("update", "auth/token/create/r", {"entity_alias": "ci-one"}).auth
    entity = world.entity(auth["entity_id"])
    assert (entity.aliases[0].name, entity.aliases[0].mount_accessor) == ("ci-one", world.accessor("auth/token/"))
    assert world.plans[-1].draft.hashes == ()
    assert world.ask("update", "auth/token/create/r", {"entity_alias": "ci-one"}).auth["entity_id"] == entity.id
    assert len(world.plans[-1].draft.hashes) == 2

    refused = world.refused("update", "auth/token/create/r", {"entity_alias": "other"})
    assert refused[:2] == (400, "invalid 'entity_alias' value")
    assert world.refused("update", "auth/token/create", {"entity_alias": "ci-one"})[0] == 400


def test_a_batch_token_carries_its_entity_and_dies_with_it(world):
    """The first login writes the entity, the next writes nothing at all."""
    first = world.sign_in("alice", type="batch")
    assert set(tables(world)) == {Table.IDENTITY}
    second = world.sign_in("alice", type="batch")
    assert world.plans[-1].draft.empty
    world.policy("own", 'path "secret/data/{{identity.entity.id}}" { capabilities = ["read"] }')
    entity_id = first["entity_id"]
    world.ask("update", f"identity/entity/id/{entity_id}", {"policies": "own"})
    assert world.may(second["client_token"], "read", f"secret/data/{entity_id}")
    world.ask("delete", f"identity/entity/id/{entity_id}")
    assert not world.may(second["client_token"], "read", f"secret/data/{entity_id}")

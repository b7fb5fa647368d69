"""entity/merge: aliases, policies, memberships and tokens move to the entity that stays."""

from __future__ import annotations

import json

import pytest

from cluster import Table
from node.engines.identity import given
from node.identity import changes, entities, groups, keys
from node.request import Refusal
from tests.node.identity.people import People

MERGE = "identity/entity/merge"
MANY = "mount accessor ACCESSOR found in multiple fromEntities, merge should be done with one fromEntity at a time"
NONE_KEPT = (
    "conflicting mount accessors in following alias IDs and neither were present in conflicting_alias_ids_to_keep: "
    "ALIAS-B, ALIAS-A"
)


@pytest.fixture
def world() -> People:
    world = People()
    world.ask("update", "sys/auth/second", {"type": "userpass"})
    return world


def told(world: People, entity_id: str) -> dict[str, object]:
    return world.data("read", f"identity/entity/id/{entity_id}")


def test_what_was_merged_is_part_of_what_it_was_merged_into(world):
    """The alias leads there, says where it came from, and the next login through it arrives there."""
    alice, other = world.sign_in("alice")["entity_id"], world.sign_in("al", "auth/second/")["entity_id"]
    world.ask("update", f"identity/entity/id/{alice}", {"policies": ["a", "b"]})
    world.ask("update", f"identity/entity/id/{other}", {"policies": ["b", "c"]})
    group = world.new_group(member_entity_ids=[other], policies="g")
    world.pass_time(1)
    assert world.ask("update", MERGE, {"from_entity_ids": [other], "to_entity_id": alice}).empty

    data = told(world, alice)
    assert [(one["name"], one["canonical_id"], one["merged_from_canonical_ids"]) for one in data["aliases"]] == [
        ("alice", alice, None), ("al", alice, [other]),
    ]  # fmt: skip
    assert (data["policies"], data["merged_entity_ids"], data["group_ids"]) == (["a", "b", "c"], [other], [group])
    assert data["last_update_time"] != data["creation_time"]
    assert world.data("read", f"identity/group/id/{group}")["member_entity_ids"] == [alice]
    assert world.refused("read", f"identity/entity/id/{other}")[0] == 404
    again = world.sign_in("al", "auth/second/")
    assert (again["entity_id"], again["identity_policies"]) == (alice, ["a", "b", "c", "g"])


def test_tokens_of_what_was_merged_go_on_as_those_of_the_other(world):
    """Through any number of merges; and end with it."""
    world.policy("app", 'path "secret/data/{{identity.entity.id}}" { capabilities = ["read"] }')
    first, second = world.sign_in("alice"), world.sign_in("al", "auth/second/")
    last = world.new_entity(policies="app")
    assert not world.may(first["client_token"], "read", f"secret/data/{last}")
    world.ask("update", MERGE, {"from_entity_ids": first["entity_id"], "to_entity_id": second["entity_id"]})
    world.ask("update", MERGE, {"from_entity_ids": second["entity_id"], "to_entity_id": last})
    assert told(world, last)["merged_entity_ids"] == [first["entity_id"], second["entity_id"]]

    for token in (first["client_token"], second["client_token"]):
        assert world.may(token, "read", f"secret/data/{last}")
        assert world.may(token, "read", f"identity/entity/id/{last}")
    world.ask("delete", f"identity/entity/id/{last}")
    for token in (first["client_token"], second["client_token"]):
        assert not world.may(token, "read", "auth/token/lookup-self")
    assert world.count(Table.IDENTITY) == 0


def test_several_are_merged_at_once(world):
    """In one transaction; a group that had two of them has one member."""
    into, one, two = (world.new_entity() for _ in range(3))
    group = world.new_group(member_entity_ids=[into, one, two])
    before = world.state.applied_index
    world.ask("update", MERGE, {"from_entity_ids": [one, two, one], "to_entity_id": into, "force": True})
    assert world.state.applied_index == before + 1
    assert world.data("read", f"identity/group/id/{group}")["member_entity_ids"] == [into]
    assert told(world, into)["merged_entity_ids"] == [one, two]


def test_a_merge_is_as_large_as_a_transaction(world, monkeypatch):
    """One record more is refused before it is worked out: names, aliases, what was merged before, groups."""
    into, one = world.new_entity(), world.sign_in()["entity_id"]
    world.ask("update", MERGE, {"from_entity_ids": [world.new_entity()], "to_entity_id": one})
    world.new_group(member_entity_ids=[one])
    body = {"from_entity_ids": [one], "to_entity_id": into}
    monkeypatch.setattr(changes, "CHANGED_MAX", 8)
    assert world.no("update", MERGE, body) == (
        400, "this would change more than 8 records at once: do it in parts", False,
    )  # fmt: skip
    monkeypatch.setattr(changes, "CHANGED_MAX", 9)
    world.ask("update", MERGE, body)
    draft = world.plans[-1].draft
    assert len(draft.puts) + len(draft.drops) <= 9


@pytest.mark.parametrize(
    ("where", "name", "text"),
    [
        (groups, "PARENTS_MAX", groups.TOO_MANY_PARENTS),
        (entities, "LISTED_MAX", "the groups have more than 2 members: merge in parts"),
        (given, "POLICIES_MAX", "policies cannot contain more than 2 names"),
    ],
)
def test_what_a_merge_makes_has_the_bounds_of_all(world, monkeypatch, where, name, text):
    """Groups, members of groups, policies; at the bound all is well."""
    into, one = world.new_entity(policies="a,b"), world.new_entity(policies="b,c")
    for ids in ([into], [one], [one]):
        world.new_group(member_entity_ids=ids)
    body = {"from_entity_ids": [one], "to_entity_id": into}
    monkeypatch.setattr(where, name, 2)
    if name == "LISTED_MAX":
        world.new_group(member_entity_ids=[one])
    assert world.no("update", MERGE, body) == (400, text, False)
    monkeypatch.setattr(where, name, 3)
    world.ask("update", MERGE, body)
    assert told(world, into)["policies"] == ["a", "b", "c"]


def test_many_are_not_deleted_at_once_that_are_too_much_for_a_transaction(world, monkeypatch):
    """Those that are not there do not count."""
    ids = [world.new_entity() for _ in range(2)]
    monkeypatch.setattr(changes, "CHANGED_MAX", 3)
    assert world.no("update", "identity/entity/batch-delete", {"entity_ids": ids})[0] == 400
    monkeypatch.setattr(changes, "CHANGED_MAX", 4)
    world.ask("update", "identity/entity/batch-delete", {"entity_ids": [*ids, "nobody"]})
    assert world.count(Table.IDENTITY) == 0


def test_two_aliases_of_one_mount_are_refused_and_all_are_named(world):
    """With what somebody needs who has to decide which of them stays."""
    alice, bob = world.sign_in("alice")["entity_id"], world.sign_in("bob")["entity_id"]
    mine, other = (told(world, name)["aliases"][0]["id"] for name in (alice, bob))
    before = world.state.applied_index
    with pytest.raises(Refusal) as caught:
        world.go("update", MERGE, {"from_entity_ids": [bob], "to_entity_id": alice})
    assert (caught.value.status, world.state.applied_index) == (400, before)
    assert "2 errors occurred:" in caught.value.texts[0]
    assert f"conflicting toEntity alias ID: {mine}, conflicting fromEntity alias ID: {other}" in caught.value.texts[0]
    assert [(one["alias"], one["entity_id"], one["mount_path"]) for one in json.loads(caught.value.data)] == [
        ("alice", alice, "auth/userpass/"), ("bob", bob, "auth/userpass/"),
    ]  # fmt: skip


@pytest.mark.parametrize("kept", [0, 1])
def test_the_alias_that_is_named_stays_and_the_other_leads_nowhere(world, kept):
    """Whoever logs in through the other is somebody new."""
    alice, bob = world.sign_in("alice")["entity_id"], world.sign_in("bob")["entity_id"]
    aliases = [told(world, name)["aliases"][0]["id"] for name in (alice, bob)]
    body = {"from_entity_ids": [bob], "to_entity_id": alice, "conflicting_alias_ids_to_keep": [aliases[kept]]}
    world.ask("update", MERGE, body)

    assert [one["id"] for one in told(world, alice)["aliases"]] == [aliases[kept]]
    names = ["alice", "bob"]
    assert world.sign_in(names[kept])["entity_id"] == alice
    assert world.sign_in(names[1 - kept])["entity_id"] not in {alice, bob}
    assert world.state.get(Table.IDENTITY, keys.entity_alias_id(aliases[1 - kept])) is None


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "missing entity id to merge to"),
        ({"from_entity_ids": "A"}, "missing entity id to merge to"),
        ({"to_entity_id": "A"}, "missing entity ids to merge from"),
        ({"to_entity_id": "A", "from_entity_ids": ""}, "missing entity ids to merge from"),
        ({"to_entity_id": "nobody", "from_entity_ids": "A"}, "entity id to merge to is invalid"),
        ({"to_entity_id": "A", "from_entity_ids": "nobody"}, "entity id to merge from is invalid"),
        ({"to_entity_id": "A", "from_entity_ids": ["B", "A"]}, "to_entity_id should not be present in from_entity_ids"),
        (
            {"to_entity_id": "A", "from_entity_ids": ["B", "C"], "conflicting_alias_ids_to_keep": ["x", "y"]},
            "aliases conflicts cannot be resolved with multiple from entity ids - merge one entity at a time",
        ),
        (
            {"to_entity_id": "D", "from_entity_ids": ["A", "B"]},
            MANY,
        ),
        (
            {"to_entity_id": "A", "from_entity_ids": "B", "conflicting_alias_ids_to_keep": "x"},
            NONE_KEPT,
        ),
    ],
)
def test_refusals_say_why_and_merge_nothing(world, body, text):
    """A, B and C have an alias of one mount, D has none."""
    ids = {name: world.sign_in(name)["entity_id"] for name in "ABC"} | {"D": world.new_entity()}
    for name in "AB":
        text = text.replace(f"ALIAS-{name}", told(world, ids[name])["aliases"][0]["id"])
    for key, value in body.items():
        names = value if isinstance(value, list) else [value]
        body = body | {key: ",".join(ids.get(name, name) for name in names)}
    refusal = world.no("update", MERGE, body)
    assert refusal == (400, text.replace("ACCESSOR", world.accessor()), False)

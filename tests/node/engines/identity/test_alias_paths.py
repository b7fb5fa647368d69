"""Aliases of entities by the API."""

from __future__ import annotations

import pytest

from cluster import Table
from node.engines.instants import rfc3339
from tests.node.identity.people import People

ALIAS = "identity/entity-alias"


@pytest.fixture
def world() -> People:
    world = People()
    world.ask("update", "sys/auth/second", {"type": "userpass"})
    return world


def make(world: People, name: str, path: str = "auth/userpass/", **fields: object) -> dict[str, str]:
    return world.data("update", ALIAS, {"name": name, "mount_accessor": world.accessor(path)} | fields)


def told(world: People, alias_id: str) -> dict[str, object]:
    return world.data("read", f"{ALIAS}/id/{alias_id}")


def test_a_new_alias_makes_an_entity_where_none_is_named(world):
    """And is told with its mount."""
    made = make(world, "alice", custom_metadata={"k": "v"})
    assert told(world, made["id"]) == {
        "canonical_id": made["canonical_id"], "creation_time": rfc3339(world.now_ns), "custom_metadata": {"k": "v"},
        "id": made["id"], "last_update_time": rfc3339(world.now_ns), "local": False,
        "merged_from_canonical_ids": None, "metadata": None, "mount_accessor": world.accessor(),
        "mount_path": "auth/userpass/", "mount_type": "userpass", "name": "alice", "namespace_id": "root",
    }  # fmt: skip
    [own] = world.data("read", f"identity/entity/id/{made['canonical_id']}")["aliases"]
    assert own == {key: value for key, value in told(world, made["id"]).items() if key != "namespace_id"}


@pytest.mark.parametrize("field", ["canonical_id", "entity_id"])
def test_a_new_alias_is_that_of_the_entity_that_is_named(world, field):
    """By the present name of the parameter, and by the old one."""
    entity_id = world.new_entity()
    assert make(world, "alice", **{field: entity_id})["canonical_id"] == entity_id
    assert world.sign_in("alice")["entity_id"] == entity_id


def test_an_alias_that_is_as_asked_stays_as_it_is(world):
    """204, also where it is found by mount and name."""
    made = make(world, "alice")
    before = world.state.applied_index
    for body in ({}, {"name": "alice"}, {"canonical_id": made["canonical_id"]}):
        assert world.ask("update", f"{ALIAS}/id/{made['id']}", body).empty
    assert world.ask("update", ALIAS, {"name": "alice", "mount_accessor": world.accessor()}).empty
    assert world.state.applied_index == before


def test_an_alias_moves_to_another_entity(world):
    """Whoever logs in by it is then that one; tokens of before stay with the old one."""
    before = world.sign_in("alice")
    alias = world.entity(before["entity_id"]).aliases[0].id
    target = world.new_entity(policies="p")
    answer = world.data("update", f"{ALIAS}/id/{alias}", {"canonical_id": target})
    assert answer == {"id": alias, "canonical_id": target}
    assert world.sign_in("alice")["entity_id"] == target
    assert world.entity(before["entity_id"]).aliases == []
    assert world.record(before["client_token"]).entity_id == before["entity_id"]


def test_an_alias_is_renamed_and_moves_to_another_mount(world):
    """The old way leads nowhere; its id and the time it was made stay."""
    made = make(world, "alice", custom_metadata={"k": "v"})
    world.pass_time(1)
    body = {"id": made["id"], "name": "Al", "mount_accessor": world.accessor("auth/second/")}
    assert world.data("update", ALIAS, body) == made
    data = told(world, made["id"])
    assert (data["name"], data["mount_path"], data["custom_metadata"]) == ("Al", "auth/second/", {"k": "v"})
    assert data["creation_time"] != data["last_update_time"]
    assert world.sign_in("al", "auth/second/")["entity_id"] == made["canonical_id"]
    assert world.sign_in("alice")["entity_id"] != made["canonical_id"]


def test_a_change_of_case_is_a_renaming_to_oneself(world):
    """Which nobody else's alias is in the way of."""
    made = make(world, "alice")
    assert world.data("update", f"{ALIAS}/id/{made['id']}", {"name": "ALICE"}) == made
    assert told(world, made["id"])["name"] == "ALICE"
    assert world.sign_in("alice")["entity_id"] == made["canonical_id"]


def test_deleting_an_alias_leaves_the_entity(world):
    """204, also where there is none."""
    made = make(world, "alice")
    for _ in range(2):
        assert world.ask("delete", f"{ALIAS}/id/{made['id']}").empty
    assert world.refused("read", f"{ALIAS}/id/{made['id']}") == (404, "", False)
    assert world.entity(made["canonical_id"]).aliases == []
    assert world.count(Table.IDENTITY) == 2
    assert world.sign_in("alice")["entity_id"] != made["canonical_id"]


def test_a_list_tells_every_alias(world):
    """Without those of groups."""
    assert world.refused("list", f"{ALIAS}/id") == (404, "", False)
    made = sorted((make(world, "alice"), make(world, "bob")), key=lambda one: one["id"])
    world.ask("update", "identity/group-alias", {"name": "g", "mount_accessor": world.accessor()})
    listed = world.data("list", f"{ALIAS}/id/")
    assert listed["keys"] == [one["id"] for one in made]
    assert listed["key_info"][made[0]["id"]] == {
        "canonical_id": made[0]["canonical_id"], "custom_metadata": None, "local": False, "metadata": None,
        "mount_accessor": world.accessor(), "mount_path": "auth/userpass/", "mount_type": "userpass",
        "name": told(world, made[0]["id"])["name"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("", {}, "'id' or 'mount_accessor' and 'name' must be provided"),
        ("", {"name": "x"}, "'id' or 'mount_accessor' and 'name' must be provided"),
        ("", {"id": "nobody"}, "invalid alias ID provided"),
        ("/id/nobody", {"name": "x"}, "invalid alias ID provided"),
        ("", {"name": "x", "mount_accessor": "auth_none_1"}, 'invalid mount accessor "auth_none_1"'),
        ("", {"name": "x", "mount_accessor": "A" * 40}, 'invalid mount accessor "..."'),
        ("", {"name": "x", "mount_accessor": "FIRST", "canonical_id": "nobody"}, "invalid canonical ID"),
        (
            "",
            {"name": "x", "mount_accessor": "FIRST", "canonical_id": "ALICE"},
            "Alias already exists for requested entity and mount accessor",
        ),
        ("/id/A", {"canonical_id": "nobody"}, "given 'canonical_id' is not associated with an entity"),
        (
            "/id/A",
            {"canonical_id": "BOB"},
            "Alias cannot be updated as the given entity already has an alias for this mount ",
        ),
        (
            "/id/A",
            {"mount_accessor": "SECOND"},
            "Alias cannot be updated as the entity already has an alias for the given 'mount_accessor' ",
        ),
        ("/id/A", {"name": "bob"}, "alias with combination of mount accessor and name already exists"),
        (
            "/id/A",
            {"name": "BOB", "canonical_id": "C"},
            "alias with combination of mount accessor and name already exists",
        ),
        ("/id/A", {"mount_accessor": "auth_none_1", "canonical_id": "C"}, 'invalid mount accessor "auth_none_1"'),
        ("/id/A", {"name": "x" * 513}, "a name is longer than 512 bytes"),
    ],
)
def test_refusals_say_why_and_change_nothing(world, path, body, text):
    """Alice has aliases of both mounts, bob of the first; C is an entity without."""
    alice, bob = make(world, "alice"), make(world, "bob")
    make(world, "al", "auth/second/", canonical_id=alice["canonical_id"])
    words = {
        "FIRST": world.accessor(), "SECOND": world.accessor("auth/second/"), "ALICE": alice["canonical_id"],
        "BOB": bob["canonical_id"] if body.get("canonical_id") == "BOB" else "BOB", "C": world.new_entity(),
    }  # fmt: skip
    asked = {key: words.get(value, value) for key, value in body.items()}
    refusal = world.no("update", ALIAS + path.replace("/A", f"/{alice['id']}"), asked)
    assert refusal == (400, text, False)


def test_custom_metadata_have_the_bounds_of_those_of_secrets(world):
    """64 pairs; nothing empty."""
    for custom in ({f"k{n}": "v" for n in range(65)}, {"k": ""}):
        body = {"name": "x", "mount_accessor": world.accessor(), "custom_metadata": custom}
        status, text, _ = world.no("update", ALIAS, body)
        assert (status, "custom_metadata validation failed" in text) == (400, True)

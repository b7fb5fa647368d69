"""Groups, internal and external, and aliases of external ones, by the API."""

from __future__ import annotations

import re

import pytest

from cluster import Draft, GroupMembers, Table
from node.engines.instants import rfc3339
from node.identity import changes, groups, keys
from tests.node.identity.people import People

GROUP = "identity/group"
ALIAS = "identity/group-alias"


@pytest.fixture
def world() -> People:
    return People()


def told(world: People, group_id: str) -> dict[str, object]:
    return world.data("read", f"{GROUP}/id/{group_id}")


def test_a_new_group_is_told_by_id_and_name(world):
    """It is internal, and its name is made up, where nothing is said."""
    made = world.data("update", GROUP, {})
    assert re.fullmatch(r"group_[0-9a-f]{8}", made["name"])
    assert told(world, made["id"]) == {
        "alias": {}, "creation_time": rfc3339(world.now_ns), "id": made["id"],
        "last_update_time": rfc3339(world.now_ns), "member_entity_ids": None, "member_group_ids": None,
        "metadata": None, "modify_index": 1, "name": made["name"], "namespace_id": "root", "parent_group_ids": None,
        "policies": None, "type": "internal",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (GROUP, {"name": "a"}),
        (GROUP, {"id": "ID"}),
        (f"{GROUP}/id/ID", {}),
        (f"{GROUP}/name/A", {}),
        (f"{GROUP}/id/ID", {"type": "internal"}),
    ],
)
def test_a_group_is_changed_by_any_way_of_naming_it(world, path, body):
    """204; what is not given stays."""
    entity_id = world.new_entity()
    made = world.new_group(name="a", policies="p", member_entity_ids=entity_id)
    given = {key: made if value == "ID" else value for key, value in body.items()}
    assert world.ask("update", path.replace("ID", made), given | {"metadata": {"k": "v"}}).empty
    data = told(world, made)
    assert (data["policies"], data["metadata"], data["member_entity_ids"]) == (["p"], {"k": "v"}, [entity_id])
    assert data["modify_index"] == 2


def test_members_are_exactly_those_that_are_given(world):
    """Both sides tell of it; what is given twice is a member once."""
    one, two, three = (world.new_entity() for _ in range(3))
    inner = world.new_group(member_entity_ids=[one, two, one])
    outer = world.new_group(member_group_ids=[inner], member_entity_ids=[three])
    assert told(world, inner)["member_entity_ids"] == [one, two]
    assert (told(world, outer)["member_group_ids"], told(world, inner)["parent_group_ids"]) == ([inner], [outer])
    data = world.data("read", f"identity/entity/id/{one}")
    assert (data["direct_group_ids"], data["inherited_group_ids"], data["group_ids"]) == (
        [inner], [outer], [inner, outer],
    )  # fmt: skip

    world.ask("update", f"{GROUP}/id/{inner}", {"member_entity_ids": [two, three]})
    assert told(world, inner)["member_entity_ids"] == [two, three]
    assert world.data("read", f"identity/entity/id/{one}")["group_ids"] == []
    data = world.data("read", f"identity/entity/id/{three}")
    assert (data["direct_group_ids"], data["inherited_group_ids"]) == ([outer, inner], [])


def test_a_member_that_is_gone_is_told_no_more(world):
    """Neither entity nor group; deleting touches no group, and a new one of the name is no member."""
    entity_id = world.new_entity(name="e")
    inner = world.new_group(name="inner")
    outer = world.new_group(member_group_ids=inner, member_entity_ids=entity_id)
    world.ask("delete", f"identity/entity/id/{entity_id}")
    world.ask("delete", f"{GROUP}/name/inner")
    world.new_entity(name="e")
    world.new_group(name="inner")
    data = told(world, outer)
    assert (data["member_entity_ids"], data["member_group_ids"]) == (None, None)


def test_a_list_of_members_alone_makes_nobody_one(world):
    """G1: a member says so itself."""
    entity_id, group_id = world.new_entity(), world.new_group(policies="p")
    draft = Draft()
    draft.put(Table.IDENTITY, keys.members(group_id), GroupMembers(entity_ids=[entity_id]))
    world.apply(draft)
    assert told(world, group_id)["member_entity_ids"] is None
    assert world.data("read", f"identity/entity/id/{entity_id}")["group_ids"] == []


def test_a_group_that_is_gone_is_told_by_none_of_its_members(world):
    """204, also where there is none."""
    entity_id, inner = world.new_entity(), world.new_group()
    outer = world.new_group(member_group_ids=inner, member_entity_ids=entity_id)
    for _ in range(2):
        assert world.ask("delete", f"{GROUP}/id/{outer}").empty
    assert world.refused("read", f"{GROUP}/id/{outer}") == (404, "", False)
    assert told(world, inner)["parent_group_ids"] is None
    assert world.data("read", f"identity/entity/id/{entity_id}")["group_ids"] == []


@pytest.mark.parametrize("length", [1, 2, 5])
def test_no_group_is_in_itself(world, length):
    """Directly or through others; the refusal changes nothing."""
    chain = [world.new_group()]
    for _ in range(length - 1):
        chain.append(world.new_group(member_group_ids=chain[-1]))
    refusal = world.no("update", f"{GROUP}/id/{chain[0]}", {"member_group_ids": [chain[-1]]})
    if length == 1:
        assert refusal == (400, f'member group ID "{chain[0]}" is same as the ID of the group', True)
    else:
        assert refusal == (400, f'cyclic relationship detected for member group ID "{chain[-1]}"', False)
    world.ask("update", f"{GROUP}/id/{chain[-1]}", {"member_group_ids": [world.new_group()]})


@pytest.mark.parametrize(
    ("path", "body", "text", "wrapped"),
    [
        (GROUP, {"id": ""}, "empty group ID", False),
        (GROUP, {"name": ""}, "empty group name", False),
        (f"{GROUP}/id/nobody", {}, "invalid group ID", False),
        (GROUP, {"type": "other"}, 'invalid group type "other"', False),
        (f"{GROUP}/id/EXTERNAL", {"type": "internal"}, "group type cannot be changed", False),
        (f"{GROUP}/id/EXTERNAL", {"name": "taken"}, "group name is already in use", False),
        (
            f"{GROUP}/id/EXTERNAL",
            {"member_entity_ids": ["x"]},
            "member entities can't be set manually for external groups",
            False,
        ),
        (f"{GROUP}/id/EXTERNAL", {"member_group_ids": ["x"]}, "member groups can't be set for external groups", False),
        (GROUP, {"member_entity_ids": ["nobody"]}, 'invalid entity ID "nobody"', True),
        (GROUP, {"member_entity_ids": ["x" * 30]}, f'invalid entity ID "{"x" * 16}..."', True),
        (GROUP, {"member_group_ids": ["nobody"]}, 'invalid member group ID "nobody"', True),
    ],
)
def test_refusals_say_why_and_change_nothing(world, path, body, text, wrapped):
    """400, where Vault says 500 as well."""
    external = world.new_group(type="external")
    world.new_group(name="taken")
    assert world.no("update", path.replace("EXTERNAL", external), body) == (400, text, wrapped)


def test_a_group_has_bounds(world, monkeypatch):
    """Of its members, and of the groups that one is in; at the bound all is well."""
    entities, inner = [world.new_entity() for _ in range(2)], [world.new_group() for _ in range(2)]
    for name, bound in (("MEMBERS_MAX", "member_entity_ids"), ("MEMBER_GROUPS_MAX", "member_group_ids")):
        ids = entities if bound == "member_entity_ids" else inner
        monkeypatch.setattr(groups, name, 2)
        world.new_group(**{bound: ids})
        monkeypatch.setattr(groups, name, 1)
        assert world.no("update", GROUP, {bound: ids})[0] == 400
        monkeypatch.undo()
    monkeypatch.setattr(groups, "PARENTS_MAX", 2)
    world.new_group(member_entity_ids=entities[0])
    assert world.no("update", GROUP, {"member_entity_ids": entities[0]})[0] == 400
    deep = world.new_group()
    world.new_group(member_group_ids=world.new_group(member_group_ids=deep))
    monkeypatch.setattr(groups, "LOOKED_AT_MAX", 2)
    world.ask("update", f"{GROUP}/id/{deep}", {"member_group_ids": world.new_group()})
    monkeypatch.setattr(groups, "LOOKED_AT_MAX", 1)
    assert world.no("update", f"{GROUP}/id/{deep}", {"member_group_ids": world.new_group()})[0] == 400


def test_groups_that_are_gone_make_room(world, monkeypatch):
    """An entity that is in as many as it may be; while they are there, there is none."""
    monkeypatch.setattr(groups, "PARENTS_MAX", 2)
    entity_id = world.new_entity()
    first, _ = (world.new_group(member_entity_ids=entity_id) for _ in range(2))
    third = world.new_group()
    assert world.no("update", f"{GROUP}/id/{third}", {"member_entity_ids": entity_id})[0] == 400
    world.ask("delete", f"{GROUP}/id/{first}")
    world.ask("update", f"{GROUP}/id/{third}", {"member_entity_ids": entity_id})
    assert world.entity(entity_id).group_ids[1:] == [third]


def test_only_so_many_members_come_and_go_at_once(world, monkeypatch):
    """Those that stay do not count; however many leave, nothing is changed in part."""
    ids = [world.new_entity() for _ in range(4)]
    group_id = world.new_group(member_entity_ids=ids[:2])
    monkeypatch.setattr(changes, "CHANGED_MAX", 2)
    refusal = world.no("update", f"{GROUP}/id/{group_id}", {"member_entity_ids": ids[1:]})
    assert refusal == (400, "this would change more than 2 records at once: do it in parts", False)
    world.ask("update", f"{GROUP}/id/{group_id}", {"member_entity_ids": ids})
    world.ask("update", f"{GROUP}/id/{group_id}", {"member_entity_ids": ids[2:]})
    assert told(world, group_id)["member_entity_ids"] == ids[2:]


def test_a_list_counts_members_and_parents(world):
    """Those that are there."""
    one, two = world.new_entity(), world.new_entity()
    inner = world.new_group(member_entity_ids=[one, two])
    outer = world.new_group(member_group_ids=inner)
    told_of = world.data("list", f"{GROUP}/id")["key_info"]
    assert (told_of[inner]["num_member_entities"], told_of[inner]["num_parent_groups"]) == (2, 1)
    world.ask("delete", f"identity/entity/id/{one}")
    world.ask("delete", f"{GROUP}/id/{outer}")
    told_of = world.data("list", f"{GROUP}/id")["key_info"]
    assert (told_of[inner]["num_member_entities"], told_of[inner]["num_parent_groups"]) == (1, 0)


# ---- aliases of external groups
def test_an_alias_of_a_group_makes_the_group_where_none_is_named(world):
    """An external one; it is told by the group, by its id and in lists."""
    made = world.data("update", ALIAS, {"name": "admins", "mount_accessor": world.accessor()})
    group = told(world, made["canonical_id"])
    assert (group["type"], group["alias"]["id"], group["alias"]["name"]) == ("external", made["id"], "admins")
    alone = world.data("read", f"{ALIAS}/id/{made['id']}")
    assert (alone["canonical_id"], alone["mount_path"]) == (made["canonical_id"], "auth/userpass/")
    assert world.data("list", f"{ALIAS}/id")["keys"] == [made["id"]]
    assert world.data("list", f"{GROUP}/id")["key_info"][made["canonical_id"]]["alias"]["name"] == "admins"


def test_an_alias_of_a_group_moves_is_renamed_and_goes(world):
    """With the group it goes as well."""
    accessor = world.accessor()
    one, two = world.new_group(type="external"), world.new_group(type="external")
    made = world.data("update", ALIAS, {"name": "a", "mount_accessor": accessor, "canonical_id": one})
    body = {"name": "b", "mount_accessor": accessor}
    assert world.data("update", f"{ALIAS}/id/{made['id']}", body) == made
    assert world.ask("update", f"{ALIAS}/id/{made['id']}", body).empty
    assert world.data("update", ALIAS, body | {"id": made["id"], "canonical_id": two})["canonical_id"] == two
    assert (told(world, one)["alias"], told(world, two)["alias"]["name"]) == ({}, "b")
    assert world.data("update", "identity/lookup/group", {"alias_id": made["id"]})["id"] == two

    for _ in range(2):
        assert world.ask("delete", f"{ALIAS}/id/{made['id']}").empty
    assert told(world, two)["alias"] == {}
    again = world.data("update", ALIAS, body | {"canonical_id": two})
    world.ask("delete", f"{GROUP}/id/{two}")
    assert world.refused("read", f"{ALIAS}/id/{again['id']}") == (404, "", False)
    assert world.refused("list", f"{ALIAS}/id") == (404, "", False)


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("", {}, "missing alias name"),
        ("", {"name": "x"}, "missing mount_accessor"),
        ("", {"id": ""}, "empty group alias ID"),
        ("/id/nobody", {"name": "x", "mount_accessor": "OWN"}, "invalid group alias ID"),
        ("", {"name": "x", "mount_accessor": "auth_none_1"}, 'invalid mount accessor "auth_none_1"'),
        ("", {"name": "x", "mount_accessor": "LOCAL"}, 'mount accessor "LOCAL" is a local mount'),
        (
            "",
            {"name": "x", "mount_accessor": "OWN", "canonical_id": "nobody"},
            "invalid group ID given in 'canonical_id'",
        ),
        (
            "",
            {"name": "x", "mount_accessor": "OWN", "canonical_id": "INTERNAL"},
            "alias can't be set on an internal group",
        ),
        ("", {"name": "TAKEN", "mount_accessor": "OWN"}, "combination of mount and group alias name is already in use"),
    ],
)
def test_refusals_of_group_aliases(world, path, body, text):
    """400, and nothing is changed."""
    accessor = world.accessor()
    world.ask("update", ALIAS, {"name": "taken", "mount_accessor": accessor})
    words = {"OWN": accessor, "INTERNAL": world.new_group(), "LOCAL": world.accessor("cubbyhole/")}
    asked = {key: words.get(value, value) for key, value in body.items()}
    short = words["LOCAL"] if len(words["LOCAL"]) <= 16 else "..."
    assert world.no("update", ALIAS + path, asked) == (400, text.replace("LOCAL", short), False)


# ---- looking up
def test_entities_and_groups_are_looked_up_by_every_name_they_have(world):
    """204 where there is none."""
    entity_id = world.sign_in("alice")["entity_id"]
    alias = world.entity(entity_id).aliases[0].id
    group_alias = world.data("update", ALIAS, {"name": "g", "mount_accessor": world.accessor()})
    group_id = group_alias["canonical_id"]
    for what, own, own_alias, name in (
        ("entity", entity_id, alias, "alice"), ("group", group_id, group_alias["id"], "g"),
    ):  # fmt: skip
        world.ask("update", f"identity/{what}/id/{own}", {"name": "Named"})
        ways = [
            {"id": own}, {"name": "named"}, {"alias_id": own_alias},
            {"alias_name": name.upper(), "alias_mount_accessor": world.accessor()},
        ]  # fmt: skip
        answers = [world.data("update", f"identity/lookup/{what}", way) for way in ways]
        assert answers == [world.data("read", f"identity/{what}/id/{own}")] * 4
        others = [
            {"id": "x"}, {"name": "x"}, {"alias_id": "x"},
            {"alias_name": "x", "alias_mount_accessor": world.accessor()},
            {"alias_name": name, "alias_mount_accessor": "x"},
        ]  # fmt: skip
        assert all(world.ask("update", f"identity/lookup/{what}", way).empty for way in others)


@pytest.mark.parametrize("what", ["entity", "group"])
@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "query parameter not supplied"),
        ({"other": "x"}, "query parameter not supplied"),
        ({"id": "x", "name": "y"}, "query parameter conflict; please supply distinct set of query parameters"),
        (
            {"alias_name": "x", "alias_mount_accessor": "y", "id": "z"},
            "query parameter conflict; please supply distinct set of query parameters",
        ),
        ({"alias_name": "x"}, "both 'alias_name' and 'alias_mount_accessor' needs to be set"),
        ({"alias_mount_accessor": "x"}, "both 'alias_name' and 'alias_mount_accessor' needs to be set"),
    ],
)
def test_a_question_is_one_question(world, what, body, text):
    """400."""
    assert world.no("update", f"identity/lookup/{what}", body) == (400, text, False)

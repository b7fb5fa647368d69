"""Lists of identity: in parts, long ones without details, and none that looks at more than it gives."""

from __future__ import annotations

from typing import Any

import pytest

from cluster import Table
from node.engines.identity import listing
from tests.node.identity.people import People

LISTS = ["entity/id", "entity/name", "group/id", "group/name", "entity-alias/id", "group-alias/id"]
NAMES = ["Ann", "ann/x", "bob", "Cid", "dora", "é"]


@pytest.fixture
def world() -> People:
    """Six of everything that is listed."""
    world = People()
    for name in NAMES:
        entity = world.new_entity(name=name)
        world.ask("update", "identity/entity-alias", alias(world, name, entity))
        group = world.new_group(name=name, type="external")
        world.ask("update", "identity/group-alias", alias(world, name, group))
    return world


def alias(world: People, name: str, id_: str) -> dict[str, str]:
    return {"name": f"alias of {name}", "mount_accessor": world.accessor(), "canonical_id": id_}


def part(world: People, path: str, **query: object) -> dict[str, Any]:
    return world.data("list", f"identity/{path}", query={name: str(value) for name, value in query.items()})


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("size", [1, 2, 5, 6, 9])
def test_parts_are_the_whole(world, path, size):
    """Each goes on behind the last key of the one before, however it is written; behind the last there is nothing."""
    whole = part(world, path)
    keys: list[str] = []
    info: dict[str, Any] = {}
    while len(keys) < 6:
        found = part(world, path, limit=size, after=keys[-1] if keys else "")
        assert 0 < len(found["keys"]) <= size
        assert len(found["key_info"]) == len(found["keys"])
        keys += found["keys"]
        info |= found["key_info"]

    assert (keys, info) == (whole["keys"], whole["key_info"])
    assert world.refused("list", f"identity/{path}", query={"after": keys[-1]}) == (404, "", False)


@pytest.mark.parametrize("what", ["entity", "group"])
def test_names_are_shown_as_written_in_the_order_in_which_they_are_compared(world, what):
    """A place is found in any case."""
    assert part(world, f"{what}/name")["keys"] == NAMES
    for after in ("BOB", "bob", "Bob"):
        assert part(world, f"{what}/name", after=after, limit=2)["keys"] == ["Cid", "dora"]


@pytest.mark.parametrize("path", LISTS)
def test_a_long_list_has_the_keys_alone(world, monkeypatch, path):
    """With a warning that says how to have the rest; a part of it has everything, and so has one at the bound."""
    whole = part(world, path)
    monkeypatch.setattr(listing, "INFO_MAX", 6)
    assert part(world, path) == whole
    monkeypatch.setattr(listing, "INFO_MAX", 5)
    answer = world.ask("list", f"identity/{path}")

    lower = path.endswith("/name")
    assert answer.data == {"keys": [key.lower() for key in whole["keys"]] if lower else whole["keys"]}
    [warning] = answer.warnings
    assert warning.startswith("the list is long: key_info is left out")
    assert ("lower case" in warning) == lower
    assert part(world, path, limit=5)["keys"] == whole["keys"][:5]


@pytest.mark.parametrize("path", LISTS)
def test_a_list_that_would_hold_the_loop_is_refused_and_not_cut_short(world, monkeypatch, path):
    """One at the bound is not, nor a part of a longer one; a part that is as long as that is."""
    monkeypatch.setattr(listing, "KEYS_MAX", 6)
    assert len(part(world, path)["keys"]) == 6
    monkeypatch.setattr(listing, "KEYS_MAX", 5)
    text = "there are more than 5 of them: ask in parts, with limit and after"
    assert world.refused("list", f"identity/{path}") == (400, text, False)
    assert world.refused("list", f"identity/{path}", query={"limit": "6"}) == (400, text, False)
    assert len(part(world, path, limit=5)["keys"]) == 5
    assert len(part(world, path, after=part(world, path, limit=1)["keys"][0])["keys"]) == 5


def test_groups_with_many_members_are_told_in_smaller_parts(world, monkeypatch):
    """What is counted for each is bounded; of a single group, or of those without members, it is told."""
    members = [world.new_entity(name=f"m{number}") for number in range(4)]
    above = world.new_group(name="above")
    for name in ("x", "y"):
        group = world.new_group(name=name, member_entity_ids=members)
        world.ask("update", f"identity/group/id/{above}", {"member_group_ids": [group]})
    monkeypatch.setattr(listing, "LOOKED_MAX", 8)

    assert "key_info" not in part(world, "group/name")
    [info] = part(world, "group/name", limit=1, after="w")["key_info"].values()
    assert (info["name"], info["num_member_entities"]) == ("x", 4)
    assert len(part(world, "group/name", limit=6, after="above")["key_info"]) == 6


def test_members_that_left_are_not_counted(world):
    """Nor groups above that are gone."""
    ids = [world.new_entity(name=f"m{number}") for number in range(3)]
    group = world.new_group(name="team", member_entity_ids=ids)
    above = world.new_group(name="above", member_group_ids=[group])

    def counted() -> tuple[int, int]:
        info = part(world, "group/id")["key_info"][group]
        return info["num_member_entities"], info["num_parent_groups"]

    assert counted() == (3, 1)
    world.ask("delete", f"identity/entity/id/{ids[0]}")
    world.ask("update", f"identity/group/id/{group}", {"member_entity_ids": ids[1:2]})
    world.ask("delete", f"identity/group/id/{above}")
    assert counted() == (1, 0)


def test_no_list_looks_at_more_than_it_gives(world, monkeypatch):
    """The table is never walked; a part of two costs no more with a thousand others."""
    looks: list[bytes] = []
    watch(monkeypatch, type(world.state), looks)
    for path in LISTS:
        looks.clear()
        part(world, path, limit=2)
        assert len(looks) <= 8, path


def watch(monkeypatch: pytest.MonkeyPatch, kind: type, looks: list[bytes]) -> None:
    """No walk through the table of identity, and a note of each look."""
    get, items = kind.get, kind.items

    def noted(state: Any, table: int, key: bytes) -> Any:
        if table == Table.IDENTITY:
            looks.append(key)
        return get(state, table, key)

    def walked(state: Any, table: int) -> Any:
        assert table != Table.IDENTITY
        return items(state, table)

    monkeypatch.setattr(kind, "get", noted)
    monkeypatch.setattr(kind, "items", walked)

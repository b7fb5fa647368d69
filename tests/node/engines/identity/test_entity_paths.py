"""Entities by the API: what is made, changed, told and refused."""

from __future__ import annotations

import re

import pytest

from cluster import Table
from node.engines.instants import rfc3339
from tests.node.identity.people import People

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@pytest.fixture
def world() -> People:
    return People()


def everything(world: People) -> dict[bytes, bytes]:
    return {key: record for key, _, record in world.state.items(Table.IDENTITY)}


def test_a_new_entity_is_told_by_id_name_and_no_aliases(world):
    """A name is made up where none is given; what it was not given reads as null or empty."""
    made = world.data("update", "identity/entity", {})
    assert UUID.fullmatch(made["id"])
    assert re.fullmatch(r"entity_[0-9a-f]{8}", made["name"])
    assert made["aliases"] is None
    assert world.data("read", f"identity/entity/id/{made['id']}") == {
        "aliases": [], "creation_time": rfc3339(world.now_ns), "direct_group_ids": [], "disabled": False,
        "group_ids": [], "id": made["id"], "inherited_group_ids": [], "last_update_time": rfc3339(world.now_ns),
        "merged_entity_ids": None, "metadata": None, "name": made["name"], "namespace_id": "root", "policies": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("identity/entity", {"name": "a"}),
        ("identity/entity", {"id": "ID"}),
        ("identity/entity/id/ID", {}),
        ("identity/entity/name/a", {}),
        ("identity/entity/name/A", {}),
    ],
)
def test_an_entity_is_changed_by_any_way_of_naming_it(world, path, body):
    """204; what is not given stays, the time of the change is told. A name in other letters is the new spelling."""
    made = world.new_entity(name="a", policies="p", metadata={"k": "v"})
    world.pass_time(5)
    given = {key: made if value == "ID" else value for key, value in body.items()}
    answer = world.ask("update", path.replace("ID", made), given | {"disabled": True})
    assert answer.empty
    told = world.data("read", f"identity/entity/id/{made}")
    assert (told["policies"], told["metadata"], told["disabled"], told["name"]) == (
        ["p"], {"k": "v"}, True, "A" if path.endswith("A") else "a",
    )  # fmt: skip
    assert told["last_update_time"] != told["creation_time"]


def test_a_name_in_the_path_makes_an_entity_where_there_is_none(world):
    """And one with slashes is a name like another."""
    made = world.data("update", "identity/entity/name/a/b", {"policies": ["p"]})
    assert world.data("read", "identity/entity/name/a/b")["id"] == made["id"]
    assert world.data("read", "identity/entity/name/A/B")["name"] == "a/b"


def test_renaming_frees_the_old_name(world):
    """A change of case alone is a renaming to oneself."""
    first = world.new_entity(name="a")
    world.ask("update", f"identity/entity/id/{first}", {"name": "A"})
    assert world.data("read", "identity/entity/name/a")["name"] == "A"
    world.ask("update", f"identity/entity/id/{first}", {"name": "b"})
    assert world.refused("read", "identity/entity/name/a")[0] == 404
    second = world.new_entity(name="a")
    assert world.no("update", f"identity/entity/id/{second}", {"name": "B"}) == (
        400, "entity name is already in use", False,
    )  # fmt: skip


@pytest.mark.parametrize("what", ["entity", "group"])
def test_an_id_beside_the_name_in_the_path_is_that_of_the_name(world, what):
    """Who may write some names would otherwise write, and rename, whatever there is."""
    make = world.new_entity if what == "entity" else world.new_group
    other, mine = make(name="boss", policies=["p"]), make(name="team-x")
    before = world.data("read", f"identity/{what}/id/{other}")
    for name in ("team-x", "team-new"):
        assert world.no("update", f"identity/{what}/name/{name}", {"id": other, "policies": ["evil"]}) == (
            400, "the id is not that of the name in the path", False,
        )  # fmt: skip
    assert world.data("read", f"identity/{what}/id/{other}") == before

    assert world.ask("update", f"identity/{what}/name/Team-X", {"id": mine, "policies": ["q"]}).empty
    assert world.data("read", f"identity/{what}/id/{mine}")["policies"] == ["q"]


@pytest.mark.parametrize("how", ["id", "name"])
def test_deleting_leaves_nothing_and_what_is_not_there_is_deleted_as_well(world, how):
    """Names, aliases and all that led to it."""
    world.new_entity(name="other")
    before = everything(world)
    made = world.new_entity(name="a")
    body = {"name": "alice", "mount_accessor": world.accessor(), "canonical_id": made}
    alias = world.data("update", "identity/entity-alias", body)["id"]
    for _ in range(2):
        assert world.ask("delete", f"identity/entity/{how}/{made if how == 'id' else 'a'}").empty
        assert everything(world) == before
    assert world.refused("read", f"identity/entity/id/{made}") == (404, "", False)
    assert world.refused("read", f"identity/entity-alias/id/{alias}") == (404, "", False)


def test_a_batch_is_deleted_in_one_transaction(world):
    """Ids that are nobody's are passed over, those given twice are deleted once; the others stay."""
    made = [world.new_entity() for _ in range(4)]
    before = world.state.applied_index
    body = {"entity_ids": [made[0], made[1], made[1], "nobody"]}
    assert world.ask("update", "identity/entity/batch-delete", body).empty
    assert world.state.applied_index == before + 1
    assert [world.entity(name) is None for name in made] == [True, True, False, False]
    world.ask("update", "identity/entity/batch-delete", {"entity_ids": f"{made[2]},{made[3]}"})
    assert everything(world) == {}


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("entity", {"id": "nobody"}, "entity not found from id"),
        ("entity/id/nobody", {}, "entity not found from id"),
        ("entity", {"name": "x" * 513}, "a name is longer than 512 bytes"),
        ("entity", {"name": "a\u0000b"}, "a name holds characters that cannot be printed"),
        ("entity", {"name": "\ufeff"}, "a name holds characters that cannot be printed"),
        ("entity", {"policies": "response-wrapping"}, 'cannot assign policy "response-wrapping"'),
        ("entity", {"policies": [f"p{n}" for n in range(257)]}, "policies cannot contain more than 256 names"),
        ("entity/batch-delete", {}, "missing entity ids to delete"),
        ("entity/batch-delete", {"entity_ids": []}, "missing entity ids to delete"),
        (
            "entity/batch-delete",
            {"entity_ids": ",".join(str(n) for n in range(501))},
            "entity_ids cannot contain more than 500 ids at once",
        ),
    ],
)
def test_what_is_refused_says_why(world, path, body, text):
    """400, and nothing is changed."""
    assert world.no("update", f"identity/{path}", body) == (400, text, False)


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ({f"k{n}": "v" for n in range(65)}, "metadata cannot contain more than 64 key/value pairs"),
        ({"": "v"}, 'failed to load metadata pair (""): key cannot be blank'),
        ({"a b": "v"}, 'failed to load metadata pair ("a b"): key contains invalid characters'),
        ({"k" * 129: "v"}, 'failed to load metadata pair ("..."): key is too long (limit: 128 characters)'),
        (
            {"vault-x": "v"},
            'failed to load metadata pair ("vault-x"): key prefix "vault-" is reserved for internal use',
        ),
        ({"k": "v" * 513}, 'failed to load metadata pair ("k"): value is too long (limit: 512 characters)'),
    ],
)
@pytest.mark.parametrize("what", ["entity", "group"])
def test_metadata_have_bounds_and_refusals_do_not_repeat_values(world, what, metadata, why):
    """400 where Vault says 500, with its text."""
    refusal = world.no("update", f"identity/{what}", {"metadata": metadata})
    assert refusal == (400, f"invalid {what} metadata: {why}", True)


@pytest.mark.parametrize("what", ["entity", "group"])
def test_metadata_at_the_bounds_are_taken_and_null_takes_them_away(world, what):
    """Replaced whole."""
    metadata = {f"{n:0128}": "v" * 512 for n in range(64)}
    made = world.data("update", f"identity/{what}", {"metadata": metadata})["id"]
    assert world.data("read", f"identity/{what}/id/{made}")["metadata"] == metadata
    world.ask("update", f"identity/{what}/id/{made}", {"metadata": None})
    assert world.data("read", f"identity/{what}/id/{made}")["metadata"] is None


@pytest.mark.parametrize("field", ["disabled", "policies", "name", "metadata"])
def test_a_field_of_the_wrong_type_is_refused(world, field):
    """In the words of field validation."""
    status, text, _ = world.no("update", "identity/entity", {field: [{"a": 1}]})
    assert (status, text.startswith("Field validation failed: ")) == (400, True)


@pytest.mark.parametrize("what", ["entity", "group"])
def test_lists_tell_every_one_with_its_name(world, what):
    """Sorted; an empty one is 404; by name the keys are names, and what is told stays under the ids."""
    for how in ("id", "name"):
        assert world.refused("list", f"identity/{what}/{how}/") == (404, "", False)
    ids = {name: world.data("update", f"identity/{what}", {"name": name})["id"] for name in ("b", "a", "c")}
    told = world.data("list", f"identity/{what}/id/")
    assert told["keys"] == sorted(ids.values())
    assert {key: info["name"] for key, info in told["key_info"].items()} == {ids[name]: name for name in ids}
    by_name = world.data("list", f"identity/{what}/name")
    assert (by_name["keys"], by_name["key_info"]) == (["a", "b", "c"], told["key_info"])


def test_a_list_tells_aliases_and_their_mounts(world):
    """And of a mount that is gone only its accessor."""
    entity_id, accessor = world.sign_in("alice")["entity_id"], world.accessor()
    [alias] = world.data("list", "identity/entity/id")["key_info"][entity_id]["aliases"]
    assert alias == {
        "id": alias["id"], "name": "alice", "mount_accessor": accessor, "mount_path": "auth/userpass/",
        "mount_type": "userpass",
    }  # fmt: skip
    world.ask("delete", "sys/auth/userpass")
    [alias] = world.data("list", "identity/entity/id")["key_info"][entity_id]["aliases"]
    assert set(alias) == {"id", "name", "mount_accessor"}


@pytest.mark.parametrize(
    "path",
    ["oidc/config", "oidc/key/k", "oidc/.well-known/keys", "mfa/method/totp", "mfa/login-enforcement", "persona", "x"],
)
def test_what_identity_does_not_have_is_not_there(world, path):
    """404, as for every path a mount does not know."""
    assert world.refused("read", f"identity/{path}") == (404, "unsupported path", True)


@pytest.mark.parametrize(
    ("operation", "path"),
    [
        ("read", "entity"),
        ("list", "entity/id/x"),
        ("update", "entity/id"),
        ("read", "entity/merge"),
        ("delete", "group"),
    ],
)
def test_operations_that_a_path_does_not_have(world, operation, path):
    """405."""
    assert world.refused(operation, f"identity/{path}") == (405, "unsupported operation", True)


def test_parameters_nobody_knows_are_named_in_a_warning(world):
    """Where there is an answer to warn in."""
    answer = world.ask("update", "identity/entity", {"names": "x"})
    assert answer.warnings == ["Endpoint ignored these unrecognized parameters: [names]"]

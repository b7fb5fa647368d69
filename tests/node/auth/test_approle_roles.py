"""Roles of an approle mount: written, read, listed, deleted, and field by field."""

import pytest

from cluster import Draft, Table
from tests.node.auth.login_world import LoginWorld

ROLE = "auth/approle/role/app"
DEFAULTS = {
    "bind_secret_id": True, "local_secret_ids": False, "secret_id_bound_cidrs": None, "secret_id_num_uses": 0,
    "secret_id_ttl": 0, "token_bound_cidrs": [], "token_explicit_max_ttl": 0, "token_max_ttl": 0,
    "token_no_default_policy": False, "token_num_uses": 0, "token_period": 0, "token_policies": [],
    "token_strictly_bind_ip": False, "token_ttl": 0, "token_type": "default",
}  # fmt: skip
TOO_LONG = (
    "token_max_ttl is greater than the backend mount's maximum TTL value; issued tokens' max TTL value will be "
    "truncated"
)


@pytest.fixture
def world() -> LoginWorld:
    return LoginWorld()


def test_a_new_role_has_the_defaults(world):
    """A write answers 204, a read has every field but the id."""
    answer = world.ask("update", ROLE, {})

    assert answer.empty
    assert world.data("read", ROLE) == DEFAULTS


def test_fields_are_kept_and_changed_one_by_one(world):
    """What is not given stays; durations read back as seconds."""
    world.ask("update", ROLE, {"token_policies": "B,a", "token_ttl": "1h", "secret_id_num_uses": "40"})
    world.ask("update", ROLE, {"secret_id_ttl": "10m", "secret_id_bound_cidrs": ["10.0.0.0/8", "127.0.0.1/32"]})

    assert world.data("read", ROLE) == DEFAULTS | {
        "token_policies": ["a", "b"], "token_ttl": 3600, "secret_id_num_uses": 40, "secret_id_ttl": 600,
        "secret_id_bound_cidrs": ["10.0.0.0/8", "127.0.0.1/32"],
    }  # fmt: skip


def test_old_names_are_taken_and_shown(world):
    """`policies` and `period` are shown by the name they were given by, until today's name is used."""
    world.ask("update", ROLE, {"policies": ["a"], "period": 60, "bound_cidr_list": "10.0.0.0/8"})
    shown = world.data("read", ROLE)
    assert (shown["policies"], shown["token_policies"]) == (["a"], ["a"])
    assert (shown["period"], shown["token_period"]) == (60, 60)
    assert shown["secret_id_bound_cidrs"] == ["10.0.0.0/8"]
    assert "bound_cidr_list" not in shown

    world.ask("update", ROLE, {"token_policies": ["b"]})
    assert "policies" not in world.data("read", ROLE)
    assert world.data("read", ROLE)["period"] == 60


def test_names_are_lower_case_and_listed(world):
    """One role however its name is written; a list of none is 404."""
    assert world.refused("list", "auth/approle/role/") == (404, "", False)
    world.ask("update", "auth/approle/role/APP", {})
    world.ask("update", "auth/approle/role/b.c", {})
    world.ask("update", "auth/approle/role/app", {"token_ttl": 5})

    assert world.data("list", "auth/approle/role/") == {"keys": ["app", "b.c"]}
    assert world.data("list", "auth/approle/role/", query={"after": "app", "limit": "1"}) == {"keys": ["b.c"]}
    assert world.data("read", "auth/approle/role/App")["token_ttl"] == 5


def test_existence_makes_the_difference_between_create_and_update(world):
    """Policies tell them apart; other paths have no such check."""
    engine, context = world.engines["approle"], world.context(ROLE)
    assert engine.exists(context, "role/app") is False
    world.ask("update", ROLE, {})
    assert [engine.exists(context, path) for path in ("role/app", "role/APP", "role/no")] == [True, True, False]
    assert [engine.exists(context, path) for path in ("login", "role/app/secret-id", "role/")] == [None, None, None]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"bind_secret_id": False}, "at least one constraint should be enabled on the role"),
        ({"token_ttl": 7, "token_max_ttl": 5}, "'token_ttl' cannot be greater than 'token_max_ttl'"),
        ({"secret_id_num_uses": -1}, "secret_id_num_uses cannot be negative"),
        ({"token_type": "other"}, "invalid 'token_type' value"),
        ({"role_id": ""}, "invalid role_id supplied"),
        ({"role_id": "x" * 513}, "a role_id has at most 512 characters"),
        ({"token_bound_cidrs": ",".join(f"10.0.{n}.0/24" for n in range(101))},
         "token_bound_cidrs has more than 100 networks"),
        ({"secret_id_bound_cidrs": "nowhere"},
         'error parsing secret_id_bound_cidrs: Unable to convert "nowhere" to an IP address or network'),
        ({"token_type": "batch", "token_num_uses": 2},
         "'token_type' cannot be 'batch' or 'default_batch' when set to generate tokens with limited use count"),
    ],
)  # fmt: skip
def test_a_wrong_role_is_refused_and_not_made(world, fields, text):
    """With Vault's words, and nothing is stored."""
    assert world.refused("update", ROLE, fields) == (400, text, False)
    assert world.refused("read", ROLE) == (404, "", False)


@pytest.mark.parametrize("network", ["secret_id_bound_cidrs", "token_bound_cidrs", "bound_cidr_list"])
def test_networks_are_constraint_enough(world, network):
    """A role without secret-ids is allowed if it is bound to networks, and cannot be unbound then."""
    world.ask("update", ROLE, {"bind_secret_id": False, network: "10.0.0.0/8"})
    text = "at least one constraint should be enabled on the role"
    assert world.refused("update", ROLE, {network: ""}) == (400, text, False)


def test_local_secret_ids_is_chosen_once(world):
    """At the creation of the role; afterwards it is only shown."""
    world.ask("update", ROLE, {"local_secret_ids": True})
    refused = world.refused("update", ROLE, {"local_secret_ids": False})

    assert refused == (400, "local_secret_ids can only be modified during role creation", False)
    assert world.data("read", f"{ROLE}/local-secret-ids") == {"local_secret_ids": True}


@pytest.mark.parametrize(
    ("fields", "warning"),
    [
        ({"token_type": "default-service"}, "default-service has no useful meaning; adjusting to service"),
        ({"token_max_ttl": "9999h"}, TOO_LONG),
        ({"nonsense": 1, "token_max_ttl": "9999h"},
         "Endpoint ignored these unrecognized parameters: [nonsense]"),
    ],
)  # fmt: skip
def test_what_is_taken_otherwise_is_said(world, fields, warning):
    """200 with a warning in place of 204."""
    answer = world.ask("update", ROLE, fields)

    assert answer.status == 200
    assert warning in answer.warnings


def test_a_deleted_role_is_gone(world):
    """204 whether or not it was there."""
    role_id = world.role()
    assert world.ask("delete", ROLE).empty
    assert world.ask("delete", ROLE).empty
    assert world.refused("read", ROLE) == (404, "", False)
    assert world.entries() == 0
    assert world.no_approle(role_id, "x") == (400, "invalid role or secret ID")


@pytest.mark.parametrize(
    ("path", "field", "given", "shown", "default"),
    [
        ("policies", "token_policies", "b,a", ["a", "b"], []),
        ("bind-secret-id", "bind_secret_id", "false", False, True),
        ("secret-id-num-uses", "secret_id_num_uses", "5", 5, 0),
        ("secret-id-ttl", "secret_id_ttl", "1h", 3600, 0),
        ("period", "token_period", 60, 60, 0),
        ("token-num-uses", "token_num_uses", 3, 3, 0),
        ("token-ttl", "token_ttl", "2m", 120, 0),
        ("token-max-ttl", "token_max_ttl", 240, 240, 0),
        ("token-bound-cidrs", "token_bound_cidrs", ["10.0.0.0/8"], ["10.0.0.0/8"], []),
        ("secret-id-bound-cidrs", "secret_id_bound_cidrs", "10.0.0.0/8", ["10.0.0.0/8"], None),
        ("bound-cidr-list", "bound_cidr_list", "10.0.0.0/8", ["10.0.0.0/8"], None),
    ],
)
def test_every_field_has_a_path(world, path, field, given, shown, default):
    """Read, write and reset; without the field 400, without the role 404, a reset of nothing is 204."""
    place = f"{ROLE}/{path}"
    assert world.refused("read", place) == (404, "", False)
    assert world.refused("update", place, {field: given}) == (404, 'role "app" does not exist', False)
    assert world.ask("delete", place).empty
    world.ask("update", ROLE, {"token_bound_cidrs": "10.0.0.0/8"} if path == "bind-secret-id" else {})

    assert world.data("read", place) == {field: default}
    assert world.ask("update", place, {field: given}).empty
    assert world.data("read", place) == {field: shown}
    assert world.refused("update", place, {}) == (400, f"missing {field}", False)
    assert world.ask("delete", place).empty
    assert world.data("read", place) == {field: default}


def test_a_field_path_takes_the_old_name(world):
    """And shows both, as Vault does."""
    world.ask("update", ROLE, {})
    world.ask("update", f"{ROLE}/policies", {"policies": "a"})

    assert world.data("read", f"{ROLE}/policies") == {"token_policies": ["a"], "policies": ["a"]}


def test_role_ids_are_unique_and_can_be_chosen(world):
    """A role answers to its new id alone; an id that another role has is refused."""
    first = world.role(token_policies="a")
    world.role("other", role_id="chosen / one")
    assert len(first) == 36
    assert world.data("read", "auth/approle/role/other/role-id") == {"role_id": "chosen / one"}
    for path in (f"{ROLE}/role-id", ROLE, "auth/approle/role/third"):
        refused = world.refused("update", path, {"role_id": "chosen / one"})
        assert refused == (400, "role_id already in use", False)
    assert world.refused("update", f"{ROLE}/role-id", {}) == (400, "missing role_id", False)
    assert world.refused("update", "auth/approle/role/no/role-id", {"role_id": "x"})[0] == 404

    secret_id = world.secret_id()
    world.ask("update", f"{ROLE}/role-id", {"role_id": "mine"})
    assert world.approle("mine", secret_id)["policies"] == ["a", "default"]
    assert world.no_approle(first, secret_id) == (400, "invalid role or secret ID")
    world.ask("update", "auth/approle/role/other/role-id", {"role_id": first})


def test_role_ids_that_differ_in_case_alone_are_one(world):
    """Identity knows one entity of them: no second role gets at what the first one's is granted."""
    world.role("victim", role_id="team-a")
    for path in ("auth/approle/role/mine", "auth/approle/role/mine/role-id"):
        assert world.refused("update", path, {"role_id": "TEAM-A"}) == (400, "role_id already in use", False)
        world.role("mine")
    assert world.no_approle("TEAM-A", world.secret_id("victim")) == (400, "invalid role or secret ID")
    assert world.approle("team-a", world.secret_id("victim"))


def test_a_role_may_write_its_own_id_in_another_case(world):
    """It answers to the new writing alone, and stays findable; deleted, it leaves the id to others."""
    world.role(role_id="team-a")
    secret_id = world.secret_id()
    world.ask("update", f"{ROLE}/role-id", {"role_id": "Team-A"})
    assert world.approle("Team-A", secret_id)
    assert world.no_approle("team-a", secret_id) == (400, "invalid role or secret ID")
    world.ask("delete", ROLE)
    assert world.entries("role-id/") == 0
    assert world.role("other", role_id="team-a") == "team-a"


def test_no_stored_name_carries_an_id(world):
    """Entries are named by keyed hashes; a repr of what is stored says nothing."""
    role_id = world.role(role_id="a-role-id-that-is-told")
    secret_id = world.secret_id()
    world.approle(role_id, secret_id)

    for key, _, record in world.state.items(Table.ENTRY):
        assert role_id.encode() not in key
        assert secret_id.encode() not in key + record


@pytest.mark.parametrize("path", ["role/app/else", "role/-app", "role/a/b/c", "roles", "login/x"])
def test_other_paths_are_not_there(world, path):
    """404, and never a role of that name."""
    assert world.refused("update", f"auth/approle/{path}", {}) == (404, "unsupported path", True)


def test_policies_guard_roles(world):
    """Who may read roles may not write them."""
    world.policy("reader", 'path "auth/approle/role/*" { capabilities = ["read"] }')
    world.ask("update", ROLE, {})
    token = world.make({"policies": ["reader"]})

    assert world.data("read", ROLE, token=token) == DEFAULTS
    assert world.refused("update", ROLE, {}, token=token) == (403, "permission denied", True)
    assert world.refused("update", f"{ROLE}/secret-id", {}, token=token) == (403, "permission denied", True)


def test_a_role_whose_id_lost_its_entry_is_mended_by_a_write(world):
    """As a restore may leave it: until then nobody logs in by it, and the id of a role that is gone is free."""
    role_id, secret_id = world.role(), world.secret_id()
    key = next(key for key, _, _ in world.state.items(Table.ENTRY) if key[16:].startswith(b"role-id/"))
    draft = Draft()
    draft.expect(Table.ENTRY, key, world.state.get(Table.ENTRY, key)[0])
    draft.drop(Table.ENTRY, key)
    world.apply(draft)
    assert world.no_approle(role_id, secret_id) == (400, "invalid role or secret ID")
    world.ask("update", ROLE, {})
    assert world.approle(role_id, secret_id)

    role = world.state.get(Table.ENTRY, key[:16] + b"role/app")
    draft = Draft()
    draft.expect(Table.ENTRY, key[:16] + b"role/app", role[0])
    draft.drop(Table.ENTRY, key[:16] + b"role/app")
    world.apply(draft)
    assert world.no_approle(role_id, secret_id) == (400, "invalid role or secret ID")
    assert world.role("other", role_id=role_id) == role_id
    assert world.approle(role_id, world.secret_id("other"))


def test_a_write_that_changes_nothing_proposes_nothing(world):
    """The answer is then a read."""
    world.ask("update", ROLE, {"token_ttl": 5})
    world.ask("update", ROLE, {"token_ttl": 5})
    assert world.plans[-1].draft.empty

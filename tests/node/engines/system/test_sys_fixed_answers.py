"""What is fixed, or not there yet, and says so."""

import pytest

from node.catalog import MOUNT_TYPES
from node.engines.system.mounts import MountTypes
from node.version import VAULT_VERSION
from tests.node.auth.world import World

AUTOPILOT = "sys/storage/raft/autopilot/configuration"
FIXED = {
    "cleanup_dead_servers": False,
    "dead_server_last_contact_threshold": "24h0m0s",
    "last_contact_threshold": "10s",
    "max_trailing_logs": 1000,
    "min_quorum": 0,
    "server_stabilization_time": "10s",
}
NOT_YET = "the members of a running cluster cannot be changed yet: they are those of the configuration files"


@pytest.fixture
def world() -> World:
    return World(mount_types=MountTypes(secrets=frozenset({"kv"}), auth=frozenset({"github", "gcp"})))


# ---- cross-origin requests
@pytest.mark.parametrize("origins", ["*", ["https://a.example"], None])
def test_cross_origin_requests_cannot_be_switched_on(world, origins):
    """Not for all, not for one; switching them off is fine, because they are."""
    status, text, wrapped = world.refused("update", "sys/config/cors", {"allowed_origins": origins})

    assert (status, wrapped) == (400, False)
    assert text.startswith("cross-origin requests are not supported")
    assert world.ask("delete", "sys/config/cors").empty
    answer = world.ask("read", "sys/config/cors")
    assert (answer.data, answer.inject) == ({"enabled": False}, True)


# ---- members
@pytest.mark.parametrize("name", ["remove-peer", "promote", "demote"])
def test_members_are_not_changed(world, name):
    """A clear 400, and Vault's where no member is named."""
    assert world.refused("update", f"sys/storage/raft/{name}", {}) == (400, "no server id provided", False)
    assert world.refused("update", f"sys/storage/raft/{name}", {"server_id": "n2"}) == (400, NOT_YET, False)


def test_the_settings_of_autopilot_are_those_that_hold(world):
    """What says the same is taken."""
    assert world.data("read", AUTOPILOT) == FIXED
    assert world.ask("update", AUTOPILOT, FIXED).empty
    assert world.ask("update", AUTOPILOT, {"last_contact_threshold": 10, "min_quorum": "0"}).empty


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"cleanup_dead_servers": True}, f"cleanup_dead_servers cannot be switched on: {NOT_YET}"),
        ({"min_quorum": 3}, "min_quorum is 0 and cannot be changed yet"),
        ({"max_trailing_logs": 5}, "max_trailing_logs is 1000 and cannot be changed yet"),
        ({"last_contact_threshold": "1h"}, "last_contact_threshold is 10s and cannot be changed yet"),
        ({"server_stabilization_time": "x"}, "server_stabilization_time is 10s and cannot be changed yet"),
    ],
)
def test_what_autopilot_does_not_do_is_refused(world, body, text):
    """Never taken and forgotten."""
    assert world.refused("update", AUTOPILOT, body) == (400, text, False)


# ---- plugins
def test_the_catalog_names_what_is_built_in(world):
    """By kind, in detail, one by one; the singletons are no plugins."""
    catalog = world.data("read", "sys/plugins/catalog")

    assert {kind: catalog[kind] for kind in ("auth", "database", "secret")} == {
        "auth": ["gcp", "github"],
        "database": [],
        "secret": ["kv"],
    }
    assert [(one["type"], one["name"], one["builtin"]) for one in catalog["detailed"]] == [
        ("auth", "gcp", True),
        ("auth", "github", True),
        ("secret", "kv", True),
    ]
    assert world.data("list", "sys/plugins/catalog/auth") == {"keys": ["gcp", "github"]}
    assert world.data("read", "sys/plugins/catalog/secret/kv")["builtin"] is True


@pytest.mark.parametrize(
    ("operation", "path", "status"),
    [
        ("read", "auth/none", 404),
        ("read", "secret/github", 404),
        ("read", "other", 400),
        ("update", "secret/mine", 405),
        ("delete", "secret/kv", 405),
    ],
)
def test_nothing_else_is_a_plugin_and_none_can_be_registered(world, operation, path, status):
    """There is no plugin folder."""
    assert world.refused(operation, f"sys/plugins/catalog/{path}", {})[0] == status


# ---- types without paths
@pytest.mark.parametrize("type_", ["github", "gcp"])
def test_a_stub_can_be_enabled_listed_and_disabled(world, type_):
    """As clients' own tests do it."""
    assert type_ in MOUNT_TYPES.auth
    world.ask("update", "sys/auth/stub", {"type": type_})
    assert world.data("read", "sys/auth")["stub/"]["type"] == type_
    world.ask("delete", "sys/auth/stub")
    assert "stub/" not in world.data("read", "sys/auth")


@pytest.mark.parametrize("type_", ["ldap2", "aws", "gcp"])
def test_other_types_are_not_in_the_catalog(world, type_):
    """A secrets engine of a stub's name neither."""
    text = f"plugin not found in the catalog: {type_}"

    assert world.refused("update", "sys/mounts/x", {"type": type_}) == (400, text, False)


# ---- version, namespaces
def test_the_version_history_has_the_version_that_serves(world):
    """A plain GET is no list."""
    found = world.data("list", "sys/version-history")

    assert found["keys"] == [VAULT_VERSION]
    assert sorted(found["key_info"][VAULT_VERSION]) == ["build_date", "previous_version", "timestamp_installed"]
    assert world.refused("read", "sys/version-history")[0] == 405


def test_there_are_no_namespaces(world):
    """An empty list, as Vault says it; none can be made."""
    assert world.refused("list", "sys/namespaces")[:2] == (404, "")
    assert world.refused("update", "sys/namespaces/x", {})[0] == 404

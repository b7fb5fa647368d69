"""Rate limits as they are stored."""

import pytest

from node.engines.system.quotas import EXEMPT_PATHS
from tests.node.auth.world import World

LIMIT = "sys/quotas/rate-limit"


@pytest.fixture
def world() -> World:
    world = World()
    world.ask("update", "sys/mounts/kvq", {"type": "kv"})
    world.ask("update", "sys/mounts/deep/er", {"type": "kv"})
    return world


def test_a_quota_is_written_read_listed_and_deleted(world):
    """In exactly Vault's shape."""
    assert world.refused("list", LIMIT)[0] == 404
    assert world.ask("update", f"{LIMIT}/q", {"path": "kvq/", "rate": 2, "interval": "1h"}).empty
    assert world.data("read", f"{LIMIT}/q") == {
        "block_interval": 0,
        "inheritable": False,
        "interval": 3600,
        "name": "q",
        "path": "kvq/",
        "rate": 2,
        "role": "",
        "type": "rate-limit",
    }
    assert world.data("list", LIMIT) == {"keys": ["q"]}
    assert world.ask("delete", f"{LIMIT}/q").empty
    assert world.ask("delete", f"{LIMIT}/q").empty
    assert world.refused("read", f"{LIMIT}/q")[0] == 404


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("", ""),
        ("/", ""),
        ("kvq", "kvq/"),
        ("/kvq/", "kvq/"),
        ("kvq/data/a", "kvq/data/a"),
        ("kvq/data/*", "kvq/data/*"),
        ("kvq/*", "kvq/*"),
        ("deep/er/x", "deep/er/x"),
        ("auth/token", "auth/token/"),
        ("auth/token/create", "auth/token/create"),
        ("sys/mounts", "sys/mounts"),
    ],
)
def test_a_quota_speaks_of_everything_a_mount_or_what_is_below(world, given, stored):
    """By the mount that the path belongs to."""
    world.ask("update", f"{LIMIT}/q", {"path": given, "rate": 1.5})

    found = world.data("read", f"{LIMIT}/q")
    assert (found["path"], found["rate"], found["interval"]) == (stored, 1.5, 1)
    assert found["inheritable"] is (stored == "")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"rate": 0}, "'rate' is invalid"),
        ({"rate": -1}, "'rate' is invalid"),
        ({"rate": "nan"}, "'rate' is invalid"),
        ({"rate": "inf"}, "'rate' is invalid"),
        ({"rate": "x"}, "'rate' is invalid"),
        ({}, "'rate' is invalid"),
        ({"rate": "1e-310"}, "'rate' is invalid"),
        ({"rate": "5e-324", "interval": "8784h"}, "'rate' is invalid"),
        ({"rate": 1e-8}, "'rate' is invalid"),
        ({"rate": 0.9, "interval": "8784h"}, "'rate' is invalid"),
        ({"rate": 1, "interval": -1}, "'interval' is invalid"),
        ({"rate": 1, "interval": "9000h"}, "'interval' is invalid"),
        ({"rate": 1, "block_interval": -1}, "'block' is invalid"),
        ({"rate": 1, "block_interval": "24h1s"}, "'block' is invalid"),
        ({"rate": 1, "block_interval": "8760h"}, "'block' is invalid"),
        ({"rate": 1, "path": "none"}, 'invalid mount path "none/"'),
        ({"rate": 1, "path": "deep"}, 'invalid mount path "deep/"'),
        ({"rate": 1, "path": "kvq/a*b"}, "a * stands at the end of a path only"),
        ({"rate": 1, "path": "kvq", "role": "r"}, "quotas on the logins of one role are not supported"),
        ({"rate": 1, "path": "kvq", "inheritable": True}, "only namespace quotas can be configured as inheritable"),
        ({"rate": 1, "group_by": "entity"}, "'group_by' must be ip, token or none"),
    ],
)
def test_what_is_no_quota_is_refused(world, body, text):
    """And nothing is stored."""
    assert world.refused("update", f"{LIMIT}/q", body) == (400, text, False)
    assert world.refused("read", f"{LIMIT}/q")[0] == 404


@pytest.mark.parametrize(
    "body", [{"rate": 1, "interval": "8784h"}, {"rate": 4e-8}, {"rate": 1, "block_interval": "24h"}]
)
def test_the_least_rate_and_the_longest_block_are_quotas(world, body):
    """The twin: one request in the longest interval, and a day."""
    assert world.ask("update", f"{LIMIT}/q", body).empty
    assert world.data("read", f"{LIMIT}/q")["rate"] == body["rate"]


@pytest.mark.parametrize("group_by", ["token", "none"])
def test_whose_requests_are_counted_together_is_shown_where_it_is_not_vaults_way(world, group_by):
    """By address is what a quota does if nothing is said."""
    world.ask("update", f"{LIMIT}/q", {"rate": 1, "group_by": group_by, "block_interval": "1m"})
    found = world.data("read", f"{LIMIT}/q")

    assert (found["group_by"], found["block_interval"]) == (group_by, 60)
    world.ask("update", f"{LIMIT}/q", {"rate": 1, "group_by": "ip"})
    assert "group_by" not in world.data("read", f"{LIMIT}/q")


def test_no_two_quotas_speak_of_the_same_path(world):
    """The one that is there may be changed, and moved to another path."""
    world.ask("update", f"{LIMIT}/q", {"rate": 1, "path": "kvq"})

    text = 'quota rule with similar properties exists under the name "q"'
    assert world.refused("update", f"{LIMIT}/other", {"rate": 1, "path": "/kvq/"}) == (400, text, False)
    world.ask("update", f"{LIMIT}/q", {"rate": 2})
    assert world.ask("update", f"{LIMIT}/other", {"rate": 1, "path": "kvq"}).empty


def test_a_quota_goes_with_its_mount(world):
    """What is mounted there later begins without; others stay."""
    for name, path in (("mount", "kvq"), ("below", "kvq/data/*"), ("other", "deep/er"), ("all", "")):
        world.ask("update", f"{LIMIT}/{name}", {"rate": 1, "path": path})
    world.ask("delete", "sys/mounts/kvq")

    assert world.data("list", LIMIT) == {"keys": ["all", "other"]}


def test_the_configuration_of_quotas(world):
    """Vault's defaults; what is named changes, the rest stays."""
    default = {
        "absolute_rate_limit_exempt_paths": [],
        "enable_rate_limit_audit_logging": False,
        "enable_rate_limit_response_headers": False,
        "rate_limit_exempt_paths": EXEMPT_PATHS,
    }
    assert world.data("read", "sys/quotas/config") == default

    assert world.ask("update", "sys/quotas/config", {"enable_rate_limit_audit_logging": "true"}).empty
    paths = {"rate_limit_exempt_paths": ["/sys/health", "kvq/free/*"]}
    assert world.ask("update", "sys/quotas/config", paths).empty
    expected = {"enable_rate_limit_audit_logging": True, "rate_limit_exempt_paths": ["kvq/free/*", "sys/health"]}
    assert world.data("read", "sys/quotas/config") == default | expected


def test_quotas_are_an_operators(world):
    """Whoever has no rule for them neither sees nor changes them."""
    token = world.make({"policies": ["default"]})
    for operation, path in (("update", f"{LIMIT}/q"), ("delete", f"{LIMIT}/q"), ("read", "sys/quotas/config")):
        assert world.refused(operation, path, token=token)[0] == 403

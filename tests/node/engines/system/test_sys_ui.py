"""What clients ask before they ask."""

import pytest

from tests.node.auth.world import World

MOUNTS = "sys/internal/ui/mounts"
PREFLIGHT = "preflight capability check returned 403, please ensure client's policies grant access to path "


@pytest.fixture
def world() -> World:
    world = World()
    world.ask("update", "sys/mounts/kv2", {"type": "kv-v2"})
    config = {"listing_visibility": "unauth"}
    world.ask("update", "sys/mounts/pub", {"type": "kv", "description": "public", "config": config})
    world.policy("kvonly", 'path "kv2/data/a/*" { capabilities = ["read"] }')
    return world


@pytest.mark.parametrize("path", ["kv2", "kv2/", "kv2/data/deep/path"])
@pytest.mark.parametrize("who", ["root", "kvonly"])
def test_whoever_may_do_anything_below_a_mount_learns_what_it_is(world, path, who):
    """The version and the mount path: every KV client begins here."""
    data = world.data("read", f"{MOUNTS}/{path}", token=_token(world, who))

    assert (data["path"], data["type"], data["options"]) == ("kv2/", "kv", {"version": "2"})
    assert data["uuid"]


@pytest.mark.parametrize(
    ("path", "who"), [("pub", "kvonly"), ("nosuch", "kvonly"), ("nosuch", "root"), ("nosuch/a", "root")]
)
def test_an_unknown_mount_and_a_forbidden_one_look_alike(world, path, who):
    """403 with the path that was asked for."""
    text = PREFLIGHT + f'"{path}/"'

    assert world.refused("read", f"{MOUNTS}/{path}", token=_token(world, who)) == (403, text, False)


def test_a_denied_mount_is_not_shown(world):
    """Deny is no access, whatever else is granted above."""
    world.policy("blind", 'path "kv2/*" { capabilities = ["deny"] }')

    assert world.refused("read", f"{MOUNTS}/kv2", token=world.make({"policies": ["blind"]}))[0] == 403


@pytest.mark.parametrize("token", [None, "s.bad"])
def test_one_mount_needs_a_good_token(world, token):
    """The path is open, the answer is not."""
    assert world.refused("read", f"{MOUNTS}/kv2", token=token) == (403, "permission denied", False)


def test_without_a_token_only_what_says_so_is_listed(world):
    """And of it only what it is."""
    assert world.data("read", MOUNTS, token=None) == {
        "auth": {},
        "secret": {"pub/": {"description": "public", "options": {}, "type": "kv"}},
    }
    assert world.refused("read", MOUNTS, token="s.bad") == (403, "permission denied", False)


def test_with_a_token_what_it_reaches_is_listed_in_full(world):
    """Of root everything; of a token its own, what default reaches, and what is public."""
    world.ask("update", "sys/mounts/hidden", {"type": "kv"})
    mine = world.data("read", MOUNTS, token=_token(world, "kvonly"))
    everything = world.data("read", MOUNTS)

    assert list(mine["secret"]) == ["cubbyhole/", "identity/", "kv2/", "pub/", "sys/"]
    assert (list(mine["auth"]), mine["secret"]["pub/"]["accessor"][:3]) == (["token/"], "kv_")
    assert list(everything["secret"]) == ["cubbyhole/", "hidden/", "identity/", "kv2/", "pub/", "sys/"]


def test_the_resultant_list_holds_exact_paths_and_prefixes(world):
    """Patterns with `+` have no place in it; root is just root."""
    data = world.data("read", "sys/internal/ui/resultant-acl", token=_token(world, "kvonly"))

    assert data["root"] is False
    assert data["exact_paths"]["auth/token/lookup-self"] == {"capabilities": ["read"]}
    assert data["glob_paths"] == {
        "cubbyhole/": {"capabilities": ["create", "delete", "list", "read", "update"]},
        "kv2/data/a/": {"capabilities": ["read"]},
        "sys/tools/hash/": {"capabilities": ["update"]},
    }
    assert not [path for path in data["exact_paths"] if "+" in path]
    assert world.data("read", "sys/internal/ui/resultant-acl") == {"root": True}
    assert world.refused("read", "sys/internal/ui/resultant-acl", token=None)[0] == 403


def test_there_are_no_namespaces(world):
    """Open to all, but not to a bad token."""
    assert [world.data("read", "sys/internal/ui/namespaces", token=token) for token in (None, "root")] == [{}, {}]
    assert world.refused("read", "sys/internal/ui/namespaces", token="s.bad")[0] == 403


def _token(world, who):
    return world.root if who == "root" else world.make({"policies": [who]})

"""What a token may do: of itself, of another, by accessor."""

import pytest

from tests.node.auth.world import World

RULES = """
path "kv/*" { capabilities = ["read"] }
path "kv/dir/*" { capabilities = ["list", "read"] }
path "kv/deny/*" { capabilities = ["deny"] }
path "sys/auth/y" { capabilities = ["update", "sudo"] }
"""


@pytest.fixture
def world() -> World:
    world = World()
    world.policy("rules", RULES)
    return world


@pytest.mark.parametrize("way", ["capabilities", "capabilities-self", "capabilities-accessor"])
def test_every_way_gives_the_same_answer(world, way):
    """Sorted words per path, in the data and at the top level."""
    raw_token = world.make({"policies": ["rules"]})
    paths = ["kv/a", "kv/dir/x", "kv/deny/a", "sys/auth/y", "zzz"]
    body = {"paths": paths}
    body |= {"capabilities": {"token": raw_token}, "capabilities-self": {}}.get(
        way, {"accessor": world.record(raw_token).accessor.decode()}
    )
    answer = world.ask("update", f"sys/{way}", body, token=raw_token if way.endswith("self") else "root")

    assert answer.inject
    assert answer.data == {
        "kv/a": ["read"],
        "kv/dir/x": ["list", "read"],
        "kv/deny/a": ["deny"],
        "sys/auth/y": ["sudo", "update"],
        "zzz": ["deny"],
    }


@pytest.mark.parametrize("body", [{"paths": ["kv/a"]}, {"path": "kv/a"}, {"paths": "kv/a"}])
def test_one_path_also_stands_under_capabilities(world, body):
    """As the first version of this API answered."""
    raw_token = world.make({"policies": ["rules"]})

    assert world.data("update", "sys/capabilities-self", body, token=raw_token) == {
        "kv/a": ["read"],
        "capabilities": ["read"],
    }


def test_root_is_root(world):
    """On every path."""
    assert world.data("update", "sys/capabilities-self", {"path": "x"})["capabilities"] == ["root"]


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("capabilities", {"token": "ROOT"}, (400, "paths must be supplied", False)),
        ("capabilities-self", {}, (400, "paths must be supplied", False)),
        ("capabilities", {"paths": ["x"]}, (400, "missing token", True)),
        ("capabilities", {"paths": ["x"], "token": "s.bad"}, (400, "invalid token", True)),
        ("capabilities-accessor", {"paths": ["x"]}, (400, "missing accessor", False)),
        ("capabilities-accessor", {"paths": ["x"], "accessor": "bad"}, (400, "invalid accessor", True)),
        ("capabilities-self", {"paths": ["x"] * 1001}, (400, "at most 1000 paths can be asked about at once", False)),
    ],
)
def test_refusals(world, path, body, expected):
    """400, never 500."""
    filled = {name: world.root if value == "ROOT" else value for name, value in body.items()}

    assert world.refused("update", f"sys/{path}", filled) == expected


def test_other_peoples_capabilities_need_a_right(world):
    """capabilities-self is in the default policy, the others are not."""
    raw_token = world.make({"policies": ["rules"]})

    assert world.ask("update", "sys/capabilities-self", {"path": "x"}, token=raw_token).status == 200
    for path in ("capabilities", "capabilities-accessor"):
        refused = world.refused("update", f"sys/{path}", {"path": "x", "token": world.root}, token=raw_token)
        assert refused == (403, "permission denied", True)


def test_capabilities_promise_what_requests_get(world):
    """The same compiled list answers both."""
    raw_token = world.make({"policies": ["rules"]})
    said = world.data("update", "sys/capabilities-self", {"path": "sys/mounts"}, token=raw_token)["capabilities"]

    assert (said, world.refused("read", "sys/mounts", token=raw_token)[0]) == (["deny"], 403)

"""Headers as settings: of answers to a user interface, of requests in the audit log."""

import pytest

from node.engines.system import request_headers, ui_headers
from tests.node.auth.world import World

UI = "sys/config/ui/headers"
AUDITED = "sys/config/auditing/request-headers"


@pytest.fixture
def world() -> World:
    return World()


# ---- of a user interface
def test_a_header_of_the_interface_is_set_read_listed_and_removed(world):
    """Its name in any spelling; a single value may hold commas; reading gives the first of several."""
    assert world.refused("list", UI)[0] == 404
    world.ask("update", f"{UI}/X-Custom", {"values": ["one, two", "three"]})
    world.ask("update", f"{UI}/x-other", {"values": "a, b"})

    assert world.data("list", f"{UI}/") == {"keys": ["x-custom", "x-other"]}
    assert world.data("read", f"{UI}/x-CUSTOM") == {"value": "one, two"}
    assert world.data("read", f"{UI}/X-Custom", query={"multivalue": "true"}) == {"values": ["one, two", "three"]}
    assert world.data("read", f"{UI}/X-Other") == {"value": "a, b"}
    assert world.ask("delete", f"{UI}/X-Custom").empty
    assert world.ask("delete", f"{UI}/X-Custom").empty
    assert world.refused("read", f"{UI}/X-Custom")[0] == 404
    assert world.data("list", UI) == {"keys": ["x-other"]}


@pytest.mark.parametrize("name", sorted({*ui_headers.FIXED, "Content-Security-Policy", "X-FRAME-OPTIONS"}))
def test_what_protects_the_browser_cannot_be_changed(world, name):
    """However it is spelt, and removing it does nothing."""
    status, text, _ = world.refused("update", f"{UI}/{name}", {"values": ["x"]})

    assert (status, text) == (400, f"{name.lower()} protects the browser and cannot be changed")
    assert world.ask("delete", f"{UI}/{name}").empty
    assert world.refused("list", UI)[0] == 404


@pytest.mark.parametrize(
    ("name", "values", "text"),
    [
        ("X-Vault-Token", ["x"], "X-Vault headers cannot be set"),
        ("x-strongroom-index", ["x"], "X-Vault headers cannot be set"),
        ("X-Custom", [], "header and values must be specified"),
        ("Set-Cookie", ["x"], "set-cookie is the server's own and cannot be set"),
        ("Access-Control-Allow-Origin", ["*"], "access-control-allow-origin is the server's own and cannot be set"),
        ("X Custom", ["x"], "this is no name of a header"),
        ("X:Custom", ["x"], "this is no name of a header"),
        ("X-Custom", ["a\r\nSet-Cookie: b"], "a header's value is printable ASCII, at most 4096 characters"),
        ("X-Custom", ["\u00e9"], "a header's value is printable ASCII, at most 4096 characters"),
        ("X-Custom", ["x" * 4097], "a header's value is printable ASCII, at most 4096 characters"),
        ("X-Custom", ["x"] * 17, "there may be 64 headers with 16 values each"),
    ],
)
def test_what_cannot_stand_in_a_head_is_refused(world, name, values, text):
    """Names that are none, values with line ends, headers that are the server's."""
    assert world.refused("update", f"{UI}/{name}", {"values": values}) == (400, text, False)


def test_the_number_of_headers_is_bounded(world):
    """One that is there may still be changed."""
    for number in range(ui_headers.HEADERS_MAX):
        world.ask("update", f"{UI}/x-{number}", {"values": ["v"]})

    assert world.refused("update", f"{UI}/x-more", {"values": ["v"]})[0] == 400
    assert world.ask("update", f"{UI}/x-0", {"values": ["w"]}).empty


# ---- of requests, in the audit log
def test_an_audited_header_is_set_read_listed_and_removed(world):
    """With and without hashing; answers carry the data at the top, too."""
    assert world.data("read", AUDITED) == {"headers": {}}
    world.ask("update", f"{AUDITED}/X-Foo", {"hmac": True})
    world.ask("update", f"{AUDITED}/x-bar", {})
    one, every = world.ask("read", f"{AUDITED}/x-FOO"), world.ask("read", AUDITED)

    assert (one.data, one.inject) == ({"x-foo": {"hmac": True}}, True)
    assert (every.data, every.inject) == ({"headers": {"x-bar": {"hmac": False}, "x-foo": {"hmac": True}}}, True)
    assert world.ask("delete", f"{AUDITED}/X-FOO").empty
    assert world.ask("delete", f"{AUDITED}/X-FOO").empty
    assert world.refused("read", f"{AUDITED}/x-foo") == (400, "Could not find header in config", False)
    assert world.data("read", AUDITED) == {"headers": {"x-bar": {"hmac": False}}}


@pytest.mark.parametrize("name", ["x foo", "x:foo", "x" * 129, "\u00e9"])
def test_a_name_that_is_none_is_not_audited(world, name):
    """Refused, and nothing is stored."""
    assert world.refused("update", f"{AUDITED}/{name}", {"hmac": False})[0] == 400
    assert world.data("read", AUDITED) == {"headers": {}}


def test_the_number_of_audited_headers_is_bounded(world):
    """One that is there may still be changed."""
    for number in range(request_headers.HEADERS_MAX):
        world.ask("update", f"{AUDITED}/x-{number}", {})

    assert world.refused("update", f"{AUDITED}/x-more", {})[0] == 400
    assert world.ask("update", f"{AUDITED}/x-0", {"hmac": True}).empty


@pytest.mark.parametrize("path", [f"{AUDITED}/x-a", f"{UI}/x-a", AUDITED])
def test_header_settings_need_sudo(world, path):
    """All capabilities but sudo are not enough; with it they are."""
    every = '"create", "read", "update", "delete", "list"'
    world.policy("weak", f'path "sys/config/*" {{ capabilities = [{every}] }}')
    world.policy("strong", f'path "sys/config/*" {{ capabilities = [{every}, "sudo"] }}')
    weak, strong = (world.make({"policies": [name]}) for name in ("weak", "strong"))
    operation = "read" if path == AUDITED else "delete"

    assert world.refused(operation, path, token=weak)[0] == 403
    assert world.ask(operation, path, token=strong).status == 200

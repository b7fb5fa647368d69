"""sys/capabilities says what the judge would: for any rules, any spelling of a path, each operation by itself."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.auth.lockout import Lockout
from node.auth.userpass import UserpassEngine
from node.engines.system.capabilities import as_asked
from node.http import HttpLimits
from node.http.errors import EdgeRefusal
from node.http.paths import decode_path
from node.judge import _decided
from tests.node.auth.world import make_request
from tests.node.identity.people import People

WORDS = ("create", "read", "update", "patch", "delete", "list", "scan")
ROLE = "auth/approle/role/prod"


def make_world() -> People:
    world = People()
    world.engines["userpass"] = UserpassEngine(Lockout())
    world.registry.forget()
    return world


@pytest.fixture
def world() -> People:
    return make_world()


def token_of(world: People, *rules: tuple[str, str]) -> str:
    stanzas = (
        f'path "{path}" {{ capabilities = [{", ".join(chr(34) + word + chr(34) for word in words.split())}] }}'
        for path, words in rules
    )
    world.policy("app", "\n".join(stanzas))
    return world.make({"policies": ["app"], "no_default_policy": True})


def said(world: People, token: str, path: str) -> list[str]:
    data = world.data("update", "sys/capabilities", {"token": token, "path": path})
    assert data[path] == data["capabilities"]
    return data[path]


def at_the_edge(path: str) -> str | None:
    """What the edge makes of the path of a request."""
    try:
        return decode_path("/v1/" + quote(path, safe="/"), HttpLimits())
    except EdgeRefusal:
        return None


def allowed(world: People, token: str, path: str) -> list[str]:
    """Each operation that the judge lets pass on what the edge makes of the path; a listing's path as it is."""
    seen = at_the_edge(path)
    if seen is None:
        return ["deny"]
    acl = world.registry.acl(world.state, ("app",))
    found = [word for word in WORDS if _passes(world, token, word, seen)]
    if seen[-1:] not in {"/", ""}:  # a listing asks with a slash, and so does who wants to know exactly
        found = [word for word in found if word not in {"list", "scan"} or word in acl.capabilities(seen)]
    return found or ["deny"]


def _passes(world: People, token: str, word: str, path: str) -> bool:
    """The judge's decision on rules, of this very operation: whether POST creates or updates is for the engine."""
    if word in {"list", "scan"} and path and not path.endswith("/"):
        path += "/"
    request = make_request(word, path, None, token)
    acl = world.registry.acl(world.state, tuple(world.record(token).policies))
    return _decided(acl, request.operation, request, world.registry.route(world.state, path)).allowed


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("secret/data/a", ["read"]),
        ("/secret/data/a", ["read"]),
        ("///secret//data///a", ["read"]),
        ("secret/data/a/", ["deny"]),
        ("v1/secret/data/a", ["deny"]),
        ("/v1/secret/data/a", ["deny"]),
        ("secret/./data/a", ["deny"]),
        ("secret/x/../data/a", ["deny"]),
        ("secret/data/\ta", ["deny"]),
        ("secret/data%2Fa", ["deny"]),
        ("SECRET/data/a", ["deny"]),
    ],
)
def test_a_path_is_taken_as_the_edge_takes_it(world, path, words):
    """Slashes that are none, and nothing else: `v1/` is a part of the path, and nothing is decoded."""
    token = token_of(world, ("secret/data/a", "read"))
    assert said(world, token, path) == words == allowed(world, token, path)


def test_what_nobody_may_ask_for_is_denied_to_root_too(world):
    """Root is root on every path that a request can have."""
    assert said(world, world.root, "//secret//a") == ["root"]
    assert said(world, world.root, "a/../b") == ["deny"]


@pytest.mark.parametrize("way", ["capabilities", "capabilities-self", "capabilities-accessor"])
def test_the_spelling_that_counts_holds_for_all(world, way):
    """A deny by the name in lower case, in each of the three answers; another name keeps what it has."""
    token = token_of(
        world,
        ("auth/approle/role/*", "create read update delete list sudo"),
        (ROLE, "deny"),
        ("auth/userpass/users/ann", "read"),
        ("auth/userpass/users/*", "read update"),
        ("sys/capabilities-self", "update"),
    )
    folder = "auth/approle/role"
    paths = [ROLE, ROLE.upper(), f"{folder}/PROD", "/auth//approle/role/Prod", f"{folder}/OTHER"]
    body = {"paths": [*paths, "auth/userpass/users/Ann"]}
    if way == "capabilities":
        body |= {"token": token}
    elif way.endswith("accessor"):
        body |= {"accessor": world.record(token).accessor.decode()}
    data = world.data("update", f"sys/{way}", body, token=token if way.endswith("self") else world.root)

    full = ["create", "delete", "list", "read", "sudo", "update"]
    assert [data[path] for path in body["paths"]] == [["deny"], ["deny"], ["deny"], ["deny"], full, ["read"]]
    for path in body["paths"]:
        assert [word for word in data[path] if word != "sudo"] == sorted(allowed(world, token, path))


def test_a_rule_in_upper_case_grants_what_it_names(world):
    """Where no rule is about the spelling that counts."""
    token = token_of(world, ("auth/approle/role/Prod", "read"))
    assert said(world, token, "auth/approle/role/Prod") == ["read"]
    assert said(world, token, "auth/approle/role/prod") == ["deny"]


@pytest.mark.parametrize(
    ("rules", "path", "words"),
    [
        ([("kv/dir", "read list")], "kv/dir/", ["list"]),
        ([("kv/dir/", "read list")], "kv/dir", ["deny"]),
        ([("kv/*", "list"), ("kv/dir/", "deny")], "kv/dir", ["deny"]),
        ([("kv/*", "list read"), ("kv/dir/", "deny")], "kv/dir", ["read"]),
        ([("kv/*", "list"), ("kv/dir", "deny")], "kv/dir/", ["deny"]),
        ([("kv/p/+/c", "read"), ("kv/p/+/*", "list")], "kv/p/b/c", ["read"]),
        ([("kv/p/+/c", "read"), ("kv/p/+/*", "list")], "kv/p/b/c/", ["list"]),
        ([("kv/*", "read sudo"), ("kv/dir/", "list")], "kv/dir/", ["list"]),
        ([("kv/dir", "list read sudo"), ("kv/dir/", "list")], "kv/dir", ["list", "read"]),
        ([("kv/dir/", "list sudo")], "kv/dir/", ["list", "sudo"]),
        ([("kv/dir", "sudo")], "kv/dir", ["sudo"]),
    ],
)
def test_a_slash_at_the_end_makes_another_path(world, rules, path, words):
    """A listing takes rules with and without it, nothing else does; sudo is said where all that is said has it."""
    assert said(world, token_of(world, *rules), path) == words


_SEGMENTS = st.sampled_from(["a", "b", "PROD", "prod", "", "..", "+"])
_PATHS = st.builds(
    lambda mount, segments, slash: "/".join([mount, *segments]) + slash,
    st.sampled_from(["secret/data", "auth/approle/role", "auth/userpass/users", "nowhere", "/secret/metadata"]),
    st.lists(_SEGMENTS, max_size=3),
    st.sampled_from(["", "/", "//"]),
)
_RULES = st.tuples(
    st.builds(
        lambda mount, segments, end: "/".join([mount, *segments]) + end,
        st.sampled_from(["secret/data", "auth/approle/role", "auth/userpass/users", "+/data", "secret/metadata"]),
        st.lists(st.sampled_from(["a", "b", "PROD", "prod", "+"]), max_size=2),
        st.sampled_from(["", "/", "/*", "*"]),
    ).filter(lambda pattern: "+*" not in pattern),
    st.lists(st.sampled_from([*WORDS, "deny"]), min_size=1, max_size=4, unique=True).map(" ".join),
)
WORLD = make_world()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_RULES, min_size=1, max_size=6), st.lists(_PATHS, min_size=1, max_size=6))
def test_the_answer_is_the_judges(rules, paths):
    """For any rules and paths: each word is an operation that passes, and each that passes is a word."""
    token = token_of(WORLD, *rules)
    for path in paths:
        assert said(WORLD, token, path) == sorted(allowed(WORLD, token, path))


@settings(max_examples=300, deadline=None)
@given(st.text("a/.%?#é\t\x7f 2F", max_size=12))
def test_no_text_is_taken_otherwise_than_at_the_edge(text):
    """The same string or, here as there, none."""
    assert as_asked(text) == at_the_edge(text)

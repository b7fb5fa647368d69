"""The OpenAPI document: every route is in it and everything in it is a route; it is what the nodes serve.

Run as a program (`python -m tests.node.http.test_openapi`), this file writes node/http/openapi.json anew.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from node.engines.system.routes import Route
from node.http.openapi import document as served_document
from node.policy import builtin
from node.request import Operation
from tests.node.flow_site import raw_request
from tests.node.http import openapi_routes
from tests.node.http.openapi_routes import Served, documented, is_open, node_in, served, templates

DOCUMENT = openapi_routes.document()
WITHOUT_A_LIST = {"/livez", "/readyz", "/startupz", "/sys/storage/raft/join"}
"""Paths that need no token and are in no list of such paths: the node answers them before it looks for one."""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Served:
    return served(node_in(tmp_path_factory.mktemp("node")))


def as_json(whole: dict[str, Any]) -> str:
    """What openapi.json must be."""
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")) + "\n"


def test_every_route_is_documented(program: Served):
    """Engines, auth methods, and what the node answers by itself: a new route is missing here until it is described."""
    assert sorted(set(program) - set(documented(DOCUMENT))) == []


def test_everything_that_is_documented_is_a_route(program: Served):
    """The other way round: what was removed or renamed is not promised any more."""
    assert sorted(set(documented(DOCUMENT)) - set(program)) == []


def test_no_parameter_is_documented_that_its_route_does_not_know(program: Served):
    """It would be ignored, with a warning."""
    known = {place: names.known for place, names in program.items() if names is not None}

    assert [
        (place, sorted(names - known[place]))
        for place, names in documented(DOCUMENT).items()
        if place in known and names - known[place]
    ] == []


def test_every_parameter_of_a_route_is_documented(program: Served):
    """In the body or the query of one of the operations of its path."""
    needed: dict[str, set[str]] = defaultdict(set)
    there: dict[str, set[str]] = defaultdict(set)
    for (path, _), names in program.items():
        needed[path] |= names.needed if names is not None else set()
    for (path, _), said in documented(DOCUMENT).items():
        there[path] |= said

    assert [(path, sorted(names - there[path])) for path, names in needed.items() if names - there[path]] == []


def test_a_route_that_is_new_is_noticed(tmp_path: Path):
    """The twin: one more route and one more local path, of which the document says nothing."""
    node = node_in(tmp_path)
    before = set(served(node))
    system: Any = node._engines["system"]
    route = Route("new/(?P<name>[^/]+)", reads={Operation.READ: lambda *_: None}, fields=frozenset({"field"}))  # type: ignore[dict-item,return-value]
    system._routes = (*system._routes, (re.compile(route.pattern), route))
    node.local.add({"sys/new-too": node.local._handlers["sys/leader"]})

    added = set(served(node)) - before
    assert added == {("/sys/new/{}", "get"), ("/sys/new-too", "get")}
    assert not added & set(documented(DOCUMENT))


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        ("mounts/(?P<path>.+?)/tune", {"mounts/{}/tune"}),
        ("policies/acl/?", {"policies/acl"}),
        ("(?:leases/)?revoke-(?:prefix|force)/(?P<p>.+)", {
            "revoke-prefix/{}", "revoke-force/{}", "leases/revoke-prefix/{}", "leases/revoke-force/{}",
        }),
        ("(?P<form>ca|ca/pem|ca_chain)", {"ca", "ca/pem", "ca_chain"}),
        (r"role/(?P<name>\w(?:[\w.-]*\w)?)/role-id", {"role/{}/role-id"}),
        (r"hash(?:/(?P<a>[^/)]+))?", {"hash", "hash/{}"}),
        (r"\.well-known/keys", {".well-known/keys"}),
    ],
)  # fmt: skip
def test_a_pattern_is_spelt_out_as_paths(pattern: str, paths: set[str]):
    """Alternatives and optional parts each give a path; what can be anything is one parameter."""
    assert templates(pattern) == paths


@pytest.mark.parametrize("pattern", ["a*", "a/.+", "a)b", "a$"])
def test_a_pattern_of_another_kind_is_refused(pattern: str):
    """Rather than taken for something else."""
    with pytest.raises(ValueError, match=r"^"):
        templates(pattern)


def test_what_needs_no_token_says_so():
    """As the lists of open paths have it, and nothing else."""
    wrong = []
    for path, item in DOCUMENT["paths"].items():
        for method in set(item) & {"get", "post", "patch", "delete"}:
            mount = path[1 : path.index("/", 6) + 1] if path.startswith("/auth/") else ""
            is_open_path = builtin.is_unauthenticated(path[1:], mount, rekey_is_open=True) or path in WITHOUT_A_LIST
            reads = path.startswith("/pki/") and method == "get"
            if is_open(DOCUMENT, path, method) != (
                is_open_path or (reads and builtin.is_open_read("read", "pki", path.removeprefix("/pki/")))
            ):
                wrong.append((path, method))

    assert wrong == []


def test_every_reference_leads_somewhere_and_nothing_is_left_over():
    """Of parameters, bodies, answers and schemas."""
    there = {f"#/components/{kind}/{name}" for kind, parts in DOCUMENT["components"].items() for name in parts}
    used = set(re.findall(r'"\$ref": ?"([^"]+)"', json.dumps(DOCUMENT)))

    assert used ^ there == {"#/components/securitySchemes/token"}


def test_parameters_of_a_path_are_those_in_its_name():
    """No more, no fewer, each required."""
    wrong = []
    for path, item in DOCUMENT["paths"].items():
        said = [openapi_routes.resolved(DOCUMENT, one) for one in item.get("parameters", [])]
        names = [one["name"] for one in said if one["in"] == "path" and one["required"]]
        if names != re.findall(r"\{(\w+)\}", path) or len(names) != len(said):
            wrong.append(path)

    assert wrong == []


def test_every_operation_says_what_happens_when_it_fails():
    """Each answer has its statuses: at least one of its own, 4XX and 5XX."""
    probes = {"/livez", "/readyz", "/startupz"}

    assert [
        (path, method)
        for path, item in DOCUMENT["paths"].items()
        for method in set(item) & {"get", "post", "patch", "delete"}
        if path not in probes and not {"4XX", "5XX"} <= set(item[method]["responses"])
    ] == []


def test_the_json_that_is_served_is_the_yaml_that_is_written():
    """Run this file as a program to write it anew."""
    assert openapi_routes.JSON.read_text(encoding="utf-8") == as_json(DOCUMENT)


async def test_a_node_serves_the_document_to_anybody(tmp_path: Path):
    """Without a token, sealed or not; it is read once, and there is nothing to write."""
    node = node_in(tmp_path)
    read = await node.handle(raw_request("GET", "sys/internal/specs/openapi"))
    written = await node.handle(raw_request("POST", "sys/internal/specs/openapi", {}))

    assert (read.status, read.content_type, read.body) == (200, "application/json", served_document())
    assert json.loads(read.body)["openapi"] == "3.1.0"
    assert written.status == 405


if __name__ == "__main__":
    openapi_routes.JSON.write_text(as_json(DOCUMENT), encoding="utf-8")

"""What is sent in the wrong place or form comes back in no error and stands in no log: every parameter of every path.

Parameters are those of the OpenAPI document, which holds all there are. An answer that succeeds is not looked at: it
may say what is stored. Audit has errors as they are, so what is no secret here is none there.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from node.config import Api
from node.http.openapi import document
from tests.conformance.openapi_check import EXCLUDED
from tests.conformance.openapi_node import Node, fill
from tests.node.flow_site import HOST, Site, free_ports, running

TOKEN = "hvs.Zqxjkv4Wc9sLk2Pd8Kx3m8Tb"
PARTS = (TOKEN[4:16].lower(), TOKEN[-12:].lower())
FORMS: tuple[Any, ...] = (
    TOKEN, [TOKEN], {"k": TOKEN}, {TOKEN: 1}, [{"k": TOKEN}], f"1 {TOKEN}", f"{TOKEN}=1", f'{{"a": "{TOKEN}',
    f"-----BEGIN {TOKEN}-----",
)  # fmt: skip
OF_THE_EDGE = ("list", "scan", "help")  # tests/node/http
STREAMED = "GET /sys/storage/raft/snapshot"
NAMES = {
    "POST /sys/mounts/{path} type": "the type of a mount, as Vault says it",
    "POST /sys/auth/{path} type": "the same",
    "POST /sys/policies/acl/{name} policy": "a word of a policy where a key should stand, with its line",
    "POST /sys/policy/{name} policy": "the same",
    "POST /auth/token/create/{role_name} policies": "names of policies, as Vault says them",
    "POST /pki/issue/{role} ": "names that would be in a certificate, which everybody reads",
    "POST /pki/sign/{role} ": "the same",
    "POST /auth/approle/role/{name}/secret-id-accessor/lookup ": "the name of an unknown parameter, in a warning",
}
"""Operation and parameter, or where that begins so → why an error may repeat it: it is a name."""
TWIN = "POST /sys/auth/{path} type"


class Asked(NamedTuple):
    """An operation; `example` is a body of it, `reference` the name that bodies of its kind have in the document."""

    method: str
    path: str
    parameters: list[str]
    example: dict[str, Any]
    reference: str


def resolved(whole: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in part:
        found: Any = whole
        for name in part["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        part = found
    return part


def operations() -> list[Asked]:
    """Every operation that may be asked as often as one likes."""
    whole = json.loads(document())
    found = []
    for (path, item), method in itertools.product(whole["paths"].items(), ("post", "put", "patch", "delete", "get")):
        name = f"{method.upper()} {path}"
        if method not in item or name in EXCLUDED or name == STREAMED:
            continue
        body = item[method].get("requestBody", {})
        media = next(iter(resolved(whole, body).get("content", {}).values()), {})
        properties = resolved(whole, media.get("schema", {})).get("properties", {})
        beside = [resolved(whole, one) for one in item[method].get("parameters", [])]
        queried = [one["name"] for one in beside if one["in"] == "query" and one["name"] not in OF_THE_EDGE]
        reference = body.get("$ref", "").rpartition("/")[2]
        found.append(Asked(method.upper(), path, [*properties, *queried], media.get("example") or {}, reference))
    return sorted(found, key=lambda asked: asked.method == "DELETE")  # so that there is something until the end


async def repeated(
    site: Site, asked: Asked, known: dict[str, dict[str, str]], bodies: dict[str, dict[str, Any]]
) -> tuple[int, set[str]]:
    """(how many were answered 400, which parameters came back in one)."""
    target = asked.path.removeprefix("/")
    for name, value in (known[""] | known.get(asked.path, {})).items():
        target = target.replace(f"{{{name}}}", value)
    good = bodies.get(f"{asked.method} {asked.path}") or bodies.get(asked.reference) or asked.example
    refusals, found = 0, set()
    for parameter, form in [*itertools.product(asked.parameters, FORMS), ("", "1")]:
        name = parameter or TOKEN
        if asked.method in {"GET", "DELETE"}:
            reply = await site.ask(asked.method, f"{target}?{name}={quote(json.dumps(form))}")
        else:
            reply = await site.ask(asked.method, target, good | {name: form})
        text = reply.body.decode(errors="replace").lower()
        refusals += reply.status == 400
        if reply.status >= 400 and any(part in text for part in PARTS):
            found.add(f"{asked.method} {asked.path} {parameter}")
    return refusals, found


@pytest.mark.timeout(170)
async def test_no_error_and_no_log_repeats_what_was_sent(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A token in every parameter, in every shape that JSON has (CVE-2025-4166, CVE-2025-52893)."""
    caplog.set_level(logging.DEBUG)
    [port] = free_ports(1)
    api = Api(address=f"{HOST}:{port}", advertise=f"http://{HOST}:{port}", tls="off")
    async with running(tmp_path, api=api) as site:
        await site.must("DELETE", "sys/mounts/secret")
        node = Node(f"{HOST}:{port}")
        node.token, node.share = site.token, site.shares[0]
        known, bodies = await asyncio.to_thread(fill, node)
        answers = [await repeated(site, asked, known, bodies) for asked in operations()]
    logs = [(one.getMessage() + str(vars(one))).lower() for one in caplog.records]

    found = set().union(*(found for _, found in answers))
    assert sorted(name for name in found if not name.startswith(tuple(NAMES))) == []
    assert TWIN in found
    assert sum(refusals for refusals, _ in answers) > 2000
    assert [text for text in logs if any(part in text for part in PARTS)] == []

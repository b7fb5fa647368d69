"""Namespaces and origins: there is one of each, and what names another is refused or told nothing."""

from __future__ import annotations

import pytest

from .conftest import HOST, Serve

FOREIGN = [
    b"team", b"root/team", b"team/root", b"team/root/", b"ROOT", b"root//", b"//", b"./root", b"root/..", b"%72oot",
]  # fmt: skip
PATHS = [
    (b"POST", b"/v1/auth/token/lookup-accessor"),
    (b"POST", b"/v1/auth/token/revoke-accessor"),
    (b"POST", b"/v1/auth/token/renew-accessor"),
    (b"POST", b"/v1/sys/leases/lookup"),
    (b"POST", b"/v1/sys/leases/renew"),
    (b"PUT", b"/v1/sys/revoke/a"),
    (b"PUT", b"/v1/sys/renew/a"),
    (b"PUT", b"/v1/sys/leases/revoke-prefix/a"),
    (b"GET", b"/v1/secret/data/a"),
    (b"GET", b"/v1/sys/health"),
]


@pytest.mark.parametrize(("method", "target"), PATHS)
@pytest.mark.parametrize("namespace", FOREIGN)
async def test_what_is_asked_of_another_namespace_is_not_asked_of_this_one(
    serve: Serve, method: bytes, target: bytes, namespace: bytes
) -> None:
    """Accessors, leases and everything else (CVE-2026-40264, GHSA-c36x-h252-g9x2, GHSA-mwr2-wmgp-crj6)."""
    site = await serve()
    body = b"Content-Length: 0\r\n" if method != b"GET" else b""
    reply = await site.get(target, b"X-Vault-Namespace: " + namespace + b"\r\n" + body, method)

    assert (reply.status, reply.errors, site.received) == (404, ["namespace not found"], [])


@pytest.mark.parametrize("namespace", [b"", b"/", b"root", b"root/"])
async def test_the_one_namespace_has_four_spellings(serve: Serve, namespace: bytes) -> None:
    """The twins of the refused ones."""
    site = await serve()
    reply = await site.get(headers=b"X-Vault-Namespace: " + namespace + b"\r\n")

    assert (reply.status, len(site.received)) == (200, 1)


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /v1/a HTTP/1.1\r\n" + HOST + b"Origin: https://elsewhere.example\r\n\r\n",
        b"GET /v1/../a HTTP/1.1\r\n" + HOST + b"Origin: https://elsewhere.example\r\n\r\n",
        b"GET /v1/a HTTP/1.1\r\n" + HOST + b"Origin: null\r\n\r\n",
        b"OPTIONS /v1/a HTTP/1.1\r\n" + HOST + b"Origin: https://elsewhere.example\r\n"
        b"Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: X-Vault-Token\r\n\r\n",
    ],
)
async def test_no_answer_tells_a_browser_that_another_site_may_read_it(serve: Serve, request_: bytes) -> None:
    """Neither an answer, nor a refusal, nor that to a preflight."""
    site = await serve()
    reply = await site.ask(request_)

    assert [name for name in reply.headers if name.startswith("access-control-")] == []
    assert reply.status == (200 if request_.startswith(b"GET /v1/a ") else 400)

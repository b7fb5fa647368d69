"""Logins of others' making through whole nodes: over TLS with a client's certificate, and forwarded to the leader."""

from __future__ import annotations

import asyncio
import datetime as dt
import http.client
import json
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from node.config import Api, Config
from node.config.files import file_problems
from tests.node.auth.outside import FOR_CLIENTS, RSA, Party, certify, key_set, serving, sign
from tests.node.flow_site import HOST, free_ports, running

LOGIN = "/v1/auth/cert/login"
NOW = dt.datetime.now(dt.UTC)


def client_context(folder: Path, party: Party | None, *more: Party) -> ssl.SSLContext:
    """Of a client that has this certificate, and sends those along."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(folder / "data" / "api.pem")
    if party is not None:
        file = folder / "client.pem"
        file.write_text("".join(one.pem for one in (party, *more)) + party.key_pem)
        context.load_cert_chain(file)
    return context


def post(port: int, context: ssl.SSLContext, path: str, body: object, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPSConnection(HOST, port, context=context, timeout=10)
    try:
        connection.request("POST", path, json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read() or b"{}")
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("text", "why"), [(None, "cannot be read: "), ("x", "must hold certificates, PEM"), ("ok", "")]
)
def test_authorities_of_clients_that_cannot_be_read_are_named(tmp_path, text, why):
    """When the configuration is checked, and before the node starts."""
    file = tmp_path / "clients.pem"
    if text is not None:
        file.write_text(certify("root", authority=True).pem if text == "ok" else text)
    api = Api(tls="on", cert_address=f"{HOST}:8202", cert_client_ca_file=str(file))
    found = file_problems(Config(profile="dev", api=api))
    assert [why in sentence and "api: cert_client_ca_file" in sentence for sentence in found] == ([True] if why else [])


async def test_the_listener_for_certificates_proves_possession_and_the_role_trusts(tmp_path):
    """Who has none, or one of nobody, gets no connection; the main listener asks nobody for one."""
    root, other = certify("root", authority=True, now=NOW), certify("other", authority=True, now=NOW)
    between = certify("between", root, authority=True, now=NOW)
    ann = certify("ann", between, extensions=(FOR_CLIENTS,), now=NOW)
    alone = certify("alone", extensions=(FOR_CLIENTS,), now=NOW)
    stranger = certify("ann", certify("nobody", authority=True, now=NOW), now=NOW)
    (tmp_path / "clients.pem").write_text(root.pem + other.pem + alone.pem)
    main, second = free_ports(2)
    api = Api(
        address=f"{HOST}:{main}", cert_address=f"{HOST}:{second}", cert_client_ca_file=str(tmp_path / "clients.pem")
    )
    async with running(tmp_path, api=api) as site:
        await site.must("POST", "sys/auth/cert", {"type": "cert"})
        await site.must("PUT", "auth/cert/certs/web", {"certificate": root.pem})
        await site.must("PUT", "auth/cert/certs/alone", {"certificate": alone.pem})

        async def log_in(port: int, *parties: Party, body: object = None, **headers: str) -> tuple[int, Any]:
            context = client_context(tmp_path, *parties) if parties else client_context(tmp_path, None)
            return await asyncio.to_thread(post, port, context, LOGIN, body or {}, **headers)

        status, answer = await log_in(second, ann, between)
        assert (status, answer["auth"]["metadata"]["cert_name"]) == (200, "web")
        token = answer["auth"]["client_token"]
        assert (await log_in(second, alone))[1]["auth"]["metadata"]["cert_name"] == "alone"
        of_other = certify("ann", other, now=NOW)  # the listener believes its authority, no role does
        none = {"errors": ["invalid certificate or no client certificate supplied"]}
        assert await log_in(second, of_other) == (400, none)
        assert await log_in(main, ann, between) == (400, none)
        assert await log_in(main) == (400, none)
        headers = {"X-SSL-Client-Cert": ann.pem.replace("\n", "%0A"), "Client-Cert": ":AAAA:"}
        assert await log_in(main, **headers) == (400, none)
        for parties in ((), (stranger,), (ann,)):
            with pytest.raises((ssl.SSLError, OSError)):
                await log_in(second, *parties)

        renew = "/v1/auth/token/renew-self"
        context = client_context(tmp_path, ann, between)
        renewed = await asyncio.to_thread(post, second, context, renew, {}, **{"X-Vault-Token": token})
        assert renewed[0] == 200
        context = client_context(tmp_path, alone)
        status, answer = await asyncio.to_thread(post, second, context, renew, {}, **{"X-Vault-Token": token})
        assert (status, "client identity during renewal" in answer["errors"][0]) == (400, True)
        status, answer = await asyncio.to_thread(
            post, main, client_context(tmp_path, None), renew, {}, **{"X-Vault-Token": token}
        )
        assert (status, "no client certificate found" in answer["errors"][0]) == (400, True)


async def test_what_a_follower_was_shown_reaches_the_leader(tmp_path):
    """Certificates travel with the frame, and a browser may come back to any node."""
    root = certify("root", authority=True, now=NOW)
    ann = certify("ann", root, extensions=(FOR_CLIENTS,), now=NOW)
    said: dict[str, Any] = {}

    def provider(_method: str, path: str, *_: object) -> tuple[int, Any]:
        url = outside.url
        if path.startswith("/.well-known"):
            return 200, {"issuer": url, "jwks_uri": f"{url}/jwks", "authorization_endpoint": f"{url}/authorize",
                         "token_endpoint": f"{url}/token"}  # fmt: skip
        return 200, key_set(RSA) if path == "/jwks" else {"id_token": sign(said)}

    async with running(tmp_path, 3) as site:
        follower = site.followers[0]
        for type_ in ("cert", "jwt"):
            await site.must("POST", f"sys/auth/{type_}", {"type": type_})
        await site.must("PUT", "auth/cert/certs/web", {"certificate": root.pem, "token_ttl": "1h"})
        reply = await follower.ask("POST", "auth/cert/login", {}, certificate=ann.der)
        token = reply.json["auth"]["client_token"]
        renew = "auth/token/renew-self"
        assert (await follower.ask("POST", renew, {}, token=token, certificate=ann.der)).status == 200
        assert (await follower.ask("POST", renew, {}, token=token)).status == 400

        with serving(provider) as outside:
            config = {"oidc_discovery_url": outside.url, "oidc_client_id": "client", "oidc_client_secret": "secret"}
            await site.must("PUT", "auth/jwt/config", config)
            back = "https://localhost/ui"
            await site.must("PUT", "auth/jwt/role/web", {"user_claim": "sub", "allowed_redirect_uris": back})
            reply = await follower.ask("POST", "auth/jwt/oidc/auth_url", {"role": "web", "redirect_uri": back})
            query = parse_qs(urlsplit(reply.data["auth_url"]).query)
            now_s = site.leader.node.member.now_ns() // 10**9
            said |= {"iss": outside.url, "aud": "client", "sub": "ann", "iat": now_s, "exp": now_s + 600}
            said["nonce"] = query["nonce"][0]
            path = f"/v1/auth/jwt/oidc/callback?state={query['state'][0]}&code=c"
            reply = await site.followers[1].ask("GET", path)
            assert reply.json["auth"]["metadata"] == {"role": "web"}
            assert (await follower.ask("GET", path)).errors == ["Vault login failed. Expired or missing OAuth state."]
            role = {"role_type": "jwt", "user_claim": "sub", "bound_audiences": "client"}
            await site.must("PUT", "auth/jwt/role/app", role)
            reply = await follower.ask("POST", "auth/jwt/login", {"role": "app", "jwt": sign(said)})
            assert reply.json["auth"]["metadata"] == {"role": "app"}

"""Security events of a whole node: refusals by limits, certificates, configuration; each with what is none."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import ssl
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cluster import certificate_der, public_key_sha256, write_certificates
from node import build
from node.config import Api, Config
from node.limit_refusals import EVENT as REFUSED
from node.security_log import NAME

from .flow_site import CLUSTER_NAME, HOST, Server, Silence, make_config, open_site, running, start_server, until

CERTIFICATES = {"peer listener", "member certificate changed", "member certificate has another key"}


def events(server: Server, *kinds: str) -> list[dict[str, Any]]:
    """What stands in the file, but for what every line has."""
    lines = (json.loads(line) for line in (server.folder / "data" / NAME).read_bytes().splitlines())
    dull = ("time", "type", "node", "sequence", "chain")
    return [{k: v for k, v in line.items() if k not in dull} for line in lines if line["event"] in kinds]


def fingerprint(pem: Path) -> str:
    return hashlib.sha256(certificate_der(pem)).hexdigest()


def spki(pem: Path) -> str:
    return public_key_sha256(certificate_der(pem)).hex()


# ---- limits
async def test_rate_quotas_tell_of_what_they_refuse(tmp_path):
    """Once at once, and the rest as a number when the node stops; what passes is not told. Devices hear it, too."""
    async with running(tmp_path, audited=True) as site:
        server = site.leader
        await site.must("POST", "sys/quotas/rate-limit/few", {"rate": 1, "interval": "1h", "path": "secret/"})
        answers = [(await site.ask("GET", "secret/data/a", address="203.0.113.7")).status for _ in range(5)]
        assert (answers.count(429), answers[0]) == (4, 404)
        told = {"event": REFUSED, "limit": "rate quota", "count": 1, "address": "203.0.113.7"}
        assert events(server, REFUSED) == [told]
        await until(lambda: REFUSED.encode() in server.audit_file.read_bytes())
    assert events(server, REFUSED) == [told, told | {"count": 3}]


# ---- configuration
@pytest.mark.parametrize(
    ("method", "path", "body", "removable"),
    [
        ("POST", "sys/config/auditing/request-headers/X-Own", {"hmac": True}, True),
        ("POST", "sys/config/ui/headers/X-Own", {"values": ["a secret place"]}, True),
        ("POST", "sys/quotas/config", {"enable_rate_limit_audit_logging": True}, False),
        ("PUT", "sys/audit/second", {"type": "file", "options": {"file_path": "second.log"}}, True),
    ],
)
async def test_a_change_of_configuration_is_told(tmp_path, method, path, body, removable):
    """By the node that executes it, with its path and nothing of its body; a refused one and a read are none."""
    async with running(tmp_path) as site:
        server = site.leader
        token, _ = await site.new_token(("secret/*", "read"))
        assert (await site.ask(method, path, body, token=token)).status == 403
        await site.ask("GET", path)
        assert events(server, "configuration changed") == []

        await site.must(method, path, body)
        told = {"event": "configuration changed", "path": path, "operation": "update", "applied": "yes"}
        assert events(server, "configuration changed") == [told]
        if removable:
            await site.must("DELETE", path)
            assert events(server, "configuration changed") == [told, told | {"operation": "delete"}]
        assert b"a secret place" not in (server.folder / "data" / NAME).read_bytes()


async def test_a_change_whose_outcome_is_unknown_is_told_as_such(tmp_path):
    """It may be in force; a secret's is no matter of configuration."""
    async with running(tmp_path, 2) as site:
        leader = site.leader
        with Silence(leader):
            path = "sys/config/ui/headers/X-Own"
            asked = [("POST", path, {"values": ["x"]}), ("POST", "secret/data/a", {"data": {}})]
            replies = await asyncio.gather(*(leader.ask(*one, token=site.token) for one in asked))
        await site.settled()
        assert [reply.json["applied"] for reply in replies] == ["unknown", "unknown"]
        told = {"event": "configuration changed", "path": path, "operation": "update", "applied": "unknown"}
        assert events(leader, "configuration changed") == [told]


async def test_other_writes_change_no_configuration(tmp_path):
    """A secret, a policy, and what is refused for its content."""
    async with running(tmp_path) as site:
        await site.must("POST", "secret/data/a", {"data": {"a": "b"}})
        await site.must("PUT", "sys/policies/acl/p", {"policy": 'path "a" { capabilities = ["read"] }'})
        reply = await site.ask("POST", "sys/config/ui/headers/Content-Security-Policy", {"values": ["x"]})
        assert reply.status >= 400
        assert (await site.ask("DELETE", "sys/audit/none")).status < 300
        assert events(site.leader, "configuration changed") == []


async def test_a_reload_is_told_and_so_is_one_that_is_refused(tmp_path):
    """With the keys that need a restart; of a refused one with the type of the mistake, never its text."""
    config = make_config(tmp_path, "n1")
    server = await start_server(config, tmp_path)

    def refuse() -> Config:
        raise ValueError("hunter2 is no number")

    try:
        build._reload(server.node, lambda: config)
        changed = msgspec.structs.replace(config.journal, segment_bytes=2 << 20)
        build._reload(server.node, lambda: msgspec.structs.replace(config, journal=changed))
        build._reload(server.node, refuse)
    finally:
        await server.node.stop()
    assert events(server, "configuration reloaded", "configuration refused") == [
        {"event": "configuration reloaded", "needs_restart": ""},
        {"event": "configuration reloaded", "needs_restart": "journal.segment_bytes"},
        {"event": "configuration refused", "why": "ValueError"},
    ]
    assert b"hunter2" not in (tmp_path / "data" / NAME).read_bytes()


# ---- certificates of the listeners
def shown_by(server: Server) -> str:
    """The certificate that a new client is shown."""
    acceptor = server.node.listeners.servers[0].acceptor
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    bios = [ssl.MemoryBIO() for _ in range(4)]
    assert acceptor.ssl_context is not None
    theirs = acceptor.ssl_context.wrap_bio(bios[0], bios[1], server_side=True)
    ours = context.wrap_bio(bios[2], bios[3])
    for _ in range(4):
        for side in (ours, theirs):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
        bios[0].write(bios[3].read())
        bios[2].write(bios[1].read())
    return hashlib.sha256(ours.getpeercert(binary_form=True) or b"").hexdigest()


def pair(folder: Path, name: str) -> tuple[Path, Path]:
    write_certificates(folder, {name: [HOST]}, None, CLUSTER_NAME)
    return folder / f"{name}.pem", folder / f"{name}.key"


async def secure_node(tmp_path: Path) -> tuple[Server, Config, Path, Path]:
    pem, key = pair(tmp_path / "first", "api")
    api = Api(address=f"{HOST}:0", advertise=f"https://{HOST}:8200", tls_cert_file=str(pem), tls_key_file=str(key))
    config = make_config(tmp_path, "n1", api=api)
    return await start_server(config, tmp_path), config, pem, key


async def test_a_new_certificate_is_told_and_shown(tmp_path):
    """With both fingerprints; a reload without a new one tells of none."""
    server, config, pem, key = await secure_node(tmp_path)
    try:
        first = fingerprint(pem)
        server.node.reload(config)
        assert (shown_by(server), events(server, "certificate changed")) == (first, [])
        new_pem, new_key = pair(tmp_path / "second", "api")
        shutil.copy(new_pem, pem)
        shutil.copy(new_key, key)
        server.node.reload(config)

        second = fingerprint(new_pem)
        assert shown_by(server) == second
        moved = msgspec.structs.replace(config.api, tls_cert_file=str(new_pem), tls_key_file=str(new_key))
        server.node.reload(msgspec.structs.replace(config, api=moved))
    finally:
        await server.node.stop()
    [listener] = events(server, "listener")
    assert (listener["certificate"], listener["tls"]) == (first, True)
    changed = {"event": "certificate changed", "listener": "main", "former": first, "certificate": second}
    assert events(server, "certificate changed", "certificate refused") == [changed]


async def test_certificates_in_another_place_are_taken_from_there(tmp_path):
    """A reload takes the files that the configuration names now."""
    server, config, pem, _ = await secure_node(tmp_path)
    new_pem, new_key = pair(tmp_path / "second", "api")
    try:
        moved = msgspec.structs.replace(config.api, tls_cert_file=str(new_pem), tls_key_file=str(new_key))
        server.node.reload(msgspec.structs.replace(config, api=moved))
        assert shown_by(server) == fingerprint(new_pem) != fingerprint(pem)
    finally:
        await server.node.stop()
    assert len(events(server, "certificate changed")) == 1


@pytest.mark.parametrize("how", ["key of another", "no file", "no certificate"])
async def test_a_certificate_that_cannot_be_used_changes_nothing(tmp_path, how):
    """New clients are shown the old one, with its key; the refusal is told."""
    server, config, pem, key = await secure_node(tmp_path)
    first = fingerprint(pem)
    try:
        if how == "key of another":
            shutil.copy(pair(tmp_path / "second", "api")[0], pem)
        elif how == "no file":
            key.unlink()
        else:
            pem.write_text("nothing")
        server.node.reload(config)
        assert shown_by(server) == first
    finally:
        await server.node.stop()
    [refused] = events(server, "certificate changed", "certificate refused")
    assert (refused["event"], refused["listener"]) == ("certificate refused", "main")
    assert refused["why"] in {"SSLError", "FileNotFoundError"}


# ---- certificates of the cluster
async def test_certificates_of_the_cluster_are_told(tmp_path):
    """Each node tells what it shows; one that comes back with another key is told by all, one with its own by none."""
    async with running(tmp_path, 2) as site:
        certs = tmp_path / "certs"
        for server in site.servers:
            [own] = events(server, *CERTIFICATES)
            pem = certs / f"{server.node_id}.pem"
            assert own["event"] == "peer listener"
            assert (own["certificate"], own["spki"]) == (fingerprint(pem), spki(pem))

        other = site.followers[0]
        leader = site.leader
        await restart(other, site.shares[0])
        await site.settled()
        assert len(events(leader, *CERTIFICATES)) == 1
        before = fingerprint(certs / f"{other.node_id}.pem"), spki(certs / f"{other.node_id}.pem")
        (certs / f"{other.node_id}.pem").unlink()
        (certs / f"{other.node_id}.key").unlink()
        write_certificates(certs, {other.node_id: [HOST]}, certs, CLUSTER_NAME)
        await restart(other, site.shares[0])
        await site.settled()

        pem = certs / f"{other.node_id}.pem"
        shown = {"member": other.node_id, "certificate": fingerprint(pem), "spki": spki(pem)}
        known = {"event": "member certificate has another key", "known": before[1], **shown}
        assert events(leader, *CERTIFICATES)[1:] == [
            {"event": "member certificate changed", "former": before[0], **shown},
            known,
        ]
        assert events(other, "member certificate changed", "member certificate has another key") == [known]


async def restart(server: Server, share: str) -> None:
    """The same folder in a new life, unsealed."""
    config = server.node.config
    await server.node.stop()
    server.node = build.Node(config)
    server.node.member.on_fatal = server.fatal.append
    await server.node.start()
    assert (await server.ask("PUT", "sys/unseal", {"key": share})).status == 200


async def test_a_node_of_its_own_has_no_certificate_of_the_cluster(tmp_path):
    """Nothing is told of links that are none."""
    server = await start_server(make_config(tmp_path, "n1"), tmp_path)
    try:
        await open_site([server])
    finally:
        await server.node.stop()
    assert events(server, *CERTIFICATES) == []

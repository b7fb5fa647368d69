"""Planted secrets are in nothing that a node says: audit lines of every kind of device, logs, metrics, refusals.

One node with a file, a socket and a syslog device and a real listener; strings, numbers and booleans are written, read,
listed, patched and refused, and every class of malformed request comes by.
"""

import asyncio
import contextlib
import json
import logging

import pytest

from node.audit import verify
from node.config import Api
from node.http.render import json_bytes
from tests.node.audit.audit_collectors import Collector
from tests.node.flow_site import HOST, free_ports, running
from tests.process.malformed import malformed
from tests.process.needles import needles, search

VALUE = "Zq7-planted-value-f4Wc9sLk2Pd8"
NUMBERS = ("918273645546372", "0.58213746918273645", "12345678901234567890123", "7.7182e37")
MARKERS = {"value": VALUE, "path": "Vw5-planted-path-c2Yg7nQf4Ds9", "field": "Kx3-planted-field-m8Tb5vRj1Hn6"}
BODY = '{{"{field}":"{value}","list":["{value}",{n[0]},true,null],"deep":{{"float":{n[1]},"big":{n[2]},"exp":{n[3]}}}}}'
TEXT = BODY.format(**MARKERS, n=NUMBERS)
DEVICES = ("file/", "socket/", "syslog/")
# What Vault's sentences repeat: a path or a type that does not exist, and the header of a write id.
ECHOED = {"unknown path": {"path", "value"}, "bad mount": {"value"}, "bad write id": {"value"}}
ANSWER_S = 5.0


async def said_to(port, request):
    """The whole answer, whatever it is."""
    reader, writer = await asyncio.open_connection(HOST, port)
    answer = b""
    with contextlib.suppress(ConnectionError, TimeoutError):
        writer.write(request)
        async with asyncio.timeout(ANSWER_S):
            while not _whole(answer) and (piece := await reader.read(1 << 16)):
                answer += piece
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return answer


def _whole(answer):
    head, end, body = answer.partition(b"\r\n\r\n")
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return bool(end) and bool(length) and len(body) >= int(length)


def asked(token):
    """Good requests whose bodies, queries and answers are full of it."""
    data = f'{{"data":{TEXT}}}'.encode()
    return [
        ("PUT", "kv1/app", TEXT.encode()),
        ("GET", "kv1/app", None),
        ("PUT", "secret/data/app", data),
        ("GET", "secret/data/app", None),
        ("GET", f"secret/data/app?version=1&x={VALUE}&y={NUMBERS[0]}", None),
        ("PATCH", "secret/data/app", data),
        ("POST", "secret/metadata/app", json.dumps({"custom_metadata": {"owner": VALUE}}).encode()),
        ("GET", "secret/metadata/app", None),
        ("GET", "secret/subkeys/app", None),
        ("DELETE", "secret/data/app", None),
        ("GET", "secret/data/app", None),
        ("PUT", "cubbyhole/app", TEXT.encode()),
        ("GET", "cubbyhole/app", None),
        ("POST", "auth/token/create", json.dumps({"policies": ["default"], "ttl": "1h"}).encode()),
        ("POST", "auth/token/lookup", json.dumps({"token": token}).encode()),
        ("POST", "sys/audit-hash/file", json.dumps({"input": VALUE}).encode()),
        ("PUT", "secret/data/app", f'{{"data":{{}},"options":{{"cas":{NUMBERS[0]}}}}}'.encode()),
        ("PUT", "secret/data/app", f'{{"data":{NUMBERS[2]}}}'.encode()),
    ]


def unhashed(value, key=""):
    """Scalars of a masked body that are no hash."""
    if isinstance(value, dict):
        return [found for name, child in value.items() for found in unhashed(child, name)]
    if isinstance(value, list):
        return [found for child in value for found in unhashed(child, key)]
    return [] if value is None or str(value).startswith("hmac-sha256:") else [f"{key}: {type(value).__name__}"]


@pytest.fixture
def daemons(tmp_path):
    """A collector and a syslog daemon."""
    (tmp_path / "c").mkdir()
    (tmp_path / "s").mkdir()
    made = Collector("tcp", tmp_path / "c"), Collector("unixgram", tmp_path / "s")
    yield made
    for one in made:
        one.stop()


async def test_nothing_planted_is_in_what_a_node_says(tmp_path, daemons, caplog):
    """And every scalar of a body that is not a setting is a hash, on every kind of device, in a whole chain."""
    caplog.set_level(logging.DEBUG)
    collector, daemon = daemons
    [port] = free_ports(1)
    api = Api(address=f"{HOST}:{port}", advertise=f"http://{HOST}:{port}", tls="off")
    async with running(tmp_path / "node", api=api) as site:
        node = site.leader.node
        for path, type_, options in (
            ("file", "file", {"file_path": "audit.log"}),
            ("socket", "socket", collector.options),
            ("syslog", "syslog", {"address": daemon.url}),
        ):
            await site.must("PUT", f"sys/audit/{path}", {"type": type_, "options": options})
        token, accessor = await site.new_token(("*", "create read update patch delete list"), default=True)
        secrets = MARKERS | {f"number {at}": number for at, number in enumerate(NUMBERS)}
        secrets |= {"token": token, "root": site.token, "share": site.shares[0]}
        replies = [await site.ask(method, path, body, token=token) for method, path, body in asked(token)]
        answers = {name: await said_to(port, raw) for name, raw in malformed(token, MARKERS).items()}
        metrics = (await site.ask("GET", "sys/metrics?format=prometheus")).body
        status = (await site.must("GET", "strongroom/status")).json
        told = (site.leader.folder / "data" / "security.log").read_bytes()
        heads = {one["path"]: one["sequence"] for one in (status.get("data") or status)["audit"]}
        daemon.message(heads["syslog/"] - 1)
        lines = {
            "file/": (site.leader.folder / "audit" / "audit.log").read_bytes().splitlines(keepends=True),
            "socket/": collector.lines(heads["socket/"]),
            "syslog/": [one[one.index(b"{") :] + b"\n" for one in daemon.messages[: heads["syslog/"]]],
        }
        mac = node.audit.chain_mac
        reports = {path: verify(lines[path], mac) for path in DEVICES}

    logs = json_bytes([str(vars(record)) + record.getMessage() for record in caplog.records])
    forms = needles(secrets)
    in_the_clear = needles({name: text for name, text in secrets.items() if name not in {"path", "field"}})
    assert sorted({reply.status for reply in replies}) == [200, 204, 400, 404]
    assert search(logs, forms) == []
    assert search(metrics, forms) == []
    assert search(told, forms) == []
    assert search(json_bytes(status), forms) == []
    repeated = {
        name: found
        for name, answer in answers.items()
        if (found := {one.partition(" (")[0] for one in search(answer, forms)} - ECHOED.get(name, set()))
    }
    assert repeated == {}
    for path in DEVICES:
        assert (path, reports[path].findings, reports[path].lines >= heads[path]) == (path, [], True)
        entries = [json.loads(line) for line in lines[path]]
        spoken = [
            line
            for line, entry in zip(lines[path], entries, strict=True)
            if VALUE not in entry.get("request", {}).get("path", "") and VALUE not in entry.get("error", "")
        ]
        assert len(spoken) > 2 * len(replies)
        assert len(lines[path]) - len(spoken) <= 4  # a path and a type that do not exist
        assert search(b"".join(spoken), in_the_clear) == []
        assert accessor.encode() not in b"".join(spoken)
        bodies = [
            body
            for entry in entries
            if not entry.get("request", {}).get("path", "sys/").startswith("sys/")
            for body in (entry["request"].get("data"), entry.get("response", {}).get("data"))
        ]
        assert [found for body in bodies for found in unhashed(body)] == []

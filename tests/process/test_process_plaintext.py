"""Planted secrets, and the grep for them: every file of every node, the logs, what nodes say to each other, refusals."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from tests.process.harness import HOST, Cluster, Server, ask, make_cluster, running, wait_until
from tests.process.needles import needles, search, search_folder
from tests.process.wiretap import Wiretap

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.process

MARKERS = {
    "value": "Zq7-planted-value-f4Wc9sLk2Pd8",
    "field": "Kx3-planted-field-m8Tb5vRj1Hn6",
    "path": "Vw5-planted-path-c2Yg7nQf4Ds9",
    "policy": "bn9-planted-policy-h6uj3xzk8wa2",
    "mount": "Rt6-planted-mount-e9Lv2pSm5Gc7",
    "metadata": "Jd4-planted-metadata-y3Nf8kBq6Xr1",
    "old": "Pf2-planted-old-version-u7Wh4zCt9Mb5",
}
LARGE = 24 * 1024
SNAPSHOT_WRITES = 4_300  # the log is cut when it is over 96 MiB and 4,096 entries
WRITERS = 24


def plant(cluster: Cluster) -> dict[str, str]:
    """Secrets of every kind are in the cluster, written through a follower; the markers, tokens included."""
    follower = cluster.followers()[0]
    path = f"secret/data/app/{MARKERS['path']}"
    rules = f'path "secret/data/app/{MARKERS["path"]}" {{ capabilities = ["read"] }}'
    steps = [
        ("PUT", path, {"data": {MARKERS["field"]: MARKERS["old"]}}),
        ("PUT", path, {"data": {MARKERS["field"]: MARKERS["value"]}}),
        ("POST", f"secret/metadata/app/{MARKERS['path']}", {"custom_metadata": {"owner": MARKERS["metadata"]}}),
        ("POST", f"sys/mounts/{MARKERS['mount']}", {"type": "kv", "options": {"version": "1"}}),
        ("PUT", f"{MARKERS['mount']}/{MARKERS['path']}", {MARKERS["field"]: MARKERS["value"]}),
        ("PUT", f"sys/policies/acl/{MARKERS['policy']}", {"policy": rules}),
    ]
    for method, target, body in steps:
        reply = cluster.ask(method, target, body, at=follower)
        assert reply.status in {200, 204}, (target, reply)
    made = cluster.ask("POST", "auth/token/create", {"policies": [MARKERS["policy"]], "ttl": "1h"}, at=follower)
    token = made.json["auth"]["client_token"]
    for server in cluster.servers:
        reply = server.ask("GET", path, token=token)
        assert reply.data["data"] == {MARKERS["field"]: MARKERS["value"]}
    return {
        **MARKERS,
        "token": token,
        "accessor": made.json["auth"]["accessor"],
        "root token": cluster.token,
        "share": cluster.shares[0].rstrip("="),
    }


def write_large_values(cluster: Cluster, count: int) -> None:
    """So many writes that the log is cut."""
    numbers = iter(range(count))
    lock = threading.Lock()
    failed: list[object] = []
    leader = cluster.leader()

    def write() -> None:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            filler = f"{MARKERS['value']}-{number}-".ljust(LARGE, "x")
            reply = cluster.ask("PUT", f"secret/data/large/{number % 500}", {"data": {"x": filler}}, at=leader)
            if reply.status != 200:
                failed.append(reply)

    threads = [threading.Thread(target=write) for _ in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


@pytest.fixture
def tapped(tmp_path: Path) -> Iterator[tuple[Cluster, list[Wiretap]]]:
    """Three nodes whose links all lead through a proxy."""
    made = make_cluster(tmp_path)
    taps = {server.node_id: Wiretap(server.peer_port) for server in made.servers}
    members = {name: tap.address for name, tap in taps.items()}
    for server in made.servers:
        file = server.folder / "node.toml"
        text = file.read_text()
        for other in made.servers:
            direct = f'peer = "{HOST}:{other.peer_port}"'
            text = text.replace(direct, f'peer = "{members[other.node_id]}"')
        file.write_text(text)
    try:
        with running(made) as cluster:
            yield cluster, list(taps.values())
    finally:
        for tap in taps.values():
            tap.close()


def test_nothing_planted_is_readable_in_files_logs_or_on_the_wire(tapped: tuple[Cluster, list[Wiretap]]) -> None:
    """Journal, ballot, keyring, bootstrap, logs and all peer traffic of a cluster that knows secrets, kill -9 included."""
    cluster, taps = tapped
    forms = needles(plant(cluster))
    folder = cluster.servers[0].folder.parent
    cluster["n3"].kill()
    cluster.restart(cluster["n3"])
    cluster.wait_ready()
    files = search_folder(folder, forms)
    heard = [bytes(stream) for tap in taps for stream in tap.streams]
    wire = sorted({name for stream in heard for name in search(stream, forms)})

    assert (files, wire) == ({}, [])
    assert sum(map(len, heard)) > 20_000
    assert (cluster["n1"].data / "keyring").stat().st_size > 0


@pytest.mark.timeout(170)
def test_nothing_planted_is_readable_in_snapshots_and_the_node_they_bring_up(cluster: Cluster) -> None:
    """The log is cut, a lost node is brought up from a snapshot, and still nothing can be read."""
    forms = needles(plant(cluster))
    folder = cluster.servers[0].folder.parent
    write_large_values(cluster, SNAPSHOT_WRITES)
    wait_until(lambda: any(folder.glob("n*/data/snapshots/*")), "a snapshot", 40.0)
    holders = {path.parent.parent.parent.name for path in folder.glob("n*/data/snapshots/*")}
    files = search_folder(folder, forms)

    assert files == {}
    assert holders != set()


def test_the_grep_would_find_what_is_planted(tmp_path: Path) -> None:
    """The twin: every form of a marker is found in a file, also across two pieces of it and inside base64."""
    import base64

    forms = needles({"value": MARKERS["value"]})
    planted = [
        MARKERS["value"].encode(),
        MARKERS["value"].encode().hex().encode(),
        *(base64.b64encode(b"x" * shift + MARKERS["value"].encode() + b"tail") for shift in range(3)),
        base64.urlsafe_b64encode(MARKERS["value"].encode()),
    ]
    found = []
    for number, data in enumerate(planted):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "file").write_bytes(bytes((1 << 22) - 10) + data + b"after")
        found.append(bool(search_folder(tmp_path / str(number), forms)))

    assert found == [True] * len(planted)


def malformed(token: str) -> dict[str, bytes]:
    """Requests that are refused, each full of what must not come back."""
    value, path, field = (MARKERS[name].encode() for name in ("value", "path", "field"))
    secret = token.encode()
    head = b"Host: localhost\r\nX-Vault-Token: " + secret + b"\r\nX-Vault-Request: true\r\n"
    target = b"/v1/secret/data/" + path

    def put(body: bytes, more: bytes = b"", where: bytes = target) -> bytes:
        length = b"Content-Length: %d\r\n" % len(body)
        return b"PUT " + where + b" HTTP/1.1\r\n" + head + more + length + b"\r\n" + body

    return {
        "bad json": put(b'{"data": {"' + field + b'": "' + value + b'", }'),
        "not an object": put(b'["' + value + b'"]'),
        "text": put(value),
        "json with a wrong type": put(b'{"data": "' + value + b'"}'),
        "wrong option": put(b'{"data": {}, "options": {"cas": "' + value + b'"}}'),
        "deep json": put(b'{"data":' + b'{"' + field + b'":' * 600 + b'"' + value + b'"' + b"}" * 601),
        "many strings": put(b'{"data": {' + b",".join(b'"%d":"%s"' % (n, value) for n in range(2000)) + b"}}"),
        "surrogate": put(b'{"data": {"x": "\\ud800' + value + b'"}}'),
        "not utf-8": put(b'{"data": {"x": "\xff' + value + b'"}}'),
        "large": put(b'{"data": {"x": "' + value * 60_000 + b'"}}'),
        "unknown method": b"BREW " + target + b" HTTP/1.1\r\n" + head + b"\r\n",
        "method of the web": b"OPTIONS " + target + b" HTTP/1.1\r\n" + head + b"\r\n",
        "token as method": secret + b" " + target + b" HTTP/1.1\r\n" + head + b"\r\n",
        "long header": b"GET " + target + b" HTTP/1.1\r\n" + head + b"X-Long: " + value * 2000 + b"\r\n\r\n",
        "many headers": b"GET " + target + b" HTTP/1.1\r\n" + head + (b"X-" + field + b": " + value + b"\r\n") * 90 + b"\r\n",
        "broken header": b"GET " + target + b" HTTP/1.1\r\n" + head + b"X-Vault-Token " + secret + b"\r\n\r\n",
        "control character in a header": b"GET " + target + b" HTTP/1.1\r\n" + head + b"X-A: \x01" + value + b"\r\n\r\n",
        "NUL in a header": b"GET " + target + b" HTTP/1.1\r\n" + head + b"X-A: \x00" + value + b"\r\n\r\n",
        "folded header": b"GET " + target + b" HTTP/1.1\r\n" + head + b"X-A: a\r\n " + value + b"\r\n\r\n",
        "control character in the path": b"GET " + target + b"%01 HTTP/1.1\r\n" + head + b"\r\n",
        "raw control character in the path": b"GET " + target + b"\x01 HTTP/1.1\r\n" + head + b"\r\n",
        "dots in the path": b"GET /v1/secret/data/../" + path + b" HTTP/1.1\r\n" + head + b"\r\n",
        "bad escape": b"GET " + target + b"%zz HTTP/1.1\r\n" + head + b"\r\n",
        "long path": b"GET " + target * 100 + b" HTTP/1.1\r\n" + head + b"\r\n",
        "absolute target": b"GET http://" + path + b"/" + value + b" HTTP/1.1\r\n" + head + b"\r\n",
        "two tokens": b"GET " + target + b" HTTP/1.1\r\n" + head + b"X-Vault-Token: " + value + b"\r\n\r\n",
        "another authorization": b"GET " + target + b" HTTP/1.1\r\n" + head + b"Authorization: Bearer " + value + b"\r\n\r\n",
        "namespace": b"GET " + target + b" HTTP/1.1\r\n" + head + b"X-Vault-Namespace: " + path + b"\r\n\r\n",
        "bad index": b"GET " + target + b" HTTP/1.1\r\n" + head + b"X-Vault-Index: " + value + b"\r\n\r\n",
        "bad write id": put(b'{"data": {}}', b"X-Strongroom-Write-Id: " + value + b"\r\n"),
        "bad wrap ttl": b"GET " + target + b" HTTP/1.1\r\n" + head + b"X-Vault-Wrap-TTL: " + value + b"\r\n\r\n",
        "foreign host": b"GET " + target + b" HTTP/1.1\r\nHost: " + path + b"\r\nX-Vault-Token: " + secret + b"\r\n\r\n",
        "no host": b"GET " + target + b" HTTP/1.1\r\nX-Vault-Token: " + secret + b"\r\n\r\n",
        "GET with a body": b"GET " + target + b" HTTP/1.1\r\n" + head + b"Content-Length: %d\r\n\r\n" % len(value) + value,
        "length twice": put(value, b"Content-Length: 3\r\n"),
        "length and chunks": put(value, b"Transfer-Encoding: chunked\r\n"),
        "bad chunk": b"PUT " + target + b" HTTP/1.1\r\n" + head + b"Transfer-Encoding: chunked\r\n\r\n" + value + b"\r\n",
        "bad version": b"GET " + target + b" HTTP/9.9\r\n" + head + b"\r\n",
        "no http": value + b"\r\n" + secret + b"\r\n\r\n",
        "content type": put(b'{"data": {"x": "' + value + b'"}}', b"Content-Type: text/" + field + b"\r\n"),
        "content encoding": put(value, b"Content-Encoding: " + field + b"\r\n"),
        "expectation": put(b'{"data": {}}', b"Expect: " + value + b"\r\n"),
        "unknown path": b"GET /v1/" + path + b"/" + value + b" HTTP/1.1\r\n" + head + b"\r\n",
        "wrong token": b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\nX-Vault-Token: hvs." + value + b"\r\n\r\n",
        "wrong share": b"PUT /v1/sys/unseal HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % (len(value) + 10)
        + b'{"key":"' + value + b'"}',
        "bad policy": put(b'{"policy": "path \\"' + path + b'\\" { capabilities = [' + value + b'] }"}', b"", b"/v1/sys/policies/acl/x"),
        "bad mount": put(b'{"type": "' + value + b'"}', b"", b"/v1/sys/mounts/x"),
    }


def said_to(server: Server, request: bytes) -> bytes:
    """The whole answer, whatever it is."""
    answer = b""
    with socket.create_connection((HOST, server.api_port), 10.0) as plain:
        with contextlib.suppress(ConnectionError):
            plain.sendall(request)
            plain.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while data := plain.recv(65536):
                answer += data
    return answer


# What a refusal may repeat: the path a client asked for is in Vault's own sentences, and the write id is echoed.
ECHOED = {
    "unknown path": {"path", "value"},
    "bad write id": {"value"},
}


def test_no_refusal_and_no_log_repeats_what_was_sent(cluster: Cluster) -> None:
    """Every class of malformed request: the answer and the logs hold none of the planted secrets."""
    planted = plant(cluster)
    forms = needles(planted)
    leader = cluster.leader()
    repeated, odd = {}, {}
    for name, request in malformed(planted["token"]).items():
        for server in (leader, cluster.followers()[0]):
            answer = said_to(server, request)
            status = int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0
            if not (400 <= status < 500 or status in {0, 501, 503, 505}):
                odd[name] = answer[:200]
            found = {one.partition(" (")[0] for one in search(answer, forms)} - ECHOED.get(name, set())
            if found:
                repeated[name] = (sorted(found), answer[:400])
    logs = {server.node_id: search_folder(server.folder, forms) for server in cluster.servers}

    assert repeated == {}
    assert odd == {}
    assert logs == {server.node_id: {} for server in cluster.servers}
    assert ask(leader.api_port, "GET", "/readyz").status == 200

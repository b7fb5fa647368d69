"""Planted secrets, and the grep for them: in every file of every node, in the logs, between nodes, in refusals."""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from tests.process.harness import Cluster, Server, ask, make_cluster, running, wait_until
from tests.process.machine import HOST
from tests.process.malformed import malformed
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
ANSWER_S = 5.0


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
    """Journal, ballot, keyring, bootstrap, logs and peer traffic of a cluster that knows secrets, a crash included."""
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
    wait_until(lambda: any(s["snapshot_index"] for s in cluster.statuses().values()), "a snapshot", 40.0)
    lost = cluster.followers()[0]
    lost.kill()
    shutil.rmtree(lost.data)
    cluster.restart(lost)
    cluster.wait_ready([lost])
    cluster.equal_digests()
    snapshots = {path.parent.parent.parent.name for path in folder.glob("n*/data/snapshots/*")}
    files = search_folder(folder, forms)

    assert files == {}
    assert lost.node_id in snapshots


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


def said_to(server: Server, request: bytes) -> bytes:
    """The whole answer, whatever it is."""
    answer = b""
    with socket.create_connection((HOST, server.api_port), ANSWER_S) as plain:
        with contextlib.suppress(ConnectionError):
            plain.sendall(request)
        with contextlib.suppress(ConnectionError, TimeoutError):
            while not whole(answer) and (data := plain.recv(65536)):
                answer += data
    return answer


def whole(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return bool(end) and bool(length) and len(body) >= int(length)


# What a refusal may repeat, because the API says so: Vault's sentences on a path or a type that does not exist, and the
# header of a write id. None of them goes to a log.
ECHOED = {"unknown path": {"path", "value"}, "bad mount": {"value"}, "bad write id": {"value"}}


def test_no_refusal_and_no_log_repeats_what_was_sent(cluster: Cluster) -> None:
    """Every class of malformed request, at a leader, a follower and a sealed node: no planted secret comes back."""
    forms = needles(plant(cluster))
    leader, (follower, sealed) = cluster.leader(), cluster.followers()
    sealed.kill()
    sealed.start()
    sealed.wait_listening()
    repeated, odd = {}, {}
    for name, request in malformed(cluster.token, MARKERS).items():
        for server in (leader, follower, sealed):
            answer = said_to(server, request)
            status = int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0
            if not (400 <= status < 500 or (status == 503 and server is sealed)):
                odd[f"{name} at {server.node_id}"] = answer[:400]
            found = {one.partition(" (")[0] for one in search(answer, forms)} - ECHOED.get(name, set())
            if found:
                repeated[name] = (sorted(found), answer[:600])
    wrong = sealed.ask("PUT", "sys/unseal", {"key": MARKERS["value"]})
    logs = {server.node_id: search_folder(server.folder, forms) for server in cluster.servers}

    assert repeated == {}
    assert odd == {}
    assert (wrong.status, search(wrong.raw, forms)) == (400, [])
    assert logs == {server.node_id: {} for server in cluster.servers}
    assert ask(leader.api_port, "GET", "/readyz").status == 200

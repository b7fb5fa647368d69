"""The real hvac client against three real nodes: whichever node takes a request, all answer as one.

Run by `make conformance` with the Python of hvac's environment; the server's program comes in STRONGROOM_SERVER.
Nothing here waits: what one node has acknowledged, the next request on any node sees.
"""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import hvac
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NODES = 3
STOP_S = 30


@dataclass(frozen=True, slots=True)
class Cluster:
    """URLs of the nodes' APIs and the root token."""

    apis: list[str]
    root_token: str

    def client(self, number: int, token: str | None = None) -> hvac.Client:
        """A client that talks to node `number` alone, from 0."""
        return hvac.Client(url=self.apis[number], token=token or self.root_token)


def free_port_base() -> int:
    """P such that P, P + 10, P + 20 and the ports after them are free."""
    while True:
        base = random.randrange(20000, 30000, 50)
        sockets = [socket.socket() for _ in range(2 * NODES)]
        try:
            for number, one in enumerate(sockets):
                one.bind(("127.0.0.1", base + 10 * (number // 2) + number % 2))
        except OSError:
            continue
        finally:
            for one in sockets:
                one.close()
        return base


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three nodes, initialised and unsealed, with KV v2 at secret/."""
    data: Path = tmp_path_factory.mktemp("dev")
    command = [os.environ["STRONGROOM_SERVER"], "dev", "--json", "--port-base", str(free_port_base()), "--data"]
    process = subprocess.Popen([*command, str(data / "nodes")], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        yield Cluster([node["api"] for node in said["nodes"]], said["root_token"])
    finally:
        process.terminate()
        process.wait(STOP_S)


@pytest.fixture(params=range(NODES))
def writer(request: pytest.FixtureRequest) -> int:
    """Each node once: the leader and both others."""
    number: int = request.param
    return number


def test_what_one_node_wrote_every_node_reads_at_once(cluster: Cluster, writer: int) -> None:
    """A write is answered when it is true for all: the next read on any node sees it."""
    for round_number in range(5):
        value = {"round": str(round_number), "writer": str(writer)}
        cluster.client(writer).secrets.kv.v2.create_or_update_secret(f"shared/{writer}", value)
        for reader in range(NODES):
            found = cluster.client(reader).secrets.kv.v2.read_secret_version(
                f"shared/{writer}", raise_on_deleted_version=True
            )
            assert found["data"]["data"] == value
            assert found["data"]["metadata"]["version"] == round_number + 1


def test_a_list_by_vaults_own_verb_is_the_same_everywhere(cluster: Cluster, writer: int) -> None:
    """The client sends LIST; a new key stands in the next list on any node."""
    for name in ("b", "a", "folder/c"):
        cluster.client(writer).secrets.kv.v2.create_or_update_secret(f"listed-{writer}/{name}", {"k": "v"})
    for reader in range(NODES):
        found = cluster.client(reader).secrets.kv.v2.list_secrets(f"listed-{writer}")
        assert found["data"]["keys"] == ["a", "b", "folder/"]


def test_check_and_set_holds_across_nodes(cluster: Cluster, writer: int) -> None:
    """The version that one node made is what the others compare with; a stale one is refused and changes nothing."""
    path = f"cas-{writer}"
    cluster.client(writer).secrets.kv.v2.create_or_update_secret(path, {"n": "1"}, cas=0)
    for other in range(NODES):
        with pytest.raises(hvac.exceptions.InvalidRequest, match="check-and-set parameter did not match"):
            cluster.client(other).secrets.kv.v2.create_or_update_secret(path, {"n": "stale"}, cas=0)
    cluster.client((writer + 1) % NODES).secrets.kv.v2.create_or_update_secret(path, {"n": "2"}, cas=1)
    found = cluster.client(writer).secrets.kv.v2.read_secret_version(path, raise_on_deleted_version=True)
    assert (found["data"]["data"], found["data"]["metadata"]["version"]) == ({"n": "2"}, 2)


def test_delete_undelete_and_destroy_are_seen_everywhere(cluster: Cluster, writer: int) -> None:
    """Each step is taken on one node and seen on all."""
    path = f"life-{writer}"
    kv = cluster.client(writer).secrets.kv.v2
    kv.create_or_update_secret(path, {"k": "v"})

    kv.delete_latest_version_of_secret(path)
    for reader in range(NODES):
        with pytest.raises(hvac.exceptions.InvalidPath):
            cluster.client(reader).secrets.kv.v2.read_secret_version(path, raise_on_deleted_version=True)

    kv.undelete_secret_versions(path, [1])
    for reader in range(NODES):
        found = cluster.client(reader).secrets.kv.v2.read_secret_version(path, raise_on_deleted_version=True)
        assert found["data"]["data"] == {"k": "v"}

    kv.destroy_secret_versions(path, [1])
    for reader in range(NODES):
        metadata = cluster.client(reader).secrets.kv.v2.read_secret_metadata(path)
        assert metadata["data"]["versions"]["1"]["destroyed"] is True
        with pytest.raises(hvac.exceptions.InvalidPath):
            cluster.client(reader).secrets.kv.v2.read_secret_version(path, raise_on_deleted_version=True)


def test_a_policy_allows_and_denies_on_every_node_at_once(cluster: Cluster, writer: int) -> None:
    """A token made on one node may on all what its policy says, nothing else, and nothing once it is revoked."""
    root = cluster.client(writer)
    root.secrets.kv.v2.create_or_update_secret(f"mine-{writer}/a", {"k": "v"})
    root.secrets.kv.v2.create_or_update_secret(f"other-{writer}/a", {"k": "v"})
    root.sys.create_or_update_policy(
        f"reader-{writer}", f'path "secret/data/mine-{writer}/*" {{ capabilities = ["read"] }}'
    )
    token = root.auth.token.create(policies=[f"reader-{writer}"])["auth"]["client_token"]
    for reader in range(NODES):
        kv = cluster.client(reader, token).secrets.kv.v2
        assert kv.read_secret_version(f"mine-{writer}/a", raise_on_deleted_version=True)["data"]["data"] == {"k": "v"}
        with pytest.raises(hvac.exceptions.Forbidden):
            kv.read_secret_version(f"other-{writer}/a", raise_on_deleted_version=True)
        with pytest.raises(hvac.exceptions.Forbidden):
            kv.create_or_update_secret(f"mine-{writer}/a", {"k": "changed"})
    root.auth.token.revoke(token)
    for reader in range(NODES):
        with pytest.raises(hvac.exceptions.Forbidden):
            cluster.client(reader, token).secrets.kv.v2.read_secret_version(
                f"mine-{writer}/a", raise_on_deleted_version=True
            )

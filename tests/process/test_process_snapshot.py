"""A snapshot put back into real processes: by the command line, and under kill -9 of the leader that does it."""

from __future__ import annotations

import http.client
import os
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.process.harness import BIN, HOST, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.process.harness import Cluster, Server

pytestmark = pytest.mark.process

PATH = "/v1/sys/storage/raft/snapshot"
SECRETS = 60
VALUE = "x" * 200_000  # each is a batch of its own


def strongroom(cluster: Cluster, server: Server, *words: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "STRONGROOM_TOKEN": cluster.token, "STRONGROOM_ADDR": server.api}
    return subprocess.run(
        [str(BIN / "strongroom"), *words], env=environ, capture_output=True, text=True, timeout=60, check=False
    )


def filled(cluster: Cluster, tmp_path: Path) -> Path:
    """Secrets, a snapshot of them, and then others in their place."""
    for number in range(SECRETS):
        assert cluster.ask("PUT", f"secret/data/{number}", {"data": {"v": VALUE, "when": "then"}}).status == 200
    file = tmp_path / "a.snap"
    saved = strongroom(cluster, cluster.followers()[0], "operator", "raft", "snapshot", "save", str(file))
    assert saved.returncode == 0, saved.stderr
    for number in range(SECRETS):
        assert cluster.ask("PUT", f"secret/data/{number}", {"data": {"when": "now"}}).status == 200
    return file


def when(cluster: Cluster) -> set[Any]:
    """What every node says of every secret."""
    replies = (
        server.ask("GET", f"secret/data/{number}", token=cluster.token)
        for server in cluster.servers
        for number in range(SECRETS)
    )
    return {reply.data["data"]["when"] for reply in replies}


def test_a_leader_that_is_killed_in_the_middle_changes_nothing(cluster: Cluster, tmp_path: Path) -> None:
    """The next one removes what was written; the command line puts it back there, through a follower's address."""
    file = filled(cluster, tmp_path)
    leader = cluster.leader()
    began = int((cluster.status(leader) or {})["applied_index"])
    ends: list[str] = []

    def send() -> None:
        connection = http.client.HTTPConnection(HOST, leader.api_port, timeout=30)
        try:
            connection.request("POST", PATH, file.read_bytes(), {"X-Vault-Token": cluster.token})
            ends.append(str(connection.getresponse().status))
        except (OSError, http.client.HTTPException) as error:
            ends.append(type(error).__name__)
        finally:
            connection.close()

    sender = threading.Thread(target=send)
    sender.start()
    wait_until(lambda: int((cluster.status(leader) or {})["applied_index"]) > began + 10, "it is in the middle")
    leader.kill()
    sender.join()
    assert ends != ["200"]
    cluster.restart(leader)
    cluster.wait_ready()
    assert when(cluster) == {"now"}
    cluster.equal_digests()

    done = strongroom(cluster, cluster.followers()[0], "operator", "raft", "snapshot", "restore", str(file))
    assert done.returncode == 0, done.stderr
    assert when(cluster) == {"then"}
    cluster.equal_digests()
    for server in cluster.servers:
        server.kill()
    for server in cluster.servers:
        cluster.restart(server)
    cluster.wait_ready()
    assert when(cluster) == {"then"}

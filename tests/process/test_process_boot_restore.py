"""`restore_on_boot`: all folders are gone, and without anybody's word the cluster is there again, or says why not."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.process.harness import Cluster, make_cluster, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.process


def started(cluster: Cluster) -> None:
    for server in cluster.servers:
        server.start()
    for server in cluster.servers:
        server.wait_listening()


@pytest.fixture
def attended(tmp_path: Path) -> Iterator[Cluster]:
    """Three nodes with a key file and a shared sink, initialised, with a secret that the sink holds."""
    key = tmp_path / "seal.key"
    key.write_text(os.urandom(32).hex())
    key.chmod(0o600)
    sections = {"seal": {"type": "static", "key_file": str(key)}, "backup": {"restore_on_boot": "if_empty"}}
    cluster = make_cluster(tmp_path / "cluster", sections=sections)
    sinks = json.dumps([{"name": "main", "url": f"sqlite://{tmp_path / 'backup.db'}"}])
    for server in cluster.servers:
        server.environ["STRONGROOM_BACKUP__SINKS"] = sinks
    try:
        started(cluster)
        cluster.token = cluster.servers[0].ask("PUT", "sys/init", {}, timeout_s=60.0).json["root_token"]
        cluster.wait_ready()
        assert cluster.ask("POST", "sys/mounts/secret", {"type": "kv", "options": {"version": "2"}}).status == 204
        assert cluster.ask("PUT", "secret/data/a", {"data": {"n": "1"}}).status == 200
        yield cluster
    finally:
        cluster.end()


def held(cluster: Cluster) -> str:
    """INDEX:HASH of the sink, once it holds everything."""

    def expect() -> str | None:
        index = cluster.ask("GET", "strongroom/status").data["applied_index"]
        for server in cluster.servers:
            [row] = cluster.ask("GET", "strongroom/backup/status", at=server).data["sinks"]
            if row["writes"] and row["index"] >= index:
                return str(row["expect"])
        return None

    found = wait_until(expect, "the sink holds everything")
    assert found is not None
    return found


def lost(cluster: Cluster) -> None:
    """Every process is dead and every folder gone."""
    for server in cluster.servers:
        server.kill()
        shutil.rmtree(server.data)


def test_a_cluster_whose_folders_are_gone_restores_itself(attended: Cluster) -> None:
    """One member restores, the others join; the token is valid, and writes go on."""
    expect = held(attended)
    lost(attended)
    for server in attended.servers:
        server.environ["STRONGROOM_RESTORE_EXPECT"] = expect
    started(attended)
    attended.wait_ready(timeout_s=60.0)

    assert attended.ask("GET", "secret/data/a", at=attended.servers[2]).data["data"] == {"n": "1"}
    assert attended.ask("PUT", "secret/data/a", {"data": {"n": "2"}}).status == 200
    index, _ = attended.equal_digests()
    assert index >= int(expect.partition(":")[0])


def test_without_a_witness_nothing_is_restored(attended: Cluster) -> None:
    """The cluster stays uninitialised, and the log says what an operator has to do."""
    held(attended)
    lost(attended)
    first = attended.servers[0]
    first.log_file.write_text("")
    started(attended)
    wait_until(lambda: "there is no witness" in first.log_text, "the sentence")

    assert not any(server.ask("GET", "sys/seal-status").json["initialized"] for server in attended.servers)


def test_a_member_that_lost_its_folder_alone_is_brought_up_by_the_others(attended: Cluster) -> None:
    """It restores nothing: the cluster is alive."""
    expect = held(attended)
    server = attended.followers()[0]
    generation = attended.ask("GET", "strongroom/status").data["generation"]
    server.kill()
    shutil.rmtree(server.data)
    server.environ["STRONGROOM_RESTORE_EXPECT"] = expect
    server.start()
    server.wait_listening()
    attended.wait_ready([server], timeout_s=60.0)
    status = attended.status(server)

    assert status is not None
    assert status["generation"] == generation

"""The tour of the README without `dev`: three servers from three files, made and used with the command line alone."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.process.harness import BIN, CLUSTER_NAME, Cluster, Server, make_cluster, wait_until
from tests.process.machine import HOST, processes_naming

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.process


class Shell:
    """`strongroom …` against one node."""

    def __init__(self, server: Server, token: str = "") -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("STRONGROOM_", "VAULT_"))}
        self._environ = kept | {"VAULT_ADDR": server.api} | ({"VAULT_TOKEN": token} if token else {})

    def run(self, *words: str, said: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [BIN / "strongroom", *words], input=said, capture_output=True, text=True, env=self._environ, check=False,
            timeout=60,
        )  # fmt: skip

    def json(self, *words: str, said: str = "") -> Any:
        done = self.run(*words, "-format=json", said=said)
        assert done.returncode == 0, done
        return json.loads(done.stdout) if done.stdout else None


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Cluster]:
    """Configuration files and certificates for production, nothing started."""
    certs = tmp_path / "certs"
    words = ["operator", "certs", "--out", str(certs), "--cluster-name", CLUSTER_NAME]
    done = subprocess.run(
        [BIN / "strongroom", *words, *(f"n{number}={HOST}" for number in (1, 2, 3))], check=False, capture_output=True
    )
    assert done.returncode == 0, done
    made = make_cluster(tmp_path, profile="production", certs=certs)
    try:
        yield made
    finally:
        made.end()
        wait_until(lambda: not processes_naming(str(tmp_path)), "nothing runs")


def test_three_servers_from_three_files(three: Cluster) -> None:
    """Certificates, init 5/3, unseal each, put, kill one, go on, bring it back."""
    for server in three.servers:
        server.start()
    for server in three.servers:
        server.wait_listening()
    first = Shell(three.servers[0])
    before = first.run("status")
    keys = wait_until(lambda: _init(first), "init")
    assert isinstance(keys, dict)
    shares, token = keys["keys_base64"], keys["root_token"]
    again = first.run("operator", "init")
    for number, server in enumerate(three.servers):
        chosen = (shares * 2)[number : number + 3]  # other people at every node
        partly = Shell(server).run("operator", "unseal", said=f"{chosen[0]}\n{chosen[1]}\n")
        opened = Shell(server).run("operator", "unseal", said=f"{chosen[2]}\n")

        assert (partly.returncode, opened.returncode) == (2, 0), (partly, opened)
    three.token, three.shares = token, shares
    three.wait_ready()
    shells = [Shell(server, token) for server in three.servers]

    assert before.returncode == 2
    assert again.returncode == 2
    assert first.run("kv", "get", "secret/hello").returncode == 2  # without a token
    assert shells[0].run("secrets", "enable", "-path=secret", "-version=2", "kv").returncode == 0
    assert shells[1].run("kv", "put", "secret/hello", "greeting=world").returncode == 0
    assert [shell.json("kv", "get", "secret/hello")["data"]["data"] for shell in shells] == [{"greeting": "world"}] * 3

    leader = three.leader()
    leader.kill()
    alive = [server for server in three.servers if server is not leader]
    words = ("kv", "put", "secret/hello", "greeting=again")
    wait_until(lambda: Shell(alive[0], token).run(*words).returncode == 0, "writes go on")
    found = Shell(alive[1], token).json("kv", "get", "secret/hello")["data"]

    assert found["data"] == {"greeting": "again"}
    three.restart(leader)
    three.wait_ready()

    assert Shell(leader, token).json("kv", "get", "secret/hello")["data"] == found
    peers = Shell(leader, token).json("operator", "raft", "list-peers")
    assert "n1" in json.dumps(peers)


def _init(shell: Shell) -> Any:
    done = shell.run("operator", "init", "-key-shares=5", "-key-threshold=3", "-format=json")
    return json.loads(done.stdout) if done.returncode == 0 else None


def test_production_is_served_only_by_a_configuration_it_may_be(three: Cluster) -> None:
    """The twin: a file that production refuses starts nothing and says every reason."""
    server = three.servers[0]
    file = server.folder / "node.toml"
    file.write_text(file.read_text().replace(f'address = "{HOST}:{server.api_port}"', 'address = "0.0.0.0:1"'))
    server.start()
    assert server.process is not None
    code = server.process.wait(30)

    assert code == 1
    assert "tls may be off only on loopback" in server.log_text

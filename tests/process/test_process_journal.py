"""`operator journal dump` on the folder of a real node: refused while it runs, then whole and without values."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.process.backups import cli
from tests.process.harness import make_cluster, running

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.process

VALUE = "planted-value-nobody-may-see"


def test_a_real_folder_is_told_without_a_secret(tmp_path: Path) -> None:
    """KV, a cubbyhole, a child token, AppRole: paths and versions are there, and nothing that opens or is one."""
    with running(make_cluster(tmp_path / "cluster", nodes=1)) as cluster:
        [server] = cluster.servers
        words = ("operator", "journal", "dump", "--data", server.data, "--unseal-keys-file", "-")
        keys = "\n".join(cluster.shares)

        def ask(method: str, path: str, body: Any = None) -> Any:
            reply = cluster.ask(method, path, body)
            assert reply.status < 300, (path, reply.status)
            return reply.json

        for _ in range(3):
            ask("POST", "secret/data/app/db", {"data": {"password": VALUE}})
        ask("PUT", "cubbyhole/mine", {"v": VALUE})
        child = ask("POST", "auth/token/create", {})["auth"]
        ask("POST", "sys/auth/approle", {"type": "approle"})
        ask("POST", "auth/approle/role/app", {"token_policies": ["default"]})
        secret_id = ask("POST", "auth/approle/role/app/secret-id", {})["data"]
        ask("DELETE", "secret/data/app/db")
        refused = cli(*words, stdin=keys)
        server.end(signal.SIGTERM)
        done = cli(*words, stdin=keys)
        verified = cli(*words, "--verify", stdin=keys)

    assert (refused.code, refused.out) == (1, "")
    assert "is in use by another process" in refused.err
    assert (done.code, verified.code) == (0, 0), done.err + verified.err
    lines = [json.loads(line) for line in done.out.splitlines()]
    changes = [change for line in lines for change in line.get("changes", ())]
    versions = [one["version"] for one in changes if one["table"] == "version" and one["path"] == "secret/app/db"]
    assert versions == [1, 2, 3]
    assert {"table": "entry", "path": "cubbyhole/"} in changes
    assert {line.get("outcome") for line in lines[1:-1]} <= {"installed", "refused"}
    assert lines[-1]["condition"] == "whole"
    for hidden in (
        VALUE, cluster.token, *cluster.shares, child["client_token"], child["accessor"], secret_id["secret_id"],
        secret_id["secret_id_accessor"],
    ):  # fmt: skip
        assert hidden not in done.out + done.err

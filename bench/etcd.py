"""The yardstick for writes and failover: three etcd members with fsync, asked through their JSON gateway.

A shell. Every member is a process of its own in a folder of its own; all end by their pids.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import wrk
from .figures import Yardstick
from .processes import HOST, end, free_ports, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = ("a", "b", "c")
START_S = 20.0
QUOTA_BYTES = 4 << 30
MISSING = "etcd is not installed here (apt install etcd-server)"


@dataclass(slots=True)
class EtcdMember:
    """One process."""

    name: str
    port: int
    folder: Path
    command: list[str]
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """It runs."""
        with (self.folder / "etcd.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def ask(self, path: str, body: dict[str, Any], timeout_s: float = 2.0) -> tuple[int, dict[str, Any]]:
        """One call at the gateway; raises OSError."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=timeout_s)
        try:
            connection.request("POST", path, json.dumps(body))
            answer = connection.getresponse()
            raw = answer.read()
            return answer.status, json.loads(raw) if raw else {}
        except (http.client.HTTPException, ValueError) as error:
            raise OSError(type(error).__name__) from error
        finally:
            connection.close()


@dataclass(slots=True)
class Etcd:
    """Three members that have a leader."""

    members: list[EtcdMember] = field(default_factory=list)

    def puts(self, connections: int, seconds: float, paths: int) -> Yardstick:
        """PUT of 1 KiB under random keys, at the leader."""
        url = f"http://{HOST}:{self.leader().port}/v3/kv/put"
        report = wrk.run(
            url, connections=connections, seconds=seconds, script="etcd.lua", environ={"BENCH_PATHS": str(paths)}
        )
        return Yardstick("etcd, three members, JSON gateway", report.numbers())

    def leader(self) -> EtcdMember:
        """The member that leads, as any of them says. Raises BenchError."""
        found: list[EtcdMember] = []

        def leads() -> bool:
            for member in self.members:
                with contextlib.suppress(OSError):
                    _, status = member.ask("/v3/maintenance/status", {})
                    if status.get("leader") == status.get("header", {}).get("member_id"):
                        found.append(member)
                        return True
            return False

        wait_until(leads, "etcd has a leader", START_S)
        return found[0]


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Etcd | None]:
    """Three members; None if etcd or wrk is not installed."""
    binary = shutil.which("etcd")
    if binary is None or not wrk.there():
        yield None
        return
    base = free_ports(len(NAMES), 10)
    peers = ",".join(f"{name}=http://{HOST}:{base + 10 * number + 1}" for number, name in enumerate(NAMES))
    etcd = Etcd()
    try:
        for number, name in enumerate(NAMES):
            port = base + 10 * number
            data = folder / f"etcd-{name}"
            data.mkdir(parents=True)
            client, peer = f"http://{HOST}:{port}", f"http://{HOST}:{port + 1}"
            command = [
                binary, "--name", name, "--data-dir", str(data / "data"), "--log-level", "error",
                "--listen-client-urls", client, "--advertise-client-urls", client,
                "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                "--initial-cluster", peers, "--initial-cluster-state", "new",
                "--quota-backend-bytes", str(QUOTA_BYTES),
            ]  # fmt: skip
            member = EtcdMember(name, port, data, command)
            member.start()
            etcd.members.append(member)
        etcd.leader()
        yield etcd
    finally:
        for member in etcd.members:
            if member.process is not None:
                end(member.process)

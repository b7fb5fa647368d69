"""Real server processes on loopback: starting, ending, asking. Processes are ended by their pid alone.

A cluster here is a list of `Server`s, each a `strongroom server --config FILE` in a folder of the test's own. Nothing
is mocked: files, sockets, TLS between nodes and signals are the product's.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cluster.links.certs import write_certificates
from tests.process.machine import HOST, NO_AUTHORITIES, free_port_base, processes_naming

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

CLUSTER_NAME = "process"
BIN = Path(sys.executable).parent
START_S = 40.0
POLL_S = 0.03
SEGMENT_BYTES = 1 << 20
T = TypeVar("T")


class HarnessError(AssertionError):
    """The processes did not do what a test needs before it can begin."""


@dataclass(frozen=True)
class Reply:
    """One answer; `raw` is its body. Status 0 never occurs: no answer is an OSError."""

    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw) if self.raw else {}

    @property
    def data(self) -> Any:
        return self.json["data"]


def ask(
    port: int,
    method: str,
    path: str,
    body: Any = None,
    *,
    token: str | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 15.0,
) -> Reply:
    """One request on a connection of its own; `path` below /v1/ unless it begins with a slash. Raises OSError."""
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout_s)
    try:
        return ask_on(connection, method, path, body, token=token, headers=headers)
    finally:
        connection.close()


def ask_on(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: Any = None,
    *,
    token: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """The same on a connection that stays open."""
    sent = {"X-Vault-Request": "true", **(headers or {})}
    if token is not None:
        sent["X-Vault-Token"] = token
    target = path if path.startswith("/") else f"/v1/{path}"
    try:
        connection.request(method, target, None if body is None else json.dumps(body), sent)
        answer = connection.getresponse()
        raw = answer.read()
    except http.client.HTTPException as error:
        raise OSError(type(error).__name__) from error
    return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, raw)


def wait_until(check: Callable[[], T], what: str, timeout_s: float = 20.0) -> T:
    """The first true answer of `check`; an OSError in it counts as false."""
    end = time.monotonic() + timeout_s
    while True:
        with contextlib.suppress(OSError):
            found = check()
            if found:
                return found
        if time.monotonic() > end:
            raise HarnessError(f"not within {timeout_s} s: {what}")
        time.sleep(POLL_S)


def uuid7(time_s: float | None = None) -> str:
    """A write id."""
    milliseconds = int((time.time() if time_s is None else time_s) * 1000)
    number = milliseconds << 80 | 7 << 76 | random.getrandbits(12) << 64 | 2 << 62 | random.getrandbits(62)
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


@dataclass(eq=False)
class Server:
    """One node: its files stay when its process ends."""

    node_id: str
    api_port: int
    peer_port: int
    folder: Path
    environ: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def api(self) -> str:
        return f"http://{HOST}:{self.api_port}"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log_file(self) -> Path:
        return self.folder / "node.log"

    @property
    def log_text(self) -> str:
        return self.log_file.read_text(errors="replace")

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        """The process runs."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("STRONGROOM_", "VAULT_"))}
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [BIN / "strongroom", "server", "--config", self.folder / "node.toml"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environ | NO_AUTHORITIES | self.environ,
                start_new_session=True,
            )

    def wait_listening(self) -> None:
        def listening() -> bool:
            if not self.alive:
                raise HarnessError(f"{self.node_id} ended:\n" + self.log_text[-2000:])
            return self.ask("GET", "sys/seal-status").status == 200

        wait_until(listening, f"{self.node_id} listens", START_S)

    def end(self, number: int, timeout_s: float = 40.0) -> int:
        """Signal the process, wait for its end; its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout_s)

    def kill(self) -> None:
        """The process has ended, by SIGKILL if it still ran."""
        if self.alive:
            self.end(signal.SIGKILL)

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Reply:
        return ask(self.api_port, method, path, body, **more)

    def unseal(self, shares: Iterable[str]) -> None:
        """The node has its keys, once it knows the cluster."""
        wait_until(lambda: self.ask("GET", "sys/seal-status").json["initialized"], f"{self.node_id} knows the cluster")
        for share in shares:
            reply = self.ask("PUT", "sys/unseal", {"key": share}, timeout_s=60.0)
            assert reply.status == 200, reply
            if not reply.json["sealed"]:
                return
        raise HarnessError(f"{self.node_id} is sealed still")


@dataclass(eq=False)
class Cluster:
    """Servers that know each other, and the keys."""

    servers: list[Server]
    shares: list[str] = field(default_factory=list)
    threshold: int = 1
    token: str = ""

    def __getitem__(self, node_id: str) -> Server:
        return next(server for server in self.servers if server.node_id == node_id)

    # ---- life
    def start(self, shares: int = 1, threshold: int = 1) -> None:
        """Everything runs, is initialised, unsealed, and serves; KV v2 is mounted at secret/."""
        for server in self.servers:
            server.start()
        for server in self.servers:
            server.wait_listening()
        reply = wait_until(lambda: self._init(shares, threshold), "init")
        self.shares, self.threshold = reply["keys_base64"], threshold
        self.token = reply["root_token"]
        for server in self.servers:
            server.unseal(self.shares)
        self.wait_ready()
        wait_until(self._mount, "the first write is taken")

    def _mount(self) -> bool:
        """Writes that wait for a backup are refused, and not applied, before it has begun."""
        mounted = self.ask("POST", "sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
        assert mounted.status == 204 or mounted.json.get("applied") == "no", mounted
        return mounted.status == 204

    def _init(self, shares: int, threshold: int) -> Any:
        body = {"secret_shares": shares, "secret_threshold": threshold}
        reply = self.servers[0].ask("PUT", "sys/init", body, timeout_s=60.0)
        assert reply.status in {200, 503}, reply
        return reply.json if reply.status == 200 else None

    def restart(self, server: Server) -> None:
        """The node runs and has its keys again; it may not serve yet."""
        server.start()
        server.wait_listening()
        server.unseal(self.shares)

    def wait_ready(self, servers: Iterable[Server] | None = None, timeout_s: float = 30.0) -> None:
        for server in self.servers if servers is None else servers:
            wait_until(partial(_ready, server), f"{server.node_id} serves", timeout_s)

    def end(self) -> None:
        """No process is left. The last resort of every test."""
        for server in self.servers:
            server.kill()

    # ---- asking
    def ask(self, method: str, path: str, body: Any = None, *, at: Server | None = None, **more: Any) -> Reply:
        return (at or self.servers[0]).ask(method, path, body, token=self.token, **more)

    def status(self, server: Server) -> dict[str, Any] | None:
        """strongroom/status of that node, None if it gives none."""
        if not server.alive:
            return None
        try:
            reply = self.ask("GET", "strongroom/status", at=server, timeout_s=5.0)
        except OSError:
            return None
        return reply.data if reply.status == 200 else None

    def statuses(self) -> dict[str, dict[str, Any]]:
        found = {server.node_id: self.status(server) for server in self.servers}
        return {name: status for name, status in found.items() if status is not None}

    def leader(self, timeout_s: float = 20.0) -> Server:
        """The node that leads the highest term anybody knows of."""

        def leads() -> Server | None:
            statuses = self.statuses()
            term = max((status["term"] for status in statuses.values()), default=0)
            for name, status in statuses.items():
                if status["role"] == "leader" and status["term"] == term:
                    return self[name]
            return None

        found = wait_until(leads, "a leader", timeout_s)
        assert found is not None
        return found

    def followers(self) -> list[Server]:
        leader = self.leader()
        return [server for server in self.servers if server is not leader]

    def equal_digests(self, timeout_s: float = 30.0) -> tuple[int, str]:
        """(index, digest) that all nodes report; a different digest at an equal index fails at once."""

        def agree() -> tuple[int, str] | None:
            statuses = self.statuses()
            by_index: dict[int, set[str]] = {}
            for status in statuses.values():
                by_index.setdefault(status["digest_index"], set()).add(status["digest"])
            assert all(len(digests) == 1 for digests in by_index.values()), by_index
            if len(statuses) < len(self.servers) or len(by_index) != 1:
                return None
            index, digests = by_index.popitem()
            return index, digests.pop()

        found = wait_until(agree, "equal digests at an equal index", timeout_s)
        assert found is not None
        return found


def _ready(server: Server) -> bool:
    return server.ask("GET", "/readyz").status == 200


def configuration(
    server: Server,
    members: Iterable[tuple[str, str, str]],
    certs: Path,
    *,
    profile: str = "dev",
    sections: Mapping[str, Mapping[str, Any]] | None = None,
) -> str:
    """The TOML of one node; `members` are (id, peer address, API url)."""
    listed = ", ".join(f'{{ id = "{name}", peer = "{peer}", api = "{api}" }}' for name, peer, api in members)
    wanted: dict[str, dict[str, Any]] = {
        "node": {"id": server.node_id, "cluster_name": CLUSTER_NAME, "data_dir": str(server.data)},
        "api": {"address": f"{HOST}:{server.api_port}", "advertise": server.api, "tls": "off"},
        "peer": {
            "address": f"{HOST}:{server.peer_port}",
            "tls_cert_file": str(certs / f"{server.node_id}.pem"),
            "tls_key_file": str(certs / f"{server.node_id}.key"),
            "tls_ca_file": str(certs / "ca.pem"),
        },
        "journal": {"segment_bytes": SEGMENT_BYTES},
        "seal": {"type": "shamir", "peers": False},
        "log": {"format": "json", "level": "info"},
    }
    for name, values in (sections or {}).items():
        wanted.setdefault(name, {}).update(values)
    lines = [f'profile = "{profile}"']
    for name, values in wanted.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
        if name == "peer":
            lines.append(f"members = [{listed}]")
    return "\n".join(lines) + "\n"


def make_cluster(
    folder: Path,
    *,
    nodes: int = 3,
    profile: str = "dev",
    sections: Mapping[str, Mapping[str, Any]] | None = None,
    peer_addresses: Mapping[str, str] | None = None,
    certs: Path | None = None,
    port_base: int | None = None,
) -> Cluster:
    """Folders, certificates and configuration files stand; nothing runs yet."""
    base = free_port_base(nodes) if port_base is None else port_base
    servers = [
        Server(f"n{number + 1}", base + 10 * number, base + 10 * number + 1, folder / f"n{number + 1}")
        for number in range(nodes)
    ]
    if certs is None:
        certs = folder / "certs"
        write_certificates(certs, {server.node_id: [HOST] for server in servers}, None, CLUSTER_NAME)
    given = peer_addresses or {}
    members = [
        (server.node_id, given.get(server.node_id, f"{HOST}:{server.peer_port}"), server.api) for server in servers
    ]
    for server in servers:
        server.folder.mkdir(mode=0o700, parents=True)
        text = configuration(server, members, certs, profile=profile, sections=sections)
        (server.folder / "node.toml").write_text(text)
    return Cluster(servers)


@contextlib.contextmanager
def running(cluster: Cluster, **more: int) -> Iterator[Cluster]:
    """The cluster serves inside; outside nothing of it runs, journal writers included."""
    try:
        cluster.start(**more)
        yield cluster
    finally:
        cluster.end()
        folder = str(cluster.servers[0].folder.parent)
        wait_until(lambda: not processes_naming(folder), f"nothing runs in {folder}")

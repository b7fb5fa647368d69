"""Whole nodes in the test's own event loop: real journal, links and TLS, no process and (unless asked) no listener.

A request is built by the edge's own parser and given to `Node.handle`, so that everything behind the socket is the
product's. Nodes are in a folder of the test's own and listen for each other on free loopback ports.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cluster import write_certificates
from node.build import Node
from node.config import Api, Audit, Config, Consistency, Dedupe, Journal, Limits, Member, Peer, Raft, Seal
from node.config import Metrics as MetricsSection
from node.config import Node as NodeSection
from node.http import HttpLimits
from node.http.headers import Peer as HttpPeer
from node.http.headers import Trust
from node.http.parse import Wire, complete, parse_head
from node.request import RawRequest, RawResponse

HOST = "127.0.0.1"
CLUSTER_NAME = "flow"
WAIT_S = 15.0
LIMITS = HttpLimits()
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Reply:
    """One answer, taken apart."""

    status: int
    headers: dict[str, str]
    body: bytes
    request_id: str

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else {}

    @property
    def data(self) -> Any:
        return self.json["data"]

    @property
    def errors(self) -> Any:
        return self.json["errors"]

    @property
    def index(self) -> int:
        return int(self.headers["X-Strongroom-Index"])


def raw_request(
    method: str,
    path: str,
    body: Any = None,
    *,
    token: str | None = None,
    headers: Iterable[tuple[str, str]] = (),
    address: str = HOST,
    **fields: Any,
) -> RawRequest:
    """The request as the edge hands it on; `path` is below /v1/ unless it begins with a slash."""
    raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    given = [("Host", "localhost"), *headers]
    if token is not None:
        given.append(("X-Vault-Token", token))
    if method == "PATCH":
        given.append(("Content-Type", "application/merge-patch+json"))
    pairs = [(name.encode(), value.encode()) for name, value in given]
    peer = HttpPeer(address, 40_000, HOST)
    trust = Trust(frozenset({"localhost"}))
    target = path if path.startswith("/") else f"/v1/{path}"
    head = parse_head(Wire(method, target, (1, 1), pairs, len(raw)), peer, trust, LIMITS)
    number = next(_numbers)
    request = complete(head, raw, f"00000000-0000-4000-8000-{number:012x}", peer, "main", LIMITS)
    for name, value in fields.items():
        setattr(request, name, value)
    return request


def reply_of(request: RawRequest, response: RawResponse) -> Reply:
    lines = [line.partition(": ") for line in response.lines.decode("ascii").split("\r\n") if line]
    headers = [*response.headers, *((name, value) for name, _, value in lines)]
    assert len(headers) == len(dict(headers)), "a header stands twice in one answer"
    return Reply(response.status, dict(headers), response.body, request.id)


@dataclass(eq=False)
class Server:
    """One node and what was told of it."""

    node: Node
    folder: Path
    fatal: list[str] = field(default_factory=list)
    _read: tuple[int, int] = (0, 0)  # which audit file has been read, and how far
    _lines: dict[str, list[bytes]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.node.member.on_fatal = self.fatal.append

    @property
    def node_id(self) -> str:
        return self.node.member.settings.node_id

    @property
    def leads(self) -> bool:
        return self.node.member.is_leader

    @property
    def audit_file(self) -> Path:
        return self.folder / "audit" / "audit.log"

    async def ask(self, method: str, path: str, body: Any = None, **options: Any) -> Reply:
        request = raw_request(method, path, body, **options)
        async with asyncio.timeout(WAIT_S):
            return reply_of(request, await self.node.handle(request))

    def audit_lines(self, request_id: str) -> list[dict[str, Any]]:
        """Every line this node wrote about the request. A node of the session writes megabytes: each is read once."""
        if not self.audit_file.exists():
            return []
        with self.audit_file.open("rb") as file:
            found = os.fstat(file.fileno())
            if self._read[0] != found.st_ino or self._read[1] > found.st_size:
                self._read, self._lines = (found.st_ino, 0), {}
            file.seek(self._read[1])
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read = (found.st_ino, self._read[1] + len(whole))
        for line in whole.splitlines():
            said = json.loads(line).get("request", {}).get("id", "")
            self._lines.setdefault(said, []).append(line)
        return [json.loads(line) for line in self._lines.get(request_id, [])]


@dataclass(eq=False)
class Site:
    """Nodes of one cluster that are initialised and unsealed, and the keys."""

    servers: list[Server]
    token: str = ""
    shares: list[str] = field(default_factory=list)
    victims: int = 0
    used_s: float = 0.0

    @property
    def leader(self) -> Server:
        return next(server for server in self.servers if server.leads)

    @property
    def followers(self) -> list[Server]:
        return [server for server in self.servers if not server.leads]

    async def ask(self, method: str, path: str, body: Any = None, **options: Any) -> Reply:
        """As root, at the leader, once there is one."""
        await until(lambda: any(server.leads for server in self.servers), "a node leads")
        return await self.leader.ask(method, path, body, **({"token": self.token} | options))

    async def must(self, method: str, path: str, body: Any = None, **options: Any) -> Reply:
        reply = await self.ask(method, path, body, **options)
        assert reply.status < 300, (method, path, reply)
        return reply

    async def new_token(self, *rules: tuple[str, str], default: bool = False, **fields: Any) -> tuple[str, str]:
        """(token, accessor) of a child of root that may do what the rules (path, capabilities) say and no more."""
        name = f"p{next(_numbers)}"
        text = "\n".join(
            f'path "{path}" {{ capabilities = {json.dumps(capabilities.split())} }}' for path, capabilities in rules
        )
        await self.must("PUT", f"sys/policies/acl/{name}", {"policy": text or 'path "nothing" {}'})
        body = {"policies": [name], "no_default_policy": not default} | fields
        auth = (await self.must("POST", "auth/token/create", body)).json["auth"]
        return auth["client_token"], auth["accessor"]

    async def settled(self) -> None:
        """One node leads, all others follow it, and everybody answers strong reads."""
        await until(self._agree, "all are linked, and follow one leader")
        for server in self.servers:
            await until_async(lambda s=server: _is_ready(s), f"{server.node_id} serves")

    def _agree(self) -> bool:
        leaders = [server.node_id for server in self.servers if server.leads]
        followed = {server.node.member.leader_id for server in self.servers}
        linked = all(
            links.standing(peer) for s in self.servers if (links := s.node.member.links) for peer in links.members
        )
        return linked and len(leaders) == 1 and followed == set(leaders)

    async def stop(self) -> None:
        await asyncio.gather(*(server.node.stop() for server in self.servers))
        assert [server.fatal for server in self.servers] == [[] for _ in self.servers]


async def _is_ready(server: Server) -> bool:
    return (await server.ask("GET", "/readyz")).status == 200


async def until(condition: Callable[[], bool], what: str = "the condition holds") -> None:
    """What is awaited sits behind sockets, timers or files, and has no event of its own."""
    try:
        async with asyncio.timeout(WAIT_S):
            while not condition():  # noqa: ASYNC110 - see above
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise AssertionError(f"not within {WAIT_S} s: {what}") from None


async def until_async(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """The same for a condition that has to ask."""
    try:
        async with asyncio.timeout(WAIT_S):
            while not await condition():  # noqa: ASYNC110 - see `until`
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"not within {WAIT_S} s: {what}") from None


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on, below those the kernel gives to clients."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.randrange(10_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server((HOST, port)):
            ports.append(port)
    return ports


def make_config(folder: Path, node_id: str, *, api_port: int = 0, peer: Peer | None = None, **sections: Any) -> Config:
    """A node of profile dev; `sections` replace those chosen here."""
    chosen: dict[str, Any] = {
        "node": NodeSection(id=node_id, cluster_name=CLUSTER_NAME, data_dir=str(folder / "data")),
        "api": Api(address=f"{HOST}:{api_port}", advertise=f"http://{HOST}:{api_port or 8200}", tls="off"),
        "peer": peer or Peer(address=""),
        "raft": Raft(heartbeat_ms=40, election_min_ms=250, election_max_ms=400),
        "consistency": Consistency(read_timeout_ms=1500),
        "journal": Journal(segment_bytes=1 << 20),
        "seal": Seal(type="shamir", peers=False),
        "audit": Audit(directory=str(folder / "audit"), deadline_s=0.5),
        "limits": Limits(request_timeout_s=5, drain_timeout_s=0.2),
        "dedupe": Dedupe(window_s=120),
        "metrics": MetricsSection(),
    }
    return Config(profile="dev", **(chosen | sections))


async def start_server(config: Config, folder: Path) -> Server:
    server = Server(Node(config), folder)
    await server.node.start()
    return server


def member_configs(folder: Path, count: int, **sections: Any) -> list[tuple[Config, Path]]:
    """Configurations of nodes that know each other; certificates stand in `folder`."""
    names = [f"n{number + 1}" for number in range(count)]
    certs = folder / "certs"
    write_certificates(certs, {name: [HOST] for name in names}, None, CLUSTER_NAME)
    ports = dict(zip(names, free_ports(count), strict=True))
    members = tuple(
        Member(id=name, peer=f"{HOST}:{ports[name]}", api=f"http://{HOST}:{9000 + at}") for at, name in enumerate(names)
    )
    configs = []
    for name in names:
        peer = Peer(
            address=f"{HOST}:{ports[name]}",
            tls_cert_file=str(certs / f"{name}.pem"),
            tls_key_file=str(certs / f"{name}.key"),
            tls_ca_file=str(certs / "ca.pem"),
            members=members,
        )
        (folder / name).mkdir(mode=0o700)
        configs.append((make_config(folder / name, name, peer=peer, **sections), folder / name))
    return configs


async def open_site(servers: list[Server], *, audited: bool = False) -> Site:
    """The cluster is initialised, unsealed and serves; KV v2 is at secret/, KV v1 at kv1/."""
    reply = await servers[0].ask("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
    assert reply.status == 200, reply
    site = Site(servers, reply.json["root_token"], reply.json["keys_base64"])
    await asyncio.gather(*(server.ask("PUT", "sys/unseal", {"key": site.shares[0]}) for server in servers))
    await site.settled()
    await site.must("POST", "sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
    await site.must("POST", "sys/mounts/kv1", {"type": "kv", "options": {"version": "1"}})
    if audited:
        body = {"type": "file", "options": {"file_path": "audit.log", "hmac_accessor": "true"}}
        await site.must("PUT", "sys/audit/file", body)
    return site


@contextlib.asynccontextmanager
async def running(folder: Path, count: int = 1, *, audited: bool = False, **sections: Any) -> AsyncIterator[Site]:
    """A cluster of `count` nodes that serves inside, and is gone outside."""
    if count == 1:
        servers = [await start_server(make_config(folder, "n1", **sections), folder)]
    else:
        configs = member_configs(folder, count, **sections)
        servers = list(await asyncio.gather(*(start_server(config, place) for config, place in configs)))
    try:
        site = await open_site(servers, audited=audited)
        yield site
    finally:
        await asyncio.gather(*(server.node.stop() for server in servers))
    assert [server.fatal for server in servers] == [[] for _ in servers]


def uuid7(time_s: float, low: bytes = b"") -> str:
    """A write id of that time."""
    tail = int.from_bytes(low or os.urandom(9), "big") & ((1 << 74) - 1)
    number = int(time_s * 1000) << 80 | 7 << 76 | (tail >> 62) << 64 | 2 << 62 | (tail & ((1 << 62) - 1))
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


class Silence:
    """While entered, no Raft message leaves or reaches the node; calls between nodes, and so forwarding, go on.

    Afterwards its links are made anew: to Raft a lost message is a lost connection.
    """

    def __init__(self, *servers: Server) -> None:
        self._servers = servers
        self._kept: list[tuple[Any, Any]] = []

    def __enter__(self) -> None:
        for server in self._servers:
            replica: Any = server.node.member.running
            self._kept.append((replica, replica.send))
            replica.send = lambda _peer, _message: True
            replica.receive = lambda _peer, _message: None

    def __exit__(self, *_: object) -> None:
        for replica, send in self._kept:
            replica.send = send
            del replica.receive
        for server in self._servers:
            links = server.node.member.links
            assert links is not None
            links.drop_all()

"""A real S3 server for tests, SeaweedFS, in a folder and on ports of its own; and a front that breaks what it says.

The server is a child of the test's process and does not survive it, however that ends. Nothing is reported to anybody:
its telemetry is off, and it listens on the loopback only.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import yarl
from aiohttp import web
from obstore.exceptions import BaseError
from obstore.store import S3Store

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

START_S = 60.0
BUCKET = "tests"
KEYS = "writer:correct horse"
READER = "reader:battery staple"
LAST_WILL = """read -r _; [ -s pid ] && kill -KILL "$(cat pid)"; rm -rf "$PWD" """


class Server:
    """See the module's paragraph."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="s3-"))
        self._will = subprocess.Popen(["/bin/sh", "-c", LAST_WILL], cwd=self.folder, stdin=subprocess.PIPE)
        self._process: subprocess.Popen[bytes] | None = None
        master, volume, filer, self.port = _free_ports(4)
        who = [(KEYS, ["Admin", "Read", "Write", "List", "Tagging"]), (READER, ["Read", "List"])]
        identities = [
            {
                "name": keys.partition(":")[0],
                "credentials": [{"accessKey": keys.partition(":")[0], "secretKey": keys.partition(":")[2]}],
                "actions": actions,
            }
            for keys, actions in who
        ]
        (self.folder / "s3.json").write_text(json.dumps({"identities": identities}))
        (self.folder / "data").mkdir()
        self._words = [
            Path(sys.executable).parent / "weed", "server", "-dir=data", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
            f"-master.port={master}", f"-volume.port={volume}", "-filer", f"-filer.port={filer}", "-s3",
            f"-s3.port={self.port}", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.config=s3.json",
            "-master.telemetry=false", "-volume.max=20", "-master.volumeSizeLimitMB=64",
            "-master.electionTimeout=500ms", "-master.heartbeatInterval=50ms",  # it is alone: 20 s of a restart
        ]  # fmt: skip

    @property
    def endpoint(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """It answers."""
        log = self.folder / "log"
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                self._words, cwd=self.folder, stdout=file, stderr=file, stdin=subprocess.DEVNULL
            )
        (self.folder / "pid").write_text(str(self._process.pid))
        end = time.monotonic() + START_S
        while time.monotonic() < end and self._process.poll() is None:
            if self._is_ready():
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.1)
        raise AssertionError(log.read_text())

    def _is_ready(self) -> bool:
        """It stores and shows; what an earlier one stored too."""
        key_id, _, secret = KEYS.partition(":")
        store = S3Store(
            BUCKET, endpoint=self.endpoint, region="us-east-1", access_key_id=key_id, secret_access_key=secret,
            client_options={"allow_http": True, "timeout": "2s"}, retry_config={"max_retries": 0},
        )  # fmt: skip
        try:
            with contextlib.suppress(FileNotFoundError):
                store.get("ready").bytes()
            store.put("ready", b"yes")
        except (BaseError, OSError):
            return False
        return True

    def kill(self) -> None:
        """It died at once, and does nothing more."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        (self.folder / "pid").write_text("")

    def url(self, prefix: str, *, endpoint: str = "") -> str:
        """The URL of a sink there."""
        return f"s3://{BUCKET}/{prefix}?endpoint={endpoint or self.endpoint}"


@contextlib.contextmanager
def running_server() -> Iterator[Server]:
    """A server that runs, and is gone afterwards."""
    server = Server()
    try:
        server.start()
        yield server
    finally:
        with contextlib.suppress(AssertionError):
            server.kill()
        server._will.communicate(b"\n")
        shutil.rmtree(server.folder, ignore_errors=True)


def _free_ports(count: int) -> list[int]:
    """Ports whose neighbours 10,000 above are free too: gRPC listens there.

    All are below those that the kernel gives to clients, who would have one of them while the server is dead.
    """
    found: list[int] = []
    with contextlib.ExitStack() as held:
        while len(found) < count:
            port = random.randrange(10_000, 22_000)
            try:
                for number in (port, port + 10_000):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", number))
            except OSError:
                continue
            found.append(port)
    return found


class Front:
    """Stands before the server and passes requests on, as far as `on_request` lets it."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.port = 0
        self.seen: list[str] = []
        self.on_request: Callable[[web.BaseRequest, Handler], Awaitable[web.StreamResponse]] = self._pass_on
        self.session: aiohttp.ClientSession

    @property
    def endpoint(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request."""
        self.seen.append(f"{request.method} {request.path_qs}")
        return await self.on_request(request, self.forward)

    async def _pass_on(self, request: web.BaseRequest, forward: Handler) -> web.StreamResponse:
        return await forward(request)

    async def forward(self, request: web.BaseRequest) -> web.StreamResponse:
        """What the server says."""
        url = yarl.URL(f"{self._server.endpoint}{request.raw_path}", encoded=True)
        body = await request.read()
        async with self.session.request(request.method, url, headers=request.headers, data=body) as answer:
            kept = {name: value for name, value in answer.headers.items() if name not in {"Transfer-Encoding", "Date"}}
            return web.Response(status=answer.status, headers=kept, body=await answer.read())


@contextlib.asynccontextmanager
async def running_front(server: Server, tls: ssl.SSLContext | None = None) -> AsyncIterator[Front]:
    """A front on a port of its own."""
    front = Front(server)
    served = web.Server(front.serve)
    runner = web.ServerRunner(served, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        front.port = runner.addresses[0][1]
        async with aiohttp.ClientSession(auto_decompress=False) as front.session:
            yield front
    finally:
        for handler in list(served.connections):  # clients keep theirs open
            if handler.transport is not None:
                handler.transport.abort()
        await runner.cleanup()
        for _ in range(3):  # a socket is closed in a later turn
            await asyncio.sleep(0)

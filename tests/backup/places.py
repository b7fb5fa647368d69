"""Stages whose sink is not PostgreSQL: a SQLite file on a disk of its own, and a real S3 server behind a front."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import subprocess
import threading
from typing import TYPE_CHECKING

from aiohttp import web

from tests.backup.faults import Fault
from tests.backup.stage import BACKUP, PASSWORDS, Stage, with_sink
from tests.cluster.backup import s3_server
from tests.network.far import far_cluster
from tests.network.room import may_mount

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cluster.backup.s3_server import Front, Handler

FILE = "backup.db"
SMALL_DISK = "size=200m,mode=700"
SLOW_S = 0.7
PREFIX = "proof/one"
CONDITION_FAILED = 412


# ---- SQLite
class FullDisk(Fault):
    """The file of the sink cannot grow: its disk is full, or else files of the nodes may not grow."""

    name = "disk full"
    said = "no space is left"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._filler = folder / "filler"
        self._mounted = os.path.ismount(folder)
        self._pids: list[int] = []
        if not self._mounted:
            self.said = ""  # a file that may not grow is another error

    def begin(self, stage: Stage) -> None:
        stage.notes["by"] = "a full tmpfs" if self._mounted else "a limit on the size of files"
        if self._mounted:
            self.go_on(stage)
            return
        size = (self._folder / FILE).stat().st_size
        self._pids = [server.pid for server in stage.far.cluster.servers]
        for pid in self._pids:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]))

    def go_on(self, stage: Stage) -> None:
        """What the nodes give free is taken, too."""
        if self._mounted:
            with self._filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(4096))

    def end(self, stage: Stage) -> None:
        self._filler.unlink(missing_ok=True)
        for pid in self._pids:
            hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, hard))


@contextlib.contextmanager
def sqlite_stage(folder: Path) -> Iterator[tuple[Stage, Path]]:
    """A stage whose nodes share one file, and the folder it is in: a small disk of its own where one may be made."""
    disk = folder / "disk"
    disk.mkdir(mode=0o700, parents=True)
    mounted = may_mount()
    if mounted:
        subprocess.run(["mount", "-t", "tmpfs", "-o", SMALL_DISK, "none", disk], check=True)
    try:
        add = with_sink(lambda _node: f"sqlite://{disk / FILE}", folder)
        with far_cluster(folder / "far", delay_s=0.0, sections={"backup": dict(BACKUP)}, before=add) as far:
            yield Stage(far), disk
    finally:
        if mounted:
            subprocess.run(["umount", "-l", disk], check=True)


# ---- S3
class FrontThread:
    """The front in a loop of its own thread; what it does to requests is set from outside."""

    def __init__(self, server: s3_server.Server) -> None:
        self._server = server
        self._loop = asyncio.new_event_loop()
        self._ready, self._stop = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))
        self.front: Front

    async def _run(self) -> None:
        async with s3_server.running_front(self._server) as self.front:
            self._ready.set()
            await self._stop.wait()

    def start(self) -> None:
        """It passes on."""
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """It has ended."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()


class FrontFault(Fault):
    """Something that the front does to every request."""

    def __init__(self, thread: FrontThread) -> None:
        self._front = thread.front
        self._before = thread.front.on_request

    def begin(self, stage: Stage) -> None:
        self._front.on_request = self.answer

    def end(self, stage: Stage) -> None:
        self._front.on_request = self._before

    async def answer(self, request: web.BaseRequest, forward: Handler) -> web.StreamResponse:
        """What is answered instead."""
        return await forward(request)


class Unavailable(FrontFault):
    """Every request is answered 503: slow down."""

    name = "503"

    async def answer(self, request: web.BaseRequest, forward: Handler) -> web.StreamResponse:
        await request.read()
        return web.Response(status=503, text="<Error><Code>SlowDown</Code></Error>", content_type="application/xml")


class SlowFront(FrontFault):
    """Every request takes long."""

    name = "slow"

    async def answer(self, request: web.BaseRequest, forward: Handler) -> web.StreamResponse:
        await asyncio.sleep(SLOW_S)
        return await forward(request)


class Ignoring(FrontFault):
    """It says that it created what was there before; the sink has to look again, after some 503."""

    name = "ignoring conditions"
    said = "ignores If-None-Match"

    def __init__(self, thread: FrontThread) -> None:
        super().__init__(thread)
        self._refused = 0

    async def answer(self, request: web.BaseRequest, forward: Handler) -> web.StreamResponse:
        if self._refused < 3:
            self._refused += 1
            return web.Response(status=503)
        answer = await forward(request)
        return answer if answer.status != CONDITION_FAILED else web.Response(headers={"ETag": '"1"'})


@contextlib.contextmanager
def s3_stage(folder: Path) -> Iterator[tuple[Stage, FrontThread, str]]:
    """A stage whose sink is a bucket behind a front; and the URL that leads around the front."""
    folder.mkdir(parents=True, exist_ok=True)
    secret = folder / PASSWORDS
    secret.touch(mode=0o600)
    secret.write_text(s3_server.KEYS)
    with s3_server.running_server() as server, contextlib.ExitStack() as stack:
        thread = FrontThread(server)
        thread.start()
        stack.callback(thread.stop)
        url = server.url(PREFIX, endpoint=thread.front.endpoint)
        add = with_sink(lambda _node: url, folder, password_file=str(secret))
        sections = {"backup": dict(BACKUP)}
        yield (
            Stage(stack.enter_context(far_cluster(folder / "far", delay_s=0.0, sections=sections, before=add))),
            thread,
            server.url(PREFIX),
        )

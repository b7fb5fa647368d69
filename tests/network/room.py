"""The room on a node's disk, taken and given back: a small file system where one may be mounted, else limited files."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
from typing import TYPE_CHECKING, Protocol

from tests.process.machine import processes_naming

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.process.harness import Server

SEGMENT_BYTES = 256 * 1024
FILE_SYSTEM = "size=64m,mode=700"


class Room(Protocol):
    """The space of one node's disk; `how` it is taken."""

    how: str

    def take(self) -> None:
        """The next segment cannot be allocated."""

    def give_back(self) -> None:
        """It can."""


class SmallFileSystem:
    """The data folder is a file system of its own; a file of somebody else's fills it."""

    how = "a full tmpfs"

    def __init__(self, server: Server) -> None:
        self._filler = server.data / "filler"

    def take(self) -> None:
        with self._filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))

    def give_back(self) -> None:
        self._filler.unlink(missing_ok=True)


class LimitedFiles:
    """The writer's files may be as large as a segment: a larger segment, for a larger write, has no room."""

    how = "a limit on the size of files"

    def __init__(self, server: Server) -> None:
        self._server = server

    def take(self) -> None:
        self._limit(SEGMENT_BYTES)

    def give_back(self) -> None:
        self._limit(resource.RLIM_INFINITY)

    def _limit(self, size: int) -> None:
        for pid in processes_naming(str(self._server.data)):
            if pid != self._server.pid:
                hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))


def may_mount() -> bool:
    """Whether this process may mount file systems; tried in a namespace of its own."""
    if os.geteuid() != 0:
        return False
    tried = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], check=False, capture_output=True)
    return tried.returncode == 0


@contextlib.contextmanager
def rooms(servers: list[Server]) -> Iterator[dict[str, Room]]:
    """A room for each node's disk, from before its first start until it has ended; room is there at the end."""
    done: list[Path] = []
    kind: type[SmallFileSystem | LimitedFiles] = SmallFileSystem if may_mount() else LimitedFiles
    try:
        for server in servers if kind is SmallFileSystem else ():
            server.data.mkdir(mode=0o700)
            subprocess.run(["mount", "-t", "tmpfs", "-o", FILE_SYSTEM, "none", server.data], check=True)
            done.append(server.data)
        yield {server.node_id: kind(server) for server in servers}
    finally:
        for folder in done:
            subprocess.run(["umount", "-l", folder], check=True)

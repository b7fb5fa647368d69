"""The yardsticks for HTTP: nginx that returns 200, and an aiohttp hello-world, each pinned to core 0.

A shell. Where one is not installed its figures are None and the table says so.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import wrk
from .figures import Yardstick
from .processes import HOST, free_ports, listens, started, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START_S = 10.0
CONNECTIONS = 64
NGINX = """worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.err;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 100000000;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port} backlog=1024; location /ok {{ return 200 "ok\\n"; }} }}
}}
"""


@dataclass(frozen=True, slots=True)
class HttpServer:
    """One that runs."""

    name: str
    port: int
    pid: int

    def measure(self, seconds: float, connections: int = CONNECTIONS) -> Yardstick:
        """Its figures of this minute."""
        report, cpu_us = wrk.measured(
            f"http://{HOST}:{self.port}/ok", self.pid, connections=connections, seconds=seconds, core=1
        )
        return Yardstick(self.name, {**report.numbers(), "cpu_us": cpu_us})


@contextlib.contextmanager
def nginx(folder: Path) -> Iterator[HttpServer | None]:
    """One nginx with one worker that returns 200; None if it is not installed."""
    binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if binary is None or not wrk.there():
        yield None
        return
    folder.mkdir(exist_ok=True)
    port = free_ports(1)
    configuration = folder / "nginx.conf"
    configuration.write_text(NGINX.format(folder=folder, port=port), encoding="utf-8")
    command = [binary, "-p", str(folder), "-c", str(configuration)]
    with started(command, folder / "nginx.log", core=0) as process:
        wait_until(lambda: listens(port), "nginx listens", START_S)
        yield HttpServer("nginx return 200", port, process.pid)


@contextlib.contextmanager
def hello(folder: Path) -> Iterator[HttpServer | None]:
    """The hello-world of aiohttp on uvloop; None without wrk."""
    if not wrk.there():
        yield None
        return
    folder.mkdir(exist_ok=True)
    port = free_ports(1)
    with started([sys.executable, "-m", "bench.hello", str(port)], folder / "hello.log", core=0) as process:
        wait_until(lambda: listens(port), "hello-world listens", START_S)
        yield HttpServer("aiohttp hello-world", port, process.pid)

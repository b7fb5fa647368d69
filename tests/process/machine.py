"""What a test asks of the machine: ports that are free, and which processes still run."""

from __future__ import annotations

import contextlib
import os
import random
import socket
from pathlib import Path

HOST = "127.0.0.1"
NO_AUTHORITIES = {"SSL_CERT_FILE": os.devnull}
"""For the environment of nodes: to read the machine's authorities, whom no test trusts, is a sixth of their start."""


def free_port_base(nodes: int = 3) -> int:
    """P such that P, P+1, P+10, P+11, … are free, below the ports the kernel gives to clients."""
    for _ in range(200):
        base = random.randrange(10_000, 32_000, 10)
        with contextlib.ExitStack() as stack:
            try:
                for number in range(nodes):
                    for port in (base + 10 * number, base + 10 * number + 1):
                        stack.enter_context(socket.create_server((HOST, port)))
            except OSError:
                continue
            return base
    raise OSError("no free ports")


def processes_naming(text: str) -> list[int]:
    """Pids of processes whose command line holds `text`, this one left out."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if text.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found

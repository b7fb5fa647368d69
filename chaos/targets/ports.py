"""Ports of this machine that are free now, below those the kernel gives to clients."""

from __future__ import annotations

import contextlib
import random
import socket
from typing import Final

from .base import TargetError

HOST: Final = "127.0.0.1"
TRIES: Final = 200


def free_ports(count: int) -> list[int]:
    """So many in a row, each free. Raises TargetError."""
    for _ in range(TRIES):
        base = random.randrange(10_000, 32_000 - count)
        with contextlib.ExitStack() as stack:
            try:
                for port in range(base, base + count):
                    stack.enter_context(socket.create_server((HOST, port)))
            except OSError:
                continue
            return list(range(base, base + count))
    raise TargetError("no free ports on this machine")

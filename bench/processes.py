"""Processes of the measurements: which core, how much processor time, how much memory, and their end by pid.

A shell over /proc. Nothing is ended but what was started here.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

HOST = "127.0.0.1"
END_S = 10.0
POLL_S = 0.01
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """Something did not come up, or did not answer, in time."""


@contextlib.contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """Processes started inside stay on that core; None, or a machine with one core, leaves them free."""
    before = os.sched_getaffinity(0)
    if core is not None and len(before) > 1:
        os.sched_setaffinity(0, {sorted(before)[core]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def started(command: Sequence[str], log: Path, core: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """The process runs inside, its output goes to `log`; outside it has ended."""
    with log.open("ab") as output, pinned(core):
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """The process has ended: asked first, then killed."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until(check: Callable[[], bool], what: str, timeout_s: float) -> float:
    """Seconds until `check` was true; an OSError in it counts as false. Raises BenchError when time is up."""
    began = time.monotonic()
    while True:
        with contextlib.suppress(OSError):
            if check():
                return time.monotonic() - began
        if time.monotonic() - began > timeout_s:
            raise BenchError(f"not within {timeout_s:g} s: {what}")
        time.sleep(POLL_S)


def listens(port: int) -> bool:
    """Somebody accepts on the port."""
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), 0.5):
        return True
    return False


def free_ports(count: int, step: int = 1) -> int:
    """P such that P, P+step, … and the port above each are free, below the ports the kernel gives to clients."""
    for _ in range(200):
        base = random.randrange(10_000, 32_000 - count * step, 10)
        with contextlib.ExitStack() as stack:
            try:
                for number in range(count):
                    for port in (base + step * number, base + step * number + 1):
                        stack.enter_context(socket.create_server((HOST, port)))
            except OSError:
                continue
            return base
    raise BenchError("no free ports")


def tree(pid: int) -> list[int]:
    """The process and everything below it."""
    found = [pid]
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text(encoding="ascii").split():
                found += tree(int(child))
    return found


def cpu_s(pid: int) -> float:
    """Processor time, user and system, that the process and everything below it has used."""
    ticks = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{one}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS_PER_S


def rss_bytes(pid: int) -> int:
    """Resident memory of this process alone."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0

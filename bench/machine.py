"""What the figures were measured on: processor, cores, kernel, Python, file system's sync, load.

A shell: reads /proc and times a few syncs in the folder where the nodes will write.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from .figures import latency_numbers

SYNCS = 100
PACKAGES = ("aiohttp", "cryptography", "msgspec", "orjson", "pysyncobj", "uvloop")


def describe(folder: Path) -> dict[str, Any]:
    """The machine as it is now; `folder` must exist."""
    syncs = latency_numbers(sync_times_s(folder))
    return {
        "processor": _of_cpuinfo("model name") or platform.machine(),
        "cores": cores(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "python": sys.version.split()[0],
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "sync_p50_ms": round(syncs["p50_ms"], 3),
        "sync_p99_ms": round(syncs["p99_ms"], 3),
        "load_average": load_average(),
        "time": time.strftime("%Y-%m-%d %H:%M:%S %z"),
    }


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0))


def load_average() -> float:
    """Of the last minute: above the number of cores, others are at work here."""
    return round(os.getloadavg()[0], 2)


def sync_times_s(folder: Path) -> list[float]:
    """How long this disk takes to make 1 KiB durable, overwriting allocated space as the journal does."""
    path = folder / "sync-probe"
    times = []
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(fd, 0, SYNCS * 4096)
        os.fsync(fd)
        for number in range(SYNCS):
            os.pwrite(fd, os.urandom(1024), number * 4096)
            began = time.perf_counter()
            os.fdatasync(fd)
            times.append(time.perf_counter() - began)
    finally:
        os.close(fd)
        path.unlink()
    return times


def _of_cpuinfo(name: str) -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""

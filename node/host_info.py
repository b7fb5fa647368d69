"""What the machine of this node is and has: sys/host-info, from /proc.

A shell that reads a few small files of the kernel, and asks for the space of one folder; the rest is text to numbers.
Invariant: what cannot be read is left out; nothing here is about secrets, tokens or paths of clients.
Source: Vault API, "sys/host-info" (whose names are those of gopsutil).
"""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

PROC = Path("/proc")
_TICKS_S = 100.0
_TIMES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guestNice")
_MEMORY = {
    "MemTotal": "total",
    "MemAvailable": "available",
    "MemFree": "free",
    "Buffers": "buffers",
    "Cached": "cached",
    "Active": "active",
    "Inactive": "inactive",
    "SwapTotal": "swapTotal",
    "SwapFree": "swapFree",
}


def host_info(data_dir: str, proc: Path = PROC) -> dict[str, Any]:
    """Processors, memory, the disk of the data folder, the system. Blocks on the file system: not for the loop."""
    return {
        "cpu": processors(_read(proc / "cpuinfo")),
        "cpu_times": processor_times(_read(proc / "stat")),
        "disk": _disks(data_dir),
        "host": _host(_read(proc / "uptime"), proc),
        "memory": memory(_read(proc / "meminfo")),
    }


def processors(text: str) -> list[dict[str, Any]]:
    """One for each block of /proc/cpuinfo."""
    found = []
    for block in text.strip().split("\n\n"):
        pairs = (line.partition(":") for line in block.splitlines())
        fields = {name.strip(): value.strip() for name, _, value in pairs}
        if fields.get("processor", "").isdigit():
            found.append(
                {
                    "cpu": int(fields["processor"]),
                    "vendorId": fields.get("vendor_id", ""),
                    "family": fields.get("cpu family", ""),
                    "model": fields.get("model", ""),
                    "modelName": fields.get("model name", ""),
                    "mhz": _number(fields.get("cpu MHz", "")),
                    "cores": 1,
                }
            )
    return found


def processor_times(text: str) -> list[dict[str, Any]]:
    """Seconds by kind of work, for each line of a processor in /proc/stat."""
    found = []
    for line in text.splitlines():
        name, *ticks = line.split()
        if name.startswith("cpu") and name != "cpu":
            times = dict(zip(_TIMES, (_number(tick) / _TICKS_S for tick in ticks), strict=False))
            found.append({"cpu": name, **times})
    return found


def memory(text: str) -> dict[str, Any]:
    """Bytes, from /proc/meminfo."""
    found: dict[str, Any] = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        shown = _MEMORY.get(name)
        if shown is not None:
            found[shown] = int(_number(value.removesuffix("kB").strip())) * 1024
    if found.get("total") and "available" in found:
        found["used"] = found["total"] - found["available"]
        found["usedPercent"] = 100 * found["used"] / found["total"]
    return found


def _disks(folder: str) -> list[dict[str, Any]]:
    try:
        found = os.statvfs(folder)
    except OSError:
        return []
    total, free = found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize
    used = total - found.f_bfree * found.f_frsize
    return [
        {
            "path": folder,
            "total": total,
            "free": free,
            "used": used,
            "usedPercent": 100 * used / total if total else 0.0,
            "inodesTotal": found.f_files,
            "inodesFree": found.f_ffree,
            "inodesUsed": found.f_files - found.f_ffree,
        }
    ]


def _host(uptime: str, proc: Path) -> dict[str, Any]:
    names = platform.uname()
    try:
        processes = sum(1 for one in proc.iterdir() if one.name.isdigit())
    except OSError:
        processes = 0
    return {
        "hostname": names.node,
        "os": names.system.lower(),
        "platform": names.system.lower(),
        "kernelVersion": names.release,
        "kernelArch": names.machine,
        "uptime": int(_number(uptime.partition(" ")[0])),
        "procs": processes,
    }


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""

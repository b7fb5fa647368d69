"""wrk: closed-loop HTTP load from a process of its own, and what its report says.

A shell around a pure parser. wrk is one thread, on core 1 where the server is pinned to core 0.
Source: wrk(1), `--latency`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .processes import BenchError, cpu_s, pinned

LUA = Path(__file__).parent / "lua"
MORE_S = 20.0
_MS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}


@dataclass(frozen=True, slots=True)
class Report:
    """One run: requests, rate, latency, and how many answers were no 2xx or 3xx or never came."""

    requests: int
    per_s: float
    p50_ms: float
    p99_ms: float
    failed: int

    def numbers(self) -> dict[str, float]:
        """For a figure."""
        return {"per_s": self.per_s, "p50_ms": self.p50_ms, "p99_ms": self.p99_ms}


def parse(text: str) -> Report:
    """The report of a run. Raises BenchError if it is none."""
    requests = re.search(r"(\d+) requests in", text)
    per_s = re.search(r"Requests/sec:\s+([\d.]+)", text)
    if requests is None or per_s is None:
        raise BenchError("wrk printed no report")
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    return Report(
        requests=int(requests[1]),
        per_s=float(per_s[1]),
        p50_ms=_latency_ms(text, "50%"),
        p99_ms=_latency_ms(text, "99%"),
        failed=(int(failed[1]) if failed else 0) + (sum(map(int, errors.groups())) if errors else 0),
    )


def _latency_ms(text: str, part: str) -> float:
    found = re.search(rf"^\s+{part}\s+([\d.]+)(us|ms|s|m)\s*$", text, re.MULTILINE)
    return float(found[1]) * _MS[found[2]] if found else 0.0


def there() -> bool:
    """Whether wrk is installed."""
    return shutil.which("wrk") is not None


def run(
    url: str,
    *,
    connections: int,
    seconds: float,
    script: str = "",
    environ: dict[str, str] | None = None,
    core: int | None = None,
) -> Report:
    """Load for so long (whole seconds, at least one). Raises BenchError."""
    duration = max(1, round(seconds))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{duration}s", "--timeout", "10s", "--latency"]
    if script:
        command += ["-s", str(LUA / script)]
    with pinned(core):
        process = subprocess.Popen(
            [*command, url],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | (environ or {}),
        )
    try:
        output, _ = process.communicate(timeout=duration + MORE_S)
    except subprocess.TimeoutExpired as error:
        process.kill()
        process.communicate()
        raise BenchError(f"wrk did not end in {duration + MORE_S:g} s") from error
    return parse(output)


def measured(url: str, pid: int, **options: object) -> tuple[Report, float]:
    """A run, and the processor time per request, in microseconds, of the server with that pid."""
    before = cpu_s(pid)
    report = run(url, **options)  # type: ignore[arg-type]
    used_s = cpu_s(pid) - before
    return report, used_s * 1e6 / max(1, report.requests)

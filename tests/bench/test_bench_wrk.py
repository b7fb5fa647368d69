"""What wrk prints, read."""

from __future__ import annotations

import pytest

from bench.processes import BenchError
from bench.wrk import Report, parse

GOOD = """Running 2s test @ http://127.0.0.1:1/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.20ms    2.10ms  40.00ms   91.00%
    Req/Sec    50.00k     5.00k   60.00k    70.00%
  Latency Distribution
     50%  263.00us
     75%  900.00us
     90%    2.10ms
     99%    1.13s
  120000 requests in 2.00s, 20.00MB read
Requests/sec:  60000.25
Transfer/sec:     10.00MB
"""
FAILED = GOOD.replace(
    "Requests/sec",
    "  Socket errors: connect 1, read 2, write 3, timeout 4\n  Non-2xx or 3xx responses: 30\nRequests/sec",
)


def test_a_report_is_read_with_its_units():
    """Microseconds, milliseconds and seconds become milliseconds."""
    assert parse(GOOD) == Report(requests=120_000, per_s=60_000.25, p50_ms=0.263, p99_ms=1130.0, failed=0)


def test_refusals_and_broken_connections_count_as_failed():
    """A fast server that refuses everything is no fast server."""
    assert parse(FAILED).failed == 40


@pytest.mark.parametrize("text", ["", "unable to connect to 127.0.0.1:1 Connection refused\n", "Requests/sec: 1.0"])
def test_anything_else_is_no_report(text):
    """The group is then noted as not measured."""
    with pytest.raises(BenchError):
        parse(text)

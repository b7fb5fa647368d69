"""Bounds of the HTTP edge: one frozen record, each field with its unit, its default and its reason.

Pure. Everything a client can make large, slow or many has a number here.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, fields


class Limited(enum.StrEnum):
    """What refuses a client: a closed set, so that refusals can be counted by it."""

    CONNECTIONS = "connections"
    CONNECTIONS_PER_ADDRESS = "connections per address"
    IN_FLIGHT = "requests in work"
    IN_FLIGHT_PER_ADDRESS = "requests in work per address"
    HEAD = "size of a head"
    BODY = "size of a body"
    TIME = "time"
    RATE_QUOTA = "rate quota"


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What one listener accepts. Sizes are bytes, times seconds."""

    body_bytes: int = 1 << 20  # a secret is small; the log carries it to every node
    json_strings: int = 1000  # keys and values; each costs an object
    json_depth: int = 256  # the parser recurses
    json_elements: int = 100_000  # commas, colons and brackets outside strings: a bound on parsing time
    path_bytes: int = 1024  # the decoded path is a key in memory and in each audit line
    query_fields: int = 64
    token_bytes: int = 4096
    line_bytes: int = 8190  # request line, and each header
    headers: int = 64
    header_bytes: int = 16 << 10  # the whole head of a request
    head_timeout_s: float = 10.0  # from accept, or from the first byte, to the end of the head
    body_grace_s: float = 10.0  # before the rate below counts
    body_rate_min_bytes_s: int = 1024  # slower bodies hold memory and a place for nothing
    send_s: float = 30.0  # a client that does not read its answer is dropped
    linger_s: float = 5.0  # reading on after a refusal, so that the client sees it
    keepalive_s: float = 90.0  # an idle connection
    handshake_timeout_s: float = 10.0  # from accept to the end of the TLS handshake
    handshakes_per_turn: int = 2  # each blocks the loop for about 0.5 ms
    backlog: int = 1024  # connections the kernel keeps for us
    connections: int = 10_000
    connections_per_address: int = 1024
    in_flight: int = 1024  # requests between their head and their answer
    in_flight_per_address: int = 512
    per_turn: int = 64  # requests begun in one turn of the loop
    lag_pause_s: float = 0.1  # a loop this late stops reading from clients
    lag_resume_s: float = 0.03
    retry_after_s: int = 1

    def problems(self) -> list[str]:
        """Sentences on what cannot work; empty if the limits can."""
        found = [f"limits: {f.name} must be more than 0" for f in fields(self) if not getattr(self, f.name) > 0]
        if self.lag_resume_s >= self.lag_pause_s:
            found.append("limits: lag_resume_s must be less than lag_pause_s")
        if self.line_bytes > self.header_bytes:
            found.append("limits: line_bytes must not exceed header_bytes")
        return found

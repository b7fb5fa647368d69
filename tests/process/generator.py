"""A closed loop of GET and PUT over many connections, in a process of its own.

Run as a program: `python generator.py PORT TOKEN CONNECTIONS SECONDS`; prints one line of JSON. Each connection sends
its next request when the last is answered; one that was refused waits as long as Retry-After says, at most a second.
Connections come from 127.0.0.2 on, PER_ADDRESS each, as from several clients.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

PER_ADDRESS = 500
BACK_OFF_S = 0.2
CONNECT_AT_ONCE = 50


@dataclass
class Tally:
    """What came back."""

    statuses: Counter[int] = field(default_factory=Counter)
    without_retry_after: int = 0
    broken: Counter[str] = field(default_factory=Counter)
    odd: list[str] = field(default_factory=list)
    slowest_s: float = 0.0


def requests(number: int, token: str) -> tuple[bytes, bytes]:
    head = f"Host: localhost\r\nX-Vault-Token: {token}\r\nX-Vault-Request: true\r\n"
    path = f"/v1/secret/data/load/{number % 64}"
    body = json.dumps({"data": {"by": str(number), "filler": "x" * 200}})
    get = f"GET {path} HTTP/1.1\r\n{head}\r\n"
    put = f"PUT {path} HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n{body}"
    return get.encode(), put.encode()


async def answer(reader: asyncio.StreamReader) -> tuple[int, bool, bytes]:
    """Status, whether it says Retry-After, and the body."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = int(head.partition("content-length:")[2].partition("\r\n")[0] or 0)
    body = await reader.readexactly(length)
    return int(head[9:12]), "\r\nretry-after:" in head, body


async def loop(number: int, port: int, token: str, end_s: float, tally: Tally, gate: asyncio.Semaphore) -> None:
    get, put = requests(number, token)
    local = (f"127.0.0.{2 + number // PER_ADDRESS}", 0)
    count = number
    while time.monotonic() < end_s:
        writer = None
        try:
            async with gate:
                reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=local)
            while time.monotonic() < end_s:
                count += 1
                began_s = time.monotonic()
                writer.write(get if count % 2 else put)
                status, retry_after, body = await answer(reader)
                tally.slowest_s = max(tally.slowest_s, time.monotonic() - began_s)
                tally.statuses[status] += 1
                if status in {429, 503}:
                    tally.without_retry_after += not retry_after
                    await asyncio.sleep(BACK_OFF_S)
                elif status not in {200, 404} and len(tally.odd) < 5:
                    tally.odd.append(f"{status} {body[:200]!r}")
        except (OSError, asyncio.IncompleteReadError) as error:
            tally.broken[type(error).__name__] += 1
            await asyncio.sleep(BACK_OFF_S)
        finally:
            if writer is not None:
                writer.close()


async def main(port: int, token: str, connections: int, seconds: float) -> Tally:
    tally = Tally()
    gate = asyncio.Semaphore(CONNECT_AT_ONCE)
    end_s = time.monotonic() + seconds
    await asyncio.gather(*(loop(number, port, token, end_s, tally, gate) for number in range(connections)))
    return tally


if __name__ == "__main__":
    result = asyncio.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
    print(
        json.dumps(
            {
                "statuses": result.statuses,
                "without_retry_after": result.without_retry_after,
                "broken": result.broken,
                "odd": result.odd,
                "slowest_s": result.slowest_s,
            }
        )
    )

"""Load inside a node's process: writers on the leader, readers on followers, without HTTP.

A shell. Kinds of load:
  opaque  an entry of 1 KiB through `Member.write`: what Raft, links, journal and sealing allow
  kv      a KV v2 put, engine, sealing of the value and write id, through `Member.write`
  whole   a KV v2 put as it comes from the HTTP edge: token, policy, audit, twice
  read    a KV v2 read as it comes from the HTTP edge, on the node that is asked
Writers are closed loops unless a rate is given; a failure is counted by its type and followed by a short rest.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cluster import Draft, Entry, StrongroomError, Table, View
from node.auth import tokens
from node.engines.base import Context
from node.request import Body, Operation, RawRequest
from node.writes import uuid7

from .figures import latency_numbers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from node.service import Node

VALUE_BYTES = 1024
POOL_BYTES = 1 << 20
REST_S = 0.01
PACE_S = 0.005
PACED_MAX = 1024  # under way at once when a rate is given
MOUNT = b"bench-bench-benc"


def path_of(number: int) -> str:
    """The path of a secret as people lay them out: 50 teams, 1,000 applications (lua/*.lua says the same)."""
    return f"team-{number % 50:02d}/app-{number % 1000:03d}/{number:06d}"


class RefusedError(Exception):
    """The node answered, and not with success; the text is the status."""


@dataclass(slots=True)
class Load:
    """One load: what is asked for, and what came of it."""

    node: Node
    kind: str
    token: str
    paths: int
    writers: int = 1
    seconds: float = 0.0
    count: int = 0  # instead of seconds: so many, each under a path of its own, 0, 1, 2, …
    per_s: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    _pool: bytes = b""
    _next: int = 0
    _end_s: float = 0.0

    async def run(self) -> dict[str, Any]:
        """Counts, rate, latencies."""
        self._pool = os.urandom(POOL_BYTES // 2).hex().encode()
        once: Callable[[int], Awaitable[None]] = {
            "opaque": self._opaque,
            "kv": self._kv,
            "whole": self._whole,
            "read": self._read,
        }[self.kind]
        began_s = time.perf_counter()
        self._end_s = began_s + self.seconds
        if self.per_s:
            await self._paced(once, began_s)
        else:
            await asyncio.gather(*(self._loop(once) for _ in range(self.writers)))
        took_s = time.perf_counter() - began_s
        return {
            "count": len(self.latencies_s),
            "seconds": took_s,
            "per_s": len(self.latencies_s) / took_s,
            "failures": dict(self.failures),
            **latency_numbers(self.latencies_s),
        }

    def stop(self) -> None:
        """A load that has a time has come to its end."""
        self._end_s = 0.0

    # ---- how often
    def _path(self) -> int | None:
        """The next path's number; None when the load is over."""
        if self.count:
            self._next += 1
            return self._next - 1 if self._next <= self.count else None
        return random.randrange(self.paths) if time.perf_counter() < self._end_s else None

    async def _loop(self, once: Callable[[int], Awaitable[None]]) -> None:
        while (path := self._path()) is not None:
            if not await self._timed(once, path):
                await asyncio.sleep(REST_S)

    async def _paced(self, once: Callable[[int], Awaitable[None]], began_s: float) -> None:
        """An open loop: as many as are due, whatever became of the former."""
        tasks: set[asyncio.Task[bool]] = set()
        sent = 0
        while (now_s := time.perf_counter()) < self._end_s:
            while sent < (now_s - began_s) * self.per_s:
                sent += 1
                if len(tasks) >= PACED_MAX:
                    self.failures["too many under way"] += 1
                    continue
                task = asyncio.create_task(self._timed(once, random.randrange(self.paths)))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            await asyncio.sleep(PACE_S)
        await asyncio.gather(*tasks)

    async def _timed(self, once: Callable[[int], Awaitable[None]], path: int) -> bool:
        began_s = time.perf_counter()
        try:
            await once(path)
        except (StrongroomError, RefusedError) as error:
            self.failures[str(error) if isinstance(error, RefusedError) else type(error).__name__] += 1
            return False
        self.latencies_s.append(time.perf_counter() - began_s)
        return True

    # ---- what
    def _text(self, length: int) -> bytes:
        at = random.randrange(len(self._pool) - length)
        return self._pool[at : at + length]

    async def _opaque(self, path: int) -> None:
        def decide(_view: View, _now_ns: int) -> tuple[Draft, None]:
            draft = Draft()
            draft.put(Table.ENTRY, MOUNT + path_of(path).encode(), Entry(box=self._text(VALUE_BYTES)))
            return draft, None

        await self.node.member.write(decide)

    async def _kv(self, path: int) -> None:
        request = self._request(path, self._body())

        def decide(view: View, now_ns: int) -> tuple[Draft, None]:
            return self._decide(view, now_ns, request), None

        await self.node.member.write(decide)

    def _decide(self, view: View, now_ns: int, request: RawRequest) -> Draft:
        """What the flow does once it knows who asks and that they may."""
        node = self.node
        member = node.member
        assert member.values is not None
        routed = node.registry.route(view, request.path, pending=member.running.overlay_pending)
        assert routed is not None
        assert routed.engine is not None
        token = tokens.authenticate(view, member.values, request.token, now_ns, request.remote_address)
        assert token is not None
        repeated = node.write_ids.look(view, request, token, now_ns)
        assert repeated is None
        context = Context(
            view=view,
            now_ns=now_ns,
            random=member.random.bytes,
            sealing=member.values,
            caller=tokens.caller_of(token, now_ns),
            mount_path=routed.mount_path,
            mount=routed.mount,
        )
        plan = routed.engine.decide(context, request, routed.path)
        node.write_ids.remember(plan.draft, request, token, plan, now_ns)
        return plan.draft

    async def _whole(self, path: int) -> None:
        response = await self.node.handle(self._request(path, self._body()))
        if response.status != 200:
            raise RefusedError(str(response.status))

    async def _read(self, path: int) -> None:
        response = await self.node.handle(self._request(path, b""))
        if response.status not in {200, 404}:
            raise RefusedError(str(response.status))
        await asyncio.sleep(0)  # a read proved by a lease never waits: other work must have its turn

    def _body(self) -> bytes:
        return b'{"data":{"value":"%b"}}' % self._text(VALUE_BYTES - 12)

    def _request(self, path: int, body: bytes) -> RawRequest:
        member = self.node.member
        reads = not body
        return RawRequest(
            id=uuid7(member.now_ns(), random.randbytes(10)),  # the edge's work, so as cheap as can be
            method="GET" if reads else "PUT",
            target=f"/v1/secret/data/{path_of(path)}",
            operation=Operation.READ if reads else Operation.UPDATE,
            path=f"secret/data/{path_of(path)}",
            query={},
            body=Body(body),
            token=self.token,
            headers={},
            remote_address="127.0.0.1",
            remote_port=1,
            write_id=None if reads else uuid7(member.now_ns(), member.random.bytes(10)),
        )

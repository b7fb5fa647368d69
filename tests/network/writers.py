"""Many writers in one process, each acknowledgement remembered: `python -m tests.network.writers`, told by its input.

Odd writes of a writer go with cas to a path of its own, even ones to paths that all share. Every value is unique. A
write whose outcome is not known is repeated with the same X-Strongroom-Write-Id, at any node, until it is known.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import ssl
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop

from chaos.net.control import obey
from tests.network.conversation import Conversation, Said
from tests.process.harness import uuid7

OWN_VERSIONS = 200  # then a writer takes its next path
SHARED_PATHS = 8
SHARED_TURN = 2400  # so many acknowledgements before the shared paths change: half of them over SHARED_PATHS
RESOLVE_S = 60.0
BACK_OFF_S = 0.1
UNEXPECTED_MAX = 20


@dataclass(frozen=True)
class Acknowledged:
    """A write that was answered 2xx: the version it became, when the answered attempt was sent, and its answer."""

    path: str
    version: int
    by: str
    sent_s: float
    answered_s: float

    def line(self) -> str:
        return f"{self.path} {self.version} {self.by} {self.sent_s:.4f} {self.answered_s:.4f}\n"

    @classmethod
    def of(cls, line: str) -> Acknowledged:
        path, version, by, sent_s, answered_s = line.split()
        return cls(path, int(version), by, float(sent_s), float(answered_s))


@dataclass(frozen=True)
class Plan:
    """What is written, and where; `acks` is the file of acknowledgements."""

    ports: list[int]
    token: str
    acks: str
    writers: int = 256
    tag: str = "net"
    value_bytes: int = 256
    pace_s: float = 0.0
    seed: int = 1
    ca_file: str = ""


def filler(by: str, size: int) -> str:
    """So many characters that are this write's alone."""
    piece = hashlib.sha256(by.encode()).hexdigest()
    return (piece * (size // len(piece) + 1))[:size]


def open_or_undone(said: Said) -> bool:
    """Whether a refusal leaves the write open or undone, and says so as it must."""
    applied = said.json.get("applied")
    if said.status == 504:
        return applied == "unknown" and not said.retry_after
    if said.status in {429, 503}:
        sealed = said.json.get("errors") == ["Vault is sealed"]
        return sealed or (applied in {"no", None} and said.retry_after)
    return False


@dataclass
class Writers:
    """All writers of one plan."""

    plan: Plan
    acknowledged: list[Acknowledged] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)
    unresolved: list[tuple[str, str]] = field(default_factory=list)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self) -> None:
        """Every writer writes."""
        self._file = Path(self.plan.acks).open("w", encoding="ascii", buffering=1 << 16)  # noqa: SIM115
        self._tls = ssl.create_default_context(cafile=self.plan.ca_file) if self.plan.ca_file else None
        self._tasks = [asyncio.ensure_future(self._run(number)) for number in range(self.plan.writers)]

    async def stop(self) -> dict[str, Any]:
        """No write is under way; those whose outcome was open are resolved if a node answers."""
        self._stopping.set()
        await asyncio.gather(*self._tasks)
        self._file.close()
        return self.numbers() | {"unexpected": self.unexpected, "unresolved": self.unresolved}

    def numbers(self) -> dict[str, Any]:
        return {"acknowledged": len(self.acknowledged), "outcomes": dict(self.outcomes)}

    def answered_after(self, after_s: float) -> float | None:
        """When the first write was answered that was sent after that time."""
        first = None
        for one in reversed(self.acknowledged):
            if one.answered_s <= after_s:
                break
            if one.sent_s > after_s:
                first = one.answered_s
        return first

    # ---- writing
    async def _run(self, number: int) -> None:
        source = random.Random(self.plan.seed * 1000 + number)
        nodes = [Conversation(port, self.plan.token, self._tls) for port in self.plan.ports]
        version = count = 0
        while not self._stopping.is_set():
            count += 1
            by = f"{number}-{count}"
            body: dict[str, Any] = {"data": {"by": by, "filler": filler(by, self.plan.value_bytes)}}
            if count % 2:
                if version == OWN_VERSIONS:
                    version = 0
                path = f"{self.plan.tag}/own/{number}/{count // (2 * OWN_VERSIONS)}"
                body["options"] = {"cas": version}
            else:
                turn = len(self.acknowledged) // SHARED_TURN
                path = f"{self.plan.tag}/shared/{source.randrange(SHARED_PATHS)}/{turn}"
            written = await self._until_known(source, nodes, path, body, by)
            if written is None:
                break
            if count % 2:
                if written != version + 1:
                    self._odd(f"{path}: version {written} followed {version}")
                version = written
            if self.plan.pace_s:
                await self._rest(self.plan.pace_s)
        for node in nodes:
            await node.end()

    async def _until_known(
        self, source: random.Random, nodes: list[Conversation], path: str, body: Any, by: str
    ) -> int | None:
        headers = f"X-Strongroom-Write-Id: {uuid7()}\r\n"
        end_s: float | None = None
        while end_s is None or time.monotonic() < end_s:
            if end_s is None and self._stopping.is_set():
                end_s = time.monotonic() + RESOLVE_S
            at, sent_s = source.randrange(len(nodes)), time.monotonic()
            try:
                said = await nodes[at].ask("PUT", f"secret/data/{path}", body, headers)
            except OSError:
                self.outcomes["no answer"] += 1
                await asyncio.sleep(BACK_OFF_S * source.random())
                continue
            self.outcomes[str(said.status)] += 1
            if said.status == 200:
                return self._remember(path, int(said.json["data"]["version"]), by, sent_s)
            if not open_or_undone(said):
                self._odd(f"{path} at node {at}: {said.status} {said.body[:200]!r}")
                return None
            await asyncio.sleep(BACK_OFF_S * (0.5 + source.random()))
        self.unresolved.append((path, by))
        return None

    def _remember(self, path: str, version: int, by: str, sent_s: float) -> int:
        one = Acknowledged(path, version, by, sent_s, time.monotonic())
        self.acknowledged.append(one)
        self._file.write(one.line())
        return version

    async def _rest(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return

    def _odd(self, what: str) -> None:
        if len(self.unexpected) < UNEXPECTED_MAX:
            self.unexpected.append(what)


async def main() -> None:
    """Do as told until the input ends."""
    writers: list[Writers] = []

    async def handle(asked: dict[str, Any]) -> dict[str, Any]:
        do = asked.pop("do")
        if do == "start":
            writers.append(Writers(Plan(**asked)))
            writers[-1].start()
            return {}
        if do == "numbers":
            return writers[-1].numbers()
        if do == "answered_after":
            return {"at_s": writers[-1].answered_after(asked["after_s"])}
        if do == "stop":
            return await writers[-1].stop()
        raise ValueError("unknown command")

    await obey(handle)


if __name__ == "__main__":
    uvloop.run(main())

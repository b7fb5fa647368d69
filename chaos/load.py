"""The clients: each a process with one operation at a time, pinned to a node or roaming, at an open rate.

Every node has a pinned writer and a pinned reader: clients that flee a stale node never see that it is stale. Two more
roam: they leave a node that fails them. After an operation of unknown outcome the process number is retired and the
client goes on under a fresh one.

Invariant: an operation is in the history before it is sent, and its completion after its answer is whole.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, Final

from .api import NoAnswer, Session
from .workload.base import Call, Client, Completion

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from .history import Recorder
    from .workload.base import Workload

ROAMING: Final = 2
BEHIND_MAX: Final = 4  # operations that are due at once after a pause; more would be a burst nobody asked for


class Load:
    """All clients of a run."""

    def __init__(
        self, *, urls: Mapping[str, str], token: str, ca_file: Path | None, recorder: Recorder,
        workloads: Sequence[tuple[Workload, float]], rate_per_s: float, seed: int, timeout_s: float = 1.0,
    ) -> None:
        self._urls = dict(urls)
        self._token = token
        self._ca_file = ca_file
        self._recorder = recorder
        self._workloads = [one for one, _ in workloads]
        self._shares = [share for _, share in workloads]
        self._rate_per_s = rate_per_s
        self._rng = random.Random(f"load/{seed}")
        self._timeout_s = timeout_s
        self._next_process = 0
        self._stopping = asyncio.Event()
        self.acknowledged = 0

    def stop(self) -> None:
        """No client begins another operation."""
        self._stopping.set()

    async def run(self) -> None:
        """Until `stop`; then every operation has its completion."""
        nodes = list(self._urls)
        clients = [self._client(node, roaming=False, role=role) for node in nodes for role in ("writer", "reader")]
        clients += [self._client(self._rng.choice(nodes), roaming=True, role="writer") for _ in range(ROAMING)]
        pause_s = len(clients) / self._rate_per_s
        await asyncio.gather(*(self._live(client, pause_s) for client in clients))

    def _client(self, node: str, *, roaming: bool, role: str) -> Client:
        self._next_process += 1
        rng = random.Random(self._rng.getrandbits(64))
        return Client(self._next_process - 1, node, roaming=roaming, role=role, rng=rng)

    async def _live(self, client: Client, pause_s: float) -> None:
        session = Session(self._ca_file, self._timeout_s)
        loop = asyncio.get_running_loop()
        due_s = loop.time() + client.rng.random() * pause_s
        try:
            while not self._stopping.is_set():
                await asyncio.sleep(max(0.0, due_s - loop.time()))
                due_s = max(due_s + client.rng.expovariate(1 / pause_s), loop.time() - BEHIND_MAX * pause_s)
                workload = client.rng.choices(self._workloads, self._shares)[0]
                call = workload.next(client)
                if call is not None:
                    await self.perform(session, workload, client, call)
        finally:
            session.close()

    async def perform(
        self, session: Session, workload: Workload, client: Client, call: Call, **more: Any
    ) -> Completion:
        """One operation, in the history with its completion; `more` goes into its invocation."""
        node = call.node or client.node
        said = {**call.more, **more}
        self._recorder.add(
            "invoke", client.process, call.f, key=call.key, value=call.argument, node=node, more=said or None
        )
        token = self._token if call.token is None else call.token
        reply = await session.ask(self._urls[node], call.method, call.path, call.body, token, call.headers)
        completion = workload.judge(call, reply, client)
        facts = dict(completion.more)
        index = None
        if not isinstance(reply, NoAnswer):
            index = reply.raft_index
            facts["status"] = reply.status
            if isinstance(reply.body, dict) and reply.body.get("request_id"):
                facts["rid"] = reply.body["request_id"]
        self._recorder.add(
            completion.outcome, client.process, call.f, key=call.key, value=completion.result, error=completion.error,
            node=node, version=completion.version, raft_index=index, more=facts or None,
        )  # fmt: skip
        self._after(client, completion)
        return completion

    def _after(self, client: Client, completion: Completion) -> None:
        self.acknowledged += completion.outcome == "ok"
        if completion.outcome == "info":
            client.process = self._next_process  # the old one may take effect at any later time
            self._next_process += 1
        if client.roaming and completion.outcome != "ok" and not completion.more.get("refused"):
            client.node = client.rng.choice([node for node in self._urls if node != client.node] or [client.node])

    async def final_reads(self, nodes: Sequence[str], timeout_s: float) -> None:
        """Every workload's final calls, on every node; operations with more.final true."""
        for node in nodes:
            session = Session(self._ca_file, timeout_s)
            client = self._client(node, roaming=False, role="reader")
            try:
                for workload in self._workloads:
                    for call in workload.final():
                        await self.perform(session, workload, client, call, final=True)
            finally:
                session.close()

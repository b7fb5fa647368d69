"""The clients: each a process with one operation at a time, pinned to a node or roaming, at an open rate.

Every node has a pinned writer and a pinned reader: clients that flee a stale node never see that it is stale. Two more
roam: they leave a node that fails them. After an operation of unknown outcome the process number is retired and the
client goes on under a fresh one.

The rate is open up to BEHIND_MAX operations of each client: who waits for an answer longer than that leaves out what
would have been due meanwhile, which is counted.

Invariants
  L1  an operation is in the history before it is sent, and its completion after its answer is whole
  L2  an answer that its workload cannot make sense of is an operation of unknown outcome, never the end of a client
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from .api import NoAnswer, Reply, Session
from .threads import together
from .workload.base import Call, Client, Completion

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from .history import Recorder
    from .workload.base import Workload

ROAMING: Final = 2
SILENT_MAX: Final = 5  # last reads of a node in a row without an answer: the others would cost hours
FINAL_TRIES: Final = 3
RETRY_S: Final = 0.2
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
        self.begun = 0
        self.left_out = 0  # operations that were due while their client waited

    def stop(self) -> None:
        """No client begins another operation."""
        self._stopping.set()

    async def run(self) -> None:
        """Until `stop`; then every operation has its completion."""
        nodes = list(self._urls)
        clients = [self._client(node, roaming=False, role=role) for node in nodes for role in ("writer", "reader")]
        clients += [self._client(self._rng.choice(nodes), roaming=True, role="writer") for _ in range(ROAMING)]
        pause_s = len(clients) / self._rate_per_s
        await together(*(self._live(client, pause_s) for client in clients))

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
                due_s = self._next_due_s(due_s + client.rng.expovariate(1 / pause_s), loop.time(), pause_s)
                workload = client.rng.choices(self._workloads, self._shares)[0]
                call = workload.next(client)
                if call is not None:
                    await self.perform(session, workload, client, call)
        finally:
            session.close()

    def _next_due_s(self, due_s: float, now_s: float, pause_s: float) -> float:
        """What a client is behind is bounded; what it leaves out is counted."""
        least_s = now_s - BEHIND_MAX * pause_s
        if due_s >= least_s:
            return due_s
        self.left_out += round((least_s - due_s) / pause_s)
        return least_s

    def facts(self) -> dict[str, Any]:
        """For facts.json."""
        return {"rate_per_s": self._rate_per_s, "begun": self.begun, "left_out": self.left_out}

    async def perform(
        self, session: Session, workload: Workload, client: Client, call: Call, **more: Any
    ) -> Completion:
        """One operation, in the history with its completion; `more` goes into its invocation."""
        node = call.node or client.node
        said = {**call.more, **more}
        self._recorder.add(
            "invoke", client.process, call.f, key=call.key, value=call.argument, node=node, more=said or None
        )
        self.begun += 1
        token = self._token if call.token is None else call.token
        reply = await session.ask(self._urls[node], call.method, call.path, call.body, token, call.headers)
        completion = judged(workload, call, reply, client)
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
        return replace(completion, more=facts)

    def _after(self, client: Client, completion: Completion) -> None:
        self.acknowledged += completion.outcome == "ok"
        if completion.outcome == "info":
            client.process = self._next_process  # the old one may take effect at any later time
            self._next_process += 1
        if client.roaming and completion.outcome != "ok" and not completion.more.get("refused"):
            client.node = client.rng.choice([node for node in self._urls if node != client.node] or [client.node])

    async def final_reads(self, nodes: Sequence[str], timeout_s: float) -> dict[str, int]:
        """Every workload's final calls, on every node; operations with more.final true. {node: how many were left out}.

        A read that fails is tried again; a node that does not answer at all is given up.
        """
        left_out: dict[str, int] = {}
        for node in nodes:
            session = Session(self._ca_file, timeout_s)
            client = self._client(node, roaming=False, role="reader")
            silent = 0
            try:
                for workload, call in [(one, call) for one in self._workloads for call in one.final()]:
                    if silent >= SILENT_MAX:
                        left_out[node] = left_out.get(node, 0) + 1
                        continue
                    silent = 0 if await self._read_last(session, workload, client, call) else silent + 1
            finally:
                session.close()
        return left_out

    async def _read_last(self, session: Session, workload: Workload, client: Client, call: Call) -> bool:
        """Whether the node answered anything."""
        completion = await self.perform(session, workload, client, call, final=True)
        for _ in range(FINAL_TRIES - 1):
            if completion.outcome == "ok" or completion.more.get("refused") or "status" not in completion.more:
                break
            await asyncio.sleep(RETRY_S)
            completion = await self.perform(session, workload, client, call, final=True)
        return "status" in completion.more


def judged(workload: Workload, call: Call, reply: Reply | NoAnswer, client: Client) -> Completion:
    """L2."""
    try:
        return workload.judge(call, reply, client)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        return Completion("info", error=f"not understood: {type(error).__name__}", more={"not_understood": True})

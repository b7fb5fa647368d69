"""What each node says of itself while the run goes on: asked ten times a second, one line a sample.

It is how the schedule knows who leads, and how reports and checkers know availability, terms and clocks. A node that
does not answer within its time has said nothing, which is a sample, too.

Invariants
  WA1  a sample's time is that of the answer about readiness: a node that hangs later was not ready later
  WA2  no answer, however odd, ends the watch
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, TextIO

from .api import NoAnswer, Session
from .folder import Sample
from .threads import together

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from .api import Reply

PERIOD_S: Final = 0.1
ANSWER_S: Final = 0.5
FRESH_NS: Final = 1_500_000_000
KEPT: Final = (
    "node_id", "role", "leader_id", "term", "commit_index", "applied_index", "durable_index", "snapshot_index",
    "digest", "digest_index", "sealed", "recovering", "why", "generation",
)  # fmt: skip


class Watch:
    """Samples of every node; `latest` holds the newest of each."""

    def __init__(
        self, urls: Mapping[str, str], token: str, ca_file: Path | None, file: TextIO, now_ns: Callable[[], int]
    ) -> None:
        self.latest: dict[str, Sample] = {}
        self._urls = dict(urls)
        self._token = token
        self._ca_file = ca_file
        self._file = file
        self._now_ns = now_ns

    async def run(self) -> None:
        """Until it is cancelled."""
        await together(*(self._node(node) for node in self._urls))

    async def _node(self, node: str) -> None:
        session = Session(self._ca_file, ANSWER_S)
        try:
            while True:
                began_ns = self._now_ns()
                sample = await self._ask(session, node)
                self.latest[node] = sample
                self._file.write(json.dumps(asdict(sample)) + "\n")
                await asyncio.sleep(max(0.0, PERIOD_S - (self._now_ns() - began_ns) / 1e9))
        finally:
            session.close()
            with contextlib.suppress(ValueError):
                self._file.flush()

    async def _ask(self, session: Session, node: str) -> Sample:
        url = self._urls[node]
        status = await session.ask(url, "GET", "strongroom/status", None, self._token, {})
        ready = await session.ask(url, "GET", "/readyz", None, "", {})
        serves = not isinstance(ready, NoAnswer) and ready.status == 200
        sealed = not isinstance(status, NoAnswer) and status.sealed
        answered = not (isinstance(ready, NoAnswer) and isinstance(status, NoAnswer))
        return Sample(self._now_ns(), node, serves, kept(status), sealed=sealed, answered=answered)

    def leader(self) -> str | None:
        """Who leads the highest term that anybody spoke of lately."""
        now_ns = self._now_ns()
        fresh = [one for one in self.latest.values() if now_ns - one.time_ns < FRESH_NS]
        said = [(one.status, one.node) for one in fresh if one.status is not None]
        leading = [(status.get("term") or 0, node) for status, node in said if status.get("role") == "leader"]
        return max(leading)[1] if leading else None

    def all_ready(self, nodes: list[str]) -> bool:
        """Each of them serves, as of its newest sample."""
        return all(node in self.latest and self.latest[node].ready for node in nodes)


def kept(status: Reply | NoAnswer) -> dict[str, Any] | None:
    """What a sample keeps of strongroom/status; None if the node said nothing of the kind (WA2)."""
    if isinstance(status, NoAnswer) or status.status != 200 or not isinstance(status.data, dict) or not status.data:
        return None
    said: dict[str, Any] = {name: status.data.get(name) for name in KEPT}
    members = status.data.get("members")
    known = [one for one in members if isinstance(one, dict) and "id" in one] if isinstance(members, list) else []
    said["clock_skew_ms"] = {str(one["id"]): one.get("clock_skew_ms") for one in known}
    return said

"""Writers of a steady rate beside a scenario: started, watched, stopped; and what came of each of their requests."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.network.child import Child
from tests.network.writers import RESOLVE_S
from tests.network.writing import VERSIONS_MAX, Writing
from tests.process.harness import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.network.far import Far

WRITERS = 64


@dataclass
class Rate:
    """Writes a second that are offered, and by how many writers."""

    per_s: float = 2000.0
    writers: int = WRITERS
    value_bytes: int = 256
    seed: int = 1


@dataclass
class Pushing(Writing):
    """Writers that push, or have pushed."""

    began_s: float = field(default_factory=time.monotonic)
    took_s: float = 0.0
    done: int = 0

    @property
    def errors(self) -> dict[str, int]:
        """Requests that got another answer than 200 or none, once stopped."""
        return {outcome: count for outcome, count in self.outcomes.items() if outcome != "200"}

    @property
    def per_s(self) -> float:
        """Acknowledged writes a second, once stopped."""
        return self.done / max(self.took_s, 1e-9)

    def let(self, seconds: float) -> None:
        """So long, and at least something was acknowledged meanwhile."""
        goal, end_s = self.count + 1, time.monotonic() + seconds
        wait_until(lambda: time.monotonic() >= end_s and self.count >= goal, "writes go on", seconds + 60.0)

    def stop(self) -> None:
        """No write is under way."""
        self._end("stop")

    def freeze(self) -> None:
        """Nobody writes; what was open stays so."""
        self._end("freeze")

    def _end(self, how: str) -> None:
        if self.took_s:
            return
        self.took_s = time.monotonic() - self.began_s
        told = self._child.ask(how, timeout_s=RESOLVE_S + 60.0)
        self.done, self.outcomes, self.unexpected = told["acknowledged"], told["outcomes"], told["unexpected"]
        self.unresolved = [(path, by) for path, by in told["unresolved"]]


@contextlib.contextmanager
def pushing(far: Far, rate: Rate, tag: str) -> Iterator[Pushing]:
    """Writers push at every node inside; outside none does."""
    reply = far.cluster.ask("POST", "secret/config", {"max_versions": VERSIONS_MAX}, timeout_s=60.0)
    assert reply.status == 204, reply
    acks_file = far.folder / f"acks-{tag}"
    ports = [server.api_port for server in far.cluster.servers]
    with Child("tests.backup.pushing", [], far.folder / "pushing.log") as child:
        child.ask(
            "start", ports=ports, token=far.cluster.token, acks=str(acks_file), tag=tag, writers=rate.writers,
            value_bytes=rate.value_bytes, pace_s=rate.writers / rate.per_s, seed=rate.seed,
        )  # fmt: skip
        made = Pushing(acks_file, child)
        yield made
        made.stop()

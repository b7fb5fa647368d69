"""Writers beside a scenario: started, watched, stopped, and what they were told at the end."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.network.child import Child
from tests.network.writers import RESOLVE_S, Acknowledged
from tests.process.harness import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.network.far import Far

VERSIONS_MAX = 900  # the most a secret may keep


@dataclass
class Writing:
    """Writers that run, or have run."""

    acks_file: Path
    _child: Child
    outcomes: dict[str, int] = field(default_factory=dict)
    unexpected: list[str] = field(default_factory=list)
    unresolved: list[tuple[str, str]] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Acknowledged so far, while they run."""
        count: int = self._child.ask("numbers")["acknowledged"]
        return count

    @property
    def broken(self) -> int:
        """Requests without an answer so far, while they run."""
        broken: int = self._child.ask("numbers")["outcomes"].get("no answer", 0)
        return broken

    def wait_for(self, more: int, timeout_s: float = 60.0) -> None:
        """So many more writes are acknowledged."""
        goal = self.count + more
        wait_until(lambda: self.count >= goal, f"{more} more writes", timeout_s)

    def gap_after(self, at_s: float, timeout_s: float = 60.0) -> float:
        """Seconds from that time to the first success of what was sent, or sent again, after it; waits for it."""
        found = wait_until(
            lambda: self._child.ask("answered_after", after_s=at_s)["at_s"], "writes go on", timeout_s
        )
        return float(found) - at_s

    def stop(self) -> None:
        """No write is under way."""
        told = self._child.ask("stop", timeout_s=RESOLVE_S + 60.0)
        self.outcomes, self.unexpected = told["outcomes"], told["unexpected"]
        self.unresolved = [(path, by) for path, by in told["unresolved"]]

    def acknowledged(self) -> list[Acknowledged]:
        """All of them, once stopped."""
        return [Acknowledged.of(line) for line in self.acks_file.read_text(encoding="ascii").splitlines()]


@contextlib.contextmanager
def writing(far: Far, *, tag: str, **plan: Any) -> Iterator[Writing]:
    """Writers write to every node inside; outside none does, and nobody has forgotten anything. See writers.Plan."""
    cluster, folder = far.cluster, far.folder
    reply = cluster.ask("POST", "secret/config", {"max_versions": VERSIONS_MAX}, timeout_s=60.0)
    assert reply.status == 204, reply
    acks_file = folder / f"acks-{tag}"
    plan["ca_file"] = "" if far.ca_file is None else str(far.ca_file)
    ports = [server.api_port for server in cluster.servers]
    with Child("tests.network.writers", [], folder / "writers.log") as child:
        made = Writing(acks_file, child)
        child.ask("start", ports=ports, token=cluster.token, acks=str(acks_file), tag=tag, **plan)
        yield made
        made.stop()

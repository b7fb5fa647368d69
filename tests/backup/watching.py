"""How far a sink is behind while a scenario plays: asked all the time, of whoever leads."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from tests.process.harness import HarnessError, wait_until

if TYPE_CHECKING:
    from tests.backup.stage import Stage

PERIOD_S = 0.1
CAUGHT_UP_S = 1.0
"""A sink that is behind for no longer than this under load has caught up: a batch waits for company and for a sync."""


@dataclass(frozen=True)
class Sample:
    """One look."""

    at_s: float
    entries: int
    seconds: float
    index: int
    error: str


class LagWatch:
    """Looks inside `with`."""

    def __init__(self, stage: Stage) -> None:
        self.samples: list[Sample] = []
        self._stage = stage
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _look(self) -> None:
        leader = None
        while not self._stopping.wait(PERIOD_S):
            with contextlib.suppress(OSError, HarnessError):
                leader = leader or self._stage.leader
                at_s, row = time.monotonic(), self._stage.standing(leader)
                status = self._stage.far.cluster.status(leader)
                if status is None or status["role"] != "leader":
                    leader = None
                    continue
                self.samples.append(Sample(at_s, row["lag_entries"], row["lag_s"], row["index"], row["error"]))
                continue
            leader = None

    def since(self, at_s: float) -> list[Sample]:
        """Looks after that time."""
        return [one for one in list(self.samples) if one.at_s > at_s]

    def heard(self, words: str, since_s: float) -> bool:
        """Whether the node said that of the sink, after that time; nothing is always said."""
        return not words or any(words in one.error for one in self.since(since_s))

    def peak(self, since_s: float) -> tuple[int, float]:
        """Most entries and longest seconds behind, since then."""
        found = self.since(since_s)
        return max((one.entries for one in found), default=0), max((one.seconds for one in found), default=0.0)

    def wait_behind(self, since_s: float, seconds: float, timeout_s: float = 60.0) -> None:
        """The sink was seen to be so far behind, after that time."""
        wait_until(
            lambda: any(one.seconds >= seconds for one in self.since(since_s)), "the sink falls behind", timeout_s
        )

    def wait_caught_up(self, since_s: float, timeout_s: float = 150.0) -> float:
        """Seconds until the sink had caught up, under load."""

        def caught_up() -> float | None:
            for one in self.since(since_s):
                if one.seconds <= CAUGHT_UP_S and not one.error:
                    return one.at_s - since_s
            return None

        found = wait_until(caught_up, "the sink catches up", timeout_s)
        assert found is not None
        return found

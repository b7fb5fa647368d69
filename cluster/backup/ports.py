"""What a pipeline needs of its member, what it is told, and what it says of itself.

Pure declarations.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .gather import Gathered
    from .sealed import BackupSealer
    from .sinks.base import Claim, Generation, Position

CALL_S = 5.0


@dataclass(frozen=True, slots=True)
class Policy:
    """When a batch is closed and a base begins, and what retention.py keeps. `timeout_s` bounds each call of a sink."""

    entries_max: int = 256
    bytes_max: int = 1 << 20
    interval_s: float = 0.5
    timeout_s: float = CALL_S
    base_entries: int = 200_000
    base_period_s: float = 86_400.0
    keep_bases: int = 7
    keep_days: int = 30


class Base(Protocol):
    """A snapshot of the state at one index, pinned."""

    @property
    def index(self) -> int: ...  # noqa: D102
    @property
    def term(self) -> int: ...  # noqa: D102
    @property
    def time_ns(self) -> int: ...  # noqa: D102
    def chunks(self) -> Iterator[bytes]:
        """Payloads, each a short step."""
        ...

    def abort(self) -> None:
        """Not wanted."""
        ...


class Source(Protocol):
    """The member behind the pipeline."""

    node_id: str

    def claim(self) -> Claim | None:
        """The claim this node may make now; None while it has nothing to send."""
        ...

    def generation(self) -> Generation:
        """The line of history it serves."""
        ...

    def applied_index(self) -> int:
        """Newest entry there is to send."""
        ...

    def gather(self, first: int, *, entries_max: int, bytes_max: int, boundary: int = 0) -> Gathered | None:
        """See gather.py."""
        ...

    def base(self) -> Base:
        """The state now."""
        ...

    def sealer(self) -> BackupSealer:
        """Seals objects."""
        ...

    def envelope(self) -> bytes:
        """The keyring's, as applied."""
        ...

    def known(self, sink: str) -> Position | None:
        """How far the cluster knows this sink to reach, whatever the sink says."""
        ...

    def now_ns(self) -> int:
        """The cluster's time."""
        ...

    async def changed(self, timeout_s: float) -> None:
        """Returns when something may have been applied, or roles may have changed, or in time."""
        ...


@dataclass(slots=True)
class Standing:
    """What status and metrics say of one sink. Times are boot seconds; `error` is a sentence without secrets."""

    name: str
    url: str
    claimed: bool = False
    confirmed: Position | None = None
    confirmed_s: float | None = None
    behind_since_s: float | None = None
    error: str = ""
    retry_s: float | None = None  # when it is tried again, during the pause after a failure
    retries: int = 0
    batches: int = 0
    bases: int = 0
    bytes: int = 0
    base_index: int = 0
    base_parts: int = 0  # of the one that is being sent
    alarms: list[str] = field(default_factory=list)

"""What an operator orders of a restore, and what is reported to them. Plain data. Source: docs/backup.md."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from .chain import RestoreError
from .renew import Change, Wish
from .restore import Point

if TYPE_CHECKING:
    from ..state import records
    from .witness import Witness


class UnwitnessedError(RestoreError):
    """Nobody but the sink says how far it reaches: the operator must say that this is known."""


class MissingEndError(RestoreError):
    """A witness knows of more than the sink shows: the operator must accept the loss."""


class Expected(NamedTuple):
    """What `backup status` printed once: the sink held this at least."""

    last: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Order:
    """What is wanted. `members`: id → record, of the new cluster. `cluster_name` empty: as it was."""

    members: dict[str, records.Member]
    cluster_name: str
    profile: str
    point: Point = Point()  # noqa: RUF009 - immutable
    wish: Wish = Wish()  # noqa: RUF009 - immutable
    generation: bytes | None = None  # to restore from; None: the newest
    fork: bool = False
    unwitnessed: bool = False
    accept_loss: bool = False  # of an end that a witness knows of
    expected: tuple[Expected, ...] = ()
    witnesses: list[Witness] = field(default_factory=list)
    sink_name: str = ""  # by which witnesses call the sink; empty: not known
    end_unknown: bool = False  # the sink shows one point of the history, and not what came afterwards


class Report(NamedTuple):
    """What was done: for people and as JSON. Times are stamps in ns.

    `newest_index` and `newest_time_ns` are those of the newest entry that was read; `known_index` is the highest that
    anybody, the sink or a witness, has spoken of. `newer_generation`: where access was taken from, if a line that
    began from this one was written later; else empty. `tokens_void`: nothing that gave access for a time came back.
    `changes`: access that is restored as it was at the end. `access_unknown`: a part of what followed cannot be read,
    and what was tightened there is not known.
    """

    parent: bytes
    generation: bytes
    at_index: int
    time_ns: int
    newest_index: int
    newest_time_ns: int
    known_index: int
    newer_generation: bytes
    left_out_from: int | None
    tokens_void: bool
    changes: list[Change]
    access_unknown: bool
    laid_out: int
    digest: bytes

    @property
    def lost(self) -> tuple[int, int] | None:
        """First and last index that the new cluster does not have."""
        return (self.at_index + 1, self.known_index) if self.known_index > self.at_index else None

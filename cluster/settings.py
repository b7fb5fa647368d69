"""What a member is told: who it is, where the others are, and the bounds it keeps. Plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .journal.modes import FSYNC
from .raft.chassis import Timing

if TYPE_CHECKING:
    from pathlib import Path

    from .links.transport import Tls

SEGMENT_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class MemberAddress:
    """Where a member is: (host, port) for peers, a URL for clients."""

    peer: tuple[str, int]
    api: str


@dataclass(slots=True)
class MemberSettings:
    """Everything a member is told; times in seconds, sizes in bytes."""

    node_id: str
    cluster_name: str
    data_dir: Path
    members: dict[str, MemberAddress]
    tls: Tls | None = None
    certificate_der: bytes = b""
    listen: tuple[str, int] | None = None
    timing: Timing = field(default_factory=Timing)
    profile: str = "production"
    segment_bytes: int = SEGMENT_BYTES
    journal_mode: str = FSYNC  # journal/modes.py
    unsynced_bytes_max: int = 64 * 1024 * 1024
    log_keep_bytes: int = 1 << 28  # of the log, for a backup sink that is behind
    read_timeout_s: float = 2.0
    write_timeout_s: float = 90.0  # a write in the log that is not committed by then is unknown
    clock_skew_max_s: float = 2.0
    version: str = ""

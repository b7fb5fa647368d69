"""The node's half of backups: sinks from the configuration, their life beside the member's, what is said of them.

A shell around cluster's Backup. Invariant: sinks are written while the member is unsealed, and by nobody else.
Source: docs/backup.md.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cluster import Backup, BackupPolicy, BackupSettings, SinkSettings, open_sink

from .request import Answer, Refusal

if TYPE_CHECKING:
    from cluster import Member, Standing

    from .config import Config
    from .config.replication import Sink

log = logging.getLogger("strongroom.node")

MS_PER_S = 1000.0
FLUSH_S = 2.0
NS_PER_S = 1e9


class SinkNumbers(NamedTuple):
    """One sink for the metrics. `lag_*` are None on a node that does not write it; `last_success_s` is Unix time."""

    sink: str
    lag_entries: int | None
    lag_s: float | None
    reached: int
    last_success_s: float | None
    retries: int
    batches: int
    bytes: int


class BackupDesk:
    """See the module's paragraph."""

    def __init__(self, member: Member, config: Config) -> None:
        chosen = config.backup
        policy = BackupPolicy(
            entries_max=chosen.batch_entries,
            bytes_max=chosen.batch_bytes_max,
            interval_s=chosen.batch_interval_ms / MS_PER_S,
            timeout_s=chosen.timeout_s,
            keep_bases=chosen.keep_bases,
            keep_days=chosen.keep_days,
        )
        settings = BackupSettings(chosen.mode, policy, chosen.max_lag_s, chosen.timeout_s)
        sinks = [
            SinkSettings(
                one.name,
                open_sink(one.url, password=password_of(one), timeout_s=chosen.timeout_s),
                shared=one.scope == "shared",
                required=one.required,
            )
            for one in chosen.sinks
        ]
        self.backup = Backup(member, settings, sinks)
        self._member = member
        self._local = {one.name for one in sinks if not one.shared}
        self._has_sinks = bool(sinks)
        if sinks:
            member.gate = self.backup

    def opened(self) -> None:
        """The member is unsealed."""
        self.backup.start()

    async def flush(self) -> None:
        """Before a stop: what is applied has a little time to arrive."""
        await self.backup.flush(FLUSH_S)

    async def closed(self) -> None:
        """The member is sealed, or stops: nothing more is written."""
        await self.backup.stop()

    # ---- what is said
    def standings(self) -> list[dict[str, Any]]:
        """For strongroom/status: one short row a sink."""
        return [
            {
                "sink": standing.name,
                "index": 0 if standing.confirmed is None else standing.confirmed.last,
                "lag_entries": entries,
                "lag_s": round(lag_s, 3),
                "error": standing.error,
            }
            for standing, entries, lag_s in self.backup.standings()
        ]

    def numbers(self) -> list[SinkNumbers]:
        """For the metrics. How far behind a sink is says only whoever has to write it."""
        member = self._member
        now_s, wall_s = member.clock.boot(), member.clock.wall_ns() / NS_PER_S
        found = []
        for standing, entries, lag_s in self.backup.standings():
            confirmed = None if member.sealed else self.backup.reaches(self.backup.pipelines[standing.name])
            writes = member.is_leader or (standing.name in self._local and not member.sealed)
            found.append(
                SinkNumbers(
                    standing.name,
                    entries if writes else None,
                    lag_s if writes else None,
                    0 if confirmed is None else confirmed.last,
                    None if standing.confirmed_s is None else wall_s - (now_s - standing.confirmed_s),
                    standing.retries,
                    standing.batches,
                    standing.bytes,
                )
            )
        return found

    def status(self) -> Answer:
        """For strongroom/backup/status: everything there is to know, and what a restore can be told to expect."""
        return Answer(data={"mode": self.backup.mode, "sinks": [self._detail(*one) for one in self.backup.standings()]})

    def _detail(self, standing: Standing, entries: int, lag_s: float) -> dict[str, Any]:
        confirmed = self.backup.reaches(self.backup.pipelines[standing.name])
        since_s = None if standing.confirmed_s is None else self._member.clock.boot() - standing.confirmed_s
        return {
            "sink": standing.name,
            "url": standing.url,
            "writes": standing.claimed,
            "index": 0 if confirmed is None else confirmed.last,
            "expect": "" if confirmed is None else f"{confirmed.last}:{confirmed.hash.hex()}",
            "lag_entries": entries,
            "lag_s": round(lag_s, 3),
            "last_success_s": None if since_s is None else round(since_s, 3),
            "error": standing.error,
            "alarms": standing.alarms,
            "retries": standing.retries,
            "batches": standing.batches,
            "bases": standing.bases,
            "base_index": 0 if confirmed is None else confirmed.base_index,
            "base_parts": standing.base_parts,
            "bytes": standing.bytes,
        }

    def trigger(self, sink: str) -> Answer:
        """A base begins on the named sink, or on all. Raises Refusal."""
        if not self._has_sinks:
            raise Refusal(400, "no backup sink is configured")
        pipelines = self.backup.pipelines
        if sink and sink not in pipelines:
            raise Refusal(404, "no backup sink has that name")
        for name, pipeline in pipelines.items():
            if sink in {"", name}:
                pipeline.base_wanted = True
        return Answer()


def password_of(sink: Sink) -> str | None:
    """The sink's password from its variable or file; None if there is none. Raises OSError."""
    if sink.password_file:
        return Path(sink.password_file).read_text(encoding="utf-8").strip()
    return sink.password.reveal() or None

"""The node's half of backups: sinks from the configuration, their life beside the member's, what is said of them.

A shell around cluster's Backup. Invariant: sinks are written while the member is unsealed, and by nobody else.
Source: docs/backup.md.
"""

from __future__ import annotations

import asyncio
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
OUTCOME_S = 2.0  # for which an answer waits for the attempt that was asked for
NO_LEADER = "no leader is known: who writes this sink is not known"
NOT_OURS = "this node does not write the sink: ask again"
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
        self.has_shared = any(one.shared for one in sinks)
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

    def begin_bases(self) -> None:
        """Every sink that this node writes gets a base: old shares open nothing that is stored from now on."""
        for name, pipeline in self.backup.pipelines.items():
            if self._writes(name):
                pipeline.ask_base()

    # ---- what is said
    def standings(self) -> list[dict[str, Any]]:
        """For strongroom/status: one short row a sink. Lag and error are None where others write it."""
        return [
            {
                "sink": standing.name,
                "index": 0 if standing.confirmed is None else standing.confirmed.last,
                **self._behind(standing, entries, lag_s),
            }
            for standing, entries, lag_s in self.backup.standings()
        ]

    def _behind(self, standing: Standing, entries: int, lag_s: float) -> dict[str, Any]:
        """Lag and error as whoever writes the sink knows them: nobody else does."""
        if not self._writes(standing.name):
            return {"lag_entries": None, "lag_s": None, "error": None}
        return {"lag_entries": entries, "lag_s": round(lag_s, 3), "error": standing.error}

    def _writes(self, sink: str) -> bool:
        """Whether it is this node that has to write it."""
        return self._member.is_leader or (sink in self._local and not self._member.sealed)

    def numbers(self) -> list[SinkNumbers]:
        """For the metrics. How far behind a sink is says only whoever has to write it."""
        member = self._member
        now_s, wall_s = member.clock.boot(), member.clock.wall_ns() / NS_PER_S
        found = []
        for standing, entries, lag_s in self.backup.standings():
            confirmed = None if member.sealed else self.backup.reaches(self.backup.pipelines[standing.name])
            writes = self._writes(standing.name)
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
        behind = self._behind(standing, entries, lag_s)
        if not self._writes(standing.name):
            behind["error"] = NO_LEADER if self._member.leader_id is None else NOT_OURS
        return {
            "sink": standing.name,
            "url": standing.url,
            "writes": standing.claimed,
            "index": 0 if confirmed is None else confirmed.last,
            "expect": "" if confirmed is None else f"{confirmed.last}:{confirmed.hash.hex()}",
            **behind,
            "last_success_s": None if since_s is None else round(since_s, 3),
            "retry_in_s": self._retry_in_s(standing),
            "alarms": standing.alarms,
            "retries": standing.retries,
            "batches": standing.batches,
            "bases": standing.bases,
            "base_index": 0 if confirmed is None else confirmed.base_index,
            "base_parts": standing.base_parts,
            "bytes": standing.bytes,
        }

    def _retry_in_s(self, standing: Standing) -> float | None:
        return None if standing.retry_s is None else round(max(0.0, standing.retry_s - self._member.clock.boot()), 3)

    async def trigger(self, sink: str) -> Answer:
        """A base begins on the named sink, or on all, and a sink that is down is tried at once. Raises Refusal.

        A sink that does not take it is a refusal with its error; its base begins when it is written again.
        """
        if not self._has_sinks:
            raise Refusal(400, "no backup sink is configured")
        if sink and sink not in self.backup.pipelines:
            raise Refusal(404, "no backup sink has that name")
        chosen = [one for name, one in self.backup.pipelines.items() if sink in {"", name}]
        if not all(self._writes(one.name) for one in chosen):
            raise Refusal(503, NO_LEADER if self._member.leader_id is None else NOT_OURS, retry_after_s=1)
        for pipeline in chosen:
            pipeline.ask_base()
        written = await asyncio.gather(*(one.is_written(OUTCOME_S) for one in chosen))
        down = [self._down(one.standing) for one, is_written in zip(chosen, written, strict=True) if not is_written]
        if down:
            raise Refusal(400, *down)
        return Answer()

    def _down(self, standing: Standing) -> str:
        retry_in_s = self._retry_in_s(standing)
        when = "it is tried now" if retry_in_s is None else f"it is tried again in {retry_in_s:.0f} s"
        return f"the backup sink {standing.name} is not being written: {standing.error}; {when}, then the base begins"


def password_of(sink: Sink) -> str | None:
    """The sink's password from its variable or file; None if there is none. Raises OSError."""
    if sink.password_file:
        return Path(sink.password_file).read_text(encoding="utf-8").strip()
    return sink.password.reveal() or None

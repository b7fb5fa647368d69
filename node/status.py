"""What a node says of itself: health, leader, seal status, strongroom/status. Reading only; no token is looked at here.

Source: Vault API, sys/health, sys/leader, sys/seal-status, sys/ha-status.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from cluster import Config, Member, Table, UnavailableError, look, records

from .request import RawResponse, Refusal
from .version import BUILD_DATE, PRODUCT_VERSION, VAULT_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .seal_desk import SealDesk

NS = 1_000_000_000
NOT_ADOPTED = "restored, not adopted: no audit device is enabled until `strongroom operator adopt`"
_CODES = {
    "uninitcode": 501,
    "sealedcode": 503,
    "activecode": 200,
    "haunhealthycode": 474,
    "performancestandbycode": 473,
    "standbycode": 429,
}
_TRUE = frozenset({"", "1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})


def uuid_of(raw: bytes) -> str:
    """16 bytes as 8-4-4-4-12 hex."""
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}" if raw else ""


def rfc3339(time_ns: int) -> str:
    """An instant of the cluster's time, UTC with nanoseconds."""
    seconds, rest = divmod(time_ns, NS)
    whole = dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{rest:09d}Z"


class Status:
    """Built from the member; `desk` knows the progress of unsealing."""

    def __init__(self, member: Member, desk: SealDesk) -> None:
        self._member = member
        self._desk = desk
        self.backups: Callable[[], list[dict[str, Any]]] = list
        self.not_adopted: Callable[[], bool] = bool

    def config(self) -> Config | None:
        """The cluster's facts; None while sealed."""
        if self._member.replica is None:
            return None
        found = look(self._member.view, Table.CONFIG, Config, b"cluster")
        return None if found is None else found[1]

    def leader_id(self) -> str | None:
        """The leader this node is or follows. One that it has not heard of for two elections is nobody's leader."""
        member, replica = self._member, self._member.replica
        if replica is None or replica.is_leader:
            return member.leader_id
        silent_s = member.clock.boot() - replica.contact_s
        return None if silent_s > 2 * member.settings.timing.election_max_s else member.leader_id

    # ---- Vault's
    def seal_status(self) -> dict[str, Any]:
        """sys/seal-status."""
        member = self._member
        initialised = member.initialised
        seal = member.seal_config if initialised else None
        seal_type = seal.type if seal is not None else self._desk.seal_type
        body: dict[str, Any] = {
            "type": seal_type,
            "initialized": initialised,
            "sealed": member.sealed,
            "t": seal.threshold if seal is not None else 0,
            "n": seal.shares if seal is not None else 0,
            "progress": self._desk.progress,
            "nonce": self._desk.nonce,
            "version": VAULT_VERSION,
            "build_date": BUILD_DATE,
            "commit_date": "",
            "migration": self._desk.migration.pending,
            "recovery_seal": seal_type != "shamir",  # t of n are recovery keys then, if there are any
            "storage_type": "raft",
        }
        if seal_type != "shamir":
            body["recovery_seal_type"] = "shamir"
        if said := [one for one in (self._desk.auto.why, self._desk.migration.why) if one]:
            body["warnings"] = said
        config = self.config()
        if config is not None:
            body["cluster_name"] = config.cluster_name
            body["cluster_id"] = uuid_of(config.cluster_id)
        return body

    def health(self, query: Mapping[str, str]) -> RawResponse:
        """sys/health: the code says the state, parameters change the codes. Raises Refusal(400) for a bad one."""
        from .http.render import json_bytes

        member = self._member
        initialised, sealed = member.initialised, member.sealed
        active = member.is_leader
        codes = {name: _code(query, name, default) for name, default in _CODES.items()}
        standby_ok, performance_ok = _flag(query, "standbyok"), _flag(query, "perfstandbyok")
        performance = not sealed and not active and performance_ok
        if not initialised:
            code = codes["uninitcode"]
        elif sealed:
            code = codes["sealedcode"]
        elif active:
            code = codes["activecode"]
        elif self.leader_id() is None:
            code = codes["haunhealthycode"]
        elif standby_ok or performance:
            code = codes["activecode"]
        elif "performancestandbycode" in query:
            code = codes["performancestandbycode"]
        else:
            code = codes["standbycode"]
        config = self.config()
        mode = "unknown" if sealed else "disabled"
        primary = "unknown" if sealed else "primary"
        body: dict[str, Any] = {
            "initialized": initialised,
            "sealed": sealed,
            "standby": not active,
            "performance_standby": performance,
            "replication_performance_mode": primary,
            "replication_dr_mode": mode,
            "server_time_utc": member.clock.wall_ns() // NS,
            "version": VAULT_VERSION,
            "enterprise": False,
            "echo_duration_ms": 0,
            "clock_skew_ms": int(member.clock_skew_s * 1000),
            "replication_primary_canary_age_ms": 0,
        }
        if config is not None:
            body["cluster_name"] = config.cluster_name
            body["cluster_id"] = uuid_of(config.cluster_id)
        dev = member.settings.profile == "dev" or (config is not None and config.profile == "dev")
        return RawResponse(code, json_bytes(body) + b"\n", [("X-Strongroom-Profile", "dev")] if dev else [])

    def leader(self) -> dict[str, Any]:
        """sys/leader. Raises Refusal(503) while sealed."""
        member = self._member
        if member.replica is None:
            raise Refusal(503, "Vault is sealed", retry_after_s=1)
        leader = member.settings.members.get(self.leader_id() or "")
        return {
            "ha_enabled": True,
            "is_self": member.is_leader,
            "active_time": rfc3339(self._desk.active_since_ns) if member.is_leader else "0001-01-01T00:00:00Z",
            "leader_address": "" if leader is None else leader.api,
            "leader_cluster_address": ("" if leader is None else f"https://{leader.peer[0]}:{leader.peer[1]}"),
            "performance_standby": False,
            "performance_standby_last_remote_wal": 0,
            "raft_committed_index": member.replica.commit_index,
            "raft_applied_index": member.replica.applied_index,
        }

    def ha_nodes(self) -> list[dict[str, Any]]:
        """sys/ha-status: the leader's view of all members."""
        member, leader_id = self._member, self.leader_id()
        nodes = []
        for name, address in sorted(member.settings.members.items(), key=lambda item: item[1].api):
            own = name == member.settings.node_id
            nodes.append(
                {
                    "hostname": name,
                    "api_address": address.api,
                    "cluster_address": f"https://{address.peer[0]}:{address.peer[1]}",
                    "active_node": name == leader_id,
                    "last_echo": None if own else rfc3339(member.clock.wall_ns()),
                    "version": VAULT_VERSION,
                    "echo_duration_ms": 0,
                    "clock_skew_ms": 0,
                }
            )
        return nodes

    # ---- ours
    def why(self) -> list[str]:
        """What keeps this node from serving, and what to do about it."""
        member = self._member
        if not member.initialised:
            return ["the cluster is not initialised: run `strongroom operator init` on one node"]
        if member.starting:
            return ["the node is loading its state: wait"]
        if member.sealed and member.keyrings.sealed_because:
            return [f"{member.keyrings.sealed_because} (`strongroom operator unseal`)"]
        if member.sealed and self._desk.auto.why:
            return [self._desk.auto.why]
        if member.sealed:
            extra = " (sealed by an operator: only shares open it)" if member.sealed_by_operator else ""
            return [f"the node is sealed{extra}: run `strongroom operator unseal` until the threshold is reached"]
        why = []
        replica = member.running
        stuck = self._nobody_may_lead()
        if stuck:
            why.append(stuck)
        elif self.leader_id() is None:
            why.append("no leader is known: check that a majority of the members runs, is unsealed and is reachable")
        if replica.recovering and not stuck:
            why.append("the node lost a part of its log and is being brought up by the leader: wait")
        if not replica.clock_is_sane:
            why.append(f"the wall clock is {member.clock_skew_s:.1f} s off the members' median: set the clock")
        if not replica.space_ok:
            why.append("the disk is full: free space, the node goes on by itself")
        return why

    def _nobody_may_lead(self) -> str:
        """The sentence of a cluster whose majority lost its memory, else empty."""
        member = self._member
        lost = member.recovering_members
        if self.leader_id() is not None or len(member.settings.members) - len(lost) >= member.running.quorum:
            return ""
        why = (
            f"a majority of the members lost its log or a part of it ({', '.join(lost)}): nobody may lead, because "
            "what was answered could be missing. "
        )
        if member.settings.journal_mode == "memory" and not member.running.recovering:
            return (
                f"{why}This node lost nothing, and has it in memory only (journal.mode memory): do not stop it before "
                'you have read "Everything is lost" in the runbook'
            )
        return (
            f"{why}Keep the folders, stop all members, and begin a new cluster from what "
            "is there with `strongroom operator recover`, or from a backup with `strongroom backup restore`"
        )

    def status(self) -> dict[str, Any]:
        """strongroom/status, of this node. Raises SealedError."""
        member = self._member
        replica = member.running
        config = self.config()
        role = "leader" if member.is_leader else ("recovering" if replica.recovering else "follower")
        leader_id = self.leader_id()
        leader = member.settings.members.get(leader_id or "")
        return {
            "node_id": member.settings.node_id,
            "cluster_name": member.settings.cluster_name,
            "cluster_id": uuid_of(config.cluster_id) if config else "",
            "generation": uuid_of(member.generation),
            "profile": config.profile if config else member.settings.profile,
            "role": role,
            "leader_id": leader_id,
            "leader_api": None if leader is None else leader.api,
            "term": replica.term,
            "commit_index": replica.commit_index,
            "applied_index": replica.applied_index,
            "received_index": replica.log.last_index,
            "durable_index": replica.log.durable(),
            "snapshot_index": replica.snapshot_index,
            "digest": replica.state.digest.to_bytes(16, "little").hex(),
            "digest_index": replica.state.applied_index,
            "sealed": False,
            "sealed_by": None,
            "recovering": replica.recovering,
            "lease_ms": None,
            "members": self.members(),
            "backup": self.backups(),
            "audit": self._desk.audit_status(),
            "why": [*self.why(), *self._notes()],
            "version": PRODUCT_VERSION,
            "formats": [1],
        }

    def _notes(self) -> list[str]:
        """What does not keep this node from serving, and is to be done all the same."""
        adoption = NOT_ADOPTED if self.not_adopted() else ""
        return [one for one in (adoption, self._desk.migration.why, self._desk.auto.why) if one]

    def members(self) -> list[dict[str, Any]]:
        """Each member as this node sees it."""
        member, leader_id = self._member, self.leader_id()
        replica = member.running
        found = []
        for key, _, record in member.view.items(Table.MEMBER):
            name = key.decode()
            role = records.decode(records.Member, record).role
            own = name == member.settings.node_id
            progress = replica.progress.get(name) if replica.is_leader else None
            connected = own or replica.connected(name)
            skew = 0 if own or member.links is None else member.links.skew_ns.get(name, 0) // 1_000_000
            found.append(
                {
                    "id": name,
                    "role": "leader" if name == leader_id else role,
                    "lag": 0 if own else (None if progress is None else replica.commit_index - progress.match),
                    "last_contact_ms": 0 if connected else None,
                    "clock_skew_ms": skew,
                    "version": PRODUCT_VERSION,
                }
            )
        return sorted(found, key=lambda one: str(one["id"]))


def _code(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or not 200 <= int(text) <= 599:  # others are no final answers
        raise Refusal(400)
    return int(text)


def _flag(query: Mapping[str, str], name: str) -> bool:
    text = query.get(name)
    if text is None:
        return False
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise Refusal(400)


__all__ = ["Status", "UnavailableError", "rfc3339", "uuid_of"]

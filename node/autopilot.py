"""How the members are, as autopilot says it: sys/storage/raft/autopilot/state.

Reading only, on the leader, who alone knows how far the others are. Source: Vault API, "sys/storage/raft/autopilot".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .engines.system.raft_members import TRAILING_LOGS_MAX
from .status import rfc3339
from .version import VAULT_VERSION

if TYPE_CHECKING:
    from cluster import Member


def autopilot_state(member: Member, active_since_ns: int) -> dict[str, Any]:
    """Each member and how many more of them may fail. `active_since_ns`: when this node began to lead."""
    now_ns = member.clock.wall_ns()
    servers = {name: _server(member, name, active_since_ns, now_ns) for name in sorted(member.settings.members)}
    healthy = sum(bool(server["healthy"]) for server in servers.values())
    tolerance = max(0, healthy - member.running.quorum)
    return {
        "failure_tolerance": tolerance,
        "healthy": healthy == len(servers),
        "leader": member.settings.node_id,
        "non_voters": [],
        "optimistic_failure_tolerance": tolerance,
        "servers": servers,
        "voters": list(servers),
    }


def _server(member: Member, name: str, active_since_ns: int, now_ns: int) -> dict[str, Any]:
    replica = member.running
    own = name == member.settings.node_id
    peer = member.settings.members[name].peer
    progress = replica.progress.get(name)
    connected = own or replica.connected(name)
    last_index = replica.log.last_index if own else 0 if progress is None else progress.match
    up_to_date = own or (progress is not None and not progress.recovering)
    healthy = connected and up_to_date and replica.commit_index - last_index <= TRAILING_LOGS_MAX
    return {
        "address": f"{peer[0]}:{peer[1]}",
        "healthy": healthy,
        "id": name,
        "last_contact": "0s" if connected else None,
        "last_index": last_index,
        "last_term": replica.term if connected else 0,
        "meta": None,
        "name": name,
        "node_status": "alive" if connected else "failed",
        "node_type": "voter",
        "stable_since": rfc3339(active_since_ns if healthy else now_ns),
        "status": "leader" if own else "voter",
        "version": VAULT_VERSION,
    }

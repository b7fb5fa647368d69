"""`status` and `health`: what a node is, what keeps it from serving, and what to type next.

`status` joins three questions: the seal (anyone may ask), the leader, and, with a token, the node's own account of
itself and its members. Exit 0 unsealed, 2 sealed, 1 not reachable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .failures import Refused
from .jsontext import one_line
from .output import columns, heading, pairs, remark
from .session import api_command, option

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .http import Reply
    from .session import Session

SILENT_MS = 3000  # a member not heard for this long is counted as lost


@api_command("status")
def status(session: Session) -> int:
    """Show the seal, the leader, each member's lag, how many nodes may be lost, and what to do."""
    seal = session.call("GET", "sys/seal-status")
    leader = session.ask("GET", "sys/leader")
    account = session.ask("GET", "strongroom/status") if session.settings.token else None
    ready = session.ask("GET", "/readyz")
    node = _inner(account)
    if session.output.field is not None:
        session.output.one_field(seal.document)
    else:
        session.output.body(_joined(seal, leader, account), _table(seal.document, leader.document, node))
    for line in next_steps(seal.document, leader.document, node, ready, asked=account):
        remark(line)
    return 2 if seal.document.get("sealed", True) else 0


def _inner(reply: Reply | None) -> dict[str, Any]:
    if reply is None or not reply.ok:
        return {}
    return reply.data or reply.document


def _joined(seal: Reply, leader: Reply, account: Reply | None) -> bytes:
    """The seal's object with two more keys, each an answer's bytes unchanged, or null where there is no answer."""
    own = seal.body.strip().removesuffix(b"}")
    leading = leader.body.strip() if leader.ok else b"null"
    accounted = account.body.strip() if account is not None and account.ok else b"null"
    return own + b',"leader":' + leading + b',"strongroom":' + accounted + b"}\n"


def _table(seal: Mapping[str, Any], leader: Mapping[str, Any], node: Mapping[str, Any]) -> str:
    known = {
        "Seal Type": seal.get("type"),
        "Initialized": seal.get("initialized"),
        "Sealed": seal.get("sealed"),
        "Total Shares": seal.get("n"),
        "Threshold": seal.get("t"),
        "Version": node.get("version", seal.get("version")),
        "Storage Type": seal.get("storage_type"),
    }
    if seal.get("sealed"):
        known["Unseal Progress"] = f"{seal.get('progress', 0)}/{seal.get('t', 0)}"
    else:
        known["Cluster Name"] = node.get("cluster_name", seal.get("cluster_name"))
        known["Cluster ID"] = node.get("cluster_id", seal.get("cluster_id"))
        alone = leader.get("ha_enabled") is False
        known["Leader"] = node.get("leader_id") or leader.get("leader_address") or ("this node" if alone else "none")
    for label, key in (
        ("Node ID", "node_id"),
        ("Profile", "profile"),
        ("Role", "role"),
        ("Applied Index", "applied_index"),
    ):
        if key in node:
            known[label] = node[key]
    table = columns(known.items(), ("Key", "Value"))
    members = node.get("members") or []
    if members:
        rows = [
            [member.get("id"), member.get("role"), _or_dash(member.get("lag")), _or_dash(member.get("last_contact_ms"))]
            for member in members
        ]
        table += f"\n{heading('Members')}{columns(rows, ('Node', 'Role', 'Lag (entries)', 'Last contact (ms)'))}"
        table += f"\n{quorum(node)}\n"
    return table


def _or_dash(value: Any) -> Any:
    return "-" if value is None else value


def quorum(node: Mapping[str, Any]) -> str:
    """How many voters answer, how many are needed, and how many more may be lost. Pure."""
    own = {node.get("node_id"), node.get("leader_id")}
    voters = [member for member in node.get("members") or [] if member.get("role") not in {"replica", "learner"}]
    heard = [member for member in voters if member.get("id") in own or _heard(member.get("last_contact_ms"))]
    needed = len(voters) // 2 + 1
    margin = len(heard) - needed
    if margin < 0:
        return f"Quorum: {len(heard)} of {len(voters)} voters answer, {needed} are needed: no write can be made"
    return f"Quorum: {len(heard)} of {len(voters)} voters answer, {needed} are needed: {margin} more may be lost"


def _heard(last_contact_ms: Any) -> bool:
    return isinstance(last_contact_ms, int) and last_contact_ms <= SILENT_MS


def next_steps(
    seal: Mapping[str, Any],
    leader: Mapping[str, Any],
    node: Mapping[str, Any],
    ready: Reply,
    *,
    asked: Reply | None,
) -> list[str]:
    """Why the node does not serve, and the command to type next; empty if all is well. Pure."""
    why = node.get("why") or ready.document.get("why") or []
    sentences: Sequence[Any] = why if isinstance(why, list) else [why]
    lines = [f"why: {one_line(sentence)}" for sentence in sentences]
    if not seal.get("initialized", True):
        return [*lines, "next: strongroom operator init   (once for the whole cluster)"]
    if seal.get("sealed"):
        return [
            *lines,
            f"next: strongroom operator unseal   ({seal.get('progress', 0)} of {seal.get('t', 0)} keys given)",
        ]
    if not (node.get("leader_id") or leader.get("leader_address")) and leader.get("ha_enabled", True):
        lines.append("next: strongroom status -address=URL on the other members; a majority must run and be unsealed")
    if asked is None:
        lines.append("note: with a token in STRONGROOM_TOKEN the members and their lag are shown")
    elif not asked.ok:
        lines.append(f"note: this token may not read strongroom/status ({asked.status}); members are not shown")
    return lines


@api_command("health")
@option("--ready", is_flag=True, help="ask whether the node serves strong reads, not only whether it lives")
def health(session: Session, ready: bool) -> None:
    """End with 0 if the node is healthy, with 2 if it says that it is not. Made for health checks; needs no token."""
    where = "/readyz" if ready else "sys/health"
    reply = session.ask("GET", where, query=None if ready else {"standbyok": "true"})
    if session.output.field is not None:
        session.output.one_field(reply.document)
    elif reply.document:
        session.output.body(reply.body, pairs(reply.document))
    if not reply.ok:
        why = reply.document.get("why") or reply.errors
        texts = [one_line(text) for text in why] if isinstance(why, list) else [one_line(why)]
        raise Refused(
            "\n".join([f"the node is not healthy: {where} answered {reply.status}", *(f"  * {text}" for text in texts)])
        )

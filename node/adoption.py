"""Adopting a restored cluster: until an operator says that it is the one, no audit device is enabled.

A shell around one transaction of the leader. Invariants
  A1  adoption enables the audit devices that were enabled in the backup, each unless another stands in its place,
      together with the mark that the cluster is adopted; or, if that is said, none of them
  A2  adopting twice is adopting once
Source: docs/backup.md; docs/threat-model.md, backup and restore.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from cluster import HELD_DEVICES, RESTORED, AuditDevice, Draft, Fact, Restored, Table, records

from .request import Answer
from .status import rfc3339, uuid_of

if TYPE_CHECKING:
    from cluster import Member, View

    from .audit_desk import AuditDesk


class Adoption:
    """One node's part: what it says, and on the leader what it does."""

    def __init__(self, member: Member, audit: AuditDesk) -> None:
        self._member = member
        self._audit = audit

    def waiting(self) -> bool:
        """The cluster began by a restore, and nobody has adopted it."""
        replica = self._member.replica
        found = None if replica is None else restored_of(replica.state)
        return found is not None and not found.adopted

    async def adopt(self, *, audit: bool) -> Answer:
        """The cluster is adopted; on the leader. Raises StrongroomError, and Refusal if a device cannot be opened."""
        found = restored_of(self._member.view)
        if found is None:
            return Answer(data={"restored": False, "audit_devices": []})
        devices = held_devices(self._member.view) if audit else {}
        for path, record in devices.items():
            device = records.decode(AuditDevice, record)
            if device.type == "file":
                await self._audit.broker.probe(path.decode(), device.type, device.options)

        def decide(view: View, _now_ns: int) -> tuple[Draft, None]:
            return adopting(view, audit=audit), None

        await self._member.propose(decide)
        if devices:
            await self._audit.opened_everywhere()
        data: dict[str, Any] = {
            "restored": True,
            "parent": uuid_of(found.parent),
            "parent_index": found.parent_index,
            "restored_at": rfc3339(found.time_ns),
            "audit_devices": sorted(path.decode() for path in devices),
        }
        return Answer(data=data)


def restored_of(view: View) -> Restored | None:
    """What the state says of its restore; None if it began by init."""
    fact = view.get(Table.FACT, RESTORED)
    record = None if fact is None else records.readable(Fact, fact[1])
    return None if record is None else records.readable(Restored, record.data)


def held_devices(view: View) -> dict[bytes, bytes]:
    """Audit devices of the backup that wait for adoption: path → record."""
    fact = view.get(Table.FACT, HELD_DEVICES)
    record = None if fact is None else records.readable(Fact, fact[1])
    if record is None:
        return {}
    try:
        return dict(msgspec.msgpack.decode(record.data, type=list[tuple[bytes, bytes]]))
    except msgspec.MsgspecError:
        return {}


def adopting(view: View, *, audit: bool) -> Draft:
    """The transaction (A1, A2); empty if there is nothing to adopt. Pure."""
    draft = Draft()
    fact, found = view.get(Table.FACT, RESTORED), restored_of(view)
    if fact is None or found is None or found.adopted:
        return draft
    draft.expect(Table.FACT, RESTORED, fact[0])
    adopted = records.encode(Restored(found.format, found.parent, found.parent_index, found.time_ns, adopted=True))
    draft.put(Table.FACT, RESTORED, records.change(Fact, fact[1], data=adopted))
    held = view.get(Table.FACT, HELD_DEVICES)
    if held is not None:
        draft.expect(Table.FACT, HELD_DEVICES, held[0])
        draft.drop(Table.FACT, HELD_DEVICES)
    for path, record in held_devices(view).items() if audit else ():
        if view.get(Table.AUDIT_DEVICE, path) is None:
            draft.expect(Table.AUDIT_DEVICE, path, 0)
            draft.put(Table.AUDIT_DEVICE, path, record)
    return draft

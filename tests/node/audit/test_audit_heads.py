"""Heads of audit chains that a member reports: facts under its own name, or refused as a whole."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from cluster import AuditHead, DamagedError, Table
from node.audit_desk import HEADS_CALL, AuditDesk

HEAD = AuditHead(file="audit.log", sequence=9, head=b"h" * 32, time_ns=5)
HIGHEST = AuditHead(file="", sequence=2**63 - 1, head=b"g" * 32)


class Leader:
    """A desk, and what it proposed."""

    def __init__(self) -> None:
        self.puts: list[tuple[int, bytes, bytes]] = []
        self.desk: Any = object.__new__(AuditDesk)
        self.desk._member = SimpleNamespace(propose=self._propose)

    async def _propose(self, decide: Any) -> None:
        self.puts += decide(None, 0)[0].puts

    async def hear(self, peer: str, body: bytes) -> bytes:
        return await self.desk.call(peer, HEADS_CALL, body)


async def test_a_member_speaks_of_its_own_chains() -> None:
    """Under its own id, whatever it says."""
    leader = Leader()
    assert await leader.hear("n2", msgspec.msgpack.encode({"file/": HEAD, "n1\0file/": HIGHEST})) == b""
    assert [(table, key) for table, key, _ in leader.puts] == [
        (Table.AUDIT_HEAD, b"n2\0file/"),
        (Table.AUDIT_HEAD, b"n2\0n1\0file/"),
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"\x93",
        msgspec.msgpack.encode({"file/": 5}),
        msgspec.msgpack.encode({"file/": {"sequence": 5}}),
        b"\x81\xa2\xff\xfe\x90",
        b"\x91" * 4_000,
        msgspec.msgpack.encode({"file/": HEAD, "socket/": AuditHead(sequence=-1, head=b"h" * 32)}),
        msgspec.msgpack.encode({"file/": HEAD, "socket/": AuditHead(sequence=2**63, head=b"h" * 32)}),
        msgspec.msgpack.encode({"file/": HEAD, "socket/": AuditHead(sequence=1, head=b"h" * 31)}),
        msgspec.msgpack.encode({"file/": HEAD, "socket/": AuditHead(sequence=1)}),
    ],
)
async def test_what_is_no_report_of_heads_changes_nothing(body: bytes) -> None:
    """Nor does one of which a part is none: no chain could go on from there."""
    leader = Leader()
    with pytest.raises(DamagedError):
        await leader.hear("n2", body)
    assert leader.puts == []

"""The members of the cluster as sys/storage/raft/configuration shows them.

Pure; any node answers from its member records. Source: Vault API, "sys/storage/raft/configuration".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import Table, records

from ...request import Answer, RawRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..base import Context
    from .routes import Captures


class Storage:
    """Handlers of sys/storage/raft. `leader_id` tells which member this node believes to lead, if any."""

    def __init__(self, leader_id: Callable[[], str | None]) -> None:
        self._leader_id = leader_id

    def read_configuration(self, context: Context, _request: RawRequest, _captures: Captures) -> Answer:
        """Every member, sorted by id; `index` is where the newest of the records was written."""
        leader_id = self._leader_id()
        servers, newest = [], 0
        for key, index, record in sorted(context.view.items(Table.MEMBER)):
            member = records.decode(records.Member, record)
            newest = max(newest, index)
            servers.append(
                {
                    "address": member.peer_address,
                    "leader": key.decode() == leader_id,
                    "node_id": key.decode(),
                    "protocol_version": "3",
                    "voter": member.role == "voter",
                }
            )
        return Answer(data={"config": {"index": newest, "servers": servers}})

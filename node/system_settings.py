"""Reading what sys/ has stored, outside of a request: for what a node follows by itself.

Pure. Invariant: nothing is decided or written here; the context has no caller and no randomness.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cluster import MOUNT_UUID_BYTES, Mount, Table, View, look

from .engines.base import Caller, Context

if TYPE_CHECKING:
    from cluster import ValueSealing

SYSTEM = "sys/"


def system_context(view: View, sealing: ValueSealing) -> Context | None:
    """The context of the system's mount in this view; None before the cluster has one."""
    found = look(view, Table.MOUNT, Mount, SYSTEM.encode())
    if found is None:
        return None
    return Context(
        view=view, now_ns=view.time_ns, random=_none, sealing=sealing, caller=Caller(), mount_path=SYSTEM,
        mount=found[1],
    )  # fmt: skip


def stores_under(transaction: Any, name: str) -> bool:
    """Whether the transaction changes an entry whose name begins so: of the system's mount, or, which costs a look and
    no more, of another.
    """
    start = name.encode()
    return any(
        table == Table.ENTRY and key.startswith(start, MOUNT_UUID_BYTES)
        for table, key, *_ in (*transaction.puts, *transaction.drops)
    )


def _none(_count: int) -> bytes:
    raise AssertionError("reading draws nothing")

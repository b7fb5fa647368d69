"""How deciders and readers look at state: applied records, or applied records under the leader's overlay.

Both `machine.State` and `overlay.Overlay` are Views. Iteration (`items`, `children`, `list`) over an overlay
includes its records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from . import records

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .tables import Table

R = TypeVar("R", bound=records.Record)


class View(Protocol):
    """Reading only."""

    @property
    def time_ns(self) -> int:
        """Stamp of the newest applied transaction."""
        ...

    def get(self, table: Table, key: bytes) -> tuple[int, bytes] | None:
        """(index at which it was written, record bytes), or None."""
        ...

    def items(self, table: Table) -> Iterator[tuple[bytes, int, bytes]]:
        """Every (key, index, record) of a small table (mounts, policies, devices, members), in no order."""
        ...

    def token_children(self, token: bytes) -> Iterator[bytes]:
        """Keys of the tokens whose parent is `token`."""
        ...

    def list_entries(self, folder: bytes, *, after: bytes = b"", limit: int = 0) -> list[bytes]:
        """As `list`, of what an engine stores (table ENTRY)."""
        ...

    def list_leases(self, folder: bytes, *, after: bytes = b"", limit: int = 0) -> list[bytes]:
        """As `list`, of lease ids; the folder of all is empty."""
        ...

    def list_identity(self, start: bytes, *, after: bytes = b"", limit: int = 0) -> list[bytes]:
        """Sorted, what follows `start` in keys of table IDENTITY that begin so; no byte of it parts folders."""
        ...

    def list(self, folder: bytes, *, after: bytes = b"", limit: int = 0) -> list[bytes]:
        """Sorted names below `folder` (mount uuid + path ending in "/" or just the uuid), folders with their slash."""
        ...


def look(view: View, table: Table, kind: type[R], key: bytes) -> tuple[int, R] | None:
    """The decoded record and its index, or None; raises as `records.decode` for bytes of another shape."""
    found = view.get(table, key)
    return None if found is None else (found[0], records.decode(kind, found[1]))


def index_of(view: View, table: Table, key: bytes) -> int:
    """Index at which the record was written, as a draft expects it; 0 if there is none."""
    found = view.get(table, key)
    return 0 if found is None else found[0]

"""Which certificates of a mount are revoked: those that were by themselves, and those whose lease is no longer valid.

Pure, but for a memory of what was opened that holds nothing secret and changes no answer. Invariants
  L1  whoever asks learns it as of the view that is asked in, and no entry is opened twice on the way there
  L2  there are never more than LEASED_MAX + REVOKED_MAX to look at: that is some 10 ms
  L3  a certificate whose lease is dead counts as revoked, and makes room for another leased one: it is noted as a
      revocation of its own, with its time, before it is forgotten as a leased one
Source: RFC 5280, section 5; docs/api.md, PKI.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from ...request import Refusal
from ..entries import Opened, drop, find, names, put
from ..leases import Validity
from . import crl_bytes
from .authority import LEASED, REVOKED, Leased, Revoked, after_listed, after_now, serial_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster import Draft

    from ..base import Context

NS = 1_000_000_000
MOUNTS_MAX = 64  # whose certificates are remembered
LEASED_MAX = 2_000  # living leased certificates of a mount
REVOKED_MAX = 10_000  # revoked ones of a mount that are on its list
_MOVED_MAX = 100  # certificates with dead leases that one request notes as revoked: two records each


class Noted(NamedTuple):
    """What is remembered of a revocation, or of a leased certificate, which is to be on the list if its lease dies."""

    name: str  # its end and serial number, as below leased/ and revoked/
    issuer_id: str
    entry: bytes  # of the list
    lease_id: str = ""

    @property
    def serial(self) -> str:
        """In hexadecimal."""
        return serial_of(self.name)


class Revocations:
    """Those of all mounts of this node."""

    def __init__(self) -> None:
        self._leased: Opened[Leased, Noted] = Opened(Leased, _of_leased, MOUNTS_MAX)
        self._revoked: Opened[Revoked, Noted] = Opened(Revoked, _of_revoked, MOUNTS_MAX)

    def read(self, context: Context) -> list[Noted]:
        """All that are on lists: leased ones that have not ended, others till one day later. Each once."""
        found = {noted.name: noted for noted in self._dead(context)}
        found |= {
            noted.name: noted for noted in self._revoked.read(context, REVOKED, after=after_listed(context.now_ns))
        }
        return list(found.values())

    def make_room(self, context: Context, draft: Draft) -> None:
        """The mount can have one leased certificate more; the draft says what had to be noted for that (L3).

        Raises Refusal.
        """
        after = after_now(context.now_ns)
        if len(names(context, LEASED, after=after, limit=LEASED_MAX)) < LEASED_MAX:
            return
        dead = list(islice(self._dead(context), min(_MOVED_MAX, _revoked_room(context))))
        if not dead:
            raise Refusal(400, f"this mount has {LEASED_MAX} living certificates with leases, and cannot have more")
        for noted in dead:
            leased = find(context, LEASED + noted.name, Leased)
            assert leased is not None, "it was found in this very view"
            drop(context, draft, LEASED + noted.name, leased)
            if find(context, REVOKED + noted.name, Revoked) is None:
                revoked = Revoked(revoked_ns=leased.value.issued_ns, issuer_id=noted.issuer_id)
                put(context, draft, REVOKED + noted.name, revoked, None)

    def _dead(self, context: Context) -> Iterator[Noted]:
        """Leased certificates that have not ended, and whose lease is no longer valid, or was made elsewhere."""
        validity = Validity(context.view, context.now_ns)
        for noted in self._leased.read(context, LEASED, after=after_now(context.now_ns)):
            if not (noted.lease_id.startswith(context.mount_path) and validity.is_valid(noted.lease_id)):
                yield noted


def check_room(context: Context) -> None:
    """The list has room for one more that is revoked by itself. Raises Refusal."""
    if not _revoked_room(context):
        raise Refusal(
            400,
            f"this mount has {REVOKED_MAX} revoked certificates on its list, and cannot have more: let certificates "
            "end sooner, or make another mount, and give up this mount's authority",
        )


def _revoked_room(context: Context) -> int:
    return REVOKED_MAX - len(names(context, REVOKED, after=after_listed(context.now_ns), limit=REVOKED_MAX))


def _of_leased(name: str, leased: Leased) -> Noted:
    # Nobody wrote down when a lease died: its certificate counts as revoked from its issue on.
    return Noted(name, leased.issuer_id, _entry(name, leased.issued_ns), leased.lease_id)


def _of_revoked(name: str, revoked: Revoked) -> Noted:
    return Noted(name, revoked.issuer_id, _entry(name, revoked.revoked_ns))


def _entry(name: str, revoked_ns: int) -> bytes:
    return crl_bytes.entry(int(serial_of(name), 16), revoked_ns // NS)

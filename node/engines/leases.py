"""What a lease is: made beside the secret it is of, valid while its token is, renewed, revoked alone or by prefix.

Pure. A lease's id is the path of the request that made it and 24 characters of base 62.
Invariants
  E1  a lease is in the transaction that makes its secret, or the secret is not given away
  E2  a lease is valid only while its own end has not come, its token and every ancestor are valid, its mount is the
      one it was made in, and nobody revoked it or its prefix; all of that from the same index on, however many. A token
      that is younger than the lease is another one under the same id: what died with the first stays dead
  E3  a renewal never goes beyond the lease's maximum and that of its mount, both counted from its issue
  E4  a token gets no leased secret for its last use
What is no longer valid is removed later: at its end, or by the sweep of its prefix.
Source: Vault concepts, "Lease, renew, and revoke"; Vault API, "sys/leases", "Token auth method" (num_uses).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster import Draft, Lease, Table, View, look, records, sweeps

from ..auth.token_ttl import TTL_S_MAX, Wish, decide_ttl_s
from ..auth.tokens import NS, find_valid, new_secret
from ..request import Refusal
from .system.mount_table import find_mount

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cluster import Mount

    from .base import Context, Plan

LAST_USE = "Secret cannot be returned; token had one use left, so leased credentials were immediately revoked."
LOOKED_MAX = 1_000  # leases that one LIST looks at to tell valid ones: a list is a few milliseconds


@dataclass(frozen=True, slots=True)
class LeaseView:
    """A valid lease: its id, the index it was written at, its record, its mount."""

    lease_id: str
    index: int
    record: Lease
    mount: Mount

    def ttl_s(self, now_ns: int) -> int:
        """Whole seconds it still lives."""
        return max(self.record.expires_ns - now_ns, 0) // NS


def new_id(request_path: str, random: Callable[[int], bytes]) -> str:
    """The id of a lease to be made by this request."""
    return f"{request_path}/{new_secret(random)}"


def grant(context: Context, plan: Plan, request_path: str, *, last_use: bool = False) -> None:
    """The lease the plan wishes for is in its draft and in its answer (E1). Raises Refusal (E4)."""
    wish = plan.lease
    if wish is None:
        return
    caller = context.caller
    if last_use:
        raise Refusal(400, LAST_USE)
    if caller.token_key is None:
        raise Refusal(403, "permission denied")
    if caller.type == "batch":
        # Nothing of a batch token is stored: what is tied to it would outlive what it hangs from.
        raise Refusal(400, "batch tokens cannot have leases")
    assert context.mount is not None  # the flow gives every engine its mount
    ttl_s = max(wish.ttl_s, 0)
    lease = Lease(
        token=caller.token_key,
        issued_ns=context.now_ns,
        expires_ns=context.now_ns + ttl_s * NS,
        path=request_path,
        renewable=wish.renewable,
        mount=context.mount.uuid,
        ttl_s=ttl_s,
        max_ttl_s=wish.max_ttl_s,
    )
    key = wish.lease_id.encode()
    plan.draft.expect(Table.LEASE, key, 0)
    plan.draft.put(Table.LEASE, key, lease)
    plan.answer.lease_id = wish.lease_id
    plan.answer.lease_duration_s = ttl_s
    plan.answer.renewable = wish.renewable
    plan.secret_answer = True  # what is worth a lease is not kept for a repetition


# ---- looking
def find(view: View, lease_id: str, now_ns: int) -> LeaseView | None:
    """The valid lease of that id, or None (E2)."""
    return Validity(view, now_ns).find(lease_id)


def why_not(view: View, lease_id: str, now_ns: int) -> str:
    """Why `find` gives nothing, in Vault's words."""
    found = look(view, Table.LEASE, Lease, lease_id.encode())
    return "lease expired" if found is not None and found[1].expires_ns <= now_ns else "lease not found"


class Validity:
    """E2 for many leases of one view at one instant: each token, and each folder of ids, is looked at once."""

    def __init__(self, view: View, now_ns: int) -> None:
        self._view = view
        self._now_ns = now_ns
        self._tokens: dict[bytes, int | None] = {}  # key → when it was made; None: it is not valid
        self._folders: dict[bytes, bool] = {}  # whether any revocation by prefix is about it

    def find(self, lease_id: str) -> LeaseView | None:
        """The valid lease of that id, or None."""
        found = self._lives(lease_id)
        held = None if found is None else find_mount(self._view, lease_id)
        if found is None or held is None or held[2].uuid != found[1].mount:
            return None  # not valid, unmounted, or moved: the path is another's now
        return LeaseView(lease_id, found[0], found[1], held[2])

    def is_valid(self, lease_id: str) -> bool:
        """E2 without the mount: for the engine that made the lease and knows where it is."""
        return self._lives(lease_id) is not None

    def _lives(self, lease_id: str) -> tuple[int, Lease] | None:
        key = lease_id.encode()
        found = look(self._view, Table.LEASE, Lease, key)
        if found is None or found[1].expires_ns <= self._now_ns:
            return None
        record = found[1]
        made_ns = self._made_ns(record.token)
        if made_ns is None or made_ns > record.issued_ns or self._is_swept(key, record.issued_ns):
            return None
        return found

    def _made_ns(self, token: bytes) -> int | None:
        if token not in self._tokens:
            found = find_valid(self._view, token, self._now_ns)
            self._tokens[token] = None if found is None else found.record.created_ns
        return self._tokens[token]

    def _is_swept(self, key: bytes, issued_ns: int) -> bool:
        folder = key[: key.rfind(b"/") + 1]
        if folder not in self._folders:
            self._folders[folder] = sweeps.lease_is_swept(self._view, folder, 0)
        return self._folders[folder] and sweeps.lease_is_swept(self._view, key, issued_ns)


def names(view: View, prefix: str, now_ns: int) -> list[str]:
    """Sorted names in the folder ("" or with its slash at the end) at or below which a lease is valid.

    Behind the first LOOKED_MAX leases, those that are only waiting to be removed are named, too.
    """
    shown: list[str] = []
    looked, validity = 0, Validity(view, now_ns)
    for found in view.list_leases(prefix.encode()):
        name = found.decode()
        for lease_id in _walk(view, prefix + name) if name.endswith("/") else (prefix + name,):
            looked += 1
            if looked > LOOKED_MAX or validity.find(lease_id) is not None:
                shown.append(name)
                break
    return shown


def _walk(view: View, folder: str) -> Iterator[str]:
    """Every id below the folder."""
    folders = [folder]
    while folders:
        here = folders.pop()
        for found in view.list_leases(here.encode()):
            name = here + found.decode()
            if name.endswith("/"):
                folders.append(name)
            else:
                yield name


# ---- changing
def renew(view: View, draft: Draft, lease: LeaseView, increment_s: int, now_ns: int) -> tuple[int, list[str]]:
    """(time to live from now in seconds, warnings); the draft has the new end (E3). Raises Refusal."""
    record = lease.record
    if not record.renewable:
        raise Refusal(400, "lease is not renewable")
    wish = Wish(increment_s=min(increment_s, TTL_S_MAX), ttl_s=record.ttl_s, explicit_max_ttl_s=record.max_ttl_s)
    ttl_s, warnings = decide_ttl_s(wish, lease.mount, record.issued_ns, now_ns)
    key = lease.lease_id.encode()
    found = view.get(Table.LEASE, key)
    assert found is not None, "the lease was found in this very view"
    draft.expect(Table.LEASE, key, lease.index)
    draft.put(
        Table.LEASE,
        key,
        records.change(Lease, found[1], expires_ns=now_ns + ttl_s * NS, last_renewal_ns=now_ns),
    )
    return ttl_s, warnings


def revoke(view: View, draft: Draft, lease_id: str) -> None:
    """The draft removes the lease, valid or not; nothing where there is none."""
    key = lease_id.encode()
    found = view.get(Table.LEASE, key)
    if found is not None:
        draft.expect(Table.LEASE, key, found[0])
        draft.drop(Table.LEASE, key)


def revoke_prefix(view: View, draft: Draft, prefix: str, now_ns: int) -> None:
    """Every lease below the folder that was issued until now is invalid, in one small fact."""
    assert prefix.endswith("/")
    sweeps.start(view, draft, sweeps.LEASE_KIND, prefix.encode(), time_ns=now_ns)

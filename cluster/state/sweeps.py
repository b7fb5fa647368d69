"""Big removals, and what has expired: transactions that whoever leads decides from state alone.

Pure. An unmount of 100,000 secrets is one small fact that makes them unreachable at once (the mount is gone; a token
is valid only while every ancestor is; a lease issued before its prefix was revoked is dead), and a Sweep record.
From then on each step removes up to `limit` records, until the last one removes the Sweep record too.

Kinds, and their targets
  mount   a mount uuid; its secrets and its entries go
  token   a token's key, whose record is gone; its descendants and their accessors go
  lease   a folder of lease ids (ends in "/", or is empty for all); leases issued until the sweep's `time_ns` go

Invariants
  W1  a step is decided only on a Sweep record that is applied and that nothing pending changes: so everything
      proposed before the removal is in the state, and one step of a sweep is in flight at a time
  W2  nothing reachable is removed: a target that is alive ends its sweep
  W3  descendants go before their parents, or the path to those left would be lost
  W4  every record that had to be read is expected at the index at which it was read
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import records
from .indexes import LEASE
from .removal import Removal
from .slots import METADATA
from .tables import RECORDS_MAX, VERSION_BYTES, Table
from .view import View, look

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .machine import State
    from .transaction import Draft

MOUNT_KIND = "mount"
TOKEN_KIND = "token"  # noqa: S105 - the name of a kind of sweep
LEASE_KIND = "lease"
LIMIT = RECORDS_MAX - 1
LIMIT_MIN = 3  # a token, its accessor, and the sweep of its descendants
LEASES_PASSED_MAX = 2_000  # living leases that one step looks at: a step is a few milliseconds


# ---- deciding that something goes, and reading until it is gone
def sweep_key(kind: str, target: bytes) -> bytes:
    """Key of the Sweep record."""
    return kind.encode() + b"\x00" + target


def start(view: View, draft: Draft, kind: str, target: bytes, *, time_ns: int = 0) -> None:
    """The draft, which makes everything under the target unreachable, also says that it is to be removed.

    A lease sweep needs `time_ns`, the time of the decision. A sweep under way of the same target starts again.
    """
    key = sweep_key(kind, target)
    draft.expect(Table.SWEEP, key, _index(view, Table.SWEEP, key))
    draft.put(Table.SWEEP, key, records.Sweep(kind=kind, target=target, time_ns=time_ns))


def lease_is_swept(view: View, lease_id: bytes, issued_ns: int) -> bool:
    """Whether the lease was revoked with its prefix and is only waiting to be removed."""
    end = 0
    while True:
        found = look(view, Table.SWEEP, records.Sweep, sweep_key(LEASE_KIND, lease_id[:end]))
        if found is not None and issued_ns <= found[1].time_ns:
            return True
        end = lease_id.find(b"/", end) + 1
        if end == 0:
            return False


# ---- removing
def next_sweep(state: State, limit: int = LIMIT, *, view: View | None = None) -> Draft | None:
    """The next step of the first sweep that can go on; None if none can. On a leader `view` is its overlay."""
    assert limit >= LIMIT_MIN
    view = state if view is None else view
    for key, index, record in sorted(state.items(Table.SWEEP)):
        sweep = records.readable(records.Sweep, record)
        step = None if sweep is None else _STEPS.get(sweep.kind)
        if sweep is None or step is None or _index(view, Table.SWEEP, key) != index:
            continue
        removal = Removal(limit)
        finished, after = step(state, view, sweep, removal)
        if not (finished and removal.drop(Table.SWEEP, key, index)):
            removal.put(Table.SWEEP, key, records.change(records.Sweep, record, after=after), index)
        return removal.draft
    return None


def next_expiry(state: State, now_ns: int, limit: int = LIMIT, *, view: View | None = None) -> Draft | None:
    """A transaction that drops exactly records that expired, with their accessors; None if nothing is due.

    Descendants of an expired token are unreachable with it; where it has any, a sweep of them begins.
    """
    assert limit >= LIMIT_MIN
    view = state if view is None else view
    removal = Removal(limit)
    for table, key, index in state.expired(now_ns, limit):
        if _index(view, Table(table), key) != index:
            continue  # changed or dropped by something pending
        if not (removal.drop(Table.LEASE, key, index) if table == LEASE else _expire_token(view, key, removal)):
            break
    return None if removal.empty else removal.draft


def _expire_token(view: View, key: bytes, removal: Removal) -> bool:
    if next(iter(view.token_children(key)), None) is None:
        return _drop_token(view, key, removal)
    name = sweep_key(TOKEN_KIND, key)
    # The accessor is not longer than a key may be; so much room is asked for, in an otherwise empty step there is.
    if not removal.fits(LIMIT_MIN, 8 * len(name)) or not _drop_token(view, key, removal):
        return False
    sweep = records.encode(records.Sweep(kind=TOKEN_KIND, target=key))
    removal.put(Table.SWEEP, name, sweep, _index(view, Table.SWEEP, name))
    return True


Step = tuple[bool, bytes]  # whether nothing is left; the last key removed or passed


def _sweep_mount(state: State, view: View, sweep: records.Sweep, removal: Removal) -> Step:
    after = sweep.after
    for _, _, record in view.items(Table.MOUNT):
        mount = records.readable(records.Mount, record)
        if mount is not None and mount.uuid == sweep.target:
            return True, after  # W2
    for key in state.indexes.secrets.walk(sweep.target):
        if not _drop_secret(state, view, key, removal):
            return False, after
        after = key
    for key in state.indexes.entries.walk(sweep.target):
        index = _index(view, Table.ENTRY, key)
        if index and not removal.drop(Table.ENTRY, key, index):
            return False, after
        after = key
    return True, after


def _drop_secret(state: State, view: View, key: bytes, removal: Removal) -> bool:
    # Metadata last: a secret with more versions than one transaction may drop keeps its place in the tree till then.
    for held in reversed(state.secret(key) or ()):
        number = held[:VERSION_BYTES]
        if number == METADATA:
            index = _index(view, Table.SECRET, key)
            dropped = not index or removal.drop(Table.SECRET, key, index)
        else:
            name = key + number
            dropped = view.get(Table.VERSION, name) is None or removal.drop(Table.VERSION, name)
        if not dropped:
            return False
    return True


def _sweep_token(_state: State, view: View, sweep: records.Sweep, removal: Removal) -> Step:
    after = sweep.after
    if view.get(Table.TOKEN, sweep.target) is not None:
        return True, after  # W2
    for key in _descendants(view, sweep.target):
        if not _drop_token(view, key, removal):
            return False, after
        after = key
    return True, after


def _descendants(view: View, token: bytes) -> Iterator[bytes]:
    """Every token below this one, each after those below it (W3). Records that name each other in a ring end it."""
    seen = {token}
    path = [(token, iter(view.token_children(token)))]
    while path:
        here, children = path[-1]
        child = next((child for child in children if child not in seen), None)
        if child is not None:
            seen.add(child)
            path.append((child, iter(view.token_children(child))))
            continue
        path.pop()
        if path:
            yield here


def _drop_token(view: View, key: bytes, removal: Removal) -> bool:
    found = view.get(Table.TOKEN, key)
    assert found is not None  # children and what expired are looked up in the same view
    token = records.readable(records.Token, found[1])
    accessor = b"" if token is None else token.accessor
    held = view.get(Table.ACCESSOR, accessor) if accessor else None
    owner = None if held is None else records.readable(records.Accessor, held[1])
    if held is None or owner is None or owner.token != key:
        return removal.drop(Table.TOKEN, key, found[0])
    if not removal.fits(2, 2 * (len(key) + len(accessor))):
        return False
    return removal.drop(Table.TOKEN, key, found[0]) and removal.drop(Table.ACCESSOR, accessor, held[0])


def _sweep_leases(state: State, view: View, sweep: records.Sweep, removal: Removal) -> Step:
    after = sweep.after
    passed = 0
    for key in state.indexes.leases.walk(sweep.target, after):
        found = view.get(Table.LEASE, key)
        lease = None if found is None else records.readable(records.Lease, found[1])
        if found is not None and lease is not None and lease.issued_ns <= sweep.time_ns:
            if not removal.drop(Table.LEASE, key, found[0]):
                return False, after
        else:
            passed += 1
        after = key
        if passed >= LEASES_PASSED_MAX:
            return False, after
    return True, after


_STEPS: dict[str, Callable[[State, View, records.Sweep, Removal], Step]] = {
    MOUNT_KIND: _sweep_mount,
    TOKEN_KIND: _sweep_token,
    LEASE_KIND: _sweep_leases,
}


def _index(view: View, table: Table, key: bytes) -> int:
    found = view.get(table, key)
    return 0 if found is None else found[0]

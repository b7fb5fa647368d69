"""Big removals, and what has expired: transactions that whoever leads decides from state alone.

Pure. An unmount of 100,000 secrets is one small fact that makes them unreachable at once (the mount is gone; a token
is valid only while every ancestor is; a lease issued before its prefix was revoked is dead), and a Sweep record.
From then on each step removes up to `limit` records, until the last one removes the Sweep record too.

Kinds, and their targets
  mount   a mount uuid; its secrets and its entries go
  token   a token's key, whose record is gone; its descendants and their accessors go
  lease   a folder of lease ids (ends in "/", or is empty for all); leases issued until the sweep's `time_ns` go
  cubbyhole   what one token kept, as `cubbyhole` names it; its entries go, unless the token is there
  restore   a mount uuid that is written to and not mounted yet: nothing goes while its writer is at work; once nobody
      is, everything does, as of a mount (`next_abandoned`)

Invariants
  W1  a step is decided only on a Sweep record that is applied and that nothing pending changes: so everything
      proposed before the removal is in the state, and one step of a sweep is in flight at a time
  W2  nothing reachable is removed: a target that is alive ends its sweep
  W3  descendants go before their parents, or the path to those left would be lost
  W4  every record that had to be read is expected at the index at which it was read
  W5  whoever writes below a `restore` expects its record as it is: so nothing is written there once it is given up
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import records
from .indexes import LEASE
from .removal import Removal
from .slots import METADATA
from .tables import MOUNT_UUID_BYTES, RECORDS_MAX, VERSION_BYTES, Table
from .view import View, index_of, look

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from .machine import State
    from .transaction import Draft

MOUNT_KIND = "mount"
TOKEN_KIND = "token"  # noqa: S105 - the name of a kind of sweep
LEASE_KIND = "lease"
CUBBYHOLE_KIND = "cubbyhole"
RESTORE_KIND = "restore"
CUBBYHOLE_MOUNT = b"cubbyhole/"
_SERVICE = "service"  # type of the tokens that keep anything
CUBBYHOLE_FEW = 2  # entries that go with their token at once: those of a wrapping token; more are swept
LIMIT = RECORDS_MAX - 1
LIMIT_MIN = 4  # a token, its accessor, the sweep of its descendants and that of its cubbyhole
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
    draft.expect(Table.SWEEP, key, index_of(view, Table.SWEEP, key))
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


# ---- what a token keeps for itself
def cubbyhole(view: View, token: bytes) -> bytes:
    """Folder of the entries that the token with this key keeps; b"" where there is no mount for them."""
    found = view.get(Table.MOUNT, CUBBYHOLE_MOUNT)
    mount = None if found is None else records.readable(records.Mount, found[1])
    return b"" if mount is None else mount.uuid + token.hex().encode() + b"/"


def keeps_something(view: View, token: bytes) -> bool:
    """Whether an entry is stored for the token with this key, be there such a token or not."""
    folder = cubbyhole(view, token)
    return bool(folder and view.list_entries(folder, limit=1))


def drop_cubbyhole(view: View, draft: Draft, token: bytes) -> None:
    """The draft, which drops the token with this key, also drops what it kept, or says that it is to be removed."""
    folder, entries = _kept(view, token)
    if entries is None:
        start(view, draft, CUBBYHOLE_KIND, folder)
        return
    for key, index in entries:
        draft.expect(Table.ENTRY, key, index)
        draft.drop(Table.ENTRY, key)


def _kept(view: View, token: bytes) -> tuple[bytes, list[tuple[bytes, int]] | None]:
    """(folder, [(key, index) of each entry]) of a token; None in place of the list if there are more than FEW."""
    folder = cubbyhole(view, token)
    names = view.list_entries(folder, limit=CUBBYHOLE_FEW + 1) if folder else []
    if len(names) > CUBBYHOLE_FEW or any(name.endswith(b"/") for name in names):
        return folder, None
    return folder, [(folder + name, index_of(view, Table.ENTRY, folder + name)) for name in names]


# ---- removing
def next_sweep(state: State, limit: int = LIMIT, *, view: View | None = None) -> Draft | None:
    """The next step of the first sweep that can go on; None if none can. On a leader `view` is its overlay."""
    assert limit >= LIMIT_MIN
    view = state if view is None else view
    for key, index, record in sorted(state.items(Table.SWEEP)):
        sweep = records.readable(records.Sweep, record)
        step = None if sweep is None else _STEPS.get(sweep.kind)
        if sweep is None or step is None or index_of(view, Table.SWEEP, key) != index:
            continue
        removal = Removal(limit)
        finished, after = step(state, view, sweep, removal)
        if not (finished and removal.drop(Table.SWEEP, key, index)):
            removal.put(Table.SWEEP, key, records.change(records.Sweep, record, after=after), index)
        return removal.draft
    return None


def next_abandoned(
    state: State, at_work: Collection[bytes], limit: int = LIMIT, *, view: View | None = None
) -> Draft | None:
    """What was to become mounts, and whose writer is gone, is removed like unmounted ones; None where there is none.

    `at_work`: the uuids that this leader itself is writing to.
    """
    view = state if view is None else view
    removal = Removal(limit)
    for key, index, record in sorted(state.items(Table.SWEEP)):
        sweep = records.readable(records.Sweep, record)
        if sweep is None or sweep.kind != RESTORE_KIND or sweep.target in at_work:
            continue
        if index_of(view, Table.SWEEP, key) != index:
            continue
        name = sweep_key(MOUNT_KIND, sweep.target)
        if not removal.fits(2, 2 * len(key) + 8 * len(name)):
            break
        removal.drop(Table.SWEEP, key, index)
        _start(view, removal, MOUNT_KIND, sweep.target)
    return None if removal.empty else removal.draft


def next_expiry(state: State, now_ns: int, limit: int = LIMIT, *, view: View | None = None) -> Draft | None:
    """A transaction that drops exactly records that expired, with their accessors; None if nothing is due.

    Descendants of an expired token are unreachable with it; where it has any, a sweep of them begins; and one of what
    it kept for itself, where that is more than goes at once.
    """
    assert limit >= LIMIT_MIN
    view = state if view is None else view
    removal = Removal(limit)
    for table, key, index in state.expired(now_ns, limit):
        if index_of(view, Table(table), key) != index:
            continue  # changed or dropped by something pending
        if not (removal.drop(Table.LEASE, key, index) if table == LEASE else _expire_token(view, key, removal)):
            break
    return None if removal.empty else removal.draft


def _expire_token(view: View, key: bytes, removal: Removal) -> bool:
    if next(iter(view.token_children(key)), None) is None:
        return _drop_token(view, key, removal)
    name = sweep_key(TOKEN_KIND, key)
    # So much room is asked for; in an otherwise empty step there is.
    if not _drop_token(view, key, removal, beside=1, beside_bytes=8 * len(name)):
        return False
    _start(view, removal, TOKEN_KIND, key)
    return True


def _start(view: View, removal: Removal, kind: str, target: bytes) -> None:
    name = sweep_key(kind, target)
    sweep = records.encode(records.Sweep(kind=kind, target=target))
    removal.put(Table.SWEEP, name, sweep, index_of(view, Table.SWEEP, name))


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
        index = index_of(view, Table.ENTRY, key)
        if index and not removal.drop(Table.ENTRY, key, index):
            return False, after
        after = key
    return True, after


def _drop_secret(state: State, view: View, key: bytes, removal: Removal) -> bool:
    # Metadata last: a secret with more versions than one transaction may drop keeps its place in the tree till then.
    for held in reversed(state.secret(key) or ()):
        number = held[:VERSION_BYTES]
        if number == METADATA:
            index = index_of(view, Table.SECRET, key)
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


def _drop_token(view: View, key: bytes, removal: Removal, *, beside: int = 0, beside_bytes: int = 0) -> bool:
    """The token goes with its accessor and what it kept, or nothing does; `beside`: records to be put with it."""
    found = view.get(Table.TOKEN, key)
    assert found is not None  # children and what expired are looked up in the same view
    drops = [(Table.TOKEN, key, found[0]), *_accessor_of(view, key, found[1])]
    folder, entries = _kept(view, key)
    with_entries = drops + [(Table.ENTRY, *entry) for entry in entries or ()]
    if entries is not None and _fit(removal, with_entries, beside, beside_bytes):
        drops, entries = with_entries, []
    elif not _fit(removal, drops, beside + 1, beside_bytes + 8 * len(folder)):
        return False
    for table, name, index in drops:
        removal.drop(table, name, index)
    if entries != []:
        _start(view, removal, CUBBYHOLE_KIND, folder)
    return True


def _accessor_of(view: View, key: bytes, record: bytes) -> list[tuple[Table, bytes, int]]:
    token = records.readable(records.Token, record)
    accessor = b"" if token is None else token.accessor
    held = view.get(Table.ACCESSOR, accessor) if accessor else None
    owner = None if held is None else records.readable(records.Accessor, held[1])
    if held is None or owner is None or owner.token != key:
        return []
    return [(Table.ACCESSOR, accessor, held[0])]


def _fit(removal: Removal, drops: list[tuple[Table, bytes, int]], beside: int, beside_bytes: int) -> bool:
    return removal.fits(len(drops) + beside, sum(2 * len(key) for _, key, _ in drops) + beside_bytes)


def _sweep_cubbyhole(state: State, view: View, sweep: records.Sweep, removal: Removal) -> Step:
    after = sweep.after
    if _may_be_reached(view, sweep.target):
        return True, after  # W2
    for key in state.indexes.entries.walk(sweep.target, after):
        index = index_of(view, Table.ENTRY, key)
        if index and not removal.drop(Table.ENTRY, key, index):
            return False, after
        after = key
    return True, after


def _may_be_reached(view: View, folder: bytes) -> bool:
    """Whether anything but a token that is gone may own what lies in the folder."""
    try:
        token = bytes.fromhex(folder[MOUNT_UUID_BYTES:-1].decode())
    except ValueError:
        return True
    if folder != cubbyhole(view, token):
        return True
    found = view.get(Table.TOKEN, token)
    record = None if found is None else records.readable(records.Token, found[1])
    return found is not None and (record is None or record.type == _SERVICE)


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
    CUBBYHOLE_KIND: _sweep_cubbyhole,
}

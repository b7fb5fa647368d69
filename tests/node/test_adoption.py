"""Adoption as a transaction: what it enables, what it leaves, and that it happens once."""

from __future__ import annotations

import msgspec

from cluster import HELD_DEVICES, RESTORED, AuditDevice, Fact, Restored, State, Table, Transaction, records
from node.adoption import adopting, held_devices, restored_of


def device(path: str) -> AuditDevice:
    return AuditDevice(type="file", options={"file_path": path})


def state(*, held: dict[bytes, AuditDevice] | None = None, present: dict[bytes, AuditDevice] | None = None) -> State:
    """A restored cluster that waits for adoption."""
    made = State(b"k" * 32)
    restored = Restored(parent=b"p" * 16, parent_index=9, time_ns=5)
    puts = [(Table.FACT, RESTORED, records.encode(Fact(text="restored", data=records.encode(restored))))]
    if held:
        data = msgspec.msgpack.encode([(path, records.encode(one)) for path, one in held.items()])
        puts.append((Table.FACT, HELD_DEVICES, records.encode(Fact(data=data))))
    puts += [(Table.AUDIT_DEVICE, path, records.encode(one)) for path, one in (present or {}).items()]
    assert made.apply(1, 1, Transaction(1, 1, 1, [], puts, [])).ok
    return made


def applied(made: State, *, audit: bool) -> State:
    draft = adopting(made, audit=audit)
    assert made.apply(2, 1, Transaction(1, 2, 2, draft.expects, draft.puts, draft.drops)).ok
    return made


def test_adoption_enables_what_the_backup_had() -> None:
    """The same records, and the mark; nothing is held any more."""
    held = {b"file/": device("a"), b"other/": device("b")}
    made = applied(state(held=held), audit=True)
    found = restored_of(made)

    assert found is not None
    assert (found.adopted, found.parent, found.parent_index, found.time_ns) == (True, b"p" * 16, 9, 5)
    assert {key: record for key, _, record in made.items(Table.AUDIT_DEVICE)} == {
        path: records.encode(one) for path, one in held.items()
    }
    assert held_devices(made) == {}


def test_a_device_that_was_enabled_meanwhile_stays() -> None:
    """Nothing is put in its place."""
    made = applied(state(held={b"file/": device("old")}, present={b"file/": device("new")}), audit=True)

    assert {key: record for key, _, record in made.items(Table.AUDIT_DEVICE)} == {
        b"file/": records.encode(device("new"))
    }


def test_adoption_without_audit_forgets_the_devices() -> None:
    """They cannot come back later by accident."""
    made = applied(state(held={b"file/": device("a")}), audit=False)

    assert list(made.items(Table.AUDIT_DEVICE)) == []
    assert held_devices(made) == {}


def test_adopting_twice_is_adopting_once() -> None:
    """And a cluster that began by init has nothing to adopt."""
    made = applied(state(held={b"file/": device("a")}), audit=True)
    again, never = adopting(made, audit=True), adopting(State(b"k" * 32), audit=True)

    assert (again.puts, again.drops, never.puts, never.drops) == ([], [], [], [])

"""What an engine stores under names of its own: sealed in its place, changed as it was read, listed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from cluster import DamagedError, Draft, Entry, Table, records
from cluster.state import tables
from node.engines import entries
from node.engines.kv1 import KvV1
from node.request import Refusal
from tests.node.engines.fakes import MOUNT_UUID, Bench


class Role(msgspec.Struct, array_like=True):
    name: str = ""
    uses: int = 0


class LaterRole(msgspec.Struct, array_like=True):
    name: str = ""
    uses: int = 0
    since: str = "never"


@pytest.fixture
def bench() -> Bench:
    return Bench(KvV1())


def store(bench: Bench, name: str, value: msgspec.Struct) -> None:
    context, draft = bench.context(), Draft()
    entries.put(context, draft, name, value, entries.find(context, name, type(value)))
    bench.view.apply(draft)


def test_what_is_stored_is_found_and_what_is_dropped_is_gone(bench: Bench) -> None:
    """Under its name alone."""
    store(bench, "role/app", Role("app", 3))
    found = entries.find(bench.context(), "role/app", Role)
    assert found is not None
    assert found.value == Role("app", 3)
    assert entries.find(bench.context(), "role/other", Role) is None

    draft = Draft()
    entries.drop(bench.context(), draft, "role/app", found)
    bench.view.apply(draft)
    assert entries.find(bench.context(), "role/app", Role) is None


def test_a_name_that_is_too_long_is_refused_and_never_proposed(bench: Bench) -> None:
    """The longest is stored; nothing of the name is in the refusal."""
    most = entries.KEY_BYTES_MAX - len(MOUNT_UUID)
    store(bench, "n" * most, Role("longest"))
    draft = Draft()
    for name in ("n" * (most + 1), "\u00fc" * (most // 2 + 1)):
        with pytest.raises(Refusal) as caught:
            entries.put(bench.context(), draft, name, Role(), None)
        assert (caught.value.status, name[:5] in caught.value.texts[0]) == (400, False)

    assert draft.empty
    assert entries.find(bench.context(), "n" * most, Role) is not None
    assert entries.KEY_BYTES_MAX == tables.KEY_BYTES_MAX


def test_of_two_changes_decided_on_one_state_only_one_is_applied(bench: Bench) -> None:
    """The other one names an index that is not the record's any more."""
    store(bench, "role/app", Role("app", 1))
    context = bench.context()
    found = entries.find(context, "role/app", Role)
    drafts = []
    for uses in (2, 3):
        draft = Draft()
        entries.put(context, draft, "role/app", Role("app", uses), found)
        drafts.append(draft)
    bench.view.apply(drafts[0])

    with pytest.raises(AssertionError):
        bench.view.apply(drafts[1])


def test_no_box_opens_under_another_name_or_as_an_earlier_put(bench: Bench) -> None:
    """Whoever exchanges records, or puts an old one back, is found out."""
    store(bench, "role/a", Role("a"))
    before = records.decode(Entry, bench.view.get(Table.ENTRY, MOUNT_UUID + b"role/a")[1])
    store(bench, "role/a", Role("a", 2))
    now = records.decode(Entry, bench.view.get(Table.ENTRY, MOUNT_UUID + b"role/a")[1])
    assert before.rid != now.rid
    for name, entry in (("role/b", now), ("role/a", Entry(salt_id=1, box=before.box, rid=now.rid))):
        draft = Draft()
        draft.put(Table.ENTRY, MOUNT_UUID + name.encode(), entry)
        bench.view.apply(draft)
        with pytest.raises(DamagedError):
            entries.find(bench.context(), name, Role)


def test_names_are_listed_by_folder(bench: Bench) -> None:
    """Sorted, folders with their slash, behind a name and up to a number of them."""
    for name in ("role/b", "role/a", "role/deep/x", "other"):
        store(bench, name, Role(name))
    context = bench.context()

    assert entries.names(context, "") == ["other", "role/"]
    assert entries.names(context, "role/") == ["a", "b", "deep/"]
    assert entries.names(context, "role/", after="a", limit=1) == ["b"]
    assert [(name, found.value.name) for name, found in entries.walk(context, "role/", Role)] == [
        ("a", "role/a"), ("b", "role/b"),
    ]  # fmt: skip


def test_an_entry_of_an_earlier_program_opens_and_one_of_another_shape_does_not(bench: Bench) -> None:
    """New fields have their defaults."""
    store(bench, "role/app", Role("app", 3))
    found = entries.find(bench.context(), "role/app", LaterRole)
    assert found is not None
    assert found.value == LaterRole("app", 3, "never")

    class Other(msgspec.Struct):
        number: int

    other: Any = Other
    with pytest.raises(DamagedError):
        entries.find(bench.context(), "role/app", other)


def test_nothing_shows_what_is_stored(bench: Bench) -> None:
    """Not even by accident."""
    store(bench, "role/app", Role("planted"))
    found = entries.find(bench.context(), "role/app", Role)

    assert "planted" not in repr(found)


# ---- folders that are read again and again
class Reading:
    """What is made of entries, and of how many so far."""

    def __init__(self, folders_max: int = 4) -> None:
        self.made: list[str] = []
        self.opened: entries.Opened[Role, str] = entries.Opened(Role, self._make, folders_max)

    def _make(self, name: str, role: Role) -> str:
        self.made.append(name)
        return f"{name}={role.uses}"


def test_a_folder_that_is_read_again_opens_what_changed(bench: Bench) -> None:
    """What is gone is forgotten, what is behind `after` is all there is, and another folder is another."""
    reading = Reading()
    for name, uses in (("role/a", 1), ("role/b", 2), ("other/a", 9)):
        store(bench, name, Role(uses=uses))
    read = reading.opened.read
    first = [read(bench.context(), "role/"), read(bench.context(), "role/")]
    store(bench, "role/b", Role(uses=3))
    store(bench, "role/c", Role(uses=4))
    second = read(bench.context(), "role/")

    assert first == [["a=1", "b=2"]] * 2
    assert (second, reading.made) == (["a=1", "b=3", "c=4"], ["a", "b", "b", "c"])
    assert read(bench.context(), "role/", after="a") == ["b=3", "c=4"]
    assert (read(bench.context(), "other/"), read(bench.context(), "none/")) == (["a=9"], [])


def test_what_was_read_of_a_proposal_that_came_to_nothing_is_not_believed(bench: Bench) -> None:
    """Another record under the same name, even at the same index, is opened."""
    reading = Reading()
    tables_before = {table: dict(records_) for table, records_ in bench.view.tables.items()}
    store(bench, "role/a", Role(uses=1))
    proposed = reading.opened.read(bench.context(), "role/")
    bench.view.tables.clear()
    bench.view.tables.update(tables_before)
    bench.view.index -= 1
    store(bench, "role/a", Role(uses=2))

    assert (proposed, reading.opened.read(bench.context(), "role/")) == (["a=1"], ["a=2"])


def test_only_so_many_folders_are_remembered(bench: Bench) -> None:
    """The one that was not read for the longest time is forgotten."""
    reading = Reading(folders_max=2)
    for folder in ("x/", "y/", "z/"):
        store(bench, folder + folder[0], Role())
    for folder in ("x/", "y/", "x/", "z/", "x/", "y/"):
        reading.opened.read(bench.context(), folder)

    assert reading.made == ["x", "y", "z", "y"]

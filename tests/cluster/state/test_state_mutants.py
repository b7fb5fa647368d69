"""Mutants of the room: each breaks one rule, and the test that holds the rule must notice.

Each scenario runs twice: as it is it passes, under the mutant it fails.
"""

from __future__ import annotations

from functools import partial

import pytest

from cluster.state import indexes, machine, records, snapshot, stamp, sweeps, write_ids
from cluster.state.digest import Fingerprints
from cluster.state.expiry import TimeBuckets
from cluster.state.indexes import Indexes
from cluster.state.machine import State
from cluster.state.overlay import Overlay
from cluster.state.pathtree import PathTree
from cluster.state.snapshot import Pin
from cluster.state.tables import Table
from tests.cluster.state import test_state_apply as applies
from tests.cluster.state import test_state_digest as digests
from tests.cluster.state import test_state_expiry as expiries
from tests.cluster.state import test_state_fuzz as fuzz
from tests.cluster.state import test_state_overlay as overlays
from tests.cluster.state import test_state_snapshot as snapshots
from tests.cluster.state import test_state_stamp as stamps
from tests.cluster.state import test_state_sweeps as sweep_tests
from tests.cluster.state import test_state_write_ids as write_id_tests

original = {
    "fingerprint": Fingerprints.of,
    "apply": State.apply,
    "change": Indexes.change,
    "names": PathTree.names,
    "leave": Overlay._leave,
    "install": State._install,
}


def keep_without_copying(self, table, number, shard):
    waiting = self._waiting.get(table)
    if waiting is not None and waiting[number]:
        self._kept[table, number] = shard


def keep_again(self, table, number, shard):
    if self._waiting.get(table) is not None and self._waiting[table][number]:
        self._kept[table, number] = shard.copy()


def fingerprint_without_key(self, table, _key, record):
    return original["fingerprint"](self, table, b"", record)


def fingerprint_without_border(self, table, key, record):
    return original["fingerprint"](self, table, b"", key + record)


def fingerprint_of_one_table(self, _table, key, record):
    return original["fingerprint"](self, 0, key, record)


def apply_without_expectations(self, index, term, transaction):
    transaction.expects.clear()
    return original["apply"](self, index, term, transaction)


def apply_puts_before_drops(self, index, changes):
    if changes and len(changes[0]) == 3 and changes[0][2] is None:
        self._dropped_later = changes
        return
    original["install"](self, index, changes)
    if dropped := self.__dict__.pop("_dropped_later", None):
        original["install"](self, index, dropped)


def change_that_forgets_removals(self, table, key, old, new):
    if new is not None:
        original["change"](self, table, key, old, new)


def remove_without_folders(self, key):
    folder = self._parent(key, len(key))
    self.folders[folder] = [child for child in self.folders[folder] if child != key]


def names_from_after_on(self, folder, *, after=b"", limit=0):
    rest = [name for name in original["names"](self, folder) if name >= after]
    return rest[:limit] if limit else rest


def leave_whatever_the_index(self, table, key, _index):
    self._pending.get(table, {}).pop(key, None)


def get_past_pending_drops(self, table, key):
    index, record = self._pending.get(table, {}).get(key, (0, None))
    return self.state.get(table, key) if record is None else (index, record)


def change_of_known_fields_only(kind, record, **fields):
    view = records.decode(kind, record)
    for name, value in fields.items():
        setattr(view, name, value)
    return records.encode(view)


def place_at_the_end(slot, number):
    for place, held in enumerate(slot):
        if held.startswith(number):
            return place, True
    return len(slot), False


def descendants_from_above(view, token):
    for child in view.token_children(token):
        yield child
        yield from descendants_from_above(view, child)


def index_of_what_is_applied(view, table, key):
    return getattr(view, "state", view).index_of(table, key)


def instant_of_the_id_alone(table, record):
    view = None if record is None else records.readable(indexes._KINDS[table], record)
    if view is None:
        return None, 0
    if table == Table.WRITE_ID:
        return None, max(view.id_time_ns, 1)
    return getattr(view, "parent", None), max(view.expires_ns, 0)


def load_whatever_comes(self):
    self._state.digest = int.from_bytes(self._end.digest, "little")
    return self._state


MUTANTS = {
    "a shard is pinned without a copy": (
        Pin, "keep", keep_without_copying,
        snapshots.test_two_snapshots_and_a_verification_do_not_disturb_each_other,
    ),
    "a shard is copied at every change": (
        Pin, "keep", keep_again,
        snapshots.test_two_snapshots_and_a_verification_do_not_disturb_each_other,
    ),
    "nobody tells the pins": (
        State, "_keep", lambda _self, _table, _number, _shard: None,
        snapshots.test_two_snapshots_and_a_verification_do_not_disturb_each_other,
    ),
    "a snapshot ends unchecked": (
        snapshot.Loader, "finish", load_whatever_comes,
        snapshots.test_parts_that_are_missing_or_follow_the_end_are_damage,
    ),
    "the digest forgets keys": (
        Fingerprints, "of", fingerprint_without_key,
        partial(digests.test_swapping_the_values_of_two_records_changes_the_digest, Table.SECRET),
    ),
    "the digest forgets where a key ends": (
        Fingerprints, "of", fingerprint_without_border,
        partial(digests.test_table_key_and_record_are_told_apart, (Table.FACT, b"k", b"yx"), (Table.FACT, b"ky", b"x")),
    ),
    "the digest forgets tables": (
        Fingerprints, "of", fingerprint_of_one_table,
        partial(digests.test_table_key_and_record_are_told_apart, (Table.FACT, b"k", b"x"), (Table.SALT, b"k", b"x")),
    ),
    "expectations are not checked": (
        State, "apply", apply_without_expectations,
        partial(applies.test_an_expectation_holds_only_at_the_index_that_was_read, Table.MOUNT, b"kv/"),
    ),
    "puts come before drops": (
        State, "_install", apply_puts_before_drops,
        partial(applies.test_drops_come_first_and_the_last_put_wins, Table.FACT),
    ),
    "any shape is good": (
        machine, "well_formed", lambda _transaction: True,
        partial(
            applies.test_a_key_that_cannot_stand_in_its_table_is_a_bad_shape_wherever_it_is_named,
            256, b"k", ok=False, where="put",
        ),
    ),
    "an unreadable record raises": (
        records, "readable", records.decode, fuzz.test_mutated_bytes_of_a_long_log_never_raise,
    ),
    "indexes keep what is gone": (
        Indexes, "change", change_that_forgets_removals,
        partial(applies.test_what_is_derived_is_what_the_records_say_after_any_sequence, 1),
    ),
    "instants keep what is gone": (
        TimeBuckets, "remove", lambda _self, _instant_ns, _key: None,
        partial(applies.test_what_is_derived_is_what_the_records_say_after_any_sequence, 1),
    ),
    "empty folders stay": (
        PathTree, "remove", remove_without_folders,
        partial(applies.test_what_is_derived_is_what_the_records_say_after_any_sequence, 1),
    ),
    "a part of a list repeats a name": (
        PathTree, "names", names_from_after_on,
        partial(overlays.test_the_view_is_what_the_state_will_be, 1),
    ),
    "versions stand as they came": (
        machine, "place_of", place_at_the_end,
        applies.test_a_secret_is_one_slot_with_its_metadata_first_and_versions_newest_first,
    ),
    "an expired second is not looked into": (
        TimeBuckets, "until", lambda self, instant_ns: (
            (bucket, key) for bucket in self.order if bucket < instant_ns // self.width_ns
            for key in self.buckets[bucket]
        ),
        partial(
            expiries.test_a_record_is_due_from_its_very_nanosecond_on, expires_ns=5, now_ns=6, due=True, kind="token"
        ),
    ),
    "the overlay loses later proposals": (
        Overlay, "_leave", leave_whatever_the_index,
        overlays.test_a_record_leaves_exactly_when_its_own_entry_is_applied,
    ),
    "the overlay stays after a step-down": (
        Overlay, "drop", lambda _self: None, overlays.test_a_dropped_overlay_leaves_no_trace,
    ),
    "pending drops are not seen": (
        Overlay, "get", get_past_pending_drops, partial(overlays.test_the_view_is_what_the_state_will_be, 1),
    ),
    "the overlay is not asked": (
        Overlay, "get", lambda self, table, key: self.state.get(table, key),
        overlays.test_256_concurrent_puts_to_one_path_give_256_consecutive_versions,
    ),
    "a change drops unknown fields": (
        records, "change", change_of_known_fields_only, overlays.test_fields_this_program_does_not_know_survive_changes,
    ),
    "parents are swept before their children": (
        sweeps, "_descendants", descendants_from_above,
        partial(sweep_tests.test_a_sweep_resumed_from_every_state_in_between_ends_the_same, 10),
    ),
    "a sweep does not look at what is pending": (
        sweeps, "index_of", index_of_what_is_applied,
        sweep_tests.test_a_step_waits_for_its_sweep_record_to_be_applied,
    ),
    "living leases are swept": (
        sweeps, "lease_is_swept", lambda _view, _lease_id, _issued_ns: True,
        partial(sweep_tests.test_a_lease_is_dead_from_the_moment_its_folder_was_revoked, b"db/x", 21, dead=False),
    ),
    "the floor stays": (
        write_ids, "_raised", lambda _view, _time_ns: records.encode(records.Floor()),
        write_id_tests.test_beyond_the_bound_the_oldest_go_and_the_floor_rises_above_them,
    ),
    "an id is forgotten by its own time": (
        indexes, "facts", instant_of_the_id_alone,
        partial(write_id_tests.test_an_id_stays_until_its_time_and_its_apply_time_are_both_old, 9_000, 1, goes=False),
    ),
    "the stamp follows the wall clock": (
        stamp, "SLEW_DIVISOR", 1,
        partial(
            stamps.test_a_stamp_moves_with_the_own_clock_and_slews_by_at_most_5_percent,
            10, stamps.NOW + stamps.YEAR, stamps.NOW + 10_500_000_000,
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_noticed(name, monkeypatch):
    """The scenario passes on the product and fails on the mutant."""
    owner, attribute, mutation, scenario = MUTANTS[name]
    scenario()
    monkeypatch.setattr(owner, attribute, mutation)
    if attribute == "facts":
        monkeypatch.setattr(write_ids, attribute, mutation)

    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever the broken rule leads to
        scenario()

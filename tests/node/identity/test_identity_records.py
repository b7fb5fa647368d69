"""Records of identity and their keys: what was written once opens for ever, and no two things share a key."""

from __future__ import annotations

import itertools
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster import Alias, Draft, Entity, Group, GroupMembers, IdentityName, Table, records
from node.identity import keys
from node.identity.changes import Changes
from node.request import Refusal
from tests.node.engines.fakes import FakeView

GOLDEN = Path(__file__).parents[2] / "golden" / "formats" / "state-identity-1.bin"
ALIAS = Alias(
    id="i", mount_accessor="auth_userpass_1", name="alice", metadata={"a": "b"}, custom_metadata={"c": "d"},
    merged_from=["e0"], created_ns=1, updated_ns=2,
)  # fmt: skip
EXAMPLES = [
    Entity(
        id="e", name="alice", metadata={"k": "v"}, policies=["p"], disabled=True, aliases=[ALIAS], group_ids=["g"],
        merged_ids=["e0"], created_ns=1, updated_ns=2,
    ),
    Group(
        id="g", name="staff", type="external", metadata={"k": "v"}, policies=["p"], parent_ids=["g0"], alias=ALIAS,
        created_ns=1, updated_ns=2, modify_index=3,
    ),
    GroupMembers(entity_ids=["e"], group_ids=["g1"]),
    IdentityName(id="e"),
]  # fmt: skip


def test_the_golden_records_open_and_are_written_the_same():
    """Byte for byte: their bytes are what is digested and backed up."""
    stored = msgspec.msgpack.decode(GOLDEN.read_bytes(), type=list[bytes])
    assert [records.decode(type(one), raw) for one, raw in zip(EXAMPLES, stored, strict=True)] == EXAMPLES
    assert stored == [records.encode(one) for one in EXAMPLES]


def test_a_change_keeps_what_a_newer_program_wrote():
    """Fields at the end that this program does not know."""
    view = FakeView()
    elements = [*msgspec.msgpack.decode(records.encode(EXAMPLES[0])), "newer"]
    view.tables[Table.IDENTITY][b"e/e"] = (7, msgspec.msgpack.encode(elements))
    changes = Changes(view)
    entity = changes.look(Entity, b"e/e")
    entity.name = "bob"
    changes.put(b"e/e", entity)
    draft = changes.into(Draft())

    [(_, _, record)] = draft.puts
    assert draft.expects == [(Table.IDENTITY, b"e/e", 7)]
    assert msgspec.msgpack.decode(record)[-1] == "newer"
    assert records.decode(Entity, record).name == "bob"


def test_changes_are_seen_by_later_looks_and_written_once():
    """C1, C2; what was not there and is not there afterwards is in no transaction."""
    changes = Changes(FakeView())
    changes.name(b"n/a", "1")
    changes.name(b"n/a", "2")
    changes.name(b"n/b", "1")
    changes.drop(b"n/b")
    draft = Draft()
    draft.hashes = (b"x",)
    changes.into(draft)
    assert (changes.named(b"n/a"), changes.named(b"n/b")) == ("2", None)
    assert (draft.expects, len(draft.puts), draft.drops) == ([(Table.IDENTITY, b"n/a", 0)], 1, [])
    assert draft.hashes == ()  # touches everything
    kept = Draft()
    kept.hashes = (b"x",)
    assert (Changes(FakeView()).into(kept).hashes, kept.empty) == ((b"x",), True)


KEYS = (
    keys.entity, keys.entity_name, keys.entity_alias_id, keys.merged, keys.group, keys.group_name, keys.members,
    keys.group_alias_id,
)  # fmt: skip


def test_no_two_kinds_of_record_share_a_key():
    """Whatever the id or name is."""
    made = [key("x") for key in KEYS] + [keys.entity_alias("x", "x"), keys.group_alias("x", "x")]
    assert len({key[:2] for key in made}) == len(made)


@given(st.lists(st.tuples(st.sampled_from(["m1", "m2"]), st.text(max_size=8)), max_size=6))
def test_a_name_that_may_be_stored_is_one_mounts_and_one_name(pairs):
    """Two aliases share a key only where mount and lower-case name are the same."""
    stored = []
    for accessor, name in pairs:
        try:
            keys.check_name(name)
        except Refusal:
            continue
        stored.append((accessor, name))
    for (one, name), (other, another) in itertools.combinations(stored, 2):
        same = (one, name.lower()) == (other, another.lower())
        assert (keys.entity_alias(one, name) == keys.entity_alias(other, another)) == same


@pytest.mark.parametrize("name", ["", "a", "é" * 256, "a b", "*", "a/b", "名"])
def test_names_that_may_be_stored(name):
    """Everything that can be printed, up to 512 bytes."""
    keys.check_name(name)


@pytest.mark.parametrize(
    "name",
    ["é" * 257, "\x00", "a\tb", "\ud800", "\u200b", "\u202e", "steve\u212a", "\u212b", "\u2126", "\u03f4"],
)
def test_names_that_may_not(name):
    """What nobody sees would make two names that look alike, or one of two: a sign for kelvin is a k in lower case."""
    with pytest.raises(Refusal):
        keys.check_name(name)

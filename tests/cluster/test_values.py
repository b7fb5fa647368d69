"""Sealing of values for deciders: the fact of a salt stands once, before or beside the boxes that name it."""

from __future__ import annotations

import pytest

from cluster import Draft, Table, records
from cluster.keyring.keyring import Keyring
from cluster.keyring.sealing import Sealer
from cluster.state.tables import EVERYTHING
from cluster.values import ValueSealing
from tests.cluster.state.building import state_of

START_NS = 1_700_000_000_000_000_000


class Drawn:
    """Random bytes that are told apart."""

    def __init__(self) -> None:
        self.count = 0

    def bytes(self, count: int) -> bytes:
        self.count += 1
        return self.count.to_bytes(count, "big")


@pytest.fixture
def drawn() -> Drawn:
    return Drawn()


def sealing_of(drawn: Drawn, keyring: Keyring) -> ValueSealing:
    return ValueSealing(Sealer(keyring, drawn, b"g" * 16))


def place(key: bytes) -> dict[str, object]:
    return {"table": Table.ENTRY, "key": key, "field": b"f", "record_id": b"r"}


def seal(sealing: ValueSealing, drawn: Drawn, view: object, draft: Draft, key: bytes) -> tuple[int, bytes]:
    salt_id, box = sealing.seal(view, draft, b"plain " + key, nonce=drawn.bytes(12), **place(key))
    draft.put(Table.ENTRY, key, records.Entry(salt_id=salt_id, box=box))
    return salt_id, box


def salts(draft: Draft) -> list[int]:
    return [int.from_bytes(key, "big") for table, key, _ in draft.puts if table == Table.SALT]


def test_a_transaction_with_many_sealed_entries_carries_one_salt(drawn):
    """Expected once, before the first box that names it; all open, and the transaction touches everything."""
    keyring = Keyring.create(drawn, b"c" * 16, START_NS)
    sealing, draft, view = sealing_of(drawn, keyring), Draft(), state_of()
    sealed = []
    for number in range(50):
        draft.hashes = (b"one path",)  # an engine may say so of each entry, before it seals
        sealed.append(seal(sealing, drawn, view, draft, b"k%d" % number))

    assert {salt_id for salt_id, _ in sealed} == {1}
    assert salts(draft) == [1]
    assert draft.expects == [(Table.SALT, b"\0\0\0\1", 0)]
    assert draft.puts[0][0] == Table.SALT
    assert draft.hashes == (EVERYTHING,)
    for number, (salt_id, box) in enumerate(sealed):
        key = b"k%d" % number
        assert sealing.open(salt_id, box, **place(key)) == b"plain " + key


def test_a_salt_of_another_draft_is_put_again(drawn):
    """What was decided and never proposed is no fact: the next draft carries it itself."""
    keyring = Keyring.create(drawn, b"c" * 16, START_NS)
    sealing, view = sealing_of(drawn, keyring), state_of()
    lost, draft = Draft(), Draft()
    seal(sealing, drawn, view, lost, b"a")
    seal(sealing, drawn, view, draft, b"a")

    assert (salts(lost), salts(draft)) == ([1], [1])


def test_a_salt_that_is_a_fact_is_not_put_again(drawn):
    """Neither in one transaction nor in the next."""
    keyring = Keyring.create(drawn, b"c" * 16, START_NS)
    sealing, first = sealing_of(drawn, keyring), Draft()
    seal(sealing, drawn, state_of(), first, b"a")
    view = state_of(*((table, key, record) for table, key, record in first.puts))
    second = Draft()
    second.hashes = (b"one path",)

    assert [seal(sealing, drawn, view, second, b"b%d" % n)[0] for n in range(3)] == [1, 1, 1]
    assert (salts(second), second.hashes) == ([], (b"one path",))


def test_the_salt_of_somebody_else_in_the_draft_is_not_taken(drawn):
    """Its boxes would not open: the id is taken, the salt is its own."""
    keyring = Keyring.create(drawn, b"c" * 16, START_NS)
    sealing, draft = sealing_of(drawn, keyring), Draft()
    draft.put(Table.SALT, b"\0\0\0\1", records.Salt(key_term=b"t" * 8, salt=b"s" * 16))

    salt_id, box = seal(sealing, drawn, state_of(), draft, b"a")
    assert (salt_id, salts(draft)) == (2, [1, 2])
    assert sealing.open(salt_id, box, **place(b"a")) == b"plain a"

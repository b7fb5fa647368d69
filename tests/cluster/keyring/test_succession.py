"""One keyring after another: which descends from which, and a rekey whose shares were handed out before it happens."""

from __future__ import annotations

import pytest

from cluster.errors import WrongKeyError
from cluster.keyring import Keyring, initialise, rekey
from cluster.keyring.seal import open_envelope
from cluster.keyring.unsealers.shamir import ShamirUnsealer

CLUSTER_ID = b"cluster-of-tests"


def test_a_keyring_extends_those_it_was_rotated_from_and_no_others(keyring, make_random):
    """Neither itself, nor a sibling, nor a later one, nor one that is wiped."""
    later = keyring.rotate(make_random(b"a"), 2)
    latest = later.rotate(make_random(b"b"), 3)
    sibling = keyring.rotate(make_random(b"c"), 2)
    stranger = Keyring.create(make_random(b"d"), CLUSTER_ID, 1)
    wiped = keyring.rotate(make_random(b"e"), 2)
    wiped.wipe()

    assert [one.extends(keyring) for one in (later, latest, sibling)] == [True, True, True]
    assert latest.extends(later)
    refused = [(keyring, keyring), (keyring, later), (later, sibling), (latest, sibling), (stranger, keyring)]
    assert not any(one.extends(other) for one, other in [*refused, (later, wiped), (wiped, keyring)])


def test_a_rekey_that_waited_holds_the_terms_that_came_meanwhile(make_random):
    """Its shares stay good; its envelope opens what was rotated in after it was made, and is of no older term."""
    new = initialise(make_random(b"1"), CLUSTER_ID, 1, seal_type="shamir", shares=1, threshold=1, peers=False)
    made = rekey(new.keyring, new.seal, make_random(b"2"), 2, shares=3, threshold=2)
    first = made.envelope
    rotated = new.keyring.rotate(make_random(b"3"), 3)
    made.renew(rotated, make_random(b"4"), 4)
    unsealer = ShamirUnsealer(made.envelope, make_random(b"5"))
    assert unsealer.offer(made.shares[0].hex()) is None
    opened = unsealer.offer(made.shares[2].hex())

    assert opened is not None
    assert made.envelope != first
    assert opened.keyring.extends(rotated)
    assert opened.keyring.active_term_id == made.keyring.active_term_id
    with pytest.raises(WrongKeyError):
        open_envelope(bytearray(new.root_key), made.envelope)


def test_an_attempt_with_shares_knows_its_envelope(make_random):
    """A later one begins another attempt."""
    new = initialise(make_random(b"1"), CLUSTER_ID, 1, seal_type="shamir", shares=1, threshold=1, peers=False)
    made = rekey(new.keyring, new.seal, make_random(b"2"), 2, shares=1, threshold=1)
    unsealer = ShamirUnsealer(new.envelope, make_random(b"3"))

    assert (unsealer.is_of(new.envelope), unsealer.is_of(made.envelope)) == (True, False)

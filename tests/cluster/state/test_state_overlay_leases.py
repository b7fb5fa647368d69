"""Lists of leases as deciders see them: applied, and on top of it what is proposed."""

from __future__ import annotations

import random

import pytest

from cluster.state import records
from cluster.state.tables import Table
from cluster.state.transaction import Draft
from tests.cluster.state.building import Leader


def test_a_lease_that_is_proposed_is_listed_and_one_that_is_dropped_is_not() -> None:
    """With the folders that stand and fall with them; the applied state sees neither yet."""
    leader = Leader()
    first, second = Draft(), Draft()
    first.put(Table.LEASE, b"pki/issue/a/1", records.Lease(expires_ns=9))
    leader.do(first)
    second.drop(Table.LEASE, b"pki/issue/a/1")
    second.put(Table.LEASE, b"pki/sign/1", records.Lease(expires_ns=9))
    leader.propose(second)

    assert leader.overlay.list_leases(b"") == [b"pki/"]
    assert leader.overlay.list_leases(b"pki/") == [b"sign/"]
    assert leader.state.list_leases(b"pki/") == [b"issue/"]
    assert leader.overlay.list_leases(b"pki/", after=b"a", limit=1) == [b"sign/"]
    assert leader.overlay.list_leases(b"pki/", after=b"sign/") == []
    leader.apply_all()
    assert leader.state.list_leases(b"pki/") == leader.overlay.list_leases(b"pki/") == [b"sign/"]


@pytest.mark.parametrize("seed", range(5))
def test_an_overlay_lists_what_the_state_will(seed: int) -> None:
    """Whatever is pending: the same names as after it is applied."""
    source = random.Random(seed)
    leader = Leader()
    names = [b"%c/%c%d" % (97 + at % 3, 97 + at % 2, at % 4) for at in range(12)] + [b"b/deep/x"]
    for _ in range(20):
        draft = Draft()
        for name in source.sample(names, 3):
            if source.random() < 0.4:
                draft.drop(Table.LEASE, name)
            else:
                draft.put(Table.LEASE, name, records.Lease(issued_ns=1))
        leader.propose(draft)
        seen = {folder: leader.overlay.list_leases(folder) for folder in (b"", b"a/", b"b/", b"b/deep/")}
        if source.random() < 0.5:
            leader.apply_all()
            assert seen == {folder: leader.state.list_leases(folder) for folder in seen}

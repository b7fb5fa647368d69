"""Leases as a workload: what is revoked is asked for again, and only the product's own word means that it is gone."""

from __future__ import annotations

import random

import pytest

from chaos.api import NoAnswer, Reply
from chaos.workload.base import Call, Client
from chaos.workload.leases import ALIVE_MAX, Leases


def client(role: str = "writer", seed: int = 1) -> Client:
    return Client(0, "n1", roaming=False, role=role, rng=random.Random(seed))


def issued(workload: Leases, one: Client, count: int) -> None:
    """So many leases are known."""
    while len(workload._leases) < count:
        call = workload.next(one)
        if call.f == "issue":
            workload.judge(call, Reply(200, {}, {"lease_id": f"pki/issue/app/{call.key}"}), one)


def test_leases_are_issued_used_and_revoked() -> None:
    """By writers; readers use them; there are never too many."""
    workload, one = Leases(), client()
    issued(workload, one, 4)
    writers = [workload.next(one) for _ in range(300)]
    readers = {workload.next(client("reader", seed)).f for seed in range(20)}

    assert {call.f for call in writers} == {"issue", "use", "revoke"}
    assert readers == {"use"}
    assert len(workload._leases) <= ALIVE_MAX


def test_what_is_revoked_is_looked_up_again() -> None:
    """At once, and at the end on every node."""
    workload, one = Leases(), client()
    issued(workload, one, 5)
    revoke = next(call for call in iter(lambda: workload.next(one), None) if call.f == "revoke")
    used = {workload.next(client("reader", seed)).key for seed in range(60)}

    assert revoke.key in used
    assert {call.key for call in workload.final()} == set(workload._leases)


@pytest.mark.parametrize(
    ("reply", "outcome", "denied"),
    [
        (Reply(200, {}, {"data": {"id": "x"}}), "ok", False),
        (Reply(400, {}, {"errors": ["invalid lease"]}), "fail", True),
        (Reply(400, {}, {"errors": ["missing lease_id"]}), "fail", False),
        (Reply(503, {}, {"errors": ["no leader"], "applied": "no"}), "fail", False),
        (NoAnswer("TimeoutError", never_sent=False), "fail", False),
    ],
)
def test_only_the_word_for_it_means_that_a_lease_is_gone(
    reply: Reply | NoAnswer, outcome: str, *, denied: bool
) -> None:
    """A node that cannot answer has said nothing of it."""
    call = Call("use", "l1", None, "POST", "sys/leases/lookup")
    found = Leases().judge(call, reply, client())

    assert (found.outcome, bool(found.more.get("denied"))) == (outcome, denied)


def test_a_revocation_without_an_answer_may_come_true() -> None:
    """Its outcome is unknown."""
    call = Call("revoke", "l1", None, "POST", "sys/leases/revoke")

    assert Leases().judge(call, NoAnswer("TimeoutError", never_sent=False), client()).outcome == "info"

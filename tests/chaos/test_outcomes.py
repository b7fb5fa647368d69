"""What an answer proves: `fail` only where nothing was done, `ok` only where it was, and else nobody knows (W2)."""

from __future__ import annotations

import random
from typing import Any

import pytest

from chaos.api import NoAnswer, Reply
from chaos.workload.base import Client, outcome_of
from chaos.workload.register import judged_read, judged_write
from chaos.workload.sets import Sets, members

REFUSED = {"errors": ["permission denied"]}


def client() -> Client:
    return Client(0, "n1", roaming=False, role="reader", rng=random.Random(1))


def reply(status: int, body: Any = None) -> Reply:
    return Reply(status, {}, body)


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (reply(200, {}), "ok"),
        (reply(204), "ok"),
        (NoAnswer("ConnectionRefusedError", never_sent=True), "fail"),
        (NoAnswer("TimeoutError", never_sent=False), "info"),
        # the product's refusals
        (reply(400, REFUSED), "fail"),
        (reply(403, REFUSED), "fail"),
        (reply(404, {"errors": []}), "fail"),
        (reply(412, REFUSED), "fail"),
        (reply(429, REFUSED), "fail"),
        (reply(503, {"errors": ["no leader"], "applied": "no"}), "fail"),
        (reply(503, {"errors": ["Vault is sealed"]}), "fail"),
        # what it does not know, or did
        (reply(504, {"errors": ["?"], "applied": "unknown"}), "info"),
        (reply(503, {"errors": ["?"], "applied": "unknown"}), "info"),
        (reply(400, {"errors": ["?"], "applied": "unknown"}), "info"),
        (reply(409, {"errors": ["applied at index 3, answer not kept"], "applied": "yes"}), "info"),
        (reply(500, {"errors": ["internal error"], "applied": "yes"}), "info"),
        (reply(500, {"errors": ["internal error"]}), "info"),
        (reply(503, {"errors": ["overloaded"]}), "info"),
        (reply(503), "info"),
        # what stands on the way
        (reply(307), "info"),
        (reply(408), "info"),
        (reply(403, "<html>"), "info"),
        (reply(429), "info"),
        (reply(499, {}), "info"),
        (reply(502), "info"),
        (reply(504), "info"),
        (reply(100), "info"),
        (reply(0), "info"),
    ],
)
def test_an_outcome_is_what_the_answer_proves(said: Reply | NoAnswer, outcome: str) -> None:
    """Never more."""
    assert outcome_of(said)[0] == outcome


def test_a_refused_version_is_a_mismatch_and_another_error_is_none() -> None:
    """Else a request that was malformed would prove something of the version."""
    other = "check-and-set parameter did not match the current version"
    mismatch = judged_write(reply(400, {"errors": [other]}))
    malformed = judged_write(reply(400, {"errors": ["no data provided"]}))

    assert (mismatch.outcome, mismatch.more) == ("fail", {"mismatch": True, "refused": True})
    assert (malformed.outcome, malformed.more) == ("fail", {})
    assert judged_write(reply(400)).outcome == "info"


def test_a_write_that_is_done_says_its_version() -> None:
    """An answer without one is no answer."""
    assert judged_write(reply(200, {"data": {"version": 4}})).version == 4
    with pytest.raises(KeyError):
        judged_write(reply(200, {"data": {}}))


def test_nothing_is_read_where_the_product_says_so() -> None:
    """A 404 of somebody else, or of a deleted version, is no reading."""
    nothing = judged_read(reply(404, {"errors": []}))
    there = judged_read(reply(200, {"data": {"data": {"value": "v"}, "metadata": {"version": 2}}}))

    assert (nothing.outcome, nothing.result, nothing.version) == ("ok", None, 0)
    assert (there.outcome, there.result, there.version) == ("ok", "v", 2)
    assert judged_read(reply(404)).outcome == "fail"
    assert judged_read(reply(404, {"data": {"data": None}, "errors": []})).outcome == "fail"
    assert judged_read(reply(503, {"errors": []})).outcome == "fail"


def test_a_folder_is_empty_where_the_product_says_so() -> None:
    """The twin, for sets."""
    sets, call = Sets(), members("secret", "s")

    assert sets.judge(call, reply(404, {"errors": []}), client()).result == []
    assert sets.judge(call, reply(404), client()).outcome == "fail"
    assert sets.judge(call, reply(200, {"data": {"keys": ["b", "a"]}}), client()).result == ["a", "b"]

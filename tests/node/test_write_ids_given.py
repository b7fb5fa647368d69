"""Ids that a node gives to writes without one: which it gives, keeps and gives anew."""

from __future__ import annotations

import pytest

from cluster import write_ids
from node.request import RawRequest
from node.writes import WriteIds
from tests.node.flow_site import raw_request

LONG_AGO_NS = 1_600_000_000_000_000_000
NOW_NS = 1_700_000_000_000_000_000
OWN = "01890af7-6d6b-7000-8000-000000000000"


@pytest.fixture
def ids() -> WriteIds:
    return WriteIds(lambda: pytest.fail("nothing is hashed"), bytes, 600)


def a_write(method: str = "POST", **fields: str) -> RawRequest:
    return raw_request(method, "secret/data/a", {} if method == "POST" else None, **fields)


def time_ns(request: RawRequest) -> int | None:
    return None if request.write_id is None else write_ids.uuid7_time_ns(request.write_id)


@pytest.mark.parametrize(("method", "time"), [("POST", NOW_NS), ("GET", None)])
def test_a_write_without_an_id_gets_one_of_the_present_time(ids: WriteIds, method: str, time: int | None) -> None:
    """A read gets none."""
    request = a_write(method)
    ids.give(request, NOW_NS)

    assert time_ns(request) == time


@pytest.mark.parametrize(("early", "time"), [(True, NOW_NS), (False, LONG_AGO_NS)])
def test_an_id_that_was_drawn_before_a_leader_was_heard_is_drawn_again(ids: WriteIds, early: bool, time: int) -> None:
    """One that was drawn at a known time has perhaps left already: it stays."""
    request = a_write()
    ids.give(request, LONG_AGO_NS, early=early)
    ids.give(request, NOW_NS)
    ids.give(request, LONG_AGO_NS)

    assert time_ns(request) == time


@pytest.mark.parametrize("early", [False, True])
def test_an_id_that_the_client_chose_stays(ids: WriteIds, early: bool) -> None:
    """Whatever its time."""
    request = a_write(write_id=OWN)
    ids.give(request, LONG_AGO_NS, early=early)
    ids.give(request, NOW_NS)

    assert request.write_id == OWN

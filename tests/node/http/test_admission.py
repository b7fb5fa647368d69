"""Admission: the rules on plain numbers, the hook on a loop, the whole on a socket."""

from __future__ import annotations

import asyncio

import pytest

from node.http import HttpLimits, HttpServer
from node.http.admission import Admission, Turns, Verdict
from node.http.errors import OverloadError
from node.request import RawResponse

from .conftest import HOST, Serve, until


def admission(**limits: float) -> Admission:
    return Admission(HttpLimits(**limits))  # type: ignore[arg-type]


def test_requests_beyond_the_bound_are_refused_until_one_leaves():
    """The node's bound."""
    gate = admission(in_flight=2)

    assert [gate.arrive("a") for _ in range(3)] == [Verdict.BEGIN, Verdict.BEGIN, Verdict.NODE_BUSY]
    gate.leave("a")
    assert gate.arrive("b") is Verdict.BEGIN


def test_one_address_cannot_take_every_place():
    """Others still get in."""
    gate = admission(in_flight=10, in_flight_per_address=2)

    assert [gate.arrive("a") for _ in range(3)] == [Verdict.BEGIN, Verdict.BEGIN, Verdict.ADDRESS_BUSY]
    assert gate.arrive("b") is Verdict.BEGIN


def test_an_exempt_request_is_never_refused():
    """It is counted all the same."""
    gate = admission(in_flight=1)
    gate.arrive("a")

    assert (gate.arrive("a", exempt=True), gate.in_flight) == (Verdict.BEGIN, 2)


def test_a_turn_begins_so_many_and_keeps_the_order():
    """Newcomers stand behind those that wait."""
    gate = admission(per_turn=2)

    assert [gate.arrive("a") for _ in range(5)] == [Verdict.BEGIN] * 2 + [Verdict.WAIT] * 3
    assert (gate.next_turn(), gate.waiting) == (2, 1)
    assert gate.arrive("b") is Verdict.WAIT
    assert (gate.next_turn(), gate.next_turn(), gate.waiting) == (2, 0, 0)
    assert gate.arrive("b") is Verdict.BEGIN


def test_reading_pauses_late_and_goes_on_early():
    """Between the two bounds nothing changes, so that it does not flutter."""
    gate = admission(lag_pause_s=0.1, lag_resume_s=0.03)

    assert [gate.observe(lag) for lag in (0.05, 0.1, 0.05, 0.03, 0.05)] == [False, True, True, False, False]


def test_nothing_is_left_of_addresses_that_are_gone():
    """The counts do not grow with every client ever seen."""
    gate = admission()
    gate.arrive("a")
    gate.leave("a")

    assert (gate.in_flight, gate._of_address) == (0, {})


async def test_waiting_requests_begin_turn_by_turn_in_order():
    """One per turn, first come first served."""
    turns = Turns(HttpLimits(per_turn=1), asyncio.get_running_loop())
    begun: list[int] = []

    async def one(number: int) -> None:
        await turns.enter("a")
        begun.append(number)

    async with asyncio.TaskGroup() as group:
        for number in range(5):
            group.create_task(one(number))

    assert (begun, turns.admission.waiting) == ([0, 1, 2, 3, 4], 0)


async def test_a_request_that_is_cancelled_while_it_waits_leaves():
    """And the others still begin."""
    turns = Turns(HttpLimits(per_turn=1), asyncio.get_running_loop())
    await turns.enter("a")
    waiting = [asyncio.ensure_future(turns.enter("a")) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[1].cancel()

    await asyncio.gather(*waiting, return_exceptions=True)

    assert (turns.admission.in_flight, turns.admission.waiting) == (3, 0)


@pytest.mark.parametrize(("limits", "status"), [({"in_flight": 1}, 503), ({"in_flight_per_address": 1}, 429)])
async def test_a_busy_hook_refuses_with_its_status(limits, status):
    """And with when to come back."""
    turns = Turns(HttpLimits(**limits, retry_after_s=3), asyncio.get_running_loop())
    await turns.enter("a")

    with pytest.raises(OverloadError) as raised:
        await turns.enter("a")

    assert (raised.value.status, raised.value.retry_after_s) == (status, 3)


async def test_an_overloaded_node_answers_503_and_still_answers_health(serve: Serve):
    """With Retry-After and `applied: no`; nothing reached the handler."""
    release = asyncio.Event()

    async def slow(request):
        if request.path == "slow":
            await release.wait()
        return RawResponse(200, b"{}\n")

    site = await serve(slow, in_flight=1)
    busy = (await site.connect()).send(b"GET /v1/slow HTTP/1.1\r\n", HOST, b"\r\n")
    await until(lambda: site.server.edge.turns.admission.in_flight == 1)

    refused = await site.get(b"/v1/a", b"X-Strongroom-Write-Id: w1\r\n")
    health = [(await site.get(path)).status for path in (b"/v1/sys/health", b"/livez", b"/readyz")]
    release.set()

    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert refused.json == {"errors": ["this node is overloaded"], "applied": "no", "write_id": "w1"}
    assert (health, (await busy.reply()).status, (await site.get()).status) == ([200] * 3, 200, 200)


async def test_a_late_loop_reads_from_nobody_until_it_has_caught_up(serve: Serve):
    """Requests wait in the kernel, and nothing is lost."""
    site = await serve()
    client = await site.connect()
    await client.send(b"GET /v1/a HTTP/1.1\r\n", HOST, b"\r\n").reply()

    site.server.observe_lag(1.0)
    client.send(b"GET /v1/b HTTP/1.1\r\n", HOST, b"\r\n")
    late = await site.connect()
    late.send(b"GET /v1/c HTTP/1.1\r\n", HOST, b"\r\n")
    site.clock.now += 100
    site.server.sweep()  # nobody is punished for our own delay
    await asyncio.sleep(0)
    paused = len(site.received)
    site.server.observe_lag(0.0)

    assert ((await client.reply()).status, (await late.reply()).status, paused) == (200, 200, 1)


async def test_a_head_that_waits_for_our_loop_is_not_late(serve: Serve):
    """Its clock stands while nothing is read, and starts again afterwards."""
    site = await serve()
    client = (await site.connect()).send(b"GET /v1/a HTTP/1.1\r\n")
    await until(lambda: any(p.head_since is not None and not p.idle for p in site.server.edge.manager.protocols))
    site.server.observe_lag(1.0)
    site.clock.now += 100
    site.server.sweep()
    site.server.observe_lag(0.0)
    site.server.sweep()

    assert (await client.send(HOST, b"\r\n").reply()).status == 200


async def test_the_server_finds_out_that_the_loop_is_late(serve: Serve):
    """The check measures how late it is called itself."""
    site = await serve()
    server: HttpServer = site.server
    site.clock.now += 5

    server._check_lag_again()

    assert server.edge.turns.admission.paused

"""Forwarding, both ends alone: what crosses the link, and what each failure of it means for the request's outcome."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import pytest

from cluster import CallError, NotLeaderError, NotSentError, OverloadedError, UnavailableError, UnknownOutcomeError
from node.forward import AnswerFrame, Forwarder, Frame, pack, unpack
from node.request import Operation, RawRequest, RawResponse
from tests.node.flow_site import raw_request

LEADER_WAIT_S = 1.5


class FakeClock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def boot(self) -> float:
        self.now_s += 0.5  # every look costs time, so that a test never waits
        return self.now_s


class FakeMember:
    """A follower of n2 whose `forward` does what it is told, or a leader."""

    def __init__(self, *answers: Any, leads: bool = False) -> None:
        self.settings = type("Settings", (), {"node_id": "n1"})()
        self.clock = FakeClock()
        self.is_leader = leads
        self.replica = self.running = type("Replica", (), {"term": 7})()
        self.leader_id = "n1" if leads else "n2"
        self.answers = list(answers)
        self.sent: list[bytes] = []

    async def forward(self, body: bytes, _timeout_s: float) -> bytes:
        self.sent.append(body)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, bytes)
        return answer


def forwarder(*answers: Any, **options: Any) -> tuple[Forwarder, FakeMember]:
    member = FakeMember(*answers, leads=options.pop("leads", False))
    made: Any = Forwarder(member, timeout_s=1, per_peer_max=options.pop("per_peer_max", 2))  # type: ignore[arg-type]
    return made, member


def frame_of(response: RawResponse) -> bytes:
    frame = AnswerFrame(response.status, response.body, response.headers, response.content_type, response.lines)
    return msgspec.msgpack.encode(frame)


def a_request(**fields: Any) -> RawRequest:
    headers = [
        ("X-Vault-Index", "djE="), ("X-Vault-Index", "djI="), ("X-Vault-Wrap-TTL", "1m"), ("User-Agent", "test"),
        ("X-Strongroom-Write-Id", "01890af7-6d6b-7000-8000-000000000000"),
    ]  # fmt: skip
    body = b'{"a": 12345678901234567890123, "b": 1.10}'
    return raw_request("POST", "a//b%20c?x=1&y=", body, token="hvs.t", headers=headers, address="192.0.2.7", **fields)


async def test_what_the_leader_needs_crosses_the_link_as_it_came() -> None:
    """Address and port, token, path, query, headers that matter, the body's own bytes; and who forwarded."""
    request = a_request()
    arrived = unpack(pack(request, "n1"), "n1")

    kept = [
        field.name
        for field in dataclasses.fields(RawRequest)
        if field.name not in {"body", "forwarded_from", "inconsistent", "consistency", "no_forwarding", "listener"}
    ]
    assert {name: getattr(arrived, name) for name in kept} == {name: getattr(request, name) for name in kept}
    assert (arrived.body.raw, arrived.forwarded_from) == (request.body.raw, "n1")
    assert (arrived.remote_address, arrived.remote_port) == ("192.0.2.7", 40_000)


def test_a_frame_of_another_forwarder_is_refused() -> None:
    """The link says who forwards."""
    with pytest.raises(ValueError, match="another forwarder"):
        unpack(pack(a_request(), "n3"), "n1")


def test_no_repr_shows_what_crosses_the_link() -> None:
    """Frames hold tokens and secrets."""
    frame = msgspec.msgpack.decode(pack(a_request(), "n1"), type=Frame)
    answer = AnswerFrame(200, b"secret", [], "application/json")

    assert "hvs.t" not in repr(frame)
    assert "secret" not in repr(answer)


async def test_the_leaders_answer_is_returned_as_it_is() -> None:
    """Status, body, headers and content type."""
    response = RawResponse(418, b"body", [("A", "b")], "text/plain", b"C: d\r\n")
    made, member = forwarder(frame_of(response))
    answer = await made.forward(a_request())

    assert (answer, len(member.sent)) == (response, 1)


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (UnavailableError("the link broke"), UnknownOutcomeError),
        (CallError("UnknownOutcomeError", b""), UnknownOutcomeError),
        (CallError("internal", b""), UnknownOutcomeError),
        (CallError("DamagedError", b""), UnknownOutcomeError),
        (CallError("overloaded", b""), UnavailableError),
        (CallError("unproven", b""), UnavailableError),
        (CallError("bad frame", b""), UnavailableError),
        (CallError("NotLeaderError", b""), UnavailableError),
        (CallError("SealedError", b""), UnavailableError),
        (NotSentError("no link"), UnavailableError),
        (NotLeaderError(None), UnavailableError),
    ],
)
@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_only_what_surely_had_no_effect_is_said_to_have_none(
    method: str, failure: Exception, expected: type[Exception]
) -> None:
    """A read, too: what is forwarded costs its token a use."""
    made, _ = forwarder(failure)
    with pytest.raises(expected) as caught:
        await made.forward(raw_request(method, "a", {} if method == "POST" else None))

    assert type(caught.value) is expected


@pytest.mark.parametrize("failure", [NotSentError("no link"), NotLeaderError(None), CallError("NotLeaderError", b"")])
async def test_another_leader_is_waited_for_while_nothing_was_done(failure: Exception) -> None:
    """The request succeeds once there is one."""
    made, member = forwarder(failure, failure, frame_of(RawResponse(204)))

    assert (await made.forward(a_request())).status == 204
    assert len(member.sent) == 3


async def test_the_wait_for_a_leader_ends() -> None:
    """And says that nothing happened."""
    made, member = forwarder(NotSentError("no link"))
    with pytest.raises(UnavailableError, match="no leader that answers"):
        await made.forward(a_request())

    assert member.clock.now_s < LEADER_WAIT_S + 2


async def test_a_request_whose_effect_is_unknown_is_not_sent_again() -> None:
    """Whoever does not know must not repeat."""
    made, member = forwarder(UnavailableError("the link broke"), frame_of(RawResponse(204)))
    with pytest.raises(UnknownOutcomeError):
        await made.forward(a_request())

    assert len(member.sent) == 1


async def test_what_waits_for_the_leader_is_bounded() -> None:
    """The twin: what ended leaves its place."""
    made, member = forwarder(frame_of(RawResponse(204)), per_peer_max=1)
    made._under_way = 1
    with pytest.raises(OverloadedError):
        await made.forward(a_request())
    made._under_way = 0

    assert [(await made.forward(a_request())).status for _ in range(2)] == [204, 204]
    assert (made._under_way, len(member.sent)) == (0, 2)


async def test_a_follower_that_was_elected_meanwhile_serves_itself() -> None:
    """The request never leaves, and is not marked as forwarded."""
    made, member = forwarder(NotSentError("unused"), leads=True)
    served: list[RawRequest] = []

    async def handle(request: RawRequest) -> RawResponse:
        served.append(request)
        return RawResponse(204)

    made.handler = handle
    request = a_request()

    assert (await made.forward(request)).status == 204
    assert (served, request.forwarded_from, member.sent) == ([request], None, [])


async def test_only_a_leader_serves_a_forwarded_request() -> None:
    """It is refused with a hint, and never passed on."""
    made, member = forwarder(NotSentError("unused"))
    with pytest.raises(NotLeaderError):
        await made.serve("n2", pack(a_request(), "n2"))

    assert member.sent == []


async def test_a_request_meant_for_the_leader_of_a_later_term_is_refused() -> None:
    """Who leads an earlier one has been deposed: what it proposes is lost. A term that is over is fine, as is none."""
    made, _ = forwarder(NotSentError("unused"), leads=True)
    served: list[RawRequest] = []

    async def handle(request: RawRequest) -> RawResponse:
        served.append(request)
        return RawResponse(204)

    made.handler = handle
    for term in (0, 6, 7):
        await made.serve("n2", pack(a_request(), "n2", term))
    with pytest.raises(NotLeaderError):
        await made.serve("n2", pack(a_request(), "n2", 8))

    assert len(served) == 3


async def test_a_forwarded_request_names_the_term_of_its_leader() -> None:
    """As its node knows it when the frame leaves."""
    made, member = forwarder(frame_of(RawResponse(204)))
    await made.forward(a_request())

    assert msgspec.msgpack.decode(member.sent[0], type=Frame).term == 7


@pytest.mark.parametrize(("early", "sent"), [(True, "drawn again"), (False, "the first")])
async def test_an_early_write_id_gives_way_when_a_leader_is_heard(early: bool, sent: str) -> None:
    """Not before: a node that has just started does not know the cluster's time, and draws ids of long ago."""
    made, member = forwarder(frame_of(RawResponse(204)))
    member.leader_id = None
    forward = member.forward

    async def heard(body: bytes, timeout_s: float) -> bytes:
        if member.leader_id is None:
            member.leader_id = "n2"
            raise NotLeaderError(None)
        return await forward(body, timeout_s)

    def give(request: RawRequest) -> None:
        assert member.leader_id == "n2"
        request.write_id = "drawn again"

    member.forward = heard  # type: ignore[method-assign]
    made.give = give
    request = a_request(write_id="the first", write_id_is_early=early)
    await made.forward(request)

    frame = msgspec.msgpack.decode(member.sent[0], type=Frame)
    assert (request.write_id, frame.write_id) == (sent, sent)


@pytest.mark.parametrize("body", [b"", b"nonsense", msgspec.msgpack.encode([1, 2, 3]), pack(a_request(), "n9")])
async def test_a_frame_that_is_none_is_refused_by_name(body: bytes) -> None:
    """At once: the forwarder must not wait for its timeout, and may say that nothing happened."""
    made, _ = forwarder(NotSentError("unused"), leads=True)

    async def handle(_request: RawRequest) -> RawResponse:
        raise AssertionError("nothing may be served")

    made.handler = handle
    with pytest.raises(CallError) as caught:
        await made.serve("n2", body)

    assert (caught.value.error, caught.value.detail) == ("bad frame", b"")


async def test_an_unknown_operation_is_a_bad_frame() -> None:
    """A newer node may know more."""
    frame = msgspec.msgpack.decode(pack(a_request(), "n2"), type=Frame)
    assert frame.operation in set(Operation)
    newer = msgspec.msgpack.encode(msgspec.structs.replace(frame, operation="teleport"))
    made, _ = forwarder(NotSentError("unused"), leads=True)
    made.handler = lambda _request: pytest.fail("nothing may be served")
    with pytest.raises(CallError):
        await made.serve("n2", newer)


def test_a_frame_of_a_newer_node_with_more_fields_is_read() -> None:
    """New fields go at the end."""
    fields = msgspec.msgpack.decode(pack(a_request(), "n1"))
    arrived = unpack(msgspec.msgpack.encode([*fields, "more"]), "n1")

    assert arrived.path == "a/b c"

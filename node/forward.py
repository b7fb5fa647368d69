"""Forwarding: a request that this node cannot serve goes whole to the leader, which repeats every check.

A typed frame, not HTTP again: the leader takes address and token from the frame only. A request is forwarded once, and
names the term of the leader that is meant: who leads an earlier one has been deposed and does not know it yet.
Source: Vault internals, "Request forwarding".
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from cluster import (
    CallError,
    NotLeaderError,
    NotSentError,
    OverloadedError,
    SealedError,
    UnavailableError,
    UnknownOutcomeError,
)

from .request import Body, Operation, RawRequest, RawResponse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cluster import Member

FORMAT = 1
LEADER_WAIT_S = 1.5
POLL_S = 0.02
BAD_FRAME = "bad frame"
REFUSED = frozenset({"unproven", "overloaded", "unknown method", BAD_FRAME})  # before anything was done
ELSEWHERE = frozenset({NotLeaderError.__name__, SealedError.__name__})  # the same, and another node may lead


class Frame(msgspec.Struct, array_like=True, frozen=True):
    """A request on the link. New fields go at the end, with a default."""

    format: int
    id: str
    method: str
    target: str
    operation: str
    path: str
    query: dict[str, str]
    body: bytes
    token: str | None
    headers: dict[str, str]
    remote_address: str
    remote_port: int
    wrap_ttl_s: int | None
    write_id: str | None
    forwarder: str
    body_is_form: bool = False
    index_states: list[str] = []
    term: int = 0  # of the leader that is meant; 0: a node that does not say
    listener: str = ""  # where it came in; empty: a node that does not say, and whose open paths are not believed
    certificate: bytes = b""  # what the client presented, if the listener asks for one

    def __repr__(self) -> str:
        return f"<Frame {self.id}>"


class AnswerFrame(msgspec.Struct, array_like=True, frozen=True):
    """An answer on the link."""

    status: int
    body: bytes
    headers: list[tuple[str, str]]
    content_type: str
    lines: bytes = b""

    def __repr__(self) -> str:
        return f"<AnswerFrame {self.status}>"


_encode = msgspec.msgpack.Encoder().encode
_frame = msgspec.msgpack.Decoder(Frame).decode
_answer = msgspec.msgpack.Decoder(AnswerFrame).decode


def pack(request: RawRequest, forwarder: str, term: int = 0) -> bytes:
    """The frame of a request for the leader of that term."""
    return _encode(
        Frame(
            FORMAT, request.id, request.method, request.target, request.operation.value, request.path,
            dict(request.query), request.body.raw, request.token, dict(request.headers), request.remote_address,
            request.remote_port, request.wrap_ttl_s, request.write_id, forwarder, request.body_is_form,
            list(request.index_states), term, request.listener, request.certificate,
        )
    )  # fmt: skip


def unpack(data: bytes, peer: str) -> RawRequest:
    """The request of a frame; raises msgspec.MsgspecError, ValueError or RecursionError. `peer`: the link's owner."""
    return _request(_frame(data), peer)


def _request(frame: Frame, peer: str) -> RawRequest:
    if frame.forwarder != peer:
        raise ValueError("a frame that names another forwarder")
    return RawRequest(
        id=frame.id,
        method=frame.method,
        target=frame.target,
        operation=Operation(frame.operation),
        path=frame.path,
        query=frame.query,
        body=Body(frame.body),
        token=frame.token,
        headers=frame.headers,
        remote_address=frame.remote_address,
        remote_port=frame.remote_port,
        wrap_ttl_s=frame.wrap_ttl_s,
        index_states=tuple(frame.index_states),
        write_id=frame.write_id,
        forwarded_from=peer,
        body_is_form=frame.body_is_form,
        listener=frame.listener,
        certificate=frame.certificate,
    )


class Forwarder:
    """Both ends."""

    def __init__(self, member: Member, *, timeout_s: float, per_peer_max: int) -> None:
        self._member = member
        self._timeout_s = timeout_s
        self._per_peer_max = per_peer_max
        self._under_way = 0
        self.handler: Callable[[RawRequest], Awaitable[RawResponse]] | None = None
        self.give: Callable[[RawRequest], None] = lambda _request: None  # an early write id gives way to a new one

    async def forward(self, request: RawRequest) -> RawResponse:
        """The leader's answer. While the request has surely had no effect a leader is looked for, bounded.

        Raises UnavailableError or SealedError where the request had no effect, UnknownOutcomeError where it may have
        had one.
        """
        if self._under_way >= self._per_peer_max:
            raise OverloadedError("too many requests wait for the leader")
        self._under_way += 1
        try:
            end = self._member.clock.boot() + LEADER_WAIT_S
            while True:
                try:
                    return await self._send(request)
                except (NotSentError, NotLeaderError):
                    if self._member.replica is None:
                        raise SealedError("this node is sealed") from None
                    if self._member.clock.boot() > end:
                        raise UnavailableError("the cluster has no leader that answers") from None
                    await asyncio.sleep(POLL_S)
        finally:
            self._under_way -= 1

    async def _send(self, request: RawRequest) -> RawResponse:
        member = self._member
        if request.write_id_is_early and member.leader_id is not None:  # it is heard, and the cluster's time with it
            self.give(request)
        if member.leader_id == member.settings.node_id:
            if not member.is_leader:
                raise NotLeaderError(None)  # elected, and its first entry not applied yet
            assert self.handler is not None
            return await self.handler(request)
        body = pack(request, member.settings.node_id, 0 if member.replica is None else member.replica.term)
        try:
            data = await member.forward(body, self._timeout_s)
        except NotSentError:
            raise
        except UnavailableError as error:  # a read, too: it is forwarded because it costs its token a use
            raise UnknownOutcomeError("the link to the leader broke after the request had left") from error
        except CallError as error:
            if error.error in ELSEWHERE:
                raise NotLeaderError(None) from error
            if error.error in REFUSED:
                raise UnavailableError("the leader refused the request") from error
            raise UnknownOutcomeError("the leader does not know the outcome") from error
        try:
            answer = _answer(data)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise UnknownOutcomeError("the leader's answer cannot be read") from None
        return RawResponse(answer.status, answer.body, answer.headers, answer.content_type, answer.lines)

    async def serve(self, peer: str, body: bytes) -> bytes:
        """A follower's request, executed here; refused unless this node leads the term that is meant or a later one."""
        if not self._member.is_leader:
            raise NotLeaderError(self._member.leader_id)
        assert self.handler is not None
        try:
            frame = _frame(body)
            request = _request(frame, peer)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise CallError(BAD_FRAME, b"") from None
        if frame.term > self._member.running.term:
            raise NotLeaderError(self._member.leader_id)
        response = await self.handler(request)
        return _encode(
            AnswerFrame(response.status, response.body, response.headers, response.content_type, response.lines)
        )
